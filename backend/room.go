package backend

import (
	"context"
	"sync"

	"github.com/omnidocs/omnidocs/qwen"
)

// room is the memory of the device that is left, beside the weights, for the cache and for the page that is on its way to it. What
// does not fit waits: a page for the cache to get smaller, the cache for the page to be through. Without a limit all fits.
type room struct {
	limit   int64 // 0 is none
	planner *qwen.Planner

	mu      sync.Mutex
	changed sync.Cond
	cache   int64 // what the cache takes, as planned; 0 where there is none
	page    int64 // what the page takes
	ahead   int64 // what has been made for pages that wait
}

func newRoom(limit int64, planner *qwen.Planner) *room {
	r := &room{limit: limit, planner: planner}
	r.changed.L = &r.mu
	return r
}

// holds says how many slots the cache has, and how long the longest sequence in it may get without its growing.
func (r *room) holds(slots, tokens int) {
	bytes := int64(0)
	if slots > 0 {
		bytes = max(1, r.planner.Cache(slots, tokens).Most())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cache != bytes {
		r.cache = bytes
		r.changed.Broadcast()
	}
}

// fits says whether there is room for such a cache.
func (r *room) fits(slots, tokens int) bool {
	if r.limit == 0 {
		return true
	}
	bytes := r.planner.Cache(slots, tokens).Most()
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes+r.page+r.ahead <= r.limit
}

// takes says whether there is room for a page, alone with its cache.
func (r *room) takes(p qwen.PagePlan) bool {
	return r.limit == 0 || p.Peak()+r.planner.Cache(1, p.PromptTokens+1).Most() <= r.limit
}

// enter waits until there is room for so many bytes beside the cache, or, if alone, until there is no cache. It ends with ctx.
func (r *room) enter(ctx context.Context, bytes int64, alone bool) error {
	stop := context.AfterFunc(ctx, func() {
		r.mu.Lock() // so that it does not come between a look and a wait
		defer r.mu.Unlock()
		r.changed.Broadcast()
	})
	defer stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.cache > 0 && (alone || r.limit > 0 && r.cache+bytes+r.ahead > r.limit) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r.changed.Wait()
	}
	r.page = bytes
	return nil
}

// reserve takes so many bytes for pages that wait, if there is room for them beside all the rest.
func (r *room) reserve(bytes int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.limit > 0 && r.cache+r.page+r.ahead+bytes > r.limit {
		return false
	}
	r.ahead += bytes
	return true
}

// release gives back what reserve took.
func (r *room) release(bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if bytes != 0 {
		r.ahead -= bytes
		r.changed.Broadcast()
	}
}

// keeps says what the page takes from now on.
func (r *room) keeps(bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.page = bytes
}
