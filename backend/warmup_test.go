package backend_test

import (
	"image"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
)

// After a warm-up small pages compile nothing, however many of them are written together.
func TestWarmup(t *testing.T) {
	for _, model := range []string{goldenModel, "../qwen/testdata/golden/qwen3_5_long"} {
		var mu sync.Mutex
		var compiled []string
		e := loadEngine(t, backend.LoadOptions{Model: model, MaxBatch: 4, Observer: backend.Observer{Compiled: func(e backend.CompileEvent) {
			mu.Lock()
			defer mu.Unlock()
			compiled = append(compiled, e.Program)
		}}})
		require.NoError(t, e.Warmup(t.Context()))
		warm := len(compiled)
		for _, program := range []string{"greedy 1", "greedy 4", "sample 2", "sample 4"} {
			require.Contains(t, compiled, program)
		}
		pages := make([]backend.Request, 6)
		for i := range pages {
			pages[i] = backend.Request{
				Image: image.NewGray(image.Rect(0, 0, 256, 256)), Prompt: "x", MaxNewTokens: 100, CheckpointBounds: true,
				Sampling: backend.Sampling{Temperature: 2, Seed: uint64(i)}, Repetition: backend.Repetition{Off: true},
			}
		}
		generate(t, e, pages)
		require.Empty(t, compiled[warm:], model)
	}
}
