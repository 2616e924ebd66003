package modal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	sdk "github.com/modal-labs/modal-client/go"
)

// sandbox is one that this package has started.
type sandbox struct {
	sb     *sdk.Sandbox
	base   string       // its address
	key    string       // what it lets callers in for
	client *http.Client // nil is the default
	ready  string       // where it is asked whether it is ready
	log    *tail

	ended chan struct{} // closed when it has ended by itself
	err   *SandboxError // once ended is closed
}

// over says whether it has ended by itself.
func (s *sandbox) over() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// create makes a sandbox and returns when it is scheduled. Its program need not listen yet.
func (c *Client) create(ctx context.Context, p plan) (*sandbox, error) {
	params := &sdk.SandboxCreateParams{
		GPU: p.gpu, CPU: p.CPU, MemoryMiB: p.MemoryMiB, Timeout: p.Lifetime, IdleTimeout: p.IdleTimeout, Command: p.command,
		Env: p.environment(), Secrets: p.secrets, Volumes: p.volumes, Regions: p.Regions, Tags: tagsOf(p.Config),
	}
	if p.serves {
		var err error
		if params.ReadinessProbe, err = sdk.NewTCPProbe(p.Port, &sdk.TCPProbeParams{Interval: time.Second}); err != nil {
			return nil, err
		}
		if p.Access == Tunnel {
			params.EncryptedPorts = []int{p.Port}
			params.Env[p.TokenEnv] = p.token
		}
	}
	making, stop := lingering(ctx, createGrace)
	defer stop()
	sb, err := c.sdk.Sandboxes.Create(making, p.app, p.image, params)
	if err != nil {
		return nil, fmt.Errorf("modal: sandbox: %w", wrapped(err))
	}
	s := &sandbox{sb: sb, key: p.token, client: c.o.HTTPClient, log: newTail(c.o.Logger.With("sandbox", sb.SandboxID)), ended: make(chan struct{})}
	return s, nil
}

// createGrace is how long the making of a sandbox goes on when its context has ended. A call that is cut off may make one all the same,
// after it has been looked for; one that returns says which it has made, and that one can be ended. What still waits for a GPU then is
// ended by the SDK.
const createGrace = 5 * time.Second

// lingering is a context that ends some time after another.
func lingering(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	longer, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		sleep(longer, grace)
		end()
	})
	return longer, func() {
		stop()
		end()
	}
}

// reach finds out where a sandbox is reached.
func (c *Client) reach(ctx context.Context, s *sandbox, p plan) error {
	if p.Access == ConnectToken {
		got, err := s.sb.CreateConnectToken(ctx, &sdk.SandboxCreateConnectTokenParams{Port: p.Port})
		if err != nil {
			return fmt.Errorf("modal: sandbox %s: token: %w", s.sb.SandboxID, wrapped(err))
		}
		s.base, s.key = got.URL, got.Token
	} else {
		tunnels, err := s.sb.Tunnels(ctx, p.StartupTimeout, nil)
		if err != nil {
			return fmt.Errorf("modal: sandbox %s: tunnel: %w", s.sb.SandboxID, wrapped(err))
		}
		t := tunnels[p.Port]
		if t == nil {
			return fmt.Errorf("modal: sandbox %s: Modal has given it no tunnel to port %d", s.sb.SandboxID, p.Port)
		}
		s.base = t.URL()
	}
	s.base = strings.TrimSuffix(s.base, "/")
	s.ready = s.base + p.ReadyPath
	return nil
}

// watch follows what a sandbox writes and whether it lives, until ctx ends.
func (s *sandbox) watch(ctx context.Context) {
	var streams sync.WaitGroup
	for _, stream := range []io.ReadCloser{s.sb.Stdout, s.sb.Stderr} {
		streams.Go(func() { s.log.follow(stream) })
		stop := context.AfterFunc(ctx, func() { _ = stream.Close() }) // which ends the reading
		defer stop()
	}
	defer streams.Wait()
	code, err := s.sb.Wait(ctx, nil)
	for err != nil && ctx.Err() == nil { // Modal does not answer; the sandbox may be well
		sleep(ctx, 5*time.Second)
		code, err = s.sb.Wait(ctx, nil)
	}
	if err != nil {
		return
	}
	// What it wrote in the end comes by another way, which may be slower.
	written := make(chan struct{})
	go func() {
		streams.Wait()
		close(written)
	}()
	select {
	case <-written:
	case <-time.After(5 * time.Second):
	case <-ctx.Done():
		return
	}
	s.err = &SandboxError{ID: s.sb.SandboxID, ExitCode: code, Log: s.log.last()}
	close(s.ended)
	s.log.logger.WarnContext(ctx, "a sandbox has ended by itself", "code", code)
	<-ctx.Done()
}

// health says whether the sandbox takes pages.
func (s *sandbox) health(ctx context.Context) error {
	if s.over() {
		return s.err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.ready, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+s.key)
	client := s.client
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", s.ready, res.Status)
	}
	return nil
}

// healthTimeout bounds one question of whether a sandbox is ready.
const healthTimeout = 10 * time.Second

// waitReady waits until the sandbox takes pages. Asking keeps it from counting as idle while it loads its model.
func (s *sandbox) waitReady(ctx context.Context, most time.Duration) error {
	limit := time.NewTimer(most)
	defer limit.Stop()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		asked, stop := context.WithTimeout(ctx, healthTimeout)
		err := s.health(asked)
		stop()
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return s.err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-limit.C:
			return errors.Join(fmt.Errorf("modal: sandbox %s was not ready within %s (raise StartupTimeout if it still downloads its model): %w",
				s.sb.SandboxID, most, err), s.log.err())
		case <-time.After(wait):
		}
	}
}

// tail keeps the last lines of what a sandbox writes, and logs them all.
type tail struct {
	logger *slog.Logger
	mu     sync.Mutex
	lines  []string
}

// Lines that are kept, and how much of each.
const (
	tailLines = 20
	tailWidth = 500
)

func newTail(logger *slog.Logger) *tail { return &tail{logger: logger} }

// follow reads a stream to its end.
func (t *tail) follow(r io.Reader) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			t.logger.Info(line)
			t.mu.Lock()
			t.lines = append(t.lines, strings.ToValidUTF8(line[:min(len(line), tailWidth)], ""))
			t.lines = t.lines[max(0, len(t.lines)-tailLines):]
			t.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

func (t *tail) last() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.lines...)
}

func (t *tail) err() error {
	if lines := t.last(); len(lines) > 0 {
		return fmt.Errorf("it has written:\n\t%s", strings.Join(lines, "\n\t"))
	}
	return nil
}

// sleep waits, unless ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
