package backend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/qwen"
)

// testClock is a clock that is set by hand.
type testClock struct{ time time.Time }

func (c *testClock) now() time.Time       { return c.time }
func (c *testClock) wait(d time.Duration) { c.time = c.time.Add(d) }
func (c *testClock) seconds(seconds int)  { c.wait(time.Duration(seconds) * time.Second) }
func newTestClock() *testClock            { return &testClock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }
func (c *testClock) on(s *statsCollector) { s.now, s.created = c.now, c.time }

// What goes on evenly has this rate at any time, from the first on, however it is cut.
func TestRateSteady(t *testing.T) {
	clock := newTestClock()
	var r rate
	require.Zero(t, r.at(clock.now()))
	for i := range 200 {
		d := time.Duration(10+i%7*30) * time.Millisecond
		from := clock.now()
		clock.wait(d)
		r.add(int(d/time.Millisecond), from, clock.now()) // a thousand a second
		require.InDelta(t, 1000, r.at(clock.now()), 1e-6)
	}
}

func TestRateFades(t *testing.T) {
	clock := newTestClock()
	var r rate
	from := clock.now()
	clock.seconds(1000)
	r.add(50000, from, clock.now())
	require.InDelta(t, 50, r.at(clock.now()), 1e-9)
	clock.wait(RateHalfLife)
	require.InDelta(t, 25, r.at(clock.now()), 1e-9, "half after a half-life of nothing")
	clock.wait(RateHalfLife)
	require.InDelta(t, 12.5, r.at(clock.now()), 1e-9)

	// Two pages side by side are as fast as both.
	clock = newTestClock()
	r, from = rate{}, clock.now()
	clock.seconds(4)
	r.add(40, from, clock.now())
	r.add(80, from, clock.now())
	require.InDelta(t, 30, r.at(clock.now()), 1e-9)

	// Work without a length counts from the next moment on, as an average since then.
	clock = newTestClock()
	r = rate{}
	r.add(100, clock.now(), clock.now())
	require.Zero(t, r.at(clock.now()))
	clock.seconds(1)
	require.InDelta(t, 100, r.at(clock.now()), 5)
}

func TestDurations(t *testing.T) {
	var d durations
	require.Zero(t, d.stats())
	d.add(3*time.Second, time.Now())
	require.Equal(t, DurationStats{Count: 1, Mean: 3, Max: 3, Last: 3, P50: 3, P90: 3, P99: 3}, d.stats())
	d = durations{}
	for i := range 100 {
		d.add(time.Duration((i*37)%100+1)*time.Second, time.Now()) // 1 to 100, mixed
	}
	require.Equal(t, DurationStats{Count: 100, Mean: 50.5, Max: 100, Last: 64, P50: 50, P90: 90, P99: 99}, d.stats())
	for range QuantileWindow {
		d.add(2*time.Second, time.Now())
	}
	s := d.stats()
	require.Equal(t, [3]float64{2, 2, 2}, [3]float64{s.P50, s.P90, s.P99}, "quantiles forget")
	require.Equal(t, 100.0, s.Max, "the rest does not")
	require.EqualValues(t, 100+QuantileWindow, s.Count)
	require.InDelta(t, (5050.0+2*QuantileWindow)/(100+QuantileWindow), s.Mean, 1e-12)
}

// recorder is an observer that writes the events down.
type recorder struct {
	names []string
	pages []PageEvent
	steps []StepEvent
}

func (r *recorder) observer() Observer {
	page := func(name string) func(PageEvent) {
		return func(e PageEvent) { r.names, r.pages = append(r.names, name), append(r.pages, e) }
	}
	return Observer{
		Compiled: func(e CompileEvent) { r.names = append(r.names, "compiled "+e.Program+" "+e.Took.String()) },
		Queued:   page("queued"), Started: page("started"), FirstToken: page("first"), Evicted: page("evicted"), Finished: page("finished"),
		Step: func(e StepEvent) { r.names, r.steps = append(r.names, "step"), append(r.steps, e) },
	}
}

