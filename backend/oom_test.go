package backend_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/gomlx/compute/dtypes"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/internal/devicetest"
	"github.com/omnidocs/omnidocs/qwen"
)

// countedEngine is an engine on a device that counts what is on it, and fails when it is told to. hostCache is that of qwen.Runtime,
// where the device can do without.
func countedEngine(t *testing.T, hostCache bool, o backend.LoadOptions) (*backend.Engine, *devicetest.Backend) {
	t.Helper()
	return engineOn(t, o, qwen.LoadOptions{}, func(d *backend.Device, r *qwen.Runtime) { r.HostCache = hostCache || !d.IsXLA() })
}

// engineOn is an engine on a device that counts what is on it, with a runtime that differs from the device's own.
func engineOn(t *testing.T, o backend.LoadOptions, load qwen.LoadOptions, change func(*backend.Device, *qwen.Runtime)) (*backend.Engine, *devicetest.Backend) {
	t.Helper()
	name := os.Getenv("OMNIDOCS_DEVICE")
	if name == "" {
		name = "go"
	}
	device, err := backend.Open(t.Context(), name)
	require.NoError(t, err)
	r := device.Runtime()
	counted := devicetest.Wrap(r.Backend, r.Round)
	r.Backend = counted
	change(device, &r)
	m, err := qwen.Load(t.Context(), r, os.DirFS(goldenModel), load)
	require.NoError(t, err)
	return backend.NewEngine(m, device, o), counted
}

// closeEngine closes an engine and sees that nothing is left on its device.
func closeEngine(t *testing.T, e *backend.Engine, counted *devicetest.Backend) {
	t.Helper()
	counted.Fail(false, nil)
	require.NoError(t, e.Close())
	buffers, bytes := counted.Live()
	require.Zero(t, buffers, "%d bytes are left on the device", bytes)
}

func oomRequests(t *testing.T) []backend.Request {
	t.Helper()
	var requests []backend.Request
	for i, img := range testPages(t)[:3] {
		s := []backend.Sampling{{}, {Temperature: 0.9, TopK: 40, TopP: 0.95, Seed: 7}}[i%2]
		requests = append(requests, backend.Request{Image: img, Prompt: "qwenvl markdown", MaxNewTokens: 4 + 3*i, Sampling: s})
	}
	return requests
}

// Whichever call to the device finds no memory, each page ends as it does alone, and nothing is left behind.
func TestOutOfMemoryAnywhere(t *testing.T) {
	requests := append(oomRequests(t), large(t, 0, "qwenvl markdown"), large(t, 0, "qwenvl html")) // the last behind the one before it
	var want []backend.Output
	for _, r := range requests {
		want = append(want, generate(t, loadEngine(t, backend.LoadOptions{}), []backend.Request{r})...)
	}
	stride := 7
	if os.Getenv("OMNIDOCS_DEVICE") != "" {
		stride = 1 // each engine compiles its programs anew
	}
	for _, hostCache := range []bool{true, false} {
		if !hostCache && os.Getenv("OMNIDOCS_DEVICE") == "" {
			continue // the pure-Go backend has no other
		}
		calls := 0
		for at := 1; ; at += 1 + at/stride {
			e, counted := countedEngine(t, hostCache, backend.LoadOptions{MaxBatch: 3, MemoryLimit: -1})
			var mu sync.Mutex
			var failed devicetest.Call
			calls = 0
			counted.Fail(!hostCache, func(c devicetest.Call) error {
				mu.Lock()
				defer mu.Unlock()
				calls = max(calls, c.Number)
				if c.Number == at {
					failed = c
					return fmt.Errorf("on purpose: %w", devicetest.ErrExhausted)
				}
				return nil
			})
			for i, out := range generate(t, e, requests) {
				require.Equal(t, want[i].Tokens, out.Tokens, "page %d after call %d failed: %v", i, at, failed)
				require.Equal(t, want[i].Text, out.Text)
			}
			require.Zero(t, e.Stats().Pages.Failed)
			closeEngine(t, e, counted)
			if failed.Op == "" {
				require.Greater(t, at, calls)
				break
			}
		}
		require.Greater(t, calls, 100)
	}
}

