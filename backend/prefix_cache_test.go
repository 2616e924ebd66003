package backend_test

import (
	"image"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/internal/devicetest"
	"github.com/omnidocs/omnidocs/internal/hostmath"
	"github.com/omnidocs/omnidocs/internal/tiny"
)

// large is a request about a page of 100 to 128 visual tokens.
func large(t *testing.T, page int, prompt string) backend.Request {
	return backend.Request{Image: testPages(t)[page], Prompt: prompt, MaxNewTokens: 12, MinPixels: 100 * 32 * 32, MaxPixels: 128 * 32 * 32}
}

// hostRunsPrompts says whether the tests' device leaves prompts to the host.
func hostRunsPrompts() bool {
	d := os.Getenv("OMNIDOCS_DEVICE")
	return hostmath.HasVectors() && (d == "" || d == "go")
}

// A prompt that begins as an earlier one begins behind it, and says what it would have said.
func TestPrefixCache(t *testing.T) {
	system := strings.Repeat("Read every line of the page, in order. ", 6)
	behind := func(r backend.Request) backend.Request {
		r.System = system
		return r
	}
	another := func(r backend.Request) backend.Request { // of the same size
		img := image.NewGray(r.Image.Bounds())
		for i := range img.Pix {
			img.Pix[i] = uint8(i)
		}
		r.Image = img
		return r
	}
	first := func(r backend.Request) backend.Request {
		r.Prompt, r.TextFirst = system, true
		return r
	}
	for _, name := range []string{"qwen3_vl_two_images", "qwen3_5_long", "qwen3_vl_moe"} {
		t.Run(name, func(t *testing.T) {
			model := filepath.Join("..", "qwen", "testdata", "golden", name)
			fresh := loadEngine(t, backend.LoadOptions{Model: model, VisionCache: -1, PrefixCache: -1})
			kept := loadEngine(t, backend.LoadOptions{Model: model, VisionCache: -1, PrefixCache: 1 << 24})
			cached, hits := 0, 0
			for i, step := range []struct {
				request backend.Request
				hit     bool
			}{
				{large(t, 0, "qwenvl markdown"), false},
				{large(t, 0, "qwenvl html"), true},
				{large(t, 0, "qwenvl markdown"), true},
				{another(large(t, 0, "qwenvl html")), false},
				{large(t, 1, "qwenvl markdown"), false},
				{behind(large(t, 1, "qwenvl markdown")), false},
				{behind(large(t, 2, "qwenvl html")), true},
				{behind(large(t, 2, "qwenvl markdown")), true},
				{first(large(t, 2, "")), false},
				{first(large(t, 3, "")), true},
			} {
				want, err := fresh.Read(t.Context(), step.request)
				require.NoError(t, err)
				got, err := kept.Read(t.Context(), step.request)
				require.NoError(t, err)
				require.Equal(t, want.Tokens, got.Tokens, "page %d", i)
				require.Zero(t, want.CachedTokens)
				if step.hit {
					require.GreaterOrEqual(t, got.CachedTokens, 64, "page %d", i)
					hits++
				} else {
					require.Zero(t, got.CachedTokens, "page %d", i)
				}
				require.Less(t, got.CachedTokens, got.PromptTokens)
				cached += got.CachedTokens
			}
			s := kept.Stats()
			require.EqualValues(t, cached, s.Tokens.Cached)
			require.EqualValues(t, hits, s.Cache.PrefixHits)
			require.Zero(t, fresh.Stats().Cache.PrefixHits)
			require.Zero(t, fresh.Plan().PrefixCache)
		})
	}
}

// Where the host runs the prompts a page that is read again does not go through the vision tower at all.
func TestPrefixHasTheImage(t *testing.T) {
	if !hostRunsPrompts() {
		t.Skip("programs begin at a multiple of 64 tokens, which is hardly ever an image's end")
	}
	e := loadEngine(t, backend.LoadOptions{VisionCache: -1, PrefixCache: 1 << 24})
	for i, prompt := range []string{"qwenvl markdown", "qwenvl html"} {
		_, err := e.Read(t.Context(), large(t, 0, prompt))
		require.NoError(t, err)
		require.EqualValues(t, i, e.Stats().Cache.VisionHits)
	}
}

