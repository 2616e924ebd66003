package backend_test

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
)

// Pages that arrive at random, more of them than there are slots, write what each writes alone.
func TestRandomArrivals(t *testing.T) {
	pages := testPages(t)
	for _, name := range []string{"qwen3_vl_two_images", "qwen3_5_long"} {
		t.Run(name, func(t *testing.T) {
			model := filepath.Join("..", "qwen", "testdata", "golden", name)
			r := rand.New(rand.NewPCG(31, 32))
			var requests []backend.Request
			for i := range 24 {
				q := backend.Request{Image: pages[i%len(pages)], Prompt: fmt.Sprintf("page %d", i%5), MaxNewTokens: 1 + r.IntN(30)}
				if i%4 == 0 { // large enough that those which come again begin behind their picture
					q.MinPixels, q.MaxPixels = 100*32*32, 128*32*32
				}
				if i%2 == 1 {
					q.Sampling = backend.Sampling{Temperature: 0.9, TopK: 40, TopP: 0.95, Seed: uint64(i)}
				}
				requests = append(requests, q)
			}
			one := loadEngine(t, backend.LoadOptions{Model: model, VisionCache: -1, PrefixCache: -1})
			var want [][]int32
			for _, q := range requests {
				out, err := one.Read(t.Context(), q)
				require.NoError(t, err)
				want = append(want, out.Tokens)
			}
			e := loadEngine(t, backend.LoadOptions{Model: model, MaxBatch: 5, PrefixCache: 1 << 24})
			var wg sync.WaitGroup
			for _, i := range r.Perm(len(requests)) {
				wg.Go(func() {
					out, err := e.Read(context.Background(), requests[i])
					if err != nil || fmt.Sprint(out.Tokens) != fmt.Sprint(want[i]) {
						t.Errorf("request %d: %v, %v, want %v", i, out.Tokens, err, want[i])
					}
				})
				time.Sleep(time.Duration(r.IntN(12)) * time.Millisecond)
			}
			wg.Wait()
			require.Positive(t, e.Stats().Cache.PrefixHits)
		})
	}
}

// A page that is being written goes on while a large one is admitted.
func TestWritersAreNotStarved(t *testing.T) {
	e := loadEngine(t, backend.LoadOptions{MaxBatch: 2})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var written atomic.Int64
	begun := make(chan struct{})
	ended := make(chan error, 1)
	long := backend.Request{Image: testPages(t)[0], Prompt: "x", MaxNewTokens: 1800, Progress: func(n int) {
		if n == 1 {
			close(begun)
		}
		written.Store(int64(n))
	}}
	require.NoError(t, e.Submit(ctx, long, func(_ backend.Output, err error) { ended <- err }))
	<-begun
	before := written.Load()
	var during int64
	large := backend.Request{Image: testPages(t)[3], Prompt: "x", MaxNewTokens: 1, MinPixels: 200 * 32 * 32, MaxPixels: 256 * 32 * 32, Progress: func(int) {
		during = written.Load() - before
	}}
	_, err := e.Read(t.Context(), large)
	require.NoError(t, err)
	require.Greater(t, during, int64(3), "tokens written beside the admission")
	cancel()
	if err := <-ended; err != nil { // all may be written by now
		require.ErrorIs(t, err, context.Canceled)
	}
}

