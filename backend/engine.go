package backend

import (
	"context"
	"errors"
	"sync"

	"github.com/gomlx/compute"

	"github.com/omnidocs/omnidocs/qwen"
)

// ErrClosed is returned by the methods of an engine that has been closed.
var ErrClosed = errors.New("backend: the engine is closed")

// defaultMaxNewTokens bounds an answer whose request names no bound (Python's max_new_tokens).
const defaultMaxNewTokens = 8192

// Engine reads pages with a model, up to MaxBatch of them together, whoever sent them: a page joins the others as soon as
// there is room and leaves when it ends. The tokens of a page do not depend on the pages beside it. It may be used from
// several goroutines.
type Engine struct {
	model     *qwen.Model
	device    *Device
	devices   []compute.DeviceNum // of the device, that the model is on
	shared    bool                // the device is others' too, and not closed with the engine
	info      Info
	plan      *Plan
	scheduler *scheduler
	close     sync.Once
	closeErr  error
}

func newEngine(m *qwen.Model, d *Device, devices []compute.DeviceNum, info Info, plan *Plan, stats *statsCollector) *Engine {
	e := &Engine{model: m, device: d, devices: devices, info: info, plan: plan}
	stats.attach(m.Stats, e.Memory)
	e.scheduler = newScheduler(m, plan, stats).start()
	return e
}

// Plan is what the engine was loaded with: see [MakePlan].
func (e *Engine) Plan() *Plan { return e.plan }

// Info says what runs.
func (e *Engine) Info() Info { return e.info }

// Stats say how the engine is doing and what it has done. It may ask the device for its memory, at most once a second.
func (e *Engine) Stats() Stats { return e.scheduler.stats.Snapshot() }

// Close fails the pages that have not begun with [ErrClosed], lets those that are being written end, and frees the model and the
// device. To end sooner, cancel the contexts of the calls. Later calls fail with [ErrClosed].
func (e *Engine) Close() error {
	e.close.Do(func() {
		e.scheduler.close()
		e.closeErr = errors.Join(e.scheduler.caches.close(), e.model.Close())
		if !e.shared {
			e.closeErr = errors.Join(e.closeErr, e.device.Close())
		}
	})
	return e.closeErr
}

// Submit gives the engine a page to read, and finished the output, or the error that the page met and whatever it had written
// by then. It blocks while as many pages wait as there are slots, so that a sender does not run ahead of the device, and
// returns an error if the page was not taken, because ctx has ended or the engine is closed; finished is then not called.
//
// finished is called once, from a goroutine of the engine's, and must return soon. When ctx ends, so does the page, as
// [FinishCanceled], with what it has written; that is looked at between tokens and, before the first of them, between the
// calls to the device. Pages begin about in the order in which they were submitted, and none waits for a later one.
func (e *Engine) Submit(ctx context.Context, r Request, finished func(Output, error)) error {
	return e.scheduler.submit(newJob(ctx, r, finished))
}

// Read reads one page. It returns what was written so far along with an error that came after the first token.
func (e *Engine) Read(ctx context.Context, r Request) (Output, error) { return read(ctx, e.Submit, r) }

// Generate reads pages. done is called once for each request, from this goroutine, as it ends: with its output, or with the
// error that this page met and whatever it had written by then.
//
// Generate returns an error only when no page could go on: the context's, whose pages end as [FinishCanceled], or [ErrClosed].
func (e *Engine) Generate(ctx context.Context, requests []Request, done func(i int, out Output, err error)) error {
	return generate(ctx, e.Submit, requests, done)
}

// submitFunc is Submit of an engine or of several.
type submitFunc func(ctx context.Context, r Request, finished func(Output, error)) error

func read(ctx context.Context, submit submitFunc, r Request) (Output, error) {
	type result struct {
		out Output
		err error
	}
	done := make(chan result, 1)
	if err := submit(ctx, r, func(out Output, err error) { done <- result{out, err} }); err != nil {
		return refused(ctx), err
	}
	got := <-done
	return got.out, got.err
}

// refused is the output of a page that was not taken.
func refused(ctx context.Context) Output {
	if ctx.Err() != nil {
		return Output{Finish: FinishCanceled}
	}
	return Output{}
}

func generate(ctx context.Context, submit submitFunc, requests []Request, done func(i int, out Output, err error)) error {
	type result struct {
		i   int
		out Output
		err error
	}
	results := make(chan result, len(requests)) // so that the engine never waits for done
	go func() {
		for i, r := range requests {
			if err := submit(ctx, r, func(out Output, err error) { results <- result{i, out, err} }); err != nil {
				results <- result{i, refused(ctx), err}
			}
		}
	}()
	var closed error
	for range requests {
		r := <-results
		done(r.i, r.out, r.err)
		if errors.Is(r.err, ErrClosed) {
			closed = r.err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return closed
}
