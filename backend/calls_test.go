package backend_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/qwen"
)

// loopingEngine is an engine that has the cache on the device and writes several tokens a call, as CUDA's does.
func loopingEngine(t *testing.T, model string, o backend.LoadOptions) *backend.Engine {
	t.Helper()
	device, err := backend.Open(t.Context(), os.Getenv("OMNIDOCS_DEVICE"))
	require.NoError(t, err)
	r := device.Runtime()
	r.HostCache, r.LoopTokens = false, 8
	m, err := qwen.Load(t.Context(), r, os.DirFS(model), qwen.LoadOptions{})
	require.NoError(t, err)
	e := backend.NewEngine(m, device, o)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

// Pages that are written several tokens a call are what they are a token a call: greedy and drawn, of any length, ended by any
// token, each heard of as it was written; and a page that is canceled ends with what whole calls have written.
func TestTokensACall(t *testing.T) {
	if d := os.Getenv("OMNIDOCS_DEVICE"); d == "" || d == "go" {
		t.Skip("the pure-Go backend has no loops in its graphs: OMNIDOCS_DEVICE=xla:cpu")
	}
	// Each number of slots has programs of its own, and one that draws takes long to compile: few of both.
	for golden, o := range map[string]struct {
		slots, pages int
		sampling     backend.Sampling // of the last page
	}{"qwen3_vl_two_images": {2, 3, backend.Sampling{}}, "qwen3_5_long": {1, 2, backend.Sampling{Temperature: 0.9, TopK: 40, TopP: 0.95, Seed: 7}}} {
		t.Run(golden, func(t *testing.T) {
			model := filepath.Join("..", "qwen", "testdata", "golden", golden)
			var requests []backend.Request
			for i, img := range testPages(t)[:o.pages] {
				requests = append(requests, backend.Request{Image: img, Prompt: "qwenvl markdown", MaxNewTokens: 12 + 7*i})
			}
			requests[o.pages-1].Sampling = o.sampling
			want := generate(t, loadEngine(t, backend.LoadOptions{Model: model, MaxBatch: o.slots}), requests)
			e := loopingEngine(t, model, backend.LoadOptions{MaxBatch: o.slots})
			for i := range requests {
				requests[i].Progress = func(n int) { require.LessOrEqual(t, n, len(want[i].Tokens)) }
			}
			got := generate(t, e, requests)
			for i := range requests {
				require.Equal(t, want[i].Tokens, got[i].Tokens, "page %d", i)
				require.Equal(t, want[i].Finish, got[i].Finish)
				require.InDeltaSlice(t, want[i].LogProbs, got[i].LogProbs, 1e-3)
			}
			require.Less(t, e.Stats().Slots.Steps, e.Stats().Tokens.Generated/4, "several tokens a call")

			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r := requests[0]
			r.MaxNewTokens = 400
			r.Progress = func(n int) {
				if n == 11 {
					cancel()
				}
			}
			out, err := e.Read(ctx, r)
			require.ErrorIs(t, err, context.Canceled)
			require.Equal(t, backend.FinishCanceled, out.Finish)
			require.Equal(t, want[0].Tokens, out.Tokens[:len(want[0].Tokens)])
			require.Len(t, out.Tokens, 1+2*8, "the call is not interrupted")
		})
	}
}
