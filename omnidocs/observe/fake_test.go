package observe_test

import (
	"context"
	"errors"
	"image"
	"iter"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/textextraction"
)

// fake is an extractor of which nothing is known but what it reads. It fails at pages that are 13 pixels wide.
type fake struct{ textextraction.TextExtractor }

var errFake = errors.New("the device is on fire")

func (fake) ExtractWith(_ context.Context, img image.Image, o textextraction.Options) (*textextraction.ExtractResult, error) {
	if img.Bounds().Dx() == 13 {
		return nil, errFake
	}
	r := textextraction.NewExtractResult("three short words", o.Format)
	r.ModelName, r.FinishReason, r.PromptTokens, r.VisualTokens, r.CompletionTokens = "m-1", textextraction.FinishStop, 11, 8, 7
	r.Timings = textextraction.Timings{Preprocess: time.Millisecond, Encode: 2 * time.Millisecond, Prefill: 3 * time.Millisecond, Decode: 4 * time.Millisecond, Total: 15 * time.Millisecond}
	return r, nil
}

func (f fake) ExtractFile(ctx context.Context, _ string, format textextraction.Format) (*textextraction.ExtractResult, error) {
	return f.ExtractWith(ctx, blank(13), textextraction.Options{Format: format})
}

func (f fake) Stream(ctx context.Context, img image.Image, o textextraction.Options) iter.Seq2[textextraction.Delta, error] {
	return func(yield func(textextraction.Delta, error) bool) {
		r, err := f.ExtractWith(ctx, img, o)
		if yield(textextraction.Delta{Text: "three"}, nil) {
			yield(textextraction.Delta{Result: r}, err)
		}
	}
}

func (f fake) Batch(ctx context.Context, pages iter.Seq2[image.Image, error], o textextraction.BatchOptions) iter.Seq2[*textextraction.ExtractResult, error] {
	return func(yield func(*textextraction.ExtractResult, error) bool) {
		for img := range pages {
			if r, err := f.ExtractWith(ctx, img, o.Options); !yield(r, err) {
				return
			}
		}
	}
}

func (fake) Close() error { return nil }

func blank(width int) image.Image { return image.NewGray(image.Rect(0, 0, width, 8)) }

// tinyExtractor is one of the embedded model.
func tinyExtractor(t *testing.T, o textextraction.Observer) *textextraction.QwenTextExtractor {
	t.Helper()
	x, err := textextraction.NewQwenTextExtractor(t.Context(), textextraction.QwenTextVLLMConfig{
		Model: textextraction.TinyModel, Device: "go", MaxNumSeqs: 2, EnforceEager: true, ReadBlankPages: true, Observer: o,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, x.Close()) })
	return x
}

// short reads a small page for a few tokens.
var short = textextraction.Options{MaxNewTokens: 5, MaxPixels: 64 * 64}
