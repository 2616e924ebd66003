package backend

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/omnidocs/omnidocs/internal/program"
)

// Engines are several engines of one model in one process, each with its own copy of the weights on devices of its own (data
// parallelism). A page goes to the engine that has the least to do. What it writes does not depend on which that is: all are alike.
//
// A page that a device has failed, which a page's own faults and the end of its context are not, is read once more, from the
// beginning, by another engine. An engine that has failed counts as having more to do, until it has read a page well.
type Engines struct {
	device  *Device
	members []*member
	info    Info
	room    chan struct{} // holds an entry for each page that has been taken, so that no engine's queue runs full
	closing chan struct{}

	mu       sync.Mutex // guards what members count, moved and closed
	moved    int64      // pages that were read once more
	closed   bool
	again    sync.WaitGroup // goroutines that give pages to another engine
	close    sync.Once
	closeErr error
}

// member is one of several engines.
type member struct {
	engine *Engine
	submit submitFunc // the engine's, but in tests
	slots  int
	pages  int // that it has been given and that have not ended
	failed int // pages in a row that its devices failed
}

// work is what an engine has to do, in pages.
func (m *member) work() int { return m.pages + min(m.failed, 8)*m.slots }

// LoadEngines opens a device and loads a model onto as many of its processors as the options ask for: an engine for every
// TensorParallelSize of Devices. They are loaded side by side, and if one of them is not, none is. The context is obeyed throughout.
func LoadEngines(ctx context.Context, o LoadOptions) (*Engines, error) {
	l, err := startLoading(ctx, o)
	if err != nil {
		return nil, err
	}
	engines, err := l.engines(ctx)
	if err != nil {
		return nil, errors.Join(err, l.device.Close())
	}
	return newEngines(l.device, engines, l.plan.Slots), nil
}

func newEngines(device *Device, engines []*Engine, slots int) *Engines {
	all := &Engines{device: device, room: make(chan struct{}, 2*slots*len(engines)), closing: make(chan struct{}), info: engines[0].Info()}
	for _, e := range engines {
		all.members = append(all.members, &member{engine: e, submit: e.Submit, slots: slots})
	}
	if n := len(engines); n > 1 {
		all.info.Description = fmt.Sprintf("%d engines on %s", n, device.Description())
		for i, e := range engines {
			all.info.Description += fmt.Sprintf("; engine %d%s", i, placed(e.devices))
		}
	}
	return all
}

// engines loads all of them at once.
func (l *loading) engines(ctx context.Context) ([]*Engine, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	engines, errs := make([]*Engine, len(l.places)), make([]error, len(l.places))
	told := l.together()
	var running sync.WaitGroup
	for i := range l.places {
		running.Go(func() {
			if engines[i], errs[i] = l.engine(ctx, i, told(i)); errs[i] != nil {
				errs[i] = fmt.Errorf("engine %d of %d%s: %w", i, len(l.places), placed(l.places[i]), errs[i])
				cancel() // the others are of no use without it
			} else {
				engines[i].shared = true
			}
		})
	}
	running.Wait()
	if first := firstCause(errs); first != nil {
		for _, e := range engines {
			if e != nil {
				first = errors.Join(first, e.Close())
			}
		}
		return nil, first
	}
	return engines, nil
}

