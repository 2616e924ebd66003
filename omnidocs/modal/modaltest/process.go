package modaltest

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// output is what a process writes, kept from the beginning, for any number of readers.
type output struct {
	mu      sync.Mutex
	data    []byte
	ended   bool
	changed chan struct{}
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

// Write adds to it.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.data = append(o.data, p...)
	o.wake()
	return len(p), nil
}

func (o *output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.ended {
		o.ended = true
		o.wake()
	}
}

func (o *output) wake() {
	close(o.changed)
	o.changed = make(chan struct{})
}

// next waits for what comes after offset. It is empty at the end.
func (o *output) next(ctx context.Context, offset int) ([]byte, error) {
	for {
		o.mu.Lock()
		data, ended, changed := o.data, o.ended, o.changed
		o.mu.Unlock()
		switch {
		case len(data) > offset:
			return data[offset:], nil
		case ended:
			return nil, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// process is a program that runs in a sandbox, or the tool that writes and reads its files.
type process struct {
	cmd            *exec.Cmd
	stdin          io.WriteCloser
	written        uint64 // to stdin
	closed         bool
	stdout, stderr *output
	done           chan struct{}
	code           int // once done is closed
}

func newProcess() *process {
	return &process{stdout: newOutput(), stderr: newOutput(), done: make(chan struct{})}
}

// finish ends a process that is not one of the system's.
func (p *process) finish(code int, said string) {
	_, _ = p.stderr.Write([]byte(said)) // an output takes all
	p.code = code
	p.stdout.end()
	p.stderr.end()
	close(p.done)
}

// run starts a program of this machine as one of the sandbox.
func (sb *sandbox) run(args []string, dir string, env map[string]string) (*process, error) {
	p := newProcess()
	local := make([]string, len(args))
	for i, a := range args {
		local[i] = sb.argument(a)
	}
	p.cmd = exec.Command(local[0], local[1:]...) //nolint:noctx // it ends with its sandbox
	p.cmd.Dir = sb.root
	if dir != "" {
		p.cmd.Dir = sb.file(dir)
	}
	p.cmd.Env = sb.environ(env)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		err := p.cmd.Wait()
		if p.code = p.cmd.ProcessState.ExitCode(); p.code < 0 || err != nil && p.code == 0 {
			p.code = killed // by a signal
		}
		p.stdout.end()
		p.stderr.end()
		close(p.done)
	}()
	return p, nil
}

// killed is the code of what a signal has ended.
const killed = 137

// kill ends a process of the system, and waits for it.
func (p *process) kill() error {
	if p.cmd == nil {
		return nil
	}
	err := p.cmd.Process.Kill()
	<-p.done
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// file is where a path of the sandbox is on this machine.
func (sb *sandbox) file(name string) string {
	for mount, dir := range sb.mounts {
		if rest, ok := strings.CutPrefix(path.Clean(name)+"/", mount+"/"); ok {
			return filepath.Join(dir, filepath.FromSlash(rest))
		}
	}
	return filepath.Join(sb.root, filepath.FromSlash(path.Clean("/"+name)))
}

// argument is an argument as it means the same on this machine.
func (sb *sandbox) argument(a string) string {
	for port, at := range sb.ports {
		if host, ok := strings.CutSuffix(a, ":"+strconv.Itoa(int(port))); ok && (host == "" || host == "0.0.0.0" || host == "127.0.0.1") {
			return at
		}
	}
	return sb.value(a)
}

// value is a value of the environment: paths below a mount, wherever in it, and files that the sandbox has.
func (sb *sandbox) value(v string) string {
	for mount, dir := range sb.mounts {
		if v == mount {
			return dir
		}
		v = strings.ReplaceAll(v, mount+"/", dir+"/")
	}
	if path.IsAbs(v) {
		if in := filepath.Join(sb.root, v); exists(in) {
			return in
		}
	}
	return v
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// environ is the environment of a process: of this machine's what programs need to run at all, and what the sandbox has.
func (sb *sandbox) environ(more map[string]string) []string {
	env := []string{"MODAL_SANDBOX_ID=" + sb.id, "TMPDIR=" + sb.root}
	for _, name := range []string{"PATH", "HOME", "LANG", "SYSTEMROOT", "LD_LIBRARY_PATH", "GOCOVERDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	for _, values := range []map[string]string{sb.env, more} {
		for name, v := range values {
			env = append(env, name+"="+sb.value(v))
		}
	}
	return env
}
