package modal

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/omnidocs/omnidocs/textextraction"
)

// Fleet is a pool over sandboxes: a page goes to the one with the least to do, and to another one if that one dies.
// [textextraction.ExtractResult.Worker] is the id of the sandbox that has read a page.
type Fleet struct {
	*textextraction.Pool
	group
	close func() error
}

// Start starts n sandboxes that read pages, and returns when all of them are ready. If one does not become ready, all of them are ended
// and the error says why, with what the sandbox wrote last.
//
// The sandboxes run until [Fleet.Close], until ctx ends, or until their Lifetime or IdleTimeout is over: Modal sees to the last two even
// if this process is killed. [Client.Reap] ends sooner what such a process has left.
func (c *Client) Start(ctx context.Context, n int, cfg Config) (started *Fleet, err error) {
	p, err := cfg.checked(n, nil)
	if err != nil {
		return nil, err
	}
	p.program, p.command, p.serves, p.token = programPath, p.Config.command(), true, randomHex(32)
	fleet := &Fleet{group: group{client: c, plan: p}}
	fleet.close = sync.OnceValue(fleet.end)
	defer func() {
		if err != nil {
			err = errors.Join(err, fleet.close())
		}
	}()
	if err := c.prepare(ctx, &fleet.plan); err != nil {
		return nil, err
	}
	if err := fleet.start(ctx, fleet.watch(ctx), n, fleet.ready); err != nil {
		return nil, err
	}
	if fleet.Pool, err = fleet.pool(ctx); err != nil {
		return nil, err
	}
	fleet.bind(ctx, fleet.close)
	return fleet, nil
}

// ready waits until a sandbox takes pages.
func (f *Fleet) ready(ctx context.Context, s *sandbox) error {
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
	for _, s := range f.list() {
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

// Addresses are where the sandboxes listen, each with the token that the others do not have.
func (f *Fleet) Addresses() []string {
	var all []string
	for _, s := range f.list() {
		all = append(all, s.base)
	}
	return all
}

// Deaths are the sandboxes that have ended by themselves so far, a [*SandboxError] each.
func (f *Fleet) Deaths() []error {
	var all []error
	for _, s := range f.list() {
		if s.over() {
			all = append(all, s.err)
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
	var closing sync.WaitGroup
	var poolErr error
	if f.Pool != nil {
		closing.Go(func() { poolErr = f.Pool.Close() }) // it waits for pages, which end with their sandboxes
	}
	err := f.group.end()
	closing.Wait()
	return errors.Join(err, poolErr)
}
