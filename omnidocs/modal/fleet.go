package modal

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	sdk "github.com/modal-labs/modal-client/go"

	"github.com/omnidocs/omnidocs/textextraction"
)

// Tags that this package puts on its sandboxes.
const (
	tagOwner   = "omnidocs"       // on all of them, with ownerValue
	tagFleet   = "omnidocs-fleet" // the fleet's name
	ownerValue = "sandbox"
)

// endTimeout bounds the ending of sandboxes, whatever has become of the context that they were started with.
const endTimeout = time.Minute

// Fleet is a pool over sandboxes: a page goes to the one with the least to do, and to another one if that one dies.
// [textextraction.ExtractResult.Worker] is the id of the sandbox that has read a page.
type Fleet struct {
	*textextraction.Pool
	client    *Client
	plan      plan
	sandboxes []*sandbox
	stop      context.CancelFunc // of what watches
	watches   sync.WaitGroup
	unbind    func() bool // from the context of Start
	close     func() error
}

// plan is a config with what Modal has for it.
type plan struct {
	Config
	gpu     string
	token   string
	app     *sdk.App
	image   *sdk.Image
	secrets []*sdk.Secret
	volumes map[string]*sdk.Volume
}

// Start starts n sandboxes that read pages, and returns when all of them are ready. If one does not become ready, all of them are ended
// and the error says why, with what the sandbox wrote last.
//
// The sandboxes run until [Fleet.Close], until ctx ends, or until their Lifetime or IdleTimeout is over: Modal sees to the last two even
// if this process is killed. [Client.Reap] ends sooner what such a process has left.
func (c *Client) Start(ctx context.Context, n int, cfg Config) (_ *Fleet, err error) {
	cfg = cfg.withDefaults()
	f := cfg.faults()
	f.check(n > 0 && n <= 1000, "the number of sandboxes", n, "want 1 to 1000")
	if err := f.err(); err != nil {
		return nil, err
	}
	if cfg.Fleet == "" {
		cfg.Fleet = "fleet-" + randomHex(8)
	}
	p := plan{Config: cfg, token: randomHex(32)}
	fleet := &Fleet{client: c, plan: p}
	fleet.close = sync.OnceValue(fleet.end)
	defer func() {
		if err != nil {
			err = errors.Join(err, fleet.close())
		}
	}()
	if err := c.prepare(ctx, &fleet.plan); err != nil {
		return nil, err
	}
	if err := fleet.start(ctx, n); err != nil {
		return nil, err
	}
	if fleet.Pool, err = fleet.pool(ctx); err != nil {
		return nil, err
	}
	bound := make(chan struct{}) // ctx may have ended already
	fleet.unbind = context.AfterFunc(ctx, func() {
		<-bound
		if err := fleet.close(); err != nil {
			c.o.Logger.Error("sandboxes could not be ended", "fleet", cfg.Fleet, "error", err)
		}
	})
	close(bound)
	return fleet, nil
}

// prepare finds or makes what sandboxes of a plan need.
func (c *Client) prepare(ctx context.Context, p *plan) (err error) {
	gpu, err := p.Config.gpu()
	if err != nil {
		return err
	}
	p.gpu = gpu.String()
	if p.app, err = c.app(ctx, p.App, true); err != nil {
		return err
	}
	if p.secrets, err = c.secrets(ctx, p.Config); err != nil {
		return err
	}
	if p.volumes, err = c.volumes(ctx, p.Config); err != nil {
		return err
	}
	p.image, err = c.image(ctx, p.app, p.Config)
	return err
}

// start starts the sandboxes together. The first that fails cancels the others.
func (f *Fleet) start(ctx context.Context, n int) error {
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	f.stop = stop
	starting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	var group sync.WaitGroup
	var first error
	for range n {
		group.Go(func() {
			err := f.startOne(starting, watching, func(s *sandbox) {
				mu.Lock()
				defer mu.Unlock()
				f.sandboxes = append(f.sandboxes, s)
			})
			if err == nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if first == nil {
				first = err
				cancel(err)
			}
		})
	}
	group.Wait()
	if first != nil && ctx.Err() != nil {
		return fmt.Errorf("modal: %w", context.Cause(ctx))
	}
	return first
}

