package textextraction

import (
	"context"
	"encoding/json"
	"image"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/internal/imageproc"
	"github.com/omnidocs/omnidocs/internal/tiny"
)

// recorder is an engine that keeps its requests, and answers all of them alike.
type recorder struct {
	mu       sync.Mutex
	requests []backend.Request
	answer   string
}

func (e *recorder) Generate(_ context.Context, requests []backend.Request, done func(i int, out backend.Output, err error)) error {
	e.mu.Lock()
	e.requests = append(e.requests, requests...)
	e.mu.Unlock()
	for i := range requests {
		done(i, says(e.answer).out, nil)
	}
	return nil
}

func (e *recorder) Info() backend.Info { return backend.Info{} }
func (e *recorder) Close() error       { return nil }

func record(t *testing.T, cfg QwenTextPyTorchConfig, answer string) (*QwenTextExtractor, *recorder) {
	t.Helper()
	cfg.ReadBlankPages = true // the pages are of one color
	s, err := cfg.check()
	require.NoError(t, err)
	e := &recorder{answer: answer}
	return newExtractor(e, s), e
}

// request returns what an extractor asks its engine for a page of 60 × 100 pixels, without the page, and the page's size.
func request(t *testing.T, cfg QwenTextPyTorchConfig, opts Options) (backend.Request, image.Point) {
	t.Helper()
	x, e := record(t, cfg, "text")
	page := image.NewGray(image.Rect(0, 0, 60, 100))
	r, err := x.ExtractWith(t.Context(), page, opts)
	require.NoError(t, err)
	require.Equal(t, image.Pt(60, 100), image.Pt(r.ImageWidth, r.ImageHeight), "the source's size")
	require.Len(t, e.requests, 1)
	got := e.requests[0]
	size := got.Image.Bounds().Size()
	got.Image = nil
	return got, size
}

// Each preset, as it reaches the engine.
func TestPresetRequests(t *testing.T) {
	prompt := func(name string) string { return mustPreset(name).Prompts.Markdown }
	const help = "You are a helpful assistant."
	for model, want := range map[string]struct {
		request backend.Request
		size    image.Point
	}{
		"Qwen/Qwen3-VL-2B-Instruct":   {backend.Request{Prompt: "qwenvl markdown", MaxNewTokens: 8192}, image.Pt(60, 100)},
		"Qwen/Qwen2.5-VL-3B-Instruct": {backend.Request{Prompt: "qwenvl markdown", MaxNewTokens: 8192}, image.Pt(60, 100)},
		"datalab-to/chandra": {backend.Request{
			Prompt: prompt("chandra1"), MaxNewTokens: 12384, MinPixels: 3136, MaxPixels: 6291456,
		}, image.Pt(1536, 2560)},
		"datalab-to/chandra-ocr-2": {backend.Request{
			Prompt: prompt("chandra2"), MaxNewTokens: 12384, MinPixels: 3136, MaxPixels: 6291456, Stops: []string{"<|im_end|>"},
		}, image.Pt(1540, 2548)},
		"allenai/olmOCR-2-7B-1025": {backend.Request{
			Prompt: prompt("olmocr2"), TextFirst: true, MaxNewTokens: 8000, CheckpointBounds: true, Sampling: Sampling{Temperature: 0.1},
		}, image.Pt(773, 1288)},
		"reducto/RolmOCR": {backend.Request{
			Prompt: prompt("rolmocr"), MaxNewTokens: 4096, CheckpointBounds: true, Sampling: Sampling{Temperature: 0.2},
		}, image.Pt(614, 1024)},
		"nanonets/Nanonets-OCR2-3B": {backend.Request{
			Prompt: prompt("nanonets2"), System: help, MaxNewTokens: 15000, CheckpointBounds: true,
		}, image.Pt(1280, 2133)},
		"opendatalab/MinerU2.5-2509-1.2B": {backend.Request{
			Prompt: "\nText Recognition:", System: help, MaxNewTokens: 8192, CheckpointBounds: true, Sampling: Sampling{TopK: 1},
		}, image.Pt(60, 100)},
		"infly/Infinity-Parser2-Flash": {backend.Request{
			Prompt: prompt("infinity2"), MaxNewTokens: 32768, MinPixels: 2048, MaxPixels: 16777216,
		}, image.Pt(60, 100)},
	} {
		got, size := request(t, QwenTextPyTorchConfig{Model: model}, Options{})
		require.Equal(t, want.request, got, model)
		require.Equal(t, want.size, size, model)
	}
	got, size := request(t, QwenTextPyTorchConfig{Preset: "mineru25-layout"}, Options{})
	require.Equal(t, image.Pt(1036, 1036), size)
	require.True(t, got.KeepSpecialTokens)
}

