package modaltest

import (
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"time"

	pb "github.com/modal-labs/modal-client/go/proto/modal_proto"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/omnidocs/omnidocs/internal/freeport"
)

// sandbox is a process with a folder. What is made at its start does not change; the rest is guarded by its lock.
type sandbox struct {
	server   *Server
	id, task string
	app      string
	def      *pb.Sandbox
	made     time.Time
	root     string
	mounts   map[string]string // volumes: where they are seen, and where they are
	ports    map[uint32]string // within, to addresses on this machine
	env      map[string]string
	tunnels  []*tunnel
	main     *process // nil if it has no program of its own
	lifetime *time.Timer

	mu     sync.Mutex
	tags   map[string]string
	execs  []*process
	result *pb.GenericResult // nil while it runs
	ended  chan struct{}     // closed at the end
	over   bool              // being ended
}

// create makes a sandbox and starts its program.
func (s *Server) create(def *pb.Sandbox, app, prefix string, tags []*pb.SandboxTag, sources []*pb.SecretSource) (*sandbox, error) {
	s.mu.Lock()
	id := s.id(prefix)
	image, known := s.images[def.GetImageId()]
	env := s.secretValues(def.GetSecretIds())
	for _, source := range sources {
		for k, v := range s.secretValues([]string{source.GetSecretId()}) {
			env[k] = v
		}
		for k, v := range source.GetEnv().GetContents() {
			env[k] = v
		}
	}
	s.mu.Unlock()
	if !known {
		return nil, status.Errorf(codes.NotFound, "image %q is not there", def.GetImageId())
	}
	sb := &sandbox{
		server: s, id: id, task: "ta-" + id, app: app, def: def, made: time.Now(), root: filepath.Join(s.dir, "sandboxes", id), env: env,
		mounts: map[string]string{}, ports: map[uint32]string{}, tags: map[string]string{}, ended: make(chan struct{}),
	}
	for _, t := range tags {
		sb.tags[t.GetTagName()] = t.GetTagValue()
	}
	if err := sb.open(image); err != nil {
		sb.closeTunnels()
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	s.mu.Lock()
	s.sandboxes[id], s.sandboxes[sb.task] = sb, sb
	s.mu.Unlock()
	sb.lifetime = time.AfterFunc(time.Duration(def.GetTimeoutSecs())*time.Second, func() {
		sb.end(pb.GenericResult_GENERIC_STATUS_TIMEOUT, 0)
	})
	if sb.main != nil {
		go func() {
			<-sb.main.done
			st := pb.GenericResult_GENERIC_STATUS_SUCCESS
			if sb.main.code != 0 {
				st = pb.GenericResult_GENERIC_STATUS_FAILURE
			}
			sb.end(st, sb.main.code)
		}()
	}
	return sb, nil
}

// open makes the folder, the mounts and the tunnels of a sandbox, and starts its program.
func (sb *sandbox) open(image string) error {
	if err := os.MkdirAll(sb.root, 0o755); err != nil {
		return err
	}
	if image != "" {
		if err := copyTree(image, sb.root); err != nil {
			return err
		}
	}
	for _, m := range sb.def.GetVolumeMounts() {
		dir := filepath.Join(sb.server.dir, "volumes", m.GetVolumeId()[len("vo-"):])
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		sb.mounts[path.Clean(m.GetMountPath())] = dir
	}
	ports := sb.def.GetOpenPorts().GetPorts()
	for _, p := range ports {
		if err := sb.port(p.GetPort()); err != nil {
			return err
		}
		t, err := sb.server.openTunnel(p.GetPort(), sb.ports[p.GetPort()], "")
		if err != nil {
			return err
		}
		sb.tunnels = append(sb.tunnels, t)
	}
	// The probe's port is one that the program listens at, whether a tunnel leads there or a connect token.
	if probe := sb.def.GetReadinessProbe().GetTcpPort(); probe != 0 {
		if err := sb.port(probe); err != nil {
			return err
		}
	}
	if args := sb.def.GetEntrypointArgs(); len(args) > 0 {
		var err error
		sb.main, err = sb.run(args, sb.def.GetWorkdir(), nil)
		return err
	}
	return nil
}

// port finds an address that stands for a port of the sandbox.
func (sb *sandbox) port(port uint32) error {
	if sb.ports[port] != "" {
		return nil
	}
	at, err := freeport.Address()
	if err != nil {
		return err
	}
	sb.ports[port] = at
	return nil
}

// end ends a sandbox, once; what it was ended by is its result.
func (sb *sandbox) end(st pb.GenericResult_GenericStatus, code int) {
	sb.mu.Lock()
	first := !sb.over
	sb.over = true
	execs := slices.Clone(sb.execs)
	sb.mu.Unlock()
	if !first {
		<-sb.ended
		return
	}
	sb.lifetime.Stop()
	for _, p := range execs {
		_ = p.kill() // it has ended already
	}
	if sb.main != nil {
		_ = sb.main.kill()
	}
	sb.closeTunnels()
	sb.mu.Lock()
	sb.result = pb.GenericResult_builder{Status: st, Exitcode: int32(code)}.Build()
	sb.mu.Unlock()
	close(sb.ended)
}

func (sb *sandbox) closeTunnels() {
	sb.mu.Lock()
	defer sb.mu.Unlock()
	for _, t := range sb.tunnels {
		t.close()
	}
}

func (sb *sandbox) running() bool {
	select {
	case <-sb.ended:
		return false
	default:
		return true
	}
}

// has says whether it has all of these tags.
func (sb *sandbox) has(tags []*pb.SandboxTag) bool {
	sb.mu.Lock()
	defer sb.mu.Unlock()
	for _, t := range tags {
		if v, ok := sb.tags[t.GetTagName()]; !ok || v != t.GetTagValue() {
			return false
		}
	}
	return true
}

// find finds a sandbox by its id or that of its task.
func (s *Server) find(id string) (*sandbox, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sb := s.sandboxes[id]; sb != nil {
		return sb, nil
	}
	return nil, status.Errorf(codes.NotFound, "sandbox %s is not there", id)
}

// all are the sandboxes that were ever made, the newest first.
func (s *Server) all() []*sandbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*sandbox
	for key, sb := range s.sandboxes {
		if key == sb.id {
			all = append(all, sb)
		}
	}
	slices.SortFunc(all, func(a, b *sandbox) int { return b.made.Compare(a.made) })
	return all
}

