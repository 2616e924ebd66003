package backend

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/omnidocs/omnidocs/internal/program"
	"github.com/omnidocs/omnidocs/qwen"
)

// scheduler keeps the device busy with as many pages as there are slots. A request goes through it in one direction:
//
//	queue ─ preparers: picture, prompt ─▶ ready ─▶ next ─ admission: vision tower, prompt's pass ─▶ slot ─ writing ─▶ finished
//
// All channels are small, so that however many requests wait, the pictures of a few of them are in memory. The loop's goroutine
// owns the cache and the slots; the admission works on one page at a time beside it and takes turns on the device.
type scheduler struct {
	model *qwen.Model
	plan  *Plan
	slots int // at most
	limit int // tokens of a page
	stats *statsCollector
	// choose and decode are the model's Choose and Decode, but in tests that say what a page writes.
	choose chooser
	decode decoder

	queue    chan *job
	ready    chan *job
	admitted chan admission
	closing  chan struct{}
	turns    *turns

	submitting sync.WaitGroup // calls of submit
	stopped    chan struct{}  // closed when the loop has ended

	mu     sync.Mutex // guards closed
	closed bool

	// Owned by the admission that is under way, and by the loop where there is none.
	caches   caches
	together int // how many small pages may go through the vision tower in one call

	room *room

	// Owned by the loop.
	cache     *qwen.Cache
	next      []*job // out of the line: see lookahead
	writing   []*job // by slot, nil where free
	admitting bool
	held      *job   // has its prompt, and waits for room in the cache
	again     []*job // have lost their slots
	most      int    // pages at a time, for now
}

// decoder writes into the slots of a cache, as the model's Decode does.
type decoder func(context.Context, *qwen.Cache, qwen.Turn) ([]qwen.Chosen, error)

// chooser chooses the next token of each row, as the model's Choose does.
type chooser func(context.Context, *qwen.Hidden, *qwen.Draw) (*qwen.Chosen, error)

// admission is what has become of a page that was admitted.
type admission struct {
	job *job
	err error
}

func newScheduler(m *qwen.Model, plan *Plan, stats *statsCollector) *scheduler {
	s := &scheduler{
		model: m, plan: plan, slots: plan.Slots, most: plan.Slots, limit: plan.MaxModelLen, room: newRoom(plan.room, m.Planner()),
		queue: make(chan *job, plan.Slots), ready: make(chan *job, max(1, m.ImagesTogether()-1)), together: m.ImagesTogether(),
		admitted: make(chan admission, 1), closing: make(chan struct{}), stopped: make(chan struct{}), turns: newTurns(),
		caches: newCaches(plan), stats: stats, choose: m.Choose, decode: m.Decode,
	}
	return s
}

// start begins to serve.
func (s *scheduler) start() *scheduler {
	go s.prepare()
	go s.loop()
	return s
}

// submit queues a job. It blocks while the queue is full.
func (s *scheduler) submit(j *job) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	s.submitting.Add(1)
	s.mu.Unlock()
	defer s.submitting.Done()
	if err := j.canceled(); err != nil {
		return err
	}
	j.watched = s.stats.queued()
	told := j.finished
	j.finished = func(out Output, err error) {
		s.stats.finished(j.watched, out, err)
		told(out, err)
	}
	j.watch()
	err := ErrClosed
	select {
	case s.queue <- j:
		return nil
	case <-s.closing:
	case <-j.ctx.Done():
		err = context.Cause(j.ctx)
	}
	j.unwatch()
	if j.state.Swap(jobEnded) == jobEnded { // the watcher was faster, and has told
		return nil
	}
	s.stats.finished(j.watched, Output{}, err)
	return err
}

// close lets the pages that are being written end, fails all others with ErrClosed, and returns when nothing is under way.
func (s *scheduler) close() {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if first {
		close(s.closing)
		s.submitting.Wait()
		close(s.queue)
	}
	<-s.stopped
}

func (s *scheduler) isClosing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// prepare makes patches and prompts of queued requests, two at a time, beside the device's work, and sends them on in the order
// of the queue.
func (s *scheduler) prepare() {
	defer close(s.ready)
	free := make(chan struct{}, min(2, runtime.GOMAXPROCS(0)))
	for j := range s.queue {
		if s.isClosing() {
			j.end(s.model, ErrClosed)
		}
		if !j.waiting() {
			continue
		}
		free <- struct{}{}
		go func() {
			j.failed = j.prepare(s.model, s.limit)
			close(j.prepared)
			<-free
		}()
		s.ready <- j
	}
}

