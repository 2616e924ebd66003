package backend

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/omnidocs/omnidocs/qwen"
)

// statsCollector gathers an engine's Stats and tells its Observer. Its methods may be called from several goroutines at once; those
// about one page come one after the other. The observer is called without the lock.
type statsCollector struct {
	observer Observer
	engine   int // its number among several
	slots    int
	now      func() time.Time
	created  time.Time

	mu       sync.Mutex
	pages    PageStats
	tokens   TokenStats // without the rates
	cache    CacheStats
	steps    int64
	active   int64 // pages that took part, of all steps
	lastPage uint64
	prefill  rate
	decode   rate
	waiting  durations
	first    durations
	ends     durations
	programs func() qwen.Stats

	memory memoryWatch
}

// watchedPage is what is known of a page between its queueing and its end. It belongs to the page's caller.
type watchedPage struct {
	engine         int
	number         uint64
	state          watchedState
	queued         time.Time
	admitted       time.Time     // when it got the slot that it has
	waited         time.Duration // to its first slot, -1 before
	first          time.Duration // to its first token, -1 before
	prompt, visual int
	cached         int // tokens of the prompt
}

type watchedState int

const (
	pageQueued watchedState = iota
	pageRunning
	pageEnded
)

// newStatsCollector begins to count for an engine with so many slots.
func newStatsCollector(observer Observer, slots int) *statsCollector {
	return &statsCollector{observer: observer, slots: slots, now: time.Now, created: time.Now()}
}

// attach says where the numbers come from that are not counted here. Either may be nil.
func (c *statsCollector) attach(programs func() qwen.Stats, memory func(context.Context) (MemoryStats, error)) {
	c.mu.Lock()
	c.programs = programs
	c.mu.Unlock()
	c.memory.set(memory)
}

// compiled is for qwen.LoadOptions.Compiled. The model counts its programs itself.
func (c *statsCollector) compiled(p qwen.ProgramStats) {
	call(c.observer.Compiled, CompileEvent{Engine: c.engine, Program: p.Name, Took: p.CompileTime, Loaded: p.Loaded})
}

// queued counts a page that has been handed in. finished must follow.
func (c *statsCollector) queued() *watchedPage {
	c.mu.Lock()
	c.lastPage++
	c.pages.Queued++
	p := &watchedPage{engine: c.engine, number: c.lastPage, queued: c.now(), waited: -1, first: -1}
	event := p.event(p.queued)
	c.mu.Unlock()
	call(c.observer.Queued, event)
	return p
}

// started counts a page that got a slot.
func (c *statsCollector) started(p *watchedPage) {
	c.mu.Lock()
	if p.state != pageQueued {
		c.mu.Unlock()
		return
	}
	now := c.now()
	p.state, p.admitted = pageRunning, now
	c.pages.Queued--
	c.pages.Running++
	if p.waited < 0 {
		p.waited = now.Sub(p.queued)
		c.waiting.add(p.waited, now)
	}
	event := p.event(now)
	c.mu.Unlock()
	call(c.observer.Started, event)
}

// firstToken counts the prompt of a page, and the token that follows it.
func (c *statsCollector) firstToken(p *watchedPage, read *page) {
	c.mu.Lock()
	if p.state != pageRunning {
		c.mu.Unlock()
		return
	}
	now := c.now()
	p.prompt, p.visual, p.cached = read.prompt, read.visual, read.cached
	c.tokens.Prompt += int64(read.prompt)
	c.tokens.Visual += int64(read.visual)
	c.tokens.Cached += int64(read.cached)
	c.tokens.Generated++
	if read.cached > 0 {
		c.cache.PrefixHits++
	}
	if read.seen {
		c.cache.VisionHits++
	}
	c.prefill.add(read.prompt-read.cached, p.admitted, now)
	if p.first < 0 {
		p.first = now.Sub(p.queued)
		c.first.add(p.first, now)
	}
	event := p.event(now)
	c.mu.Unlock()
	call(c.observer.FirstToken, event)
}

// step counts a call of the model that wrote tokens for the pages in so many slots.
func (c *statsCollector) step(active, tokens int, took time.Duration) {
	c.mu.Lock()
	now := c.now()
	c.steps++
	c.active += int64(active)
	c.tokens.Generated += int64(tokens)
	c.decode.add(tokens, now.Add(-took), now)
	event := StepEvent{Engine: c.engine, Active: active, Slots: c.slots, Queued: c.pages.Queued, Tokens: tokens, Took: took}
	c.mu.Unlock()
	call(c.observer.Step, event)
}

