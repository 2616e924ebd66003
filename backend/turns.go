package backend

import (
	"sync"
	"time"
)

// turns shares the device between the pages that are being written and the one that is being admitted: after each step of all
// writers the admission gets as much time as the step took, in whole calls. Neither waits for the other to be done. Where only
// one of them has something to do it does not wait at all.
type turns struct {
	mu        sync.Mutex
	changed   sync.Cond
	writing   bool          // there are pages to write
	admitting bool          // there is a page to admit
	credit    time.Duration // what the admission may still take before the next step
}

func newTurns() *turns {
	t := &turns{}
	t.changed.L = &t.mu
	return t
}

// set says what there is to do.
func (t *turns) set(writing, admitting *bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if writing != nil {
		t.writing = *writing
	}
	if admitting != nil {
		t.admitting = *admitting
	}
	t.changed.Broadcast()
}

func (t *turns) setWriting(on bool)   { t.set(&on, nil) }
func (t *turns) setAdmitting(on bool) { t.set(nil, &on) }

// Pace runs one call of the admission when it is its turn (program.Pacer). It may be called from several goroutines.
func (t *turns) Pace(run func()) {
	t.mu.Lock()
	for t.writing && t.credit <= 0 {
		t.changed.Wait()
	}
	t.mu.Unlock()
	start := time.Now()
	run()
	t.mu.Lock()
	t.credit -= time.Since(start)
	t.changed.Broadcast()
	t.mu.Unlock()
}

// write runs one step of the writers when it is their turn.
func (t *turns) write(step func()) {
	t.mu.Lock()
	for t.admitting && t.credit > 0 {
		t.changed.Wait()
	}
	t.mu.Unlock()
	start := time.Now()
	step()
	t.mu.Lock()
	// Time that was not used is not saved up.
	t.credit = min(t.credit, 0) + time.Since(start)
	t.changed.Broadcast()
	t.mu.Unlock()
}
