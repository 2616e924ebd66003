package modaltest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	pb "github.com/modal-labs/modal-client/go/proto/modal_proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

type logStream = grpc.ServerStreamingServer[pb.TaskLogsBatch]

// entryID is where in a log a batch ends, as clients hand it back.
func entryID(offset int) string { return fmt.Sprintf("%d-0", offset) }

func entryOffset(id string) (offset int) {
	_, _ = fmt.Sscanf(id, "%d-", &offset) // what is no number is the beginning
	return offset
}

// execution is a process that a client has started in a sandbox.
type execution struct {
	sandbox *sandbox
	process *process
}

// fsTools is the program by which clients reach the files of a sandbox.
const fsTools = "/__modal/.bin/modal-sandbox-fs-tools"

// TaskGetCommandRouterAccess leads to this server too. Clients call it without TLS because they call its other part so.
func (s *control) TaskGetCommandRouterAccess(context.Context, *pb.TaskGetCommandRouterAccessRequest) (*pb.TaskGetCommandRouterAccessResponse, error) {
	return pb.TaskGetCommandRouterAccessResponse_builder{Url: "https://" + s.address, Jwt: jwt()}.Build(), nil
}

// SandboxGetCommandRouterAccess is the same for sandboxes of the second kind.
func (s *control) SandboxGetCommandRouterAccess(context.Context, *pb.SandboxGetCommandRouterAccessRequest) (*pb.SandboxGetCommandRouterAccessResponse, error) {
	return pb.SandboxGetCommandRouterAccessResponse_builder{Url: "https://" + s.address, Jwt: jwt()}.Build(), nil
}

// SandboxWaitUntilReady waits until the program listens.
func (s *router) SandboxWaitUntilReady(ctx context.Context, r *pb.SandboxWaitUntilReadyTcrRequest) (*pb.SandboxWaitUntilReadyTcrResponse, error) {
	sb, err := s.find(r.GetTaskId())
	if err != nil {
		return nil, err
	}
	at, ok := sb.ports[sb.def.GetReadinessProbe().GetTcpPort()]
	if !ok {
		return nil, status.Error(codes.FailedPrecondition, "the sandbox has no probe of a port")
	}
	dialer := net.Dialer{Timeout: time.Second}
	for {
		if c, err := dialer.DialContext(ctx, "tcp", at); err == nil {
			return &pb.SandboxWaitUntilReadyTcrResponse{}, c.Close()
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-sb.ended:
			return nil, status.Error(codes.FailedPrecondition, "the sandbox has ended")
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
}

// TaskExecStart starts a process in a sandbox.
func (s *router) TaskExecStart(_ context.Context, r *pb.TaskExecStartRequest) (*pb.TaskExecStartResponse, error) {
	sb, err := s.find(r.GetTaskId())
	if err != nil {
		return nil, err
	}
	if !sb.running() {
		return nil, status.Error(codes.FailedPrecondition, "the sandbox has ended")
	}
	var p *process
	if args := r.GetCommandArgs(); args[0] == fsTools && len(args) == 2 {
		p, err = sb.fileTool(args[1])
	} else {
		env := map[string]string{}
		for _, source := range r.GetSecretSources() {
			for k, v := range source.GetEnv().GetContents() {
				env[k] = v
			}
		}
		p, err = sb.run(args, r.GetWorkdir(), env)
	}
	if err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	sb.mu.Lock()
	sb.execs = append(sb.execs, p)
	sb.mu.Unlock()
	s.mu.Lock()
	s.execs[r.GetTaskId()+"/"+r.GetExecId()] = &execution{sb, p}
	s.mu.Unlock()
	return &pb.TaskExecStartResponse{}, nil
}

// fileTool writes or reads a file, as the command says.
func (sb *sandbox) fileTool(command string) (*process, error) {
	var c struct {
		WriteFile, ReadFile *struct {
			Path string `json:"path"`
		}
	}
	if err := json.Unmarshal([]byte(command), &c); err != nil {
		return nil, err
	}
	p := newProcess()
	switch {
	case c.WriteFile != nil:
		name := sb.file(c.WriteFile.Path)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return nil, err
		}
		f, err := os.Create(name)
		if err != nil {
			return nil, err
		}
		p.stdin = &fileWriter{f, p}
	case c.ReadFile != nil:
		if data, err := os.ReadFile(sb.file(c.ReadFile.Path)); err == nil {
			_, _ = p.stdout.Write(data) // an output takes all
			p.finish(0, "")
		} else {
			p.finish(1, `{"error_kind": "NotFound", "message": "no such file"}`)
		}
	default:
		return nil, fmt.Errorf("modaltest writes and reads files, and cannot %s", strings.TrimSpace(command))
	}
	return p, nil
}

// fileWriter is the file that the tool writes, whose closing ends the tool.
type fileWriter struct {
	*os.File
	process *process
}

// Close ends it.
func (w *fileWriter) Close() error {
	err := w.File.Close()
	if err != nil {
		w.process.finish(1, err.Error())
		return err
	}
	w.process.finish(0, "")
	return nil
}

func (s *Server) execution(task, id string) (*process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.execs[task+"/"+id]; e != nil {
		return e.process, nil
	}
	return nil, status.Errorf(codes.NotFound, "process %s is not there", id)
}

// TaskExecStdinWriteStream writes to a process.
func (s *router) TaskExecStdinWriteStream(stream grpc.ClientStreamingServer[pb.TaskExecStdinWriteStreamRequest, pb.TaskExecStdinWriteStreamResponse]) error {
	var p *process
	for {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return stream.SendAndClose(&pb.TaskExecStdinWriteStreamResponse{}) // broken off: it may go on in another
		case err != nil:
			return err
		case m.GetStart() != nil:
			if p, err = s.execution(m.GetStart().GetTaskId(), m.GetStart().GetExecId()); err != nil {
				return err
			}
			if at := m.GetStart().GetOffset(); at != p.written {
				return status.Errorf(codes.InvalidArgument, "the stream begins at %d, of %d bytes that were written", at, p.written)
			}
		case p == nil:
			return status.Error(codes.InvalidArgument, "the stream does not say which process it is for")
		case m.GetEnd() != nil:
			p.closed = true
			if err := p.stdin.Close(); err != nil {
				return status.Error(codes.FailedPrecondition, err.Error())
			}
			return stream.SendAndClose(&pb.TaskExecStdinWriteStreamResponse{})
		default:
			n, err := p.stdin.Write(m.GetData())
			p.written += uint64(n)
			if err != nil {
				return status.Error(codes.FailedPrecondition, err.Error())
			}
		}
	}
}

