package httpapi

import (
	"context"
	"net/http"
	"sync/atomic"
)

// gate lets so many pages through at a time, and so many wait.
type gate struct {
	slots   chan struct{}
	waiting atomic.Int64
	queue   int64
}

func newGate(slots, queue int) *gate {
	return &gate{slots: make(chan struct{}, slots), queue: int64(queue)}
}

// enter waits for a place. A caller who finds the queue full is turned away, unless patient, who is in no queue.
func (g *gate) enter(ctx context.Context, patient bool) error {
	select {
	case g.slots <- struct{}{}:
		return nil
	default:
	}
	if !patient {
		defer g.waiting.Add(-1)
		if g.waiting.Add(1) > g.queue {
			return &problem{status: http.StatusTooManyRequests, kind: "rate_limit_error", message: "too many pages wait already: come back later"}
		}
	}
	select {
	case g.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (g *gate) leave() { <-g.slots }

// running counts the pages that are through.
func (g *gate) running() int { return len(g.slots) }
