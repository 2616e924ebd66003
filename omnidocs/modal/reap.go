package modal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	sdk "github.com/modal-labs/modal-client/go"
)

// Reap ends the sandboxes that this library has started in an app and that still run: those of one fleet, or of all fleets if fleet is
// empty. It returns the ids of those that it has ended, once none of them is left. Others' sandboxes in the app are let alone.
//
// A job that runs by a schedule may give its fleets a name of their own, and reap that before it starts: what a killed run has left costs
// no longer than until the next one.
func (c *Client) Reap(ctx context.Context, app, fleet string) ([]string, error) {
	if app == "" {
		app = DefaultApp
	}
	a, err := c.app(ctx, app, false)
	if errors.Is(err, ErrNotFound) {
		return nil, nil // where there is no app nothing runs
	}
	if err != nil {
		return nil, err
	}
	ids, err := c.reap(ctx, a, tagsOf(Config{Fleet: fleet}))
	if err != nil {
		return ids, fmt.Errorf("modal: reap %s: %w", app, err)
	}
	return ids, nil
}

// reap ends sandboxes with tags until there are none, and returns those that it has met.
func (c *Client) reap(ctx context.Context, app *sdk.App, tags map[string]string) (ids []string, err error) {
	met := map[string]bool{}
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		running, err := c.running(ctx, app, tags)
		if err != nil {
			return ids, err
		}
		if len(running) == 0 {
			return ids, nil
		}
		var ending sync.WaitGroup
		errs := make([]error, len(running))
		for i, sb := range running {
			if !met[sb.SandboxID] {
				met[sb.SandboxID] = true
				ids = append(ids, sb.SandboxID)
				c.o.Logger.InfoContext(ctx, "ending a sandbox", "sandbox", sb.SandboxID)
			}
			ending.Go(func() {
				_, errs[i] = sb.Terminate(ctx, nil)
				errs[i] = errors.Join(errs[i], sb.Detach())
			})
		}
		ending.Wait()
		sleep(ctx, wait)
		if ctx.Err() != nil {
			return ids, errors.Join(append(errs, context.Cause(ctx))...)
		}
	}
}

// running are the sandboxes of an app that have the tags and have not ended.
func (c *Client) running(ctx context.Context, app *sdk.App, tags map[string]string) ([]*sdk.Sandbox, error) {
	// List knows no sandboxes of Modal's second kind, which are those without a GPU.
	list, err := c.sdk.Sandboxes.ExperimentalList(ctx, &sdk.SandboxExperimentalListParams{AppID: app.AppID, Tags: tags})
	if err != nil {
		return nil, wrapped(err)
	}
	var all []*sdk.Sandbox
	for sb, err := range list {
		if err != nil {
			return nil, wrapped(err)
		}
		all = append(all, sb)
	}
	return all, nil
}