// loop is the scheduler's goroutine.
func (s *scheduler) loop() {
	defer close(s.stopped)
	ready := s.ready
	for {
		s.turns.setWriting(s.count() > 0)
		switch {
		case s.count() == 0 && s.held != nil:
			s.release()
			s.place()
		case s.count() == 0 && !s.admitting && len(s.again) > 0:
			s.release()
			s.admit(s.restarted())
		case s.count() == 0 && !s.admitting && len(s.next) > 0:
			s.release()
			s.most = s.slots // nobody waits for what there was too little of
			ready = s.admitNext(ready)
		case s.count() == 0 && !s.admitting && ready == nil:
			return
		case s.count() == 0: // nothing to write: wait for a page
			s.release()
			next := ready
			if s.admitting {
				next = nil
			} else {
				s.most = s.slots
			}
			select {
			case a := <-s.admitted:
				s.settle(a)
			case j, ok := <-next:
				if !ok {
					ready = nil
					continue
				}
				s.next = append(s.next, j)
				ready = s.admitNext(ready)
			}
		default:
			select {
			case a := <-s.admitted:
				s.settle(a)
			default:
			}
			switch {
			case s.held != nil:
				s.place()
			case s.admitting || s.count() >= s.most:
			case len(s.again) > 0:
				s.admit(s.restarted())
			default:
				ready = s.admitNext(ready)
			}
			s.turns.write(share(s.count(), s.slots), func(calls program.Pacer) { s.step(program.WithPacer(context.Background(), calls)) })
		}
	}
}

// count counts the pages that are being written.
func (s *scheduler) count() int {
	n := 0
	for _, j := range s.writing {
		if j != nil {
			n++
		}
	}
	return n
}

// release frees the cache when nothing is being written.
func (s *scheduler) release() {
	if s.cache == nil {
		return
	}
	s.stats.cached(0, 0)
	_ = s.cache.Close() // its buffers are gone either way
	s.cache, s.writing = nil, nil
	s.room.holds(0, 0)
}

// admitNext admits the page that is next in line, if there is one, and returns what lookahead does.
func (s *scheduler) admitNext(ready chan *job) chan *job {
	ready = s.lookahead(ready)
	if len(s.next) > 0 {
		j := s.next[0]
		s.next = s.next[1:]
		s.admit(j)
	}
	return ready
}

// admit starts the admission of a page.
func (s *scheduler) admit(j *job) {
	s.admitting = true
	waiting := slices.Clone(s.next)
	go func() { s.admitted <- admission{j, s.run(j, waiting)} }()
}

// run waits until a page is prepared and runs it up to its first token. Those that wait may come along for a part of the way: see
// encodeAhead.
func (s *scheduler) run(j *job, waiting []*job) error {
	<-j.prepared
	switch {
	case j.failed != nil:
		return j.failed
	case j.state.Load() == jobBegun: // it has lost its slot
		if err := j.prepare(s.model, s.limit); err != nil {
			return err
		}
	case s.isClosing():
		return ErrClosed
	case !j.begin():
		return j.canceled()
	}
	s.stats.started(j.watched)
	err := s.attempt(j, func() error {
		s.turns.setAdmitting(true)
		defer s.turns.setAdmitting(false)
		ctx := program.WithPacer(j.ctx, s.turns)
		if err := s.encodeAhead(ctx, j, j.planned, waiting); err != nil {
			return err
		}
		s.room.release(j.ahead) // what the page takes has it
		j.ahead = 0
		return j.admit(ctx, s.model, &s.caches, s.choose)
	})
	if err != nil {
		return err
	}
	s.stats.firstToken(j.watched, j.page)
	return nil
}

// restarted takes the page that lost its slot first.
func (s *scheduler) restarted() *job {
	j := s.again[0]
	s.again = s.again[1:]
	return j
}

// settle has an admitted page wait for a slot, unless its first token was its last.
func (s *scheduler) settle(a admission) {
	s.admitting = false
	j := a.job
	if a.err != nil || j.page.finish != "" {
		s.done(j)
		j.end(s.model, a.err)
		return
	}
	s.held = j
	s.place()
}

// done frees what is left of a page's prompt, which is what the cache has not taken.
func (s *scheduler) done(j *job) {
	s.room.keeps(0)
	s.forget(j)
	if j.prompted != nil {
		_ = j.prompted.Close() // its buffers are gone either way
		j.prompted = nil
	}
}

// place gives the page that waits for it a slot, if the cache has room.
func (s *scheduler) place() {
	j := s.held
	if err := j.canceled(); err != nil {
		s.held = nil
		s.done(j)
		j.end(s.model, err)
		return
	}
	// Not under the page's context: half of a cache made larger would be the end of its neighbors too.
	ctx := context.Background()
	slot, err := s.makeRoom(ctx, j.prompted.Length()+1)
	if err == nil && slot < 0 {
		return // it waits
	}
	s.held = nil
	if err == nil {
		err = s.cache.Take(ctx, slot, j.prompted)
	}
	s.done(j)
	switch {
	case exhausted(err):
		s.exhaust(j, err)
	case err != nil:
		j.end(s.model, fmt.Errorf("backend: %w", err))
		s.abandon(err)
	default:
		s.writing[slot] = j
		s.room.holds(len(s.writing), s.cache.Capacity())
		s.mark(ctx, slot)
	}
}
