package textextraction_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/qwen"
	"github.com/omnidocs/omnidocs/textextraction"
	"github.com/omnidocs/omnidocs/textextraction/textextractiontest"
)

// An extractor over a model that is divided among two devices, twice, does all that one on a single device does, and reads the same.
func TestParallelExtractor(t *testing.T) {
	page, err := tiny.DrawPage(tiny.PageOptions{Markdown: "the black house", Width: 128, Height: 64})
	require.NoError(t, err)
	cfg := textextraction.QwenTextVLLMConfig{
		Model: filepath.Join("..", "qwen", "testdata", "golden", "qwen3_vl"), Device: "xla:cpu", MaxTokens: 256, MaxNumSeqs: 2, EnforceEager: true,
	}
	read := func(x textextraction.TextExtractor) *textextraction.ExtractResult {
		r, err := x.ExtractWith(t.Context(), page.Image, textextraction.Options{MaxNewTokens: 24})
		require.NoError(t, err)
		return r
	}
	one, err := textextraction.NewQwenTextExtractor(t.Context(), cfg)
	if errors.Is(err, backend.ErrUnavailable) {
		t.Skipf("several devices are XLA's: %v", err)
	}
	require.NoError(t, err)
	want := read(one)
	require.NoError(t, one.Close())

	cfg.TensorParallelSize, cfg.Devices = 2, 4
	x, err := textextraction.NewQwenTextExtractor(t.Context(), cfg)
	require.NoError(t, err)
	got := read(x)
	require.Equal(t, want.RawOutput, got.RawOutput)
	require.Equal(t, want.CompletionTokens, got.CompletionTokens)
	memory, err := x.Memory(t.Context())
	require.NoError(t, err)
	require.Positive(t, memory.Used)
	require.NoError(t, textextractiontest.TestExtractor(t.Context(), x, page.Image))
}

// What cannot be divided, and a device that is one, are errors which say so.
func TestParallelRefuses(t *testing.T) {
	cfg := textextraction.QwenTextVLLMConfig{Model: textextraction.TinyModel, Device: "go", TensorParallelSize: 2}
	_, err := textextraction.NewQwenTextExtractor(t.Context(), cfg)
	require.ErrorIs(t, err, backend.ErrUnavailable)
	require.ErrorContains(t, err, `textextraction: backend: device "go": `)
	require.ErrorContains(t, err, "the pure-Go backend is one")

	cfg.Device = "xla:cpu"
	if _, err = textextraction.NewQwenTextExtractor(t.Context(), cfg); errors.Is(err, backend.ErrUnavailable) {
		t.Skipf("several devices are XLA's: %v", err)
	}
	require.ErrorIs(t, err, qwen.ErrUnsupported)
	require.ErrorContains(t, err, "text_config.num_key_value_heads is 3, which 2 does not divide")
}
