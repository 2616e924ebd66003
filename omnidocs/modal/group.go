package modal

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	sdk "github.com/modal-labs/modal-client/go"
)

// Tags that this package puts on its sandboxes.
const (
	tagOwner   = "omnidocs"       // on all of them, with ownerValue
	tagFleet   = "omnidocs-fleet" // the fleet's name
	ownerValue = "sandbox"
)

// endTimeout bounds the ending of sandboxes, whatever has become of the context that they were started with.
const endTimeout = time.Minute

// group is sandboxes of one plan, which are started, watched and ended together.
type group struct {
	client  *Client
	plan    plan
	stop    context.CancelFunc // of what watches
	watches sync.WaitGroup
	unbind  func() bool // from the context that it was started with

	mu        sync.Mutex
	sandboxes []*sandbox
}

// plan is a config with what Modal has for it.
type plan struct {
	Config
	program string   // where the image has the program
	command []string // what a sandbox runs
	serves  bool     // whether that listens at Port
	gpu     string
	token   string
	app     *sdk.App
	image   *sdk.Image
	secrets []*sdk.Secret
	volumes map[string]*sdk.Volume
}

// checked is the plan of n sandboxes with a config, or what is wrong with that, besides what has been found.
func (c Config) checked(n int, f faults) (plan, error) {
	c = c.withDefaults()
	f.check(n > 0 && n <= 1000, "the number of sandboxes", n, "want 1 to 1000")
	f = append(f, c.faults()...)
	if err := f.err(); err != nil {
		return plan{}, err
	}
	if c.Fleet == "" {
		c.Fleet = "fleet-" + randomHex(8)
	}
	return plan{Config: c}, nil
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
	p.image, err = c.image(ctx, p.app, p.Config, p.program)
	return err
}

// watch is the context of what watches the sandboxes, which goes on until end.
func (g *group) watch(ctx context.Context) context.Context {
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	g.stop = stop
	return watching
}

// start starts n sandboxes together. The first that fails, or that ready says is not, cancels the others.
func (g *group) start(ctx, watching context.Context, n int, ready func(context.Context, *sandbox) error) error {
	starting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	var starts sync.WaitGroup
	var first error
	for range n {
		starts.Go(func() {
			s, err := g.add(starting, watching)
			if err == nil {
				err = ready(starting, s)
			}
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
	starts.Wait()
	if first != nil && ctx.Err() != nil {
		return fmt.Errorf("modal: %w", context.Cause(ctx))
	}
	return first
}

// add makes one more sandbox and watches it.
func (g *group) add(ctx, watching context.Context) (*sandbox, error) {
	s, err := g.client.create(ctx, g.plan)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	g.sandboxes = append(g.sandboxes, s)
	g.mu.Unlock()
	g.watches.Go(func() { s.watch(watching) })
	return s, nil
}

// list are all that were made.
func (g *group) list() []*sandbox {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.sandboxes)
}

// bind has the group ended with a context.
func (g *group) bind(ctx context.Context, end func() error) {
	bound := make(chan struct{}) // ctx may have ended already
	g.unbind = context.AfterFunc(ctx, func() {
		<-bound
		if err := end(); err != nil {
			g.client.o.Logger.Error("sandboxes could not be ended", "fleet", g.plan.Fleet, "error", err)
		}
	})
	close(bound)
}

// Name is that of the fleet, by which [Client.Reap] finds its sandboxes.
func (g *group) Name() string { return g.plan.Fleet }

// end ends the sandboxes and what watches them.
func (g *group) end() error {
	ctx, stop := context.WithTimeout(context.Background(), endTimeout)
	defer stop()
	err := g.terminate(ctx)
	if g.stop != nil {
		g.stop()
	}
	g.watches.Wait()
	for _, s := range g.list() {
		err = errors.Join(err, s.sb.Detach())
	}
	return err
}

// terminate ends the sandboxes that are known, and what else Modal has of this fleet: a sandbox whose making was canceled half way.
func (g *group) terminate(ctx context.Context) error {
	if g.plan.app == nil {
		return nil // nothing was started
	}
	var ending sync.WaitGroup
	for _, s := range g.list() {
		// Whoever does not end by this is found below, and its error told there.
		ending.Go(func() { _, _ = s.sb.Terminate(ctx, nil) })
	}
	ending.Wait()
	left, err := g.client.reap(ctx, g.plan.app, tagsOf(Config{Fleet: g.plan.Fleet}))
	if err != nil {
		return fmt.Errorf("modal: of fleet %s may be left %s, which end by themselves after %s (or by: modal sandbox terminate ID): %w",
			g.plan.Fleet, strings.Join(left, ", "), g.plan.Lifetime, err)
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