// A page that is too large for the device fails, or is read smaller, as its request says. Its neighbors are read as ever.
func TestOutOfMemoryPage(t *testing.T) {
	requests := oomRequests(t)
	large := testPages(t)[3]
	engine := func() (*backend.Engine, *devicetest.Backend) { // in whose vision tower programs are called, as on a device with a memory of its own
		o := backend.LoadOptions{MaxBatch: 2, MemoryLimit: -1}
		return engineOn(t, o, qwen.LoadOptions{}, func(_ *backend.Device, r *qwen.Runtime) { r.HostPrompt = false })
	}
	for _, retries := range []int{0, 3} {
		e, counted := engine()
		want := generate(t, e, requests)
		before, err := e.Read(t.Context(), backend.Request{Image: large, Prompt: "x", MaxNewTokens: 3})
		require.NoError(t, err)
		tokens := before.VisualTokens
		e2, counted2 := engine()
		most := largestPatches(requests, want)
		counted2.Fail(false, func(c devicetest.Call) error {
			var rows int
			if _, err := fmt.Sscanf(c.Name, "patch %d", &rows); err == nil && c.Op == "execute" && rows > most {
				return devicetest.ErrExhausted
			}
			return nil
		})
		all := append([]backend.Request{{Image: large, Prompt: "x", MaxNewTokens: 3, OutOfMemoryRetries: retries}}, requests...)
		ended := 0
		require.NoError(t, e2.Generate(t.Context(), all, func(i int, out backend.Output, err error) {
			ended++
			switch {
			case i > 0:
				require.NoError(t, err)
				require.Equal(t, want[i-1].Tokens, out.Tokens)
			case retries == 0:
				require.ErrorIs(t, err, backend.ErrOutOfMemory)
				require.ErrorIs(t, err, devicetest.ErrExhausted)
				var oom *backend.OutOfMemoryError
				require.ErrorAs(t, err, &oom)
				require.Equal(t, tokens, oom.Page.VisualTokens)
				require.NotNil(t, oom.Plan)
				require.Contains(t, err.Error(), "smaller MaxPixels")
			default:
				require.NoError(t, err)
				require.Less(t, out.VisualTokens, tokens)
			}
		}))
		require.Equal(t, 4, ended)
		closeEngine(t, e, counted)
		closeEngine(t, e2, counted2)
	}
}

// largestPatches is the most patches that one of the pages was run as.
func largestPatches(requests []backend.Request, outputs []backend.Output) int {
	most := 0
	for i := range requests {
		most = max(most, 4*outputs[i].VisualTokens)
	}
	return (most + 127) / 128 * 128 // as XLA pads them
}

// What memory has no room for waits: pages for the largest that is on its way, and the cache for pages. Where pages that are there get
// longer than there is room for, those that came last begin again. All are read as they are alone.
func TestLittleMemory(t *testing.T) {
	p := planner(t)
	small := qwen.Bounds{MinPixels: 1, MaxPixels: 4096}
	page, err := p.Page(96, 64, small, qwen.Prompt{Text: "x"})
	require.NoError(t, err)
	for name, test := range map[string]struct {
		room   int64
		bounds qwen.Bounds
		evicts bool
	}{
		"the largest page alone": {largestPage(t), qwen.Bounds{}, false},
		"three short pages":      {p.Cache(3, 256).Most() + page.Peak(), small, true},
	} {
		t.Run(name, func(t *testing.T) {
			var requests []backend.Request
			for i, img := range testPages(t) {
				requests = append(requests, backend.Request{
					Image: img, Prompt: "x", MaxNewTokens: 300 - 10*i, Repetition: backend.Repetition{Off: true},
					MinPixels: test.bounds.MinPixels, MaxPixels: test.bounds.MaxPixels,
				})
			}
			want := generate(t, loadEngine(t, backend.LoadOptions{}), requests)
			e, counted := countedEngine(t, true, backend.LoadOptions{MaxBatch: 4, MemoryLimit: -1})
			_, weights := counted.Live()
			backend.SetRoom(e, test.room)
			told := make([]string, len(requests))
			for i := range requests {
				requests[i].Text = func(offset int, text string) { told[i] = told[i][:offset] + text }
			}
			for i, out := range generate(t, e, requests) {
				require.Equal(t, want[i].Tokens, out.Tokens, "page %d", i)
				require.Equal(t, out.Text, told[i], "what was told is what was written, though the page began again")
			}
			require.LessOrEqual(t, counted.Peak()-weights, test.room+e.Plan().VisionCache+e.Plan().PrefixCache, "the limit is kept to")
			s := e.Stats()
			require.EqualValues(t, 4, s.Pages.Done)
			require.Zero(t, s.Pages.Running+s.Pages.Queued)
			require.Equal(t, test.evicts, s.Pages.Evictions > 0, "%d evictions", s.Pages.Evictions)
			closeEngine(t, e, counted)
		})
	}
}