// The cache holds what its limit says, the last pages, and lets go of all when the device has no memory.
func TestPrefixCacheLimit(t *testing.T) {
	o := backend.LoadOptions{MaxBatch: 1, VisionCache: -1, MemoryLimit: -1}
	r := large(t, 0, "x")
	o.Page = backend.PlanPage{Prompt: r.Prompt, MinPixels: r.MinPixels, MaxPixels: r.MaxPixels}
	plan := loadEngine(t, o).Plan()
	one := plan.Page.Left
	if hostRunsPrompts() { // where it is without cost it is there
		require.Equal(t, one, plan.PrefixCache)
	} else {
		require.Zero(t, plan.PrefixCache)
	}
	for name, test := range map[string]struct {
		limit int64
		hits  []bool // of pages 0, 1, 0, 0
	}{
		"none":   {1, []bool{false, false, false, false}},
		"one":    {one, []bool{false, false, false, true}},
		"enough": {4 * one, []bool{false, false, true, true}},
	} {
		t.Run(name, func(t *testing.T) {
			o.PrefixCache = test.limit
			e, counted := countedEngine(t, true, o)
			_, weights := counted.Live()
			for i, page := range []int{0, 1, 0, 0} {
				out, err := e.Read(t.Context(), large(t, page, "x"))
				require.NoError(t, err)
				require.Equal(t, test.hits[i], out.CachedTokens > 0, "read %d", i)
			}
			_, bytes := counted.Live()
			require.LessOrEqual(t, bytes-weights, test.limit)
			closeEngine(t, e, counted)
		})
	}
}

// Both caches are let go of when the device has no memory for a page, which is then read.
func TestCachesAreLetGoOf(t *testing.T) {
	e, counted := countedEngine(t, true, backend.LoadOptions{MaxBatch: 1, MemoryLimit: -1, PrefixCache: 1 << 24})
	read := func(page int) backend.Output {
		out, err := e.Read(t.Context(), large(t, page, "x"))
		require.NoError(t, err)
		return out
	}
	read(0)
	require.Positive(t, read(0).CachedTokens)
	hits := e.Stats().Cache.VisionHits
	var failed atomic.Bool
	counted.Fail(false, func(devicetest.Call) error {
		if failed.Swap(true) {
			return nil
		}
		return devicetest.ErrExhausted
	})
	read(1)
	counted.Fail(false, nil)
	require.True(t, failed.Load())
	require.Zero(t, read(0).CachedTokens)
	require.Equal(t, hits, e.Stats().Cache.VisionHits)
	closeEngine(t, e, counted)
}

// BenchmarkAgain is a page that has been read as Markdown, up to the first token of its HTML: with nothing kept, with its visual tokens, and
// with what its prompt left too. OMNIDOCS_BENCH_MODEL names a folder with a checkpoint, in bfloat16, in place of the embedded one.
func BenchmarkAgain(b *testing.B) {
	o := backend.LoadOptions{Model: tiny.Name, MaxBatch: 1}
	r := backend.Request{Image: image.NewGray(image.Rect(0, 0, 420, 595)), MaxNewTokens: 1}
	if dir := os.Getenv("OMNIDOCS_BENCH_MODEL"); dir != "" {
		o.Model, o.DType = dir, "bfloat16"
		r.Image = image.NewGray(image.Rect(0, 0, 512, 704))
	}
	for _, c := range []struct {
		name           string
		vision, prefix int64
	}{{"nothing", -1, -1}, {"vision", 0, -1}, {"prefix", 0, 1 << 30}} {
		b.Run(c.name, func(b *testing.B) {
			o.VisionCache, o.PrefixCache = c.vision, c.prefix
			e := loadEngine(b, o)
			read := func(prompt string) backend.Output {
				r.Prompt = prompt
				out, err := e.Read(b.Context(), r)
				require.NoError(b, err)
				return out
			}
			read("qwenvl markdown")
			read("qwenvl html")
			for b.Loop() {
				out := read("qwenvl html")
				b.ReportMetric(float64(out.CachedTokens), "cached-tokens")
				b.ReportMetric(float64(out.PromptTokens), "prompt-tokens")
			}
		})
	}
}
