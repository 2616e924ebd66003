package jetstream

import (
	"context"
	"slices"
	"sync"
)

// together does at once for several callers what would take as long for one: what they bring while it is being done for those who came before waits, and is then
// done as one. Nobody waits for others who may come.
type together[T any] struct {
	most   int // is how much the values may weigh that are done as one, unless there is only one of them
	weight func(T) int
	// do returns what all of the callers get: a number, under which each finds its own by its place among them.
	do func(ctx context.Context, key string, values []T) (seq uint64, err error)

	mu      sync.Mutex
	waiting map[string][]*brought[T] // by key; there, if empty, while something is done for the key
}

// brought is what a caller waits for.
type brought[T any] struct {
	value T
	group *group        // what it is done with, from then on
	done  chan struct{} // is closed when it is done; what is below is set then
	seq   uint64
	place int
	err   error
}

// group is what is done together. It is given up when nobody waits for it any more.
type group struct {
	waits  int
	giveUp context.CancelFunc
}

func newTogether[T any](most int, weight func(T) int, do func(ctx context.Context, key string, values []T) (uint64, error)) *together[T] {
	return &together[T]{most: most, weight: weight, do: do, waiting: map[string][]*brought[T]{}}
}

// add has a value done together with others of the same key. When ctx ends before, it may be done all the same.
func (g *together[T]) add(ctx context.Context, key string, value T) (seq uint64, place int, err error) {
	b := &brought[T]{value: value, done: make(chan struct{})}
	g.mu.Lock()
	waiting, busy := g.waiting[key]
	g.waiting[key] = append(waiting, b)
	g.mu.Unlock()
	if !busy {
		go g.serve(context.WithoutCancel(ctx), key)
	}
	select {
	case <-b.done:
		return b.seq, b.place, b.err
	case <-ctx.Done():
		g.leave(key, b)
		return 0, 0, ctx.Err()
	}
}

// leave waits no longer.
func (g *together[T]) leave(key string, b *brought[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if b.group == nil {
		g.waiting[key] = slices.DeleteFunc(slices.Clone(g.waiting[key]), func(other *brought[T]) bool { return other == b })
		return
	}
	if b.group.waits--; b.group.waits == 0 {
		b.group.giveUp()
	}
}

// serve does what waits under a key, until nothing does.
func (g *together[T]) serve(ctx context.Context, key string) {
	for g.serveSome(ctx, key) {
	}
}

func (g *together[T]) serveSome(ctx context.Context, key string) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g.mu.Lock()
	waiting := g.waiting[key]
	if len(waiting) == 0 {
		delete(g.waiting, key)
		g.mu.Unlock()
		return false
	}
	n, sum := 1, g.weight(waiting[0].value)
	for ; n < len(waiting); n++ {
		if sum += g.weight(waiting[n].value); sum > g.most {
			break
		}
	}
	some := waiting[:n:n]
	g.waiting[key] = waiting[n:]
	values, all := make([]T, n), &group{n, cancel}
	for i, b := range some {
		values[i], b.group = b.value, all
	}
	g.mu.Unlock()
	seq, err := g.do(ctx, key, values)
	for i, b := range some {
		b.seq, b.place, b.err = seq, i, err
		close(b.done)
	}
	return true
}
