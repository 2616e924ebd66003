package textextraction

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// worker is a [Worker] of a pool. All but the worker itself is guarded by the pool's lock.
type worker struct {
	Worker
	place    int
	inFlight int
	done     int
	failed   int
	inARow   int           // failures
	state    workerState   //
	rest     time.Duration // the last
	last     error
}

type workerState int

const (
	stateWell    workerState = iota
	stateTrial               // readmitted for one page
	stateEjected             // gets none
)

// WorkerStats say how a worker of a [Pool] is doing.
type WorkerStats struct {
	// Name is that of the [Worker].
	Name string `json:"name"`
	// Well is false while the worker is ejected.
	Well bool `json:"well"`
	// InFlight counts the pages that it has now, Done and Failed those that it has read or failed to.
	InFlight int `json:"in_flight"`
	Done     int `json:"done"`
	Failed   int `json:"failed"`
	// LastError is the last of its failures.
	LastError string `json:"last_error,omitzero"`
}

// Workers say how each worker is doing, in their order.
func (p *Pool) Workers() []WorkerStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []WorkerStats
	for _, w := range p.workers {
		s := WorkerStats{Name: w.Name, Well: w.state == stateWell, InFlight: w.inFlight, Done: w.done, Failed: w.failed}
		if w.last != nil {
			s.LastError = w.last.Error()
		}
		all = append(all, s)
	}
	return all
}

// wake lets the pages that wait look again. The lock is held.
func (p *Pool) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// take waits for a worker that has room for a page, other than those that have been tried: of several, the one with the least to
// do for its size.
func (p *Pool) take(ctx context.Context, tried []*worker) (*worker, error) {
	var patience <-chan time.Time
	for {
		p.mu.Lock()
		best, busy := p.best(tried)
		if best != nil {
			best.inFlight++
		}
		closed, changed := p.closed, p.changed
		p.mu.Unlock()
		switch {
		case closed:
			return nil, ErrClosed
		case ctx.Err() != nil:
			_, err := callError(ctx, context.Cause(ctx))
			return nil, err
		case best != nil:
			return best, nil
		case busy: // one will be free
			patience = nil
		case len(tried) > 0: // what is left is not well; the page's own errors say more
			return nil, ErrNoWorker
		case patience == nil:
			timer := time.NewTimer(p.options.Patience)
			defer timer.Stop()
			patience = timer.C
		}
		select {
		case <-changed:
		case <-ctx.Done():
		case <-patience:
			return nil, p.noWorker()
		}
	}
}

// best is the worker to take, or nil, and whether there are well ones that are only busy. The lock is held.
func (p *Pool) best(tried []*worker) (best *worker, busy bool) {
	load := func(w *worker) float64 { return float64(w.inFlight) / float64(w.MaxInFlight) }
	for _, w := range p.workers {
		room := w.MaxInFlight
		switch {
		case slices.Contains(tried, w) || w.state == stateEjected:
			continue
		case w.state == stateTrial:
			room = 1
		}
		if w.inFlight >= room {
			busy = true
			continue
		}
		if best == nil || load(w) < load(best) || load(w) == load(best) && w.done+w.failed < best.done+best.failed {
			best = w
		}
	}
	return best, busy
}

func (p *Pool) noWorker() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	errs := []error{fmt.Errorf("%w after %s", ErrNoWorker, p.options.Patience)}
	for _, w := range p.workers {
		if w.last != nil {
			errs = append(errs, fmt.Errorf("%s: %w", w.Name, w.last))
		}
	}
	return errors.Join(errs...)
}

// give returns a worker, and ejects it if it has failed too often.
func (p *Pool) give(w *worker, v verdict, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.wake()
	w.inFlight--
	switch v {
	case workerWell:
		w.done++
		w.inARow, w.rest = 0, 0
		if w.state != stateWell {
			w.state = stateWell
			p.options.Logger.Info("worker readmitted", "worker", w.Name)
		}
	case workerFailed:
		w.failed++
		w.inARow++
		w.last = err
		if w.state != stateEjected && (w.state == stateTrial || w.inARow >= p.options.EjectAfter) && !p.closed {
			p.eject(w)
		}
	case pageFailed: // which tells nothing of the worker
	}
}

// eject gives a worker no more pages until it has rested and is well. The lock is held.
func (p *Pool) eject(w *worker) {
	w.state = stateEjected
	w.rest = min(max(2*w.rest, p.options.Rest), p.options.MaxRest)
	p.options.Logger.Warn("worker ejected", "worker", w.Name, "rest", w.rest, "error", w.last)
	rest := w.rest
	p.watches.Go(func() { p.readmit(w, rest) })
}

// healthTimeout bounds a call of Worker.Health.
const healthTimeout = 10 * time.Second

// readmit lets a worker rest, asks for its health until that is good, and then gives it a page on trial.
func (p *Pool) readmit(w *worker, rest time.Duration) {
	for {
		timer := time.NewTimer(rest)
		select {
		case <-timer.C:
		case <-p.closing.Done():
			timer.Stop()
			return
		}
		var err error
		if w.Health != nil {
			ctx, stop := context.WithTimeout(p.closing, healthTimeout)
			err = w.Health(ctx)
			stop()
		}
		p.mu.Lock()
		if err == nil {
			w.state = stateTrial
			p.wake()
			p.mu.Unlock()
			return
		}
		w.last = fmt.Errorf("health: %w", err)
		w.rest = min(2*w.rest, p.options.MaxRest)
		rest = w.rest
		p.mu.Unlock()
	}
}