func (f *Fleet) startOne(ctx, watching context.Context, made func(*sandbox)) error {
	s, err := f.client.create(ctx, f.plan)
	if err != nil {
		return err
	}
	made(s)
	f.watches.Go(func() { s.watch(watching) })
	if err := f.client.reach(ctx, s, f.plan); err != nil {
		return err
	}
	f.client.o.Logger.InfoContext(ctx, "a sandbox has started", "sandbox", s.sb.SandboxID, "gpu", f.plan.gpu, "address", s.base)
	if err := s.waitReady(ctx, f.plan.StartupTimeout); err != nil {
		return err
	}
	f.client.o.Logger.InfoContext(ctx, "a sandbox is ready", "sandbox", s.sb.SandboxID)
	return nil
}

// pool is the extractor over the sandboxes.
func (f *Fleet) pool(ctx context.Context) (*textextraction.Pool, error) {
	o := f.plan.Pool
	if o.Logger == nil {
		o.Logger = f.client.o.Logger
	}
	if o.MaxInFlight == 0 {
		o.MaxInFlight = f.plan.Slots
	}
	var workers []textextraction.Worker
	for _, s := range f.sandboxes {
		reader := f.plan.Reader
		reader.Model, reader.APIBase, reader.APIKey, reader.HTTPClient = f.plan.Model, s.base+"/v1", s.key, s.client
		reader.Timeout, reader.MaxConcurrency, reader.Logger = int(f.plan.Timeout/time.Second), f.plan.Slots, f.client.o.Logger
		if reader.MaxRetries == 0 {
			reader.MaxRetries = -1 // the pool tries again elsewhere
		}
		x, err := textextraction.NewQwenTextExtractor(ctx, reader)
		if err != nil {
			return nil, err
		}
		workers = append(workers, textextraction.Worker{Name: s.sb.SandboxID, Extractor: x, Health: s.health})
	}
	return textextraction.NewPoolOf(o, workers...)
}

// Name is that of the fleet, by which [Client.Reap] finds its sandboxes.
func (f *Fleet) Name() string { return f.plan.Fleet }

// Addresses are where the sandboxes listen, each with the token that the others do not have.
func (f *Fleet) Addresses() []string {
	var all []string
	for _, s := range f.sandboxes {
		all = append(all, s.base)
	}
	return all
}

// Deaths are the sandboxes that have ended by themselves so far, a [*SandboxError] each.
func (f *Fleet) Deaths() []error {
	var all []error
	for _, s := range f.sandboxes {
		select {
		case <-s.ended:
			all = append(all, s.err)
		default:
		}
	}
	return all
}

// Close ends the sandboxes and looks that none is left; pages under way fail. Calls after it fail with textextraction.ErrClosed. It
// takes a minute at most; what could not be ended is named in the error, and ends when its Lifetime is over.
func (f *Fleet) Close() error { return f.close() }

func (f *Fleet) end() error {
	if f.unbind != nil {
		f.unbind()
	}
	ctx, stop := context.WithTimeout(context.Background(), endTimeout)
	defer stop()
	var closing sync.WaitGroup
	var poolErr error
	if f.Pool != nil {
		closing.Go(func() { poolErr = f.Pool.Close() }) // it waits for pages, which end with their sandboxes
	}
	err := f.terminate(ctx)
	closing.Wait()
	if f.stop != nil {
		f.stop()
	}
	f.watches.Wait()
	for _, s := range f.sandboxes {
		err = errors.Join(err, s.sb.Detach())
	}
	return errors.Join(err, poolErr)
}

// terminate ends the sandboxes that are known, and what else Modal has of this fleet: a sandbox whose making was canceled half way.
func (f *Fleet) terminate(ctx context.Context) error {
	if f.plan.app == nil {
		return nil // nothing was started
	}
	var ending sync.WaitGroup
	for _, s := range f.sandboxes {
		// Whoever does not end by this is found below, and its error told there.
		ending.Go(func() { _, _ = s.sb.Terminate(ctx, nil) })
	}
	ending.Wait()
	left, err := f.client.reap(ctx, f.plan.app, tagsOf(Config{Fleet: f.plan.Fleet}))
	if err != nil {
		return fmt.Errorf("modal: of fleet %s may be left %s, which end by themselves after %s (or by: modal sandbox terminate ID): %w",
			f.plan.Fleet, strings.Join(left, ", "), f.plan.Lifetime, err)
	}
	return nil
}

// tagsOf are the tags of the sandboxes of a config.
func tagsOf(c Config) map[string]string {
	tags := map[string]string{tagOwner: ownerValue}
	if c.Fleet != "" {
		tags[tagFleet] = c.Fleet
	}
	maps.Copy(tags, c.Tags)
	return tags
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}