// SandboxCreate makes a sandbox of the first kind, which may have a GPU.
func (s *control) SandboxCreate(_ context.Context, r *pb.SandboxCreateRequest) (*pb.SandboxCreateResponse, error) {
	sb, err := s.create(r.GetDefinition(), r.GetAppId(), "sb", r.GetTags(), nil)
	if err != nil {
		return nil, err
	}
	return pb.SandboxCreateResponse_builder{SandboxId: sb.id}.Build(), nil
}

// SandboxCreateV2 makes one of the second kind: clients tell the kinds by the form of the id.
func (s *control) SandboxCreateV2(_ context.Context, r *pb.SandboxCreateV2Request) (*pb.SandboxCreateV2Response, error) {
	if r.GetDefinition().GetResources().GetGpuConfig().GetCount() > 0 {
		return nil, status.Error(codes.InvalidArgument, "sandboxes of the second kind have no GPU")
	}
	sb, err := s.create(r.GetDefinition(), r.GetAppId(), "sbv2", r.GetTags(), r.GetSecretSources())
	if err != nil {
		return nil, err
	}
	return pb.SandboxCreateV2Response_builder{
		SandboxId: sb.id, TaskId: sb.task, Tunnels: sb.tunnelData(),
		CommandRouterAccess: pb.CommandRouterAccess_builder{Url: "https://" + s.address, Jwt: jwt()}.Build(),
	}.Build(), nil
}

func (sb *sandbox) tunnelData() (all []*pb.TunnelData) {
	for _, t := range sb.tunnels {
		host, port := t.address()
		all = append(all, pb.TunnelData_builder{Host: host, Port: port, ContainerPort: t.port}.Build())
	}
	return all
}

// SandboxGetTaskId says that a sandbox is scheduled, which it is at once.
//
//nolint:staticcheck // the protocol's name
func (s *control) SandboxGetTaskId(_ context.Context, r *pb.SandboxGetTaskIdRequest) (*pb.SandboxGetTaskIdResponse, error) {
	sb, err := s.find(r.GetSandboxId())
	if err != nil {
		return nil, err
	}
	return pb.SandboxGetTaskIdResponse_builder{TaskId: &sb.task}.Build(), nil
}

// SandboxGetTaskIdV2 is the same for the second kind.
//
//nolint:staticcheck // the protocol's name
func (s *control) SandboxGetTaskIdV2(ctx context.Context, r *pb.SandboxGetTaskIdRequest) (*pb.SandboxGetTaskIdResponse, error) {
	return s.SandboxGetTaskId(ctx, r)
}

// SandboxGetTunnels tells where the tunnels are.
func (s *control) SandboxGetTunnels(_ context.Context, r *pb.SandboxGetTunnelsRequest) (*pb.SandboxGetTunnelsResponse, error) {
	sb, err := s.find(r.GetSandboxId())
	if err != nil {
		return nil, err
	}
	return pb.SandboxGetTunnelsResponse_builder{Tunnels: sb.tunnelData()}.Build(), nil
}

// SandboxGetTunnelsV2 is the same for the second kind.
func (s *control) SandboxGetTunnelsV2(ctx context.Context, r *pb.SandboxGetTunnelsRequest) (*pb.SandboxGetTunnelsResponse, error) {
	return s.SandboxGetTunnels(ctx, r)
}