func TestCollector(t *testing.T) {
	var r recorder
	clock := newTestClock()
	c := newStatsCollector(r.observer(), 2)
	clock.on(c)
	c.compiled(qwen.ProgramStats{Name: "block 8", CompileTime: 3 * time.Second})
	a, b := c.queued(), c.queued()
	require.Equal(t, PageStats{Queued: 2}, c.Snapshot().Pages)
	clock.seconds(1)
	c.started(a)
	clock.seconds(2)
	c.firstToken(a, &page{prompt: 400, visual: 352})
	require.Equal(t, PageStats{Queued: 1, Running: 1}, c.Snapshot().Pages)
	require.InDelta(t, 200, c.Snapshot().Tokens.PrefillRate, 1e-9)
	require.Zero(t, c.Snapshot().Tokens.DecodeRate)
	c.started(b)
	clock.seconds(1)
	c.firstToken(b, &page{prompt: 100, visual: 64})
	c.cached(500, 2048)
	clock.seconds(2)
	c.step(2, 2, time.Second)
	clock.seconds(1)
	c.step(1, 1, time.Second)
	c.evicted(b)
	require.Equal(t, PageStats{Queued: 1, Running: 1, Evictions: 1}, c.Snapshot().Pages)
	bad := errors.New("bad")
	c.finished(b, Output{}, bad)
	out := Output{Text: "x", Finish: FinishStop}
	c.finished(a, out, nil)
	c.finished(a, out, nil) // does nothing
	c.started(a)
	c.firstToken(a, &page{prompt: 1, visual: 1})
	c.evicted(a)
	gone := c.queued()
	c.finished(gone, Output{Finish: FinishCanceled}, context.Canceled)
	c.finished(c.queued(), Output{}, fmt.Errorf("x: %w", ErrClosed))

	s := c.Snapshot()
	require.Equal(t, PageStats{Done: 1, Failed: 1, Canceled: 2, Evictions: 1}, s.Pages)
	require.Equal(t, SlotStats{Total: 2, Steps: 2, MeanActive: 1.5}, s.Slots)
	require.Equal(t, TokenStats{Prompt: 500, Visual: 416, Generated: 5, PrefillRate: s.Tokens.PrefillRate, DecodeRate: s.Tokens.DecodeRate}, s.Tokens)
	require.InDelta(t, 1.5, s.Tokens.DecodeRate, 0.02)
	require.Equal(t, DurationStats{Count: 2, Mean: 2, Max: 3, Last: 3, P50: 1, P90: 3, P99: 3}, s.Waiting)
	require.Equal(t, DurationStats{Count: 2, Mean: 3.5, Max: 4, Last: 4, P50: 3, P90: 4, P99: 4}, s.FirstToken)
	require.Equal(t, DurationStats{Count: 1, Mean: 7, Max: 7, Last: 7, P50: 7, P90: 7, P99: 7}, s.PageTime)
	require.Equal(t, CacheStats{Tokens: 500, Capacity: 2048}, s.Cache)
	require.Equal(t, 7.0, s.Uptime)
	require.Zero(t, s.Programs)
	require.Zero(t, s.Memory)

	require.Equal(t, []string{
		"compiled block 8 3s", "queued", "queued", "started", "first", "started", "first", "step", "step", "evicted", "finished", "finished",
		"queued", "finished", "queued", "finished",
	}, r.names)
	require.Equal(t, []StepEvent{{Active: 2, Slots: 2, Tokens: 2, Took: time.Second}, {Active: 1, Slots: 2, Tokens: 1, Took: time.Second}}, r.steps)
	require.Equal(t, PageEvent{Page: 1}, r.pages[0])
	require.Equal(t, PageEvent{
		Page: 2, Since: 7 * time.Second, Waited: 3 * time.Second, FirstToken: 4 * time.Second, PromptTokens: 100, VisualTokens: 64, Err: bad,
	}, r.pages[7])
	require.Equal(t, PageEvent{
		Page: 1, Since: 7 * time.Second, Waited: time.Second, FirstToken: 3 * time.Second, PromptTokens: 400, VisualTokens: 352, Output: out,
	}, r.pages[8])
	require.ErrorIs(t, r.pages[10].Err, context.Canceled)
}

// An evicted page has waited and written its first token once, and its prompt is read again.
func TestCollectorEvicted(t *testing.T) {
	clock := newTestClock()
	c := newStatsCollector(Observer{}, 1)
	clock.on(c)
	p := c.queued()
	for range 2 {
		clock.seconds(1)
		c.started(p)
		clock.seconds(1)
		c.firstToken(p, &page{prompt: 100, visual: 90})
		c.evicted(p)
	}
	clock.seconds(1)
	c.started(p)
	c.finished(p, Output{Finish: FinishLength}, nil)
	s := c.Snapshot()
	require.Equal(t, PageStats{Done: 1, Evictions: 2}, s.Pages)
	require.Equal(t, [2]int64{200, 180}, [2]int64{s.Tokens.Prompt, s.Tokens.Visual})
	require.Equal(t, DurationStats{Count: 1, Mean: 1, Max: 1, Last: 1, P50: 1, P90: 1, P99: 1}, s.Waiting)
	require.Equal(t, DurationStats{Count: 1, Mean: 2, Max: 2, Last: 2, P50: 2, P90: 2, P99: 2}, s.FirstToken)
	require.Equal(t, 5.0, s.PageTime.Last)
}