// evicted counts a page that lost its slot and is queued again.
func (c *statsCollector) evicted(p *watchedPage) {
	c.mu.Lock()
	if p.state != pageRunning {
		c.mu.Unlock()
		return
	}
	p.state = pageQueued
	c.pages.Running--
	c.pages.Queued++
	c.pages.Evictions++
	event := p.event(c.now())
	c.mu.Unlock()
	call(c.observer.Evicted, event)
}

// finished counts a page that has ended, from its queue or its slot. A second call does nothing.
func (c *statsCollector) finished(p *watchedPage, out Output, err error) {
	c.mu.Lock()
	switch p.state {
	case pageQueued:
		c.pages.Queued--
	case pageRunning:
		c.pages.Running--
	default:
		c.mu.Unlock()
		return
	}
	p.state = pageEnded
	now := c.now()
	switch {
	case out.Finish == FinishCanceled || errors.Is(err, ErrClosed):
		c.pages.Canceled++
	case err != nil:
		c.pages.Failed++
	default:
		c.pages.Done++
		c.ends.add(now.Sub(p.queued), now)
	}
	event := p.event(now)
	event.Output, event.Err = out, err
	c.mu.Unlock()
	call(c.observer.Finished, event)
}

// cached says how many tokens the cache holds, and how many it has room for.
func (c *statsCollector) cached(tokens, capacity int) {
	c.mu.Lock()
	c.cache.Tokens, c.cache.Capacity = int64(tokens), int64(capacity)
	c.mu.Unlock()
}

// event tells of the page at a time.
func (p *watchedPage) event(now time.Time) PageEvent {
	return PageEvent{
		Engine: p.engine, Page: p.number, Since: now.Sub(p.queued), Waited: max(0, p.waited), FirstToken: max(0, p.first),
		PromptTokens: p.prompt, VisualTokens: p.visual, CachedTokens: p.cached,
	}
}

// Snapshot tells the counts of now. It may ask the device for its memory, for which see memoryWatch.
func (c *statsCollector) Snapshot() Stats {
	memory, memoryErr := c.memory.read(c.now)
	c.mu.Lock()
	now := c.now()
	s := Stats{
		Uptime: now.Sub(c.created).Seconds(), Pages: c.pages, Tokens: c.tokens, Cache: c.cache,
		Slots:   SlotStats{InUse: c.pages.Running, Total: int64(c.slots), Steps: c.steps},
		Waiting: c.waiting.stats(), FirstToken: c.first.stats(), PageTime: c.ends.stats(), Memory: memory,
	}
	s.Tokens.PrefillRate, s.Tokens.DecodeRate = c.prefill.at(now), c.decode.at(now)
	if c.steps > 0 {
		s.Slots.MeanActive = float64(c.active) / float64(c.steps)
	}
	programs := c.programs
	c.mu.Unlock()
	if programs != nil {
		s.Programs = programStats(programs())
	}
	if memoryErr != nil {
		s.MemoryError = memoryErr.Error()
	}
	return s
}

const (
	// memoryAge is how old a reading of the memory may be, since one may cost the start of nvidia-smi.
	memoryAge = time.Second
	// memoryPatience is how long a snapshot waits for one.
	memoryPatience = 2 * time.Second
)

// memoryWatch reads the memory of a device no more than once in memoryAge, however many ask.
type memoryWatch struct {
	mu     sync.Mutex
	source func(context.Context) (MemoryStats, error)
	asked  bool
	at     time.Time
	last   MemoryStats
	err    error
}

func (w *memoryWatch) set(source func(context.Context) (MemoryStats, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.source, w.asked = source, false
}

func (w *memoryWatch) read(now func() time.Time) (MemoryStats, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.source == nil {
		return MemoryStats{}, nil
	}
	if w.asked && now().Sub(w.at) < memoryAge {
		return w.last, w.err
	}
	ctx, cancel := context.WithTimeout(context.Background(), memoryPatience)
	defer cancel()
	w.last, w.err = w.source(ctx)
	w.asked, w.at = true, now()
	return w.last, w.err
}
