package backend

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/omnidocs/omnidocs/internal/program"
	"github.com/omnidocs/omnidocs/qwen"
)

// scheduler keeps the device busy with as many pages as there are slots. A request goes through it in one direction:
//
//	queue ─ preparers: picture, prompt ─▶ ready ─ admission: vision tower, prompt's pass ─▶ slot ─ writing ─▶ finished
//
// All channels are small, so that however many requests wait, the pictures of a few of them are in memory. The loop's goroutine
// owns the cache and the slots; the admission works on one page at a time beside it and takes turns on the device.
type scheduler struct {
	model *qwen.Model
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

	// Owned by the admission that is under way.
	vision visionCache

	// Owned by the loop.
	cache     *qwen.Cache
	writing   []*job // by slot, nil where free
	admitting bool
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

func newScheduler(m *qwen.Model, slots, limit int, vision int64, stats *statsCollector) *scheduler {
	s := &scheduler{
		model: m, slots: slots, limit: limit, queue: make(chan *job, slots), ready: make(chan *job, 1),
		admitted: make(chan admission, 1), closing: make(chan struct{}), stopped: make(chan struct{}), turns: newTurns(),
		vision: visionCache{limit: vision}, stats: stats, choose: m.Choose, decode: m.Decode,
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
		case s.count() == 0 && !s.admitting && ready == nil:
			return
		case s.count() == 0: // nothing to write: wait for a page
			next := ready
			if s.admitting {
				next = nil
			} else {
				s.release()
			}
			select {
			case a := <-s.admitted:
				s.settle(a)
			case j, ok := <-next:
				if !ok {
					ready = nil
					continue
				}
				s.admit(j)
			}
		default:
			select {
			case a := <-s.admitted:
				s.settle(a)
			default:
			}
			if !s.admitting && s.count() < s.slots {
				select {
				case j, ok := <-ready:
					if !ok {
						ready = nil
						break
					}
					s.admit(j)
				default:
				}
			}
			s.turns.write(func(calls program.Pacer) { s.step(program.WithPacer(context.Background(), calls)) })
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
}

// admit starts the admission of a page.
func (s *scheduler) admit(j *job) {
	s.admitting = true
	go func() { s.admitted <- admission{j, s.run(j)} }()
}

// run waits until a page is prepared and runs it up to its first token.
func (s *scheduler) run(j *job) error {
	<-j.prepared
	switch {
	case j.failed != nil:
		return j.failed
	case s.isClosing():
		return ErrClosed
	case !j.begin():
		return j.canceled()
	}
	s.stats.started(j.watched)
	s.turns.setAdmitting(true)
	defer s.turns.setAdmitting(false)
	if err := j.admit(program.WithPacer(j.ctx, s.turns), s.model, &s.vision, s.choose); err != nil {
		return err
	}
	s.stats.firstToken(j.watched, j.page.prompt, j.page.visual)
	return nil
}

// settle gives an admitted page a slot, unless its first token was its last.
func (s *scheduler) settle(a admission) {
	s.admitting = false
	j := a.job
	defer func() {
		if j.prompted != nil {
			_ = j.prompted.Close() // what the cache has not taken
			j.prompted = nil
		}
	}()
	if a.err != nil || j.page.finish != "" {
		j.end(s.model, a.err)
		return
	}
	// Not under the page's context: half of a cache made larger would be the end of its neighbors too.
	ctx := context.Background()
	slot, err := s.makeRoom(ctx)
	if err == nil {
		err = s.cache.Take(ctx, slot, j.prompted)
	}
	if err != nil {
		j.end(s.model, fmt.Errorf("backend: %w", err))
		s.abandon(err)
		return
	}
	s.writing[slot] = j
	s.mark(ctx, slot)
}
