package hostmath

import "sync"

// pool keeps room that was used for the next use: what a kernel is given goes to the heap. The zero value is ready.
type pool[T any] struct{ kept sync.Pool }

// get is room with whatever is in it.
func (p *pool[T]) get() *T {
	if room, ok := p.kept.Get().(*T); ok {
		return room
	}
	return new(T)
}

func (p *pool[T]) put(room *T) { p.kept.Put(room) }