// planner is that of the engines of these tests.
func planner(t *testing.T) *qwen.Planner {
	t.Helper()
	name := os.Getenv("OMNIDOCS_DEVICE")
	if name == "" {
		name = "go"
	}
	device, err := backend.Open(t.Context(), name)
	require.NoError(t, err)
	p, err := qwen.NewPlanner(os.DirFS(goldenModel), device.Runtime(), dtypes.Float32)
	require.NoError(t, err)
	require.NoError(t, device.Close())
	return p
}

// largestPage is what the largest of the test's pages needs, with its cache.
func largestPage(t *testing.T) int64 {
	t.Helper()
	p, most := planner(t), int64(0)
	for _, img := range testPages(t) {
		page, err := p.Page(img.Bounds().Dx(), img.Bounds().Dy(), p.Processor().DocumentBounds(), qwen.Prompt{Text: "x"})
		require.NoError(t, err)
		most = max(most, page.Peak()+p.Cache(1, page.PromptTokens+1).Most())
	}
	return most
}

// A page that is canceled while it waits for memory ends, and the engine goes on.
func TestCanceledWhileWaiting(t *testing.T) {
	e, counted := countedEngine(t, true, backend.LoadOptions{MaxBatch: 2, MemoryLimit: -1})
	backend.SetRoom(e, largestPage(t))
	long := backend.Request{Image: testPages(t)[0], Prompt: "x", MaxNewTokens: 400, Repetition: backend.Repetition{Off: true}}
	started := make(chan struct{})
	var once sync.Once
	long.Progress = func(n int) {
		if n == 280 { // its cache has been made larger: there is no room for another page
			once.Do(func() { close(started) })
		}
	}
	done := make(chan error, 2)
	require.NoError(t, e.Submit(t.Context(), long, func(_ backend.Output, err error) { done <- err }))
	<-started
	ctx, cancel := context.WithCancel(t.Context())
	require.NoError(t, e.Submit(ctx, backend.Request{Image: testPages(t)[3], Prompt: "x", MaxNewTokens: 2}, func(_ backend.Output, err error) { done <- err }))
	cancel()
	for range 2 {
		select {
		case err := <-done:
			if err != nil {
				require.ErrorIs(t, err, context.Canceled)
			}
		case <-time.After(time.Minute):
			t.Fatal("a page hangs")
		}
	}
	closeEngine(t, e, counted)
}

// The words of PJRT, CUDA and go-xla are recognized, others are not.
func TestExhaustedWords(t *testing.T) {
	for text, want := range map[string]bool{
		"PJRT error (code=8): RESOURCE_EXHAUSTED: Out of memory allocating 17 bytes": true,
		"PJRT error (code=8): something":                                             true,
		"CUDA_ERROR_OUT_OF_MEMORY: out of memory":                                    true,
		"Out of memory while trying to allocate 5 bytes":                             true,
		"PJRT error (code=3): INVALID_ARGUMENT":                                      false,
		"the page has run out of memory lane":                                        false,
	} {
		require.Equal(t, want, backend.Exhausted(errors.New(text)), text)
	}
	require.False(t, backend.Exhausted(nil))
}
