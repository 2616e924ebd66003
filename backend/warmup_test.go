package backend_test

import (
	"image"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/qwen"
)

// compilations are the programs that an engine has compiled so far.
type compilations struct {
	mu   sync.Mutex
	list []string
}

func (c *compilations) add(program string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, program)
}

// After a warm-up small pages compile nothing, however many of them are written together.
func TestWarmup(t *testing.T) {
	for _, model := range []string{goldenModel, "../qwen/testdata/golden/qwen3_5_long"} {
		var compiled compilations
		e := loadEngine(t, backend.LoadOptions{Model: model, MaxBatch: 4, Observer: backend.Observer{
			Compiled: func(e backend.CompileEvent) { compiled.add(e.Program) },
		}})
		require.NoError(t, e.Warmup(t.Context()))
		warm := len(compiled.list)
		programs := []string{"sample 1", "sample 2", "sample 4"}
		if d := os.Getenv("OMNIDOCS_DEVICE"); d != "" && d != "go" { // there the host looks up tokens itself
			programs = append(programs, "embed 1", "embed 4")
		}
		for _, program := range programs {
			require.Contains(t, compiled.list, program)
		}
		readWarm(t, e, 6, backend.Request{
			Image: image.NewGray(image.Rect(0, 0, warmSide, warmSide)), Prompt: "x", MaxNewTokens: 100, CheckpointBounds: true,
			Sampling: backend.Sampling{Temperature: 2}, Repetition: backend.Repetition{Off: true},
		})
		require.Empty(t, compiled.list[warm:], model)
	}
}

const warmSide = 256

// After a warm-up for a page that is planned, such pages compile nothing, however many are written together and however long their
// answers are: where the host writes the cache, and where the programs do.
func TestWarmupForPlannedPage(t *testing.T) {
	page := backend.PlanPage{Width: 500, Height: 300, System: "You read.", MinPixels: 520 * 32 * 32, MaxPixels: 560 * 32 * 32}
	for name, load := range map[string]func(o backend.LoadOptions, compiled *compilations) *backend.Engine{
		"host": func(o backend.LoadOptions, compiled *compilations) *backend.Engine {
			o.Observer.Compiled = func(e backend.CompileEvent) { compiled.add(e.Program) }
			return loadEngine(t, o)
		},
		"device": func(o backend.LoadOptions, compiled *compilations) *backend.Engine {
			device, err := backend.Open(t.Context(), os.Getenv("OMNIDOCS_DEVICE"))
			require.NoError(t, err)
			r := device.Runtime()
			r.HostCache = false
			m, err := qwen.Load(t.Context(), r, os.DirFS(goldenModel), qwen.LoadOptions{
				Compiled: func(p qwen.ProgramStats) { compiled.add(p.Name) },
			})
			require.NoError(t, err)
			e := backend.NewEngine(m, device, o)
			t.Cleanup(func() { require.NoError(t, e.Close()) })
			return e
		},
	} {
		if d := os.Getenv("OMNIDOCS_DEVICE"); name == "device" && (d == "" || d == "go") {
			continue // there the host does
		}
		for _, prefix := range []int64{-1, 1 << 24} { // pages that begin behind others too
			var compiled compilations
			e := load(backend.LoadOptions{MaxBatch: 6, MaxModelLen: 1100, Page: page, PrefixCache: prefix}, &compiled)
			require.NoError(t, e.Warmup(t.Context()))
			warm := len(compiled.list)
			readWarm(t, e, 9, backend.Request{
				Image: image.NewGray(image.Rect(0, 0, page.Width, page.Height)), Prompt: "qwenvl markdown", System: page.System,
				MaxNewTokens: 450, MinPixels: page.MinPixels, MaxPixels: page.MaxPixels, Repetition: backend.Repetition{Off: true},
			})
			require.Empty(t, compiled.list[warm:], name)
			require.Equal(t, prefix > 0, e.Stats().Cache.PrefixHits > 0)
		}
	}
}

// readWarm reads pages together whose answers have different lengths, up to that of the request.
func readWarm(t *testing.T, e *backend.Engine, n int, r backend.Request) {
	t.Helper()
	pages := make([]backend.Request, n)
	for i := range pages {
		pages[i] = r
		pages[i].MaxNewTokens = r.MaxNewTokens * (n - i) / n
		pages[i].Sampling.Seed = uint64(i)
	}
	longest := 0
	for _, out := range generate(t, e, pages) {
		longest = max(longest, len(out.Tokens))
	}
	require.GreaterOrEqual(t, longest, r.MaxNewTokens*9/10)
}
