package backend

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/omnidocs/omnidocs/qwen"
)

// ErrClosed is returned by the methods of an engine that has been closed.
var ErrClosed = errors.New("backend: the engine is closed")

// defaultMaxNewTokens bounds an answer whose request names no bound (Python's max_new_tokens).
const defaultMaxNewTokens = 8192

// Engine reads pages with a model. It may be used from several goroutines: their calls take turns on the device.
type Engine struct {
	model    *qwen.Model
	device   *Device
	info     Info
	maxBatch int
	maxLen   int

	turn  chan struct{} // holds the one call that is under way
	done  chan struct{} // closed by Close
	close sync.Once
}

// Info says what runs.
func (e *Engine) Info() Info { return e.info }

// Close waits for the call under way and frees the model and the device. Later calls fail with [ErrClosed].
func (e *Engine) Close() (err error) {
	e.close.Do(func() {
		close(e.done)
		e.turn <- struct{}{}
		err = errors.Join(e.model.Close(), e.device.Close())
	})
	return err
}

// acquire waits for this call's turn on the device.
func (e *Engine) acquire(ctx context.Context) error {
	select {
	case <-e.done:
		return ErrClosed
	default:
	}
	select {
	case e.turn <- struct{}{}:
		return nil
	case <-e.done:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Generate reads pages, MaxBatch of them together: when one ends, the next takes its place. done is called once for each
// request, from this goroutine, as it ends: with its output, or with the error that this page met and whatever it had
// written by then. The tokens of a page do not depend on the pages beside it.
//
// Generate returns an error only when no page could go on: the context's, whose pages end as [FinishCanceled], or the
// device's. The context is checked between the calls to the device, of which the longest is a layer of the page.
func (e *Engine) Generate(ctx context.Context, requests []Request, done func(i int, out Output, err error)) error {
	if err := e.acquire(ctx); err != nil {
		for i := range requests {
			done(i, Output{Finish: FinishCanceled}, err)
		}
		return err
	}
	defer func() { <-e.turn }()
	b := newBatch(e, requests, done)
	err := b.run(ctx)
	return errors.Join(err, b.cache.Close())
}

// batch is one call of Generate: its cache and the pages in its slots.
type batch struct {
	e        *Engine
	requests []Request
	done     func(i int, out Output, err error)
	cache    *qwen.Cache
	pages    []*page // by slot, nil where free
	next     int     // the first request that has not begun
	started  time.Time
}

func newBatch(e *Engine, requests []Request, done func(i int, out Output, err error)) *batch {
	slots := max(1, min(e.maxBatch, len(requests)))
	limit := e.model.Spec.Text.MaxPositions
	if e.maxLen > 0 {
		limit = min(limit, e.maxLen)
	}
	return &batch{
		e: e, requests: requests, done: done, cache: e.model.NewCache(slots, limit),
		pages: make([]*page, slots), started: time.Now(),
	}
}

// run admits pages to free slots and writes one token a page until all have ended.
func (b *batch) run(ctx context.Context) error {
	for {
		for slot := range b.pages {
			for b.pages[slot] == nil && b.next < len(b.requests) {
				i := b.next
				b.next++
				p, err := b.admit(ctx, i, slot)
				if ctx.Err() != nil && err != nil {
					b.done(i, Output{Finish: FinishCanceled}, err)
					return b.abandon(ctx, err)
				}
				if err != nil {
					b.done(i, Output{}, err)
					continue
				}
				b.pages[slot] = p
				b.settle(slot)
			}
		}
		if !b.busy() {
			return nil
		}
		if err := b.step(ctx); err != nil {
			return b.abandon(ctx, err)
		}
	}
}

func (b *batch) busy() bool {
	for _, p := range b.pages {
		if p != nil {
			return true
		}
	}
	return false
}

// admit reads a page up to its first token.
func (b *batch) admit(ctx context.Context, i, slot int) (*page, error) {
	p, err := newPage(b.requests[i], i)
	if err != nil {
		return nil, err
	}
	if err := p.start(ctx, b.e.model, b.cache, slot); err != nil {
		return nil, fmt.Errorf("backend: %w", err)
	}
	return p, nil
}

// step writes one token into every slot that has a page.
func (b *batch) step(ctx context.Context) error {
	tokens := make([]int32, len(b.pages))
	active := make([]bool, len(b.pages))
	for slot, p := range b.pages {
		if p != nil {
			tokens[slot], active[slot] = p.last(), true
		}
	}
	h, err := b.e.model.Step(ctx, b.cache, tokens, active)
	if err != nil {
		return fmt.Errorf("backend: %w", err)
	}
	next, err := b.e.model.Choose(ctx, h, draw(b.pages))
	if err := errors.Join(err, h.Close()); err != nil {
		return fmt.Errorf("backend: %w", err)
	}
	for slot, p := range b.pages {
		if p != nil {
			p.add(next[slot], b.e.model)
			b.settle(slot)
		}
	}
	return nil
}

// settle hands out the page of a slot if it has ended, and frees the slot.
func (b *batch) settle(slot int) {
	p := b.pages[slot]
	if p.finish == "" {
		return
	}
	b.done(p.index, p.output(b.e.model, b.started), nil)
	b.pages[slot] = nil
	b.cache.Clear(slot)
}

// abandon ends all pages with an error: what was written so far goes out with it.
func (b *batch) abandon(ctx context.Context, err error) error {
	finish := FinishReason("")
	if ctx.Err() != nil {
		finish = FinishCanceled
	}
	for slot, p := range b.pages {
		if p != nil {
			p.finish = finish
			b.done(p.index, p.output(b.e.model, b.started), err)
			b.pages[slot] = nil
		}
	}
	for ; b.next < len(b.requests); b.next++ {
		b.done(b.next, Output{Finish: finish}, err)
	}
	return err
}