func TestCollectorSources(t *testing.T) {
	clock := newTestClock()
	c := newStatsCollector(Observer{}, 1)
	clock.on(c)
	reads, memoryErr := 0, error(nil)
	c.attach(func() qwen.Stats {
		return qwen.Stats{Compilations: 3, Programs: 3, CompileTime: 1500 * time.Millisecond, Calls: 7, CallTime: time.Minute}
	}, func(ctx context.Context) (MemoryStats, error) {
		_, bounded := ctx.Deadline()
		require.True(t, bounded)
		reads++
		return MemoryStats{Used: int64(reads), Source: MemoryPJRT}, memoryErr
	})
	s := c.Snapshot()
	require.Equal(t, ProgramStats{Compilations: 3, CompileTime: 1.5, Programs: 3, Calls: 7, CallTime: 60}, s.Programs)
	require.EqualValues(t, 1, s.Memory.Used)
	clock.wait(memoryAge - 1)
	require.EqualValues(t, 1, c.Snapshot().Memory.Used, "a reading lasts for a while")
	clock.wait(1)
	require.EqualValues(t, 2, c.Snapshot().Memory.Used)
	memoryErr = errors.New("no driver")
	clock.seconds(1)
	require.Equal(t, "no driver", c.Snapshot().MemoryError)
}

// The names in JSON are what monitoring programs hold on to.
func TestStatsJSON(t *testing.T) {
	data, err := json.Marshal(Stats{})
	require.NoError(t, err)
	const times = `{"count":0,"mean_seconds":0,"max_seconds":0,"last_seconds":0,"p50_seconds":0,"p90_seconds":0,"p99_seconds":0}`
	require.JSONEq(t, `{
		"uptime_seconds": 0,
		"pages": {"queued":0,"running":0,"done":0,"failed":0,"canceled":0,"evictions":0},
		"slots": {"in_use":0,"total":0,"steps":0,"mean_active":0},
		"tokens": {"prompt":0,"visual":0,"cached":0,"generated":0,"prefill_per_second":0,"decode_per_second":0},
		"waiting": `+times+`, "first_token": `+times+`, "page_time": `+times+`,
		"cache": {"tokens":0,"capacity":0,"vision_hits":0,"prefix_hits":0},
		"programs": {"compilations":0,"compile_seconds":0,"loaded":0,"load_seconds":0,"programs":0,"calls":0,"call_seconds":0},
		"memory": {"used_bytes":0,"reserved_bytes":0,"peak_bytes":0,"total_bytes":0,"available_bytes":0,"source":""}
	}`, string(data))
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	var back Stats
	require.NoError(t, decoder.Decode(&back))
	require.Equal(t, Stats{}, back)
}

// Pages come and go on several goroutines, while others look, the observer among them.
func TestCollectorRace(t *testing.T) {
	const workers, pages = 8, 40
	var c *statsCollector
	var mu sync.Mutex
	events := map[string]int{}
	hear := func(name string) func(PageEvent) {
		return func(PageEvent) {
			c.Snapshot()
			mu.Lock()
			defer mu.Unlock()
			events[name]++
		}
	}
	c = newStatsCollector(Observer{Queued: hear("queued"), Finished: hear("finished"), Step: func(StepEvent) { c.Snapshot() }}, workers)
	c.attach(func() qwen.Stats { return qwen.Stats{} }, func(context.Context) (MemoryStats, error) { return MemoryStats{Used: 1}, nil })
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range pages {
				p := c.queued()
				c.started(p)
				c.firstToken(p, &page{prompt: 10, visual: 8})
				c.step(1, 1, time.Microsecond)
				c.cached(i, 100)
				c.compiled(qwen.ProgramStats{Name: "x", CompileTime: 0})
				switch w % 4 {
				case 0:
					c.finished(p, Output{Finish: FinishStop}, nil)
				case 1:
					c.evicted(p)
					c.finished(p, Output{Finish: FinishCanceled}, context.Canceled)
				default:
					c.finished(p, Output{}, errors.New("x"))
				}
			}
		})
	}
	wg.Wait()
	s := c.Snapshot()
	require.Equal(t, PageStats{Done: 2 * pages, Canceled: 2 * pages, Failed: 4 * pages, Evictions: 2 * pages}, s.Pages)
	require.Equal(t, TokenStats{
		Prompt: 10 * workers * pages, Visual: 8 * workers * pages, Generated: 2 * workers * pages,
		PrefillRate: s.Tokens.PrefillRate, DecodeRate: s.Tokens.DecodeRate,
	}, s.Tokens)
	require.Equal(t, map[string]int{"queued": workers * pages, "finished": workers * pages}, events)
}