// A call wins over the config, the config over the preset, the preset over the defaults.
func TestPresetPrecedence(t *testing.T) {
	custom := Preset{
		Name: "own", Prompts: Prompts{Markdown: "preset"}, SystemPrompt: "preset's", MaxNewTokens: 300, MinPixels: 30, MaxPixels: 3000,
		Temperature: 0.3, TopP: 0.9, PageSize: PageSize{LongestSide: 50}, CheckpointBounds: true, TextFirst: true, Stops: []string{"S"},
	}
	preset := backend.Request{
		Prompt: "preset", System: "preset's", MaxNewTokens: 300, MinPixels: 30, MaxPixels: 3000, CheckpointBounds: true, TextFirst: true,
		Stops: []string{"S"}, Sampling: Sampling{Temperature: 0.3, TopP: 0.9},
	}
	full := QwenTextPyTorchConfig{
		CustomPreset: &custom, SystemPrompt: "config's", MaxNewTokens: 400, MinPixels: 40, MaxPixels: 4000, Temperature: 0.4,
	}
	for _, row := range []struct {
		name string
		cfg  QwenTextPyTorchConfig
		opts Options
		want func(*backend.Request)
		size image.Point
	}{
		{"preset", QwenTextPyTorchConfig{CustomPreset: &custom}, Options{}, func(*backend.Request) {}, image.Pt(30, 50)},
		{"its own preset over the model's", QwenTextPyTorchConfig{CustomPreset: &custom, Model: "reducto/RolmOCR"}, Options{},
			func(*backend.Request) {}, image.Pt(30, 50)},
		{"seed of the config", QwenTextPyTorchConfig{CustomPreset: &custom, Seed: 7}, Options{}, func(r *backend.Request) {
			r.Sampling.Seed = 7
		}, image.Pt(30, 50)},
		{"greedy config", QwenTextPyTorchConfig{CustomPreset: &custom, TopK: 1}, Options{}, func(r *backend.Request) {
			r.Sampling = Sampling{TopK: 1}
		}, image.Pt(30, 50)},
		{"config", full, Options{}, func(r *backend.Request) {
			r.System, r.MaxNewTokens, r.MinPixels, r.MaxPixels, r.CheckpointBounds = "config's", 400, 40, 4000, false
			r.Sampling = Sampling{Temperature: 0.4}
		}, image.Pt(60, 100)},
		{"call", full, Options{
			Prompt: "call", SystemPrompt: "call's", MaxNewTokens: 5, MinPixels: 50, MaxPixels: 5000, Sampling: Greedy,
		}, func(r *backend.Request) {
			r.Prompt, r.System, r.MaxNewTokens, r.MinPixels, r.MaxPixels, r.CheckpointBounds = "call", "call's", 5, 50, 5000, false
			r.Sampling = Greedy
		}, image.Pt(60, 100)},
		{"one bound of a call", QwenTextPyTorchConfig{CustomPreset: &custom}, Options{MinPixels: 7000}, func(r *backend.Request) {
			r.MinPixels, r.MaxPixels, r.CheckpointBounds = 7000, 0, false
		}, image.Pt(60, 100)},
	} {
		t.Run(row.name, func(t *testing.T) {
			want := preset
			row.want(&want)
			got, size := request(t, row.cfg, row.opts)
			require.Equal(t, want, got)
			require.Equal(t, row.size, size)
		})
	}
	got, _ := request(t, QwenTextPyTorchConfig{CustomPreset: &Preset{Name: "own", Prompts: Prompts{Markdown: "x"}}}, Options{})
	require.Equal(t, backend.Request{Prompt: "x", MaxNewTokens: 8192}, got, "the defaults below a preset that says nothing")
	got, _ = request(t, QwenTextPyTorchConfig{Model: "reducto/RolmOCR", Preset: "qwen3vl"}, Options{Format: HTML})
	require.Equal(t, backend.Request{Prompt: "qwenvl html", MaxNewTokens: 8192}, got, "a name over the model's")
}

func TestPresetFormats(t *testing.T) {
	x, e := record(t, QwenTextPyTorchConfig{Model: "reducto/RolmOCR"}, "<b>a</b>")
	page := image.NewGray(image.Rect(0, 0, 4, 4))
	_, err := x.Extract(t.Context(), page, HTML)
	require.ErrorIs(t, err, ErrFormat)
	require.ErrorContains(t, err, `preset "rolmocr" has no prompt for "html". Expected 'markdown', or a prompt of your own in Options.Prompt`)
	require.Empty(t, e.requests)
	r, err := x.ExtractWith(t.Context(), page, Options{Format: HTML, Prompt: "As HTML."})
	require.NoError(t, err)
	require.Equal(t, "As HTML.", e.requests[0].Prompt)
	require.Equal(t, HTML, r.Format)
}

