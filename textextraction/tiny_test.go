package textextraction_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/internal/hostmath"
	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/textextraction"
	"github.com/omnidocs/omnidocs/textextraction/textextractiontest"
)

// TestTinyModel reads a page with the embedded model, through everything that there is.
func TestTinyModel(t *testing.T) {
	require.Equal(t, tiny.Name, textextraction.TinyModel)
	const text = "the black house on the hill was very old and had no windows"
	page, err := tiny.DrawPage(tiny.PageOptions{Markdown: text, Width: 384, Height: 128, Left: 0.001, Top: 0.001})
	require.NoError(t, err)
	var stages []string
	var finished atomic.Int64
	ex, err := textextraction.NewQwenTextExtractor(t.Context(), textextraction.QwenTextPyTorchConfig{
		Model: textextraction.TinyModel, Device: "go", MaxNewTokens: 256, BatchSize: 2,
		Progress: func(p textextraction.LoadProgress) { stages = append(stages, p.Stage) },
		Observer: textextraction.Observer{Finished: func(backend.PageEvent) { finished.Add(1) }},
	})
	require.NoError(t, err)
	require.Contains(t, stages, "weights")
	res, err := ex.Extract(t.Context(), page.Image, textextraction.Markdown)
	require.NoError(t, err)
	asJSON, err := json.Marshal(res)
	require.NoError(t, err)
	t.Logf("%s", asJSON)
	require.Equal(t, text, strings.TrimSpace(res.Content))
	require.Equal(t, 13, res.WordCount)
	require.False(t, res.Truncated)
	require.Equal(t, "go", res.Device)
	require.Equal(t, "float32", res.DType)
	require.Positive(t, res.VisualTokens)
	require.Greater(t, res.PromptTokens, res.VisualTokens)
	require.Positive(t, res.Timings.Encode)
	require.Positive(t, res.Timings.Total)
	require.Greater(t, res.Confidence.Probability(), 0.9)
	require.Equal(t, res.CompletionTokens, res.Confidence.Tokens)
	require.Len(t, res.Words(), res.WordCount)
	stats, err := ex.Stats()
	require.NoError(t, err)
	require.EqualValues(t, 1, stats.Pages.Done)
	require.EqualValues(t, 1, finished.Load())
	require.EqualValues(t, res.PromptTokens, stats.Tokens.Prompt)

	res, err = ex.Extract(t.Context(), page.Image, textextraction.HTML) // behind the same picture
	require.NoError(t, err)
	if hostmath.HasVectors() { // else programs run the prompt, and it is to be asked for
		require.GreaterOrEqual(t, res.CachedTokens, 32)
		require.Less(t, res.CachedTokens, res.PromptTokens)
	}

	require.NoError(t, textextractiontest.TestExtractor(t.Context(), ex, page.Image))
}

func TestNoSuchModel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextPyTorchConfig{Model: textextraction.TinyModel, Device: "go"})
	require.ErrorIs(t, err, context.Canceled)
	_, err = textextraction.NewQwenTextExtractor(t.Context(), textextraction.QwenTextPyTorchConfig{Model: t.TempDir(), Device: "go"})
	require.ErrorContains(t, err, "textextraction: backend: load ")
	require.ErrorContains(t, err, "config.json")
	_, err = textextraction.NewQwenTextExtractor(t.Context(), textextraction.QwenTextPyTorchConfig{Model: textextraction.TinyModel, Device: "abacus"})
	require.ErrorContains(t, err, "abacus")
}
