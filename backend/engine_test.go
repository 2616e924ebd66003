package backend_test

import (
	"context"
	"errors"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/qwen"
)

// goldenModel is a small random checkpoint with pages.
var goldenModel = filepath.Join("..", "qwen", "testdata", "golden", "qwen3_vl_two_images")

func loadEngine(t testing.TB, o backend.LoadOptions) *backend.Engine {
	t.Helper()
	if o.Model == "" {
		o.Model = goldenModel
	}
	if o.Device = os.Getenv("OMNIDOCS_DEVICE"); o.Device == "" {
		o.Device = "go"
	}
	e, err := backend.Load(context.Background(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

// testPages are pages of different sizes: two golden ones and two that are drawn.
func testPages(t testing.TB) []image.Image {
	t.Helper()
	var pages []image.Image
	for _, name := range []string{"image_0.png", "image_1.png"} {
		f, err := os.Open(filepath.Join(goldenModel, name))
		require.NoError(t, err)
		img, err := png.Decode(f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		pages = append(pages, img)
	}
	for _, size := range []image.Point{{96, 64}, {170, 210}} {
		img := image.NewRGBA(image.Rectangle{Max: size})
		for y := range size.Y {
			for x := range size.X {
				img.Set(x, y, color.RGBA{R: uint8(x * y), G: uint8(5*x + y), B: uint8(x ^ y), A: 255})
			}
		}
		pages = append(pages, img)
	}
	return pages
}

// generate reads pages and returns their outputs in order.
func generate(t testing.TB, e *backend.Engine, requests []backend.Request) []backend.Output {
	t.Helper()
	outputs := make([]backend.Output, len(requests))
	calls := make([]int, len(requests))
	require.NoError(t, e.Generate(context.Background(), requests, func(i int, out backend.Output, err error) {
		require.NoError(t, err)
		outputs[i] = out
		calls[i]++
	}))
	for _, n := range calls {
		require.Equal(t, 1, n, "done is called once a request")
	}
	return outputs
}

// A page's tokens are the same alone, in a batch, and in a slot that another page had before.
func TestBatchEqualsAlone(t *testing.T) {
	for name, sampling := range map[string]backend.Sampling{
		"greedy":  {},
		"sampled": {Temperature: 0.9, TopK: 40, TopP: 0.95, Seed: 7},
		"hot":     {Temperature: 2, Seed: 1 << 40},
	} {
		t.Run(name, func(t *testing.T) {
			var requests []backend.Request
			for i, img := range testPages(t) {
				requests = append(requests, backend.Request{Image: img, Prompt: "qwenvl markdown", MaxNewTokens: 12 + 7*i, Sampling: sampling})
			}
			var alone []backend.Output
			one := loadEngine(t, backend.LoadOptions{})
			for _, r := range requests {
				alone = append(alone, generate(t, one, []backend.Request{r})...)
			}
			require.NotEqual(t, alone[0].Tokens[:8], alone[1].Tokens[:8], "the pages should differ")
			for _, slots := range []int{2, 4} {
				together := generate(t, loadEngine(t, backend.LoadOptions{MaxBatch: slots}), requests)
				for i := range requests {
					require.Equal(t, alone[i].Tokens, together[i].Tokens, "page %d of %d slots", i, slots)
					require.Equal(t, alone[i].Text, together[i].Text)
					require.InDeltaSlice(t, alone[i].LogProbs, together[i].LogProbs, 1e-4)
					require.Equal(t, alone[i].Finish, together[i].Finish)
				}
			}
		})
	}
}

// So it is for each generation, with recurrent states, experts and windows.
func TestGenerationsBatchEqualsAlone(t *testing.T) {
	for _, name := range []string{"qwen2_vl", "qwen2_5_vl_ragged", "qwen3_vl_moe", "qwen3_5_long", "qwen3_5_moe"} {
		t.Run(name, func(t *testing.T) {
			model := filepath.Join("..", "qwen", "testdata", "golden", name)
			var requests []backend.Request
			for i, img := range testPages(t) {
				s := []backend.Sampling{{}, {Temperature: 0.9, TopK: 40, TopP: 0.95, Seed: 7}}[i%2]
				requests = append(requests, backend.Request{Image: img, Prompt: "qwenvl markdown", MaxNewTokens: 12 + 7*i, Sampling: s})
			}
			one := loadEngine(t, backend.LoadOptions{Model: model})
			var alone []backend.Output
			for _, r := range requests {
				alone = append(alone, generate(t, one, []backend.Request{r})...)
			}
			together := generate(t, loadEngine(t, backend.LoadOptions{Model: model, MaxBatch: 3}), requests)
			for i := range requests {
				require.Equal(t, alone[i].Tokens, together[i].Tokens, "page %d", i)
			}
		})
	}
}

func TestSamplingDependsOnSeed(t *testing.T) {
	e := loadEngine(t, backend.LoadOptions{})
	read := func(s backend.Sampling) []int32 {
		return generate(t, e, []backend.Request{{Image: testPages(t)[0], Prompt: "x", MaxNewTokens: 16, Sampling: s}})[0].Tokens
	}
	warm := backend.Sampling{Temperature: 1.5, Seed: 1}
	require.Equal(t, read(warm), read(warm))
	require.NotEqual(t, read(warm), read(backend.Sampling{Temperature: 1.5, Seed: 2}))
	greedy := read(backend.Sampling{})
	require.Equal(t, greedy, read(backend.Sampling{Temperature: 1.5, TopK: 1, Seed: 3}), "one token is left to draw from")
	require.Equal(t, greedy, read(backend.Sampling{Temperature: 1.5, TopP: 1e-9, Seed: 3}))
}

func TestOutput(t *testing.T) {
	e := loadEngine(t, backend.LoadOptions{})
	var progress []int
	out := generate(t, e, []backend.Request{{
		Image: testPages(t)[0], Prompt: "qwenvl markdown", MaxNewTokens: 5, Progress: func(n int) { progress = append(progress, n) },
	}})[0]
	require.Equal(t, backend.FinishLength, out.Finish)
	require.Len(t, out.Tokens, 5)
	require.Equal(t, []int{1, 2, 3, 4, 5}, progress)
	require.Len(t, out.LogProbs, 5)
	require.Len(t, out.Offsets, 5)
	require.True(t, slices.IsSorted(out.Offsets))
	for _, p := range out.LogProbs {
		require.True(t, p <= 0 && p > -20, "%g: the most likely of 400 tokens", p)
	}
	require.Equal(t, 15, out.VisualTokens)
	require.Equal(t, 15*32*32, out.ImageWidth*out.ImageHeight, "a token is a square of 32 pixels")
	require.Equal(t, 39, out.PromptTokens)
	require.Positive(t, out.Timings.Encode)
	require.GreaterOrEqual(t, out.Timings.Total, out.Timings.Encode+out.Timings.Prefill+out.Timings.Decode)
	info := e.Info()
	require.Equal(t, goldenModel, info.Model)
	require.NotEmpty(t, info.Device)
	require.Equal(t, "float32", info.DType)
}

func TestGenerateCanceled(t *testing.T) {
	e := loadEngine(t, backend.LoadOptions{MaxBatch: 2})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request := backend.Request{Image: testPages(t)[0], Prompt: "x", MaxNewTokens: 1000}
	stopping := request
	stopping.Progress = func(n int) {
		if n == 3 {
			cancel()
		}
	}
	var outputs [3]backend.Output
	err := e.Generate(ctx, []backend.Request{stopping, request, request}, func(i int, out backend.Output, err error) {
		require.ErrorIs(t, err, context.Canceled)
		outputs[i] = out
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, outputs[0].Tokens, 3, "what was written is kept")
	for _, out := range outputs {
		require.Equal(t, backend.FinishCanceled, out.Finish)
	}
	// The engine goes on.
	generate(t, e, []backend.Request{{Image: testPages(t)[0], Prompt: "x", MaxNewTokens: 2}})

	err = e.Generate(ctx, []backend.Request{request}, func(_ int, out backend.Output, err error) {
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, backend.FinishCanceled, out.Finish)
	})
	require.ErrorIs(t, err, context.Canceled)
	// A cause of the caller's own is what is returned; the page was canceled all the same.
	stop := errors.New("the user went home")
	caused, cancelCause := context.WithCancelCause(t.Context())
	stopping.Progress = func(int) { cancelCause(stop) }
	err = e.Generate(caused, []backend.Request{stopping}, func(_ int, out backend.Output, err error) {
		require.ErrorIs(t, err, stop)
		require.Equal(t, backend.FinishCanceled, out.Finish)
		require.Len(t, out.Tokens, 1)
	})
	require.ErrorIs(t, err, stop)
	_, err = backend.Load(ctx, backend.LoadOptions{Model: goldenModel, Device: "go"})
	require.ErrorIs(t, err, context.Canceled)
}

// A page that cannot be read does not keep the others from it.
func TestPageErrors(t *testing.T) {
	e := loadEngine(t, backend.LoadOptions{MaxBatch: 2, MaxModelLen: 60})
	good := backend.Request{Image: testPages(t)[0], Prompt: "x", MaxNewTokens: 1000}
	thin, long := good, good
	thin.Image = image.NewGray(image.Rect(0, 0, 1, 4000))
	long.Prompt = "qwenvl markdown of a page with a prompt that is longer than it may be"
	none := good
	none.Image = nil
	hot := good
	hot.Sampling.Temperature = -1
	errs := make([]error, 5)
	outputs := make([]backend.Output, 5)
	require.NoError(t, e.Generate(t.Context(), []backend.Request{thin, good, long, none, hot}, func(i int, out backend.Output, err error) {
		errs[i], outputs[i] = err, out
	}))
	require.ErrorContains(t, errs[0], "4000")
	require.NoError(t, errs[1])
	require.Equal(t, backend.FinishLength, outputs[1].Finish)
	require.Equal(t, 60, outputs[1].PromptTokens+len(outputs[1].Tokens), "the answer ends with the context")
	require.ErrorIs(t, errs[2], qwen.ErrContextLength)
	require.ErrorContains(t, errs[3], "no image")
	require.ErrorContains(t, errs[4], "Temperature")
}

func TestEngineIsConcurrent(t *testing.T) {
	e := loadEngine(t, backend.LoadOptions{MaxBatch: 2})
	pages := testPages(t)
	want := make([]backend.Output, len(pages))
	for i, p := range pages {
		want[i] = generate(t, e, []backend.Request{{Image: p, Prompt: "x", MaxNewTokens: 6}})[0]
	}
	var wg sync.WaitGroup
	for i, p := range pages {
		wg.Go(func() {
			err := e.Generate(context.Background(), []backend.Request{{Image: p, Prompt: "x", MaxNewTokens: 6}}, func(_ int, out backend.Output, err error) {
				if err != nil || len(out.Tokens) != 6 || out.Text != want[i].Text {
					t.Errorf("page %d: %q, %v", i, out.Text, err)
				}
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestEngineClosed(t *testing.T) {
	e, err := backend.Load(t.Context(), backend.LoadOptions{Model: goldenModel, Device: "go"})
	require.NoError(t, err)
	require.NoError(t, e.Close())
	require.NoError(t, e.Close())
	err = e.Generate(t.Context(), []backend.Request{{}}, func(_ int, _ backend.Output, err error) { require.ErrorIs(t, err, backend.ErrClosed) })
	require.ErrorIs(t, err, backend.ErrClosed)
}

func TestLoadRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		options backend.LoadOptions
		says    string
	}{
		"no model":       {backend.LoadOptions{}, "no model is named"},
		"missing folder": {backend.LoadOptions{Model: "./no/such/folder"}, "no/such/folder"},
		"dtype":          {backend.LoadOptions{Model: goldenModel, Device: "go", DType: "int3"}, "int3"},
		"device":         {backend.LoadOptions{Model: goldenModel, Device: "toaster"}, "toaster"},
		"batch":          {backend.LoadOptions{Model: goldenModel, Device: "go", MaxBatch: -2}, "MaxBatch is -2"},
		"not a model":    {backend.LoadOptions{Model: t.TempDir(), Device: "go"}, "config.json"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := backend.Load(t.Context(), test.options)
			require.ErrorContains(t, err, test.says)
		})
	}
}

// Either bound of a page's size may be given alone.
func TestPageBounds(t *testing.T) {
	e := loadEngine(t, backend.LoadOptions{})
	tokens := func(low, high int) int {
		r := backend.Request{Image: testPages(t)[3], Prompt: "x", MaxNewTokens: 1, MinPixels: low, MaxPixels: high}
		return generate(t, e, []backend.Request{r})[0].VisualTokens
	}
	require.Equal(t, 35, tokens(0, 0), "170×210 pixels as they are, in multiples of 32")
	require.Equal(t, 12, tokens(0, 13*32*32))
	require.Equal(t, 48, tokens(40*32*32, 0))
	require.Equal(t, 80, tokens(70*32*32, 0), "more than the checkpoint's own limit, since it is asked for")
	require.Equal(t, 4, tokens(0, 5*32*32))
}

func TestLoadProgress(t *testing.T) {
	var last backend.LoadProgress
	loadEngine(t, backend.LoadOptions{Progress: func(p backend.LoadProgress) {
		require.GreaterOrEqual(t, p.Done, last.Done)
		last = p
	}})
	require.Equal(t, "weights", last.Stage)
	require.Positive(t, last.Total)
	require.Equal(t, last.Total, last.Done)
}

// An answer that is continued is that of a larger bound, as far as the context goes.
func TestContinuations(t *testing.T) {
	e := loadEngine(t, backend.LoadOptions{MaxModelLen: 80})
	r := backend.Request{Image: testPages(t)[0], Prompt: "x", MaxNewTokens: 10}
	room := 80 - generate(t, e, []backend.Request{r})[0].PromptTokens
	long := r
	long.MaxNewTokens = 1000
	want := generate(t, e, []backend.Request{long})[0]
	require.Len(t, want.Tokens, room)
	require.Zero(t, want.Continuations)
	for more, tokens := range map[int]int{0: 10, 2: 30, 20: room} {
		r.MaxContinuations = more
		out := generate(t, e, []backend.Request{r})[0]
		require.Equal(t, want.Tokens[:tokens], out.Tokens)
		require.Equal(t, (tokens-1)/10, out.Continuations)
		require.Equal(t, backend.FinishLength, out.Finish)
	}
	r.MaxContinuations = -1
	_, err := e.Read(t.Context(), r)
	require.ErrorContains(t, err, "MaxContinuations is -1")
}
