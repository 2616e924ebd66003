package backend

import (
	"sync"
	"time"

	"github.com/omnidocs/omnidocs/internal/program"
)

// turns shares the device between the pages that are being written and the one that is being admitted: after each step of all
// writers the admission gets its share, some times what the step's calls took, in whole calls. Neither waits for the other to be done. Where
// only one of them has something for the device, because there is no other or because it compiles, it does not wait at all.
type turns struct {
	mu        sync.Mutex
	changed   sync.Cond
	writing   bool          // there are pages to write
	admitting bool          // there is a page to admit
	calls     int           // of the admission, which wait or run
	soon      time.Time     // until then the writers wait for the admission's next call
	credit    time.Duration // what the admission may still take before the next step
}

// admissionShare is how many times a step's time an admission gets before the next step, times the slots that there are for each page that is
// written, of which as many as mostShared count: while another page is admitted, those that are there are written at a fifth of their speed, and at
// a seventeenth where at least three in four slots are free. A step of few pages takes about as long as one of many, so that what is given to fill
// the slots comes back: 16 pages of examples/throughput took 5 to 6 % less time with four times than with once to four times, by how many slots
// are free, and 2 to 4 % less with four to sixteen times than with four, and half of them were done 3 to 8 % sooner.
const (
	admissionShare = 4
	mostShared     = 4
)

// share is how many times a step's time an admission gets, for so many pages in so many slots. Pages may be none: a device without memory may
// have taken the slots of all since they were counted.
func share(pages, slots int) time.Duration {
	return time.Duration(admissionShare * min(mostShared*pages, slots) / max(1, pages))
}

// betweenCalls is how long the writers leave the device idle for the admission's next call, while it is the admission's turn. What
// it does on the host between two calls takes less; compiling, and preparing a picture, takes more.
const betweenCalls = time.Millisecond

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
	t.calls++
	for t.writing && t.credit <= 0 {
		t.changed.Wait()
	}
	t.mu.Unlock()
	start := time.Now()
	run()
	end := time.Now()
	t.mu.Lock()
	t.calls--
	t.credit -= end.Sub(start)
	t.soon = end.Add(betweenCalls)
	t.mu.Unlock()
	t.changed.Broadcast()
	time.AfterFunc(betweenCalls, func() { t.set(nil, nil) }) // for writers that wait
}

// expected says whether it is the turn of the admission, and a call of it is there or will be soon.
func (t *turns) expected() bool {
	return t.admitting && t.credit > 0 && (t.calls > 0 || time.Now().Before(t.soon))
}

// write runs one step of the writers when it is their turn. The step's calls are to be paced by what it is given, which times them. The
// admission then gets so many times as much.
func (t *turns) write(share time.Duration, step func(calls program.Pacer)) {
	t.mu.Lock()
	for t.expected() {
		t.changed.Wait()
	}
	t.mu.Unlock()
	var took meter
	step(&took)
	t.mu.Lock()
	// Time that was not used is not saved up. A clock may be too coarse for a small step, which gives a turn all the same.
	t.credit = min(t.credit, 0) + max(1, share*time.Duration(took))
	t.mu.Unlock()
	t.changed.Broadcast()
}

// meter adds up what calls to the device take, one after the other (program.Pacer).
type meter time.Duration

// Pace runs a call at once.
func (m *meter) Pace(run func()) {
	start := time.Now()
	run()
	*m += meter(time.Since(start))
}