// TaskExecStdinStatus says how much has been written to a process.
func (s *router) TaskExecStdinStatus(_ context.Context, r *pb.TaskExecStdinStatusRequest) (*pb.TaskExecStdinStatusResponse, error) {
	p, err := s.execution(r.GetTaskId(), r.GetExecId())
	if err != nil {
		return nil, err
	}
	return pb.TaskExecStdinStatusResponse_builder{NumBytesWritten: p.written, Closed: p.closed}.Build(), nil
}

// TaskExecStdioRead tells what a process writes.
func (s *router) TaskExecStdioRead(r *pb.TaskExecStdioReadRequest, stream grpc.ServerStreamingServer[pb.TaskExecStdioReadResponse]) error {
	p, err := s.execution(r.GetTaskId(), r.GetExecId())
	if err != nil {
		return err
	}
	out := p.stdout
	if r.GetFileDescriptor() == pb.TaskExecStdioFileDescriptor_TASK_EXEC_STDIO_FILE_DESCRIPTOR_STDERR {
		out = p.stderr
	}
	for offset := int(r.GetOffset()); ; {
		data, err := out.next(stream.Context(), offset)
		if err != nil {
			return status.FromContextError(err).Err()
		}
		if len(data) == 0 {
			return nil
		}
		offset += len(data)
		if err := stream.Send(pb.TaskExecStdioReadResponse_builder{Data: data}.Build()); err != nil {
			return err
		}
	}
}

// TaskExecWait waits for the end of a process.
func (s *router) TaskExecWait(ctx context.Context, r *pb.TaskExecWaitRequest) (*pb.TaskExecWaitResponse, error) {
	p, err := s.execution(r.GetTaskId(), r.GetExecId())
	if err != nil {
		return nil, err
	}
	select {
	case <-p.done:
		code := int32(p.code)
		return pb.TaskExecWaitResponse_builder{Code: &code}.Build(), nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// SandboxStdioReadV2 tells what a sandbox of the second kind writes.
func (s *router) SandboxStdioReadV2(r *pb.SandboxStdioReadV2Request, stream grpc.ServerStreamingServer[pb.SandboxStdioReadV2Response]) error {
	sb, err := s.find(r.GetTaskId())
	if err != nil {
		return err
	}
	out, ok := sb.output(r.GetFileDescriptor() == pb.SandboxStdioFileDescriptor_SANDBOX_STDIO_FILE_DESCRIPTOR_STDERR)
	for offset := int(r.GetOffset()); ok; {
		data, err := out.next(stream.Context(), offset)
		if err != nil {
			return status.FromContextError(err).Err()
		}
		if len(data) == 0 {
			return nil
		}
		if err := stream.Send(pb.SandboxStdioReadV2Response_builder{Data: data, StartingOffset: uint64(offset)}.Build()); err != nil {
			return err
		}
		offset += len(data)
	}
	return nil
}

// TaskSnapshotFilesystem makes an image of the files of a sandbox.
func (s *router) TaskSnapshotFilesystem(_ context.Context, r *pb.TaskSnapshotFilesystemRequest) (*pb.TaskSnapshotFilesystemResponse, error) {
	sb, err := s.find(r.GetTaskId())
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	id := s.id("im")
	s.mu.Unlock()
	dir := filepath.Join(s.dir, "images", id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := copyTree(sb.root, dir); err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	s.mu.Lock()
	s.images[id] = dir
	s.mu.Unlock()
	return pb.TaskSnapshotFilesystemResponse_builder{ImageId: id}.Build(), nil
}