// firstCause is the first error that is not of the kind that the others brought about, or the first of all.
func firstCause(errs []error) error {
	var first error
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// together tells the progress of engines that are loaded side by side as that of one: what all of them have loaded.
func (l *loading) together() func(engine int) func(done, total int64) {
	tell := l.progress("weights")
	var mu sync.Mutex
	loaded := make([]int64, len(l.places))
	return func(engine int) func(done, total int64) {
		if tell == nil {
			return nil
		}
		return func(done, total int64) {
			mu.Lock()
			defer mu.Unlock()
			loaded[engine] = done
			var sum int64
			for _, n := range loaded {
				sum += n
			}
			tell(sum, total*int64(len(loaded)))
		}
	}
}

// Plan is what each of the engines was loaded with: see [MakePlan].
func (e *Engines) Plan() *Plan { return e.members[0].engine.plan }

// Info says what runs.
func (e *Engines) Info() Info { return e.info }

// Len counts the engines.
func (e *Engines) Len() int { return len(e.members) }

// Submit gives a page to the engine with the least to do. See [Engine.Submit]; it blocks while each of them has as many pages waiting
// as it has slots.
func (e *Engines) Submit(ctx context.Context, r Request, finished func(Output, error)) error {
	select {
	case <-e.closing:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	case e.room <- struct{}{}:
	}
	err := e.give(ctx, e.choose(nil), r, true, func(out Output, err error) {
		<-e.room
		finished(out, err)
	})
	if err != nil {
		<-e.room
	}
	return err
}

// choose takes the engine with the least to do, but for one that is not wanted. It is nil where there is no other.
func (e *Engines) choose(not *member) *member {
	e.mu.Lock()
	defer e.mu.Unlock()
	var best *member
	for _, m := range e.members {
		if m != not && (best == nil || m.work() < best.work()) {
			best = m
		}
	}
	if best != nil {
		best.pages++
	}
	return best
}

// give gives a page to an engine that was chosen for it, and to another one if that engine's devices fail it and there may be another
// try.
func (e *Engines) give(ctx context.Context, m *member, r Request, another bool, finished func(Output, error)) error {
	err := m.submit(ctx, r, func(out Output, err error) {
		failed := deviceFailed(ctx, err)
		e.ended(m, failed, err == nil)
		if !failed || !another || !e.move(ctx, m, r, finished, out, err) {
			finished(out, err)
		}
	})
	if err != nil {
		e.ended(m, false, false)
	}
	return err
}

// ended counts a page that an engine is done with.
func (e *Engines) ended(m *member, failed, well bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m.pages--
	switch {
	case failed:
		m.failed++
	case well:
		m.failed = 0
	}
}

// move gives a page that an engine has failed to another one, and reports false where there is none. It does not wait for that
// engine to take it.
func (e *Engines) move(ctx context.Context, from *member, r Request, finished func(Output, error), out Output, fault error) bool {
	e.mu.Lock()
	if e.closed || len(e.members) < 2 {
		e.mu.Unlock()
		return false
	}
	e.again.Add(1)
	e.moved++
	e.mu.Unlock()
	go func() {
		defer e.again.Done()
		if err := e.give(ctx, e.choose(from), r, false, finished); err != nil {
			e.mu.Lock()
			e.moved--
			e.mu.Unlock()
			finished(out, fault)
		}
	}()
	return true
}

// deviceFailed says whether a page was ended by a call to the device, and not by what it is, its context, or the engine's end.
func deviceFailed(ctx context.Context, err error) bool {
	var run *program.RunError
	return errors.As(err, &run) && ctx.Err() == nil
}

// Read reads one page. See [Engine.Read].
func (e *Engines) Read(ctx context.Context, r Request) (Output, error) { return read(ctx, e.Submit, r) }

// Generate reads pages, with all engines. See [Engine.Generate].
func (e *Engines) Generate(ctx context.Context, requests []Request, done func(i int, out Output, err error)) error {
	return generate(ctx, e.Submit, requests, done)
}

// Warmup warms up all engines: see [Engine.Warmup].
func (e *Engines) Warmup(ctx context.Context) error {
	return e.each(func(m *member) error { return m.engine.Warmup(ctx) })
}

// each calls f for all engines at once.
func (e *Engines) each(f func(m *member) error) error {
	errs := make([]error, len(e.members))
	var running sync.WaitGroup
	for i, m := range e.members {
		running.Go(func() { errs[i] = f(m) })
	}
	running.Wait()
	return errors.Join(errs...)
}

// Close closes all engines, and then the device: see [Engine.Close].
func (e *Engines) Close() error {
	e.close.Do(func() {
		e.mu.Lock()
		e.closed = true
		e.mu.Unlock()
		close(e.closing)
		e.closeErr = e.each(func(m *member) error { return m.engine.Close() })
		e.again.Wait()
		e.closeErr = errors.Join(e.closeErr, e.device.Close())
	})
	return e.closeErr
}
