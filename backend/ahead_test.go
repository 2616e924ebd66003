package backend_test

import (
	"context"
	"fmt"
	"image"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/internal/devicetest"
	"github.com/omnidocs/omnidocs/qwen"
)

// groupingEngine is an engine that sends small pages through the vision tower together, as CUDA's does.
func groupingEngine(t *testing.T, o backend.LoadOptions, compiled *compilations) (*backend.Engine, *devicetest.Backend) {
	t.Helper()
	load := qwen.LoadOptions{Compiled: func(p qwen.ProgramStats) { compiled.add(p.Name) }}
	return engineOn(t, o, load, func(_ *backend.Device, r *qwen.Runtime) {
		r.HostPrompt = false
		r.ImagesTogether, r.StripeLimit, r.StripeRows, r.Workers, r.ExactShapes = 4, 4096, 4096, 0, false
	})
}

// groups are the numbers of images that have gone through the vision tower in one call.
func (c *compilations) groups() map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := map[string]bool{}
	for _, name := range c.list {
		if rest, ok := strings.CutPrefix(name, "images "); ok {
			found[rest[:1]] = true
		}
	}
	return found
}

// smallPages are pages of two sizes, which differ, one of them twice.
func smallPages(t *testing.T) []backend.Request {
	t.Helper()
	var requests []backend.Request
	for i := range 12 {
		size := image.Pt(96+32*(i%2), 64+2*i)
		if i%5 == 4 {
			size = image.Pt(170, 210)
		}
		img := image.NewGray(image.Rectangle{Max: size})
		for p := range img.Pix {
			img.Pix[p] = uint8(p * (i + 3) / 2)
		}
		s := []backend.Sampling{{}, {Temperature: 0.9, TopK: 40, TopP: 0.95, Seed: 7}}[i%2]
		requests = append(requests, backend.Request{Image: img, Prompt: "x", MaxNewTokens: 3 + 5*(i%4), Sampling: s})
	}
	return append(requests, requests[3])
}

// Pages whose pictures go through the vision tower together are written as they are alone; those that are canceled meanwhile, and those that
// an engine closes upon, leave nothing on the device; and so it is with little memory.
func TestSmallPagesTogether(t *testing.T) {
	requests := smallPages(t)
	one := loadEngine(t, backend.LoadOptions{})
	alone := generate(t, one, requests)
	for name, o := range map[string]backend.LoadOptions{"1 slot": {MaxBatch: 1}, "3 slots": {MaxBatch: 3}, "no vision cache": {MaxBatch: 8, VisionCache: -1}} {
		t.Run(name, func(t *testing.T) {
			var compiled compilations
			e, counted := groupingEngine(t, o, &compiled)
			for range 2 {
				for i, out := range generate(t, e, requests) {
					require.Equal(t, alone[i].Tokens, out.Tokens, "page %d", i)
					require.Equal(t, alone[i].VisualTokens, out.VisualTokens)
				}
			}
			require.NotEmpty(t, compiled.groups())
			closeEngine(t, e, counted)
		})
	}
	t.Run("canceled", func(t *testing.T) {
		var compiled compilations
		e, counted := groupingEngine(t, backend.LoadOptions{MaxBatch: 2, VisionCache: -1}, &compiled)
		ended := make(chan int, len(requests))
		cancels := make([]context.CancelFunc, len(requests))
		for i, r := range requests {
			ctx, cancel := context.WithCancel(t.Context())
			cancels[i] = cancel
			r.Progress = func(int) { cancels[min(i+2, len(requests)-1)]() } // of one that waits, and may have gone along
			require.NoError(t, e.Submit(ctx, r, func(out backend.Output, err error) {
				if err == nil {
					require.Equal(t, alone[i].Tokens, out.Tokens, "page %d", i)
				}
				ended <- i
			}))
			if i == len(requests)/2 {
				go e.Close()
				break
			}
		}
		for range len(requests)/2 + 1 {
			<-ended
		}
		closeEngine(t, e, counted)
	})
	t.Run("little memory", func(t *testing.T) {
		var compiled compilations
		e, counted := groupingEngine(t, backend.LoadOptions{MaxBatch: 3}, &compiled)
		largest := int64(0)
		for _, r := range requests {
			largest = max(largest, backend.Taken(t.Context(), e, r))
		}
		backend.SetRoom(e, largest)
		for i, out := range generate(t, e, requests) {
			require.Equal(t, alone[i].Tokens, out.Tokens, "page %d", i)
		}
		closeEngine(t, e, counted)
	})
	t.Run("no memory on the device", func(t *testing.T) {
		for at, failed := 1, true; failed; at += 1 + at/4 {
			var compiled compilations
			e, counted := groupingEngine(t, backend.LoadOptions{MaxBatch: 3, MemoryLimit: -1}, &compiled)
			var fail atomic.Bool
			counted.Fail(false, func(c devicetest.Call) error {
				if c.Number != at {
					return nil
				}
				fail.Store(true)
				return fmt.Errorf("on purpose: %w", devicetest.ErrExhausted)
			})
			for i, out := range generate(t, e, requests[:9]) {
				require.Equal(t, alone[i].Tokens, out.Tokens, "page %d after call %d failed", i, at)
			}
			closeEngine(t, e, counted)
			failed = fail.Load()
		}
	})
}