// A queue that is canceled ends at once, also behind a page that goes on; nothing is left running.
func TestCancelQueued(t *testing.T) {
	before := runtime.NumGoroutine()
	e, err := backend.Load(t.Context(), backend.LoadOptions{Model: goldenModel, Device: "go"})
	require.NoError(t, err)
	page := testPages(t)[0]
	other, stopOther := context.WithCancel(t.Context())
	begun := make(chan struct{}, 1)
	ended := make(chan error, 1)
	require.NoError(t, e.Submit(other, backend.Request{Image: page, Prompt: "x", MaxNewTokens: 1900, Progress: func(int) {
		select {
		case begun <- struct{}{}:
		default:
		}
	}}, func(_ backend.Output, err error) { ended <- err }))
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(30*time.Millisecond, cancel)
	requests := make([]backend.Request, 10000)
	for i := range requests {
		requests[i] = backend.Request{Image: page, Prompt: "x", MaxNewTokens: 5}
	}
	canceled := 0
	err = e.Generate(ctx, requests, func(_ int, out backend.Output, err error) {
		if errors.Is(err, context.Canceled) && out.Finish == backend.FinishCanceled {
			canceled++
		}
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Greater(t, canceled, 9000)
	select {
	case err := <-ended:
		require.NoError(t, err, "the other page is not harmed")
	default:
	}
	stopOther()
	require.NoError(t, e.Close())
	requireGoroutines(t, before)
}

// Close during work: pages that are being written end, the others fail, and each is told once.
func TestCloseDuringWork(t *testing.T) {
	e, err := backend.Load(t.Context(), backend.LoadOptions{Model: goldenModel, Device: "go", MaxBatch: 2})
	require.NoError(t, err)
	begun := make(chan struct{}, 100)
	var wg sync.WaitGroup
	var done, closed atomic.Int64
	for range 20 {
		wg.Go(func() {
			out, err := e.Read(context.Background(), backend.Request{Image: testPages(t)[0], Prompt: "x", MaxNewTokens: 40, Progress: func(int) { begun <- struct{}{} }})
			switch {
			case err == nil && len(out.Tokens) == 40:
				done.Add(1)
			case errors.Is(err, backend.ErrClosed):
				closed.Add(1)
			default:
				t.Errorf("%v %v", out, err)
			}
		})
	}
	go func() {
		for range begun {
		}
	}()
	time.Sleep(20 * time.Millisecond)
	require.NoError(t, e.Close())
	wg.Wait()
	close(begun)
	require.EqualValues(t, 20, done.Load()+closed.Load())
	require.Positive(t, closed.Load())
}

// A page that is read again has its visual tokens from the first time.
func TestVisionCache(t *testing.T) {
	page := testPages(t)[0]
	request := func(prompt string) backend.Request {
		return backend.Request{Image: page, Prompt: prompt, MaxNewTokens: 12}
	}
	fresh := loadEngine(t, backend.LoadOptions{VisionCache: -1})
	kept := loadEngine(t, backend.LoadOptions{})
	for _, prompt := range []string{"qwenvl markdown", "qwenvl html", "qwenvl markdown"} {
		want, err := fresh.Read(t.Context(), request(prompt))
		require.NoError(t, err)
		got, err := kept.Read(t.Context(), request(prompt))
		require.NoError(t, err)
		require.Equal(t, want.Tokens, got.Tokens)
	}
	require.EqualValues(t, 2, kept.Stats().Cache.VisionHits)
	require.Zero(t, fresh.Stats().Cache.VisionHits)
}

// Hundreds of pages leave nothing behind: neither goroutines nor memory.
func TestNothingIsLeft(t *testing.T) {
	e := loadEngine(t, backend.LoadOptions{MaxBatch: 3})
	pages := testPages(t)
	read := func(n int) {
		requests := make([]backend.Request, n)
		for i := range requests {
			requests[i] = backend.Request{Image: pages[i%len(pages)], Prompt: "x", MaxNewTokens: 1 + i%7}
		}
		require.NoError(t, e.Generate(t.Context(), requests, func(_ int, _ backend.Output, err error) { require.NoError(t, err) }))
	}
	// What Go has freed goes back to the system first, or that would be most of what is measured.
	memory := func() float64 {
		debug.FreeOSMemory()
		m, err := e.Memory(t.Context())
		require.NoError(t, err)
		return float64(m.Used)
	}
	heap := func() float64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	read(100)
	resident, before, goroutines := memory(), heap(), runtime.NumGoroutine()
	read(pagesToRead())
	used := memory()
	t.Logf("%.1f MB are resident after 100 pages, %.1f MB after %d more", resident/1e6, used/1e6, pagesToRead())
	require.LessOrEqual(t, used, 1.05*resident)
	require.LessOrEqual(t, heap(), 1.05*before+1e6)
	requireGoroutines(t, goroutines)
}

// requireGoroutines waits until no more than n goroutines are left.
func requireGoroutines(t *testing.T, n int) {
	t.Helper()
	for range 500 {
		if runtime.NumGoroutine() <= n {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	stacks := make([]byte, 1<<20)
	require.Fail(t, "goroutines are left", "%s", stacks[:runtime.Stack(stacks, true)])
}

// pagesToRead is 200, or more where somebody has the time.
func pagesToRead() int {
	n := 200
	_, _ = fmt.Sscan(os.Getenv("OMNIDOCS_PAGES"), &n) // unset is 200
	return n
}

func BenchmarkRead(b *testing.B) {
	e := loadEngine(b, backend.LoadOptions{})
	page := backend.Request{Image: image.NewRGBA(image.Rect(0, 0, 128, 128)), Prompt: "x", MaxNewTokens: 16}
	for b.Loop() {
		if _, err := e.Read(b.Context(), page); err != nil {
			b.Fatal(err)
		}
	}
}

// The engine's own counts agree with what its pages say.
func TestEngineStats(t *testing.T) {
	var steps, finished, compiled atomic.Int64
	e := loadEngine(t, backend.LoadOptions{MaxBatch: 2, Observer: backend.Observer{
		Compiled: func(e backend.CompileEvent) {
			if !e.Loaded {
				compiled.Add(1)
			}
		},
		Finished: func(backend.PageEvent) { finished.Add(1) },
		Step:     func(backend.StepEvent) { steps.Add(1) },
	}})
	var requests []backend.Request
	for i, page := range testPages(t) {
		requests = append(requests, backend.Request{Image: page, Prompt: "x", MaxNewTokens: 3 + 4*i})
	}
	var tokens, prompt int
	for _, out := range generate(t, e, requests) {
		tokens, prompt = tokens+len(out.Tokens), prompt+out.PromptTokens
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, e.Submit(canceled, requests[0], nil), context.Canceled)
	_, err := e.Read(t.Context(), backend.Request{Prompt: "x"})
	require.ErrorContains(t, err, "no image")
	s := e.Stats()
	require.Equal(t, backend.PageStats{Done: 4, Failed: 1}, s.Pages)
	require.EqualValues(t, prompt, s.Tokens.Prompt)
	require.EqualValues(t, tokens, s.Tokens.Generated)
	require.EqualValues(t, 5, finished.Load())
	require.Equal(t, s.Slots.Steps, steps.Load())
	require.Zero(t, s.Slots.InUse)
	require.Equal(t, int64(s.Programs.Compilations), compiled.Load())
	require.Positive(t, s.Memory.Used)
}