func TestPresetConfig(t *testing.T) {
	own := Preset{Name: "own", Prompts: Prompts{Markdown: "x"}}
	bad := own
	bad.MaxNewTokens, bad.Parser = 100, "xml"
	for _, row := range []struct {
		cfg  QwenTextPyTorchConfig
		want []string
	}{
		{QwenTextPyTorchConfig{Preset: "chandra3"}, []string{`Preset: "chandra3" is not one of qwen3vl, qwen25vl,`, "CustomPreset takes your own"}},
		{QwenTextPyTorchConfig{Preset: "chandra2", CustomPreset: &own}, []string{`Preset: "chandra2" is set beside CustomPreset`}},
		{QwenTextPyTorchConfig{CustomPreset: &bad, BatchSize: -1}, []string{
			"CustomPreset.MaxNewTokens: 100 is outside 256 to 32768", `CustomPreset.Parser: "xml"`, "BatchSize: -1",
		}},
	} {
		_, err := NewQwenTextExtractor(t.Context(), row.cfg)
		require.ErrorIs(t, err, ErrConfig)
		for _, want := range row.want {
			require.ErrorContains(t, err, want)
		}
		require.NotContains(t, err.Error(), "\nMaxNewTokens", "told once")
	}

	x, _ := record(t, QwenTextPyTorchConfig{Model: "datalab-to/chandra-ocr-2"}, "")
	require.Equal(t, mustPreset("chandra2"), x.Preset())
	x, _ = record(t, QwenTextPyTorchConfig{}, "")
	require.Equal(t, mustPreset(basePreset), x.Preset())

	var cfg QwenTextPyTorchConfig
	require.NoError(t, json.Unmarshal([]byte(`{"model": "me/mine", "custom_preset": {"name": "mine", "prompts": {"html": "As HTML."}}}`), &cfg))
	got, _ := request(t, cfg, Options{Format: HTML})
	require.Equal(t, "As HTML.", got.Prompt)
	require.ErrorContains(t, json.Unmarshal([]byte(`{"custom_preset": {"nam": "mine"}}`), &cfg), `unknown field "nam"`)
}

// The pages of a batch are scaled too, and one whose scaling fails ends alone.
func TestPresetBatch(t *testing.T) {
	x, e := record(t, QwenTextPyTorchConfig{Model: "reducto/RolmOCR", BatchSize: 2}, "text")
	huge := image.NewUniform(image.White)
	n := 0
	for r, err := range x.Batch(t.Context(), Images(image.NewGray(image.Rect(0, 0, 10, 20)), huge, image.NewGray(image.Rect(0, 0, 20, 10))), BatchOptions{}) {
		if n == 1 {
			require.ErrorIs(t, err, imageproc.ErrTooLarge)
			require.ErrorIs(t, err, ErrImage)
		} else {
			require.NoError(t, err)
			require.Equal(t, "text", r.Content)
		}
		n++
	}
	require.Equal(t, 3, n)
	require.Len(t, e.requests, 2)
	sizes := []image.Point{e.requests[0].Image.Bounds().Size(), e.requests[1].Image.Bounds().Size()}
	require.ElementsMatch(t, []image.Point{{512, 1024}, {1024, 512}}, sizes, "they are read at the same time")
}

// With the embedded model: a token that a preset names ends the page, and one that there is not ends the call.
func TestPresetTiny(t *testing.T) {
	drawn, err := tiny.DrawPage(tiny.PageOptions{Markdown: "the black house", Width: 384, Height: 128, Left: 0.001, Top: 0.001})
	require.NoError(t, err)
	p := Preset{Name: "tiny", Prompts: Prompts{Markdown: "qwenvl markdown"}}
	read := func() (*ExtractResult, error) {
		x, err := NewQwenTextExtractor(t.Context(), QwenTextPyTorchConfig{Model: TinyModel, Device: "go", CustomPreset: &p})
		require.NoError(t, err)
		defer func() { require.NoError(t, x.Close()) }()
		return x.ExtractWith(t.Context(), drawn.Image, Options{MaxNewTokens: 30})
	}
	r, err := read()
	require.NoError(t, err)
	require.Equal(t, "the black house", strings.TrimSpace(r.RawOutput))
	p.Stops = []string{"<|im_end|>", "k"}
	r, err = read()
	require.NoError(t, err)
	require.Equal(t, "the blac", r.RawOutput)
	require.Equal(t, FinishStop, r.FinishReason)
	p.Stops = []string{"<|nothing|>"}
	_, err = read()
	require.ErrorContains(t, err, `the stop token "<|nothing|>" is not in the model's tokenizer`)
}
