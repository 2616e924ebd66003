package modaltest

import (
	"maps"
	"slices"
	"time"

	pb "github.com/modal-labs/modal-client/go/proto/modal_proto"
)

// Sandbox says what a sandbox was made as, and how it is.
type Sandbox struct {
	ID  string
	App string
	// GPU and GPUs are what was asked for, "A10" and 1 for example.
	GPU  string
	GPUs uint32
	// Command is its program with its arguments, Env the environment that its client has given it, in secrets or not.
	Command []string
	Env     map[string]string
	Tags    map[string]string
	// Volumes say where it sees which volume.
	Volumes map[string]string
	// Lifetime and IdleTimeout are after what time it ends by itself.
	Lifetime, IdleTimeout time.Duration
	// Running says whether it has not ended; ExitCode is what its client was told then.
	Running  bool
	ExitCode int
}

// Sandboxes are all that were made, the oldest first.
func (s *Server) Sandboxes() []Sandbox {
	var all []Sandbox
	for _, sb := range s.all() {
		all = append(all, sb.inspect())
	}
	slices.Reverse(all)
	return all
}

// Running are those that have not ended.
func (s *Server) Running() []Sandbox {
	return slices.DeleteFunc(s.Sandboxes(), func(sb Sandbox) bool { return !sb.Running })
}

func (sb *sandbox) inspect() Sandbox {
	sb.mu.Lock()
	defer sb.mu.Unlock()
	gpu := sb.def.GetResources().GetGpuConfig()
	out := Sandbox{
		ID: sb.id, App: sb.app[len("ap-"):], GPU: gpu.GetGpuType(), GPUs: gpu.GetCount(), Command: slices.Clone(sb.def.GetEntrypointArgs()),
		Env: maps.Clone(sb.env), Tags: maps.Clone(sb.tags), Volumes: map[string]string{},
		Lifetime: secs(sb.def.GetTimeoutSecs()), IdleTimeout: secs(sb.def.GetIdleTimeoutSecs()), Running: sb.result == nil,
	}
	for _, m := range sb.def.GetVolumeMounts() {
		out.Volumes[m.GetMountPath()] = m.GetVolumeId()[len("vo-"):]
	}
	switch sb.result.GetStatus() {
	case pb.GenericResult_GENERIC_STATUS_TIMEOUT:
		out.ExitCode = 124
	case pb.GenericResult_GENERIC_STATUS_TERMINATED:
		out.ExitCode = killed
	default:
		out.ExitCode = int(sb.result.GetExitcode())
	}
	return out
}

// Kill lets a sandbox die as the kernel kills one for want of memory: its program is killed, its tunnels are gone, its code is 137.
func (s *Server) Kill(id string) error {
	sb, err := s.find(id)
	if err != nil {
		return err
	}
	sb.end(pb.GenericResult_GENERIC_STATUS_FAILURE, killed)
	return nil
}

// Break lets the tunnels of a sandbox answer 502 to everything, or lets them work again.
func (s *Server) Break(id string, broken bool) error {
	sb, err := s.find(id)
	if err != nil {
		return err
	}
	sb.mu.Lock()
	defer sb.mu.Unlock()
	for _, t := range sb.tunnels {
		t.broken.Store(broken)
	}
	return nil
}