// SandboxCreateConnectToken opens a way that asks for a token.
func (s *control) SandboxCreateConnectToken(_ context.Context, r *pb.SandboxCreateConnectTokenRequest) (*pb.SandboxCreateConnectTokenResponse, error) {
	sb, err := s.find(r.GetSandboxId())
	if err != nil {
		return nil, err
	}
	at, ok := sb.ports[r.GetPort()]
	if !ok {
		return nil, status.Errorf(codes.FailedPrecondition, "nothing is known to listen at port %d", r.GetPort())
	}
	s.mu.Lock()
	token := s.id("ct")
	s.mu.Unlock()
	t, err := s.openTunnel(r.GetPort(), at, token)
	if err != nil {
		return nil, err
	}
	sb.mu.Lock()
	sb.tunnels = append(sb.tunnels, t)
	over := sb.over
	sb.mu.Unlock()
	if over {
		t.close()
	}
	return pb.SandboxCreateConnectTokenResponse_builder{Url: t.url(), Token: token}.Build(), nil
}

// SandboxCreateConnectTokenV2 is the same for the second kind.
func (s *control) SandboxCreateConnectTokenV2(ctx context.Context, r *pb.SandboxCreateConnectTokenRequest) (*pb.SandboxCreateConnectTokenResponse, error) {
	return s.SandboxCreateConnectToken(ctx, r)
}

// SandboxWait waits for the end, as long as it is asked to.
func (s *control) SandboxWait(ctx context.Context, r *pb.SandboxWaitRequest) (*pb.SandboxWaitResponse, error) {
	sb, err := s.find(r.GetSandboxId())
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(time.Duration(float64(r.GetTimeout()) * float64(time.Second)))
	defer timer.Stop()
	select {
	case <-sb.ended:
		return pb.SandboxWaitResponse_builder{Result: sb.result}.Build(), nil
	case <-timer.C:
		return &pb.SandboxWaitResponse{}, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// SandboxWaitV2 is the same for the second kind.
func (s *control) SandboxWaitV2(ctx context.Context, r *pb.SandboxWaitRequest) (*pb.SandboxWaitResponse, error) {
	return s.SandboxWait(ctx, r)
}

// SandboxTerminate ends a sandbox.
func (s *control) SandboxTerminate(_ context.Context, r *pb.SandboxTerminateRequest) (*pb.SandboxTerminateResponse, error) {
	sb, err := s.find(r.GetSandboxId())
	if err != nil {
		return nil, err
	}
	sb.end(pb.GenericResult_GENERIC_STATUS_TERMINATED, 0)
	return &pb.SandboxTerminateResponse{}, nil
}

// SandboxTerminateV2 is the same for the second kind.
func (s *control) SandboxTerminateV2(ctx context.Context, r *pb.SandboxTerminateRequest) (*pb.SandboxTerminateResponse, error) {
	return s.SandboxTerminate(ctx, r)
}

// pageOfList is how many sandboxes a list tells at a time: few, so that clients have to ask again.
const pageOfList = 4

// SandboxListV2 lists the sandboxes of both kinds that run, the newest first.
func (s *control) SandboxListV2(_ context.Context, r *pb.SandboxListRequest) (*pb.SandboxListResponse, error) {
	var page []*pb.SandboxInfo
	for _, sb := range s.all() {
		made := float64(sb.made.UnixNano()) / 1e9
		switch {
		case r.GetAppId() != "" && sb.app != r.GetAppId(), !r.GetIncludeFinished() && !sb.running(), !sb.has(r.GetTags()),
			r.GetBeforeTimestamp() > 0 && made >= r.GetBeforeTimestamp():
			continue
		}
		if page = append(page, pb.SandboxInfo_builder{Id: sb.id, AppId: sb.app, CreatedAt: made}.Build()); len(page) == pageOfList {
			break
		}
	}
	return pb.SandboxListResponse_builder{Sandboxes: page}.Build(), nil
}

// SandboxGetLogs tells what a sandbox of the first kind writes.
func (s *control) SandboxGetLogs(r *pb.SandboxGetLogsRequest, stream logStream) error {
	sb, err := s.find(r.GetSandboxId())
	if err != nil {
		return err
	}
	out, ok := sb.output(r.GetFileDescriptor() == pb.FileDescriptor_FILE_DESCRIPTOR_STDERR)
	offset := entryOffset(r.GetLastEntryId())
	ctx, stop := context.WithTimeout(stream.Context(), time.Duration(float64(r.GetTimeout())*float64(time.Second)))
	defer stop()
	for ok {
		data, err := out.next(ctx, offset)
		switch {
		case errors.Is(err, context.DeadlineExceeded) && stream.Context().Err() == nil:
			return nil // clients ask again
		case err != nil:
			return status.FromContextError(err).Err()
		}
		offset += len(data)
		batch := pb.TaskLogsBatch_builder{EntryId: entryID(offset), Eof: len(data) == 0}
		if len(data) > 0 {
			batch.Items = []*pb.TaskLogs{pb.TaskLogs_builder{Data: string(data), FileDescriptor: r.GetFileDescriptor()}.Build()}
		}
		if err := stream.Send(batch.Build()); err != nil || len(data) == 0 {
			return err
		}
	}
	return stream.Send(pb.TaskLogsBatch_builder{Eof: true, EntryId: entryID(0)}.Build())
}

// output is that of its program, if it has one.
func (sb *sandbox) output(stderr bool) (*output, bool) {
	switch {
	case sb.main == nil:
		return nil, false
	case stderr:
		return sb.main.stderr, true
	}
	return sb.main.stdout, true
}
