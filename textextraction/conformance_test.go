package textextraction_test

import (
	"context"
	"errors"
	"image"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/textextraction"
	"github.com/omnidocs/omnidocs/textextraction/textextractiontest"
)

func TestConformance(t *testing.T) {
	for _, batchSize := range []int{1, 2, 4} {
		ex := textextraction.NewFakeExtractor(t, batchSize)
		err := textextractiontest.TestExtractor(t.Context(), ex, textextraction.FakePage())
		require.NoError(t, err)
	}
}

// broken is an extractor with one fault.
type broken struct {
	textextraction.TextExtractor
	result func(*textextraction.ExtractResult)
	err    func(error) error
	batch  func(iter.Seq2[*textextraction.ExtractResult, error]) iter.Seq2[*textextraction.ExtractResult, error]
	source func(iter.Seq2[image.Image, error]) iter.Seq2[image.Image, error]
	delta  func(*textextraction.Delta)
}

func (b broken) Stream(ctx context.Context, img image.Image, opts textextraction.Options) iter.Seq2[textextraction.Delta, error] {
	return func(yield func(textextraction.Delta, error) bool) {
		for d, err := range b.TextExtractor.Stream(ctx, img, opts) {
			if b.delta != nil {
				b.delta(&d)
			}
			if !yield(d, err) {
				return
			}
		}
	}
}

func (b broken) ExtractWith(ctx context.Context, img image.Image, opts textextraction.Options) (*textextraction.ExtractResult, error) {
	r, err := b.TextExtractor.ExtractWith(ctx, img, opts)
	if r != nil && b.result != nil {
		b.result(r)
	}
	if err != nil && b.err != nil {
		err = b.err(err)
	}
	return r, err
}

func (b broken) Extract(ctx context.Context, img image.Image, format textextraction.Format) (*textextraction.ExtractResult, error) {
	return b.ExtractWith(ctx, img, textextraction.Options{Format: format})
}

func (b broken) Batch(ctx context.Context, pages iter.Seq2[image.Image, error], opts textextraction.BatchOptions) iter.Seq2[*textextraction.ExtractResult, error] {
	if b.source != nil {
		pages = b.source(pages)
	}
	results := b.TextExtractor.Batch(ctx, pages, opts)
	if b.batch != nil {
		results = b.batch(results)
	}
	return results
}

// TestConformanceNotices breaks an extractor in one way at a time.
func TestConformanceNotices(t *testing.T) {
	for _, row := range []struct {
		name, want string
		fault      broken
	}{
		{"another format", "Format is html, want markdown", broken{result: func(r *textextraction.ExtractResult) { r.Format = 1 }}},
		{"no size", "the result says 0×20", broken{result: func(r *textextraction.ExtractResult) { r.ImageWidth = 0 }}},
		{"no model", "ModelName is empty", broken{result: func(r *textextraction.ExtractResult) { r.ModelName = "" }}},
		{"no reason", `FinishReason is ""`, broken{result: func(r *textextraction.ExtractResult) { r.FinishReason = "" }}},
		{"silent truncation", "Truncated is false", broken{result: func(r *textextraction.ExtractResult) { r.FinishReason = "length" }}},
		{"raw content", "Content is", broken{result: func(r *textextraction.ExtractResult) { r.Content = r.RawOutput }}},
		{"no plain text", "PlainText is", broken{result: func(r *textextraction.ExtractResult) { r.PlainText = "" }}},
		{"no words", "WordCount is 0", broken{result: func(r *textextraction.ExtractResult) { r.WordCount = 0 }}},
		{"bytes", "ContentLength is", broken{result: func(r *textextraction.ExtractResult) { r.ContentLength = len(r.Content) }}},
		{"bound on tokens", "CompletionTokens is 9", broken{result: func(r *textextraction.ExtractResult) { r.CompletionTokens = 9 }}},
		{"vague errors", "want one that matches", broken{err: func(error) error { return errors.New("failed") }}},
		{"vague error of cancellation", "want context.Canceled", broken{err: func(error) error { return errors.New("failed") }}},
		{"vague error of closing", "want ErrClosed", broken{err: func(error) error { return errors.New("failed") }}},
		{"lost text", "Stream: the text is", broken{delta: func(d *textextraction.Delta) { d.Text = "" }}},
		{"lost result", "has no result", broken{delta: func(d *textextraction.Delta) { d.Result = nil }}},
		{"offset beyond the text", "Offset is 7", broken{delta: func(d *textextraction.Delta) { d.Offset = 7 }}},
		{"half of a character", "within a character", broken{delta: func(d *textextraction.Delta) { d.Text = "ö"[:1] }}},
		{"lost page", "it yields 2 pages", broken{batch: func(in iter.Seq2[*textextraction.ExtractResult, error]) iter.Seq2[*textextraction.ExtractResult, error] {
			return func(yield func(*textextraction.ExtractResult, error) bool) {
				for r, err := range in {
					if err == nil && !yield(r, err) {
						return
					}
				}
			}
		}}},
		{"greedy source", "takes all pages", broken{source: func(in iter.Seq2[image.Image, error]) iter.Seq2[image.Image, error] {
			var images []image.Image
			var errs []error
			for img, err := range in {
				images, errs = append(images, img), append(errs, err)
			}
			return func(yield func(image.Image, error) bool) {
				for i := range images {
					if !yield(images[i], errs[i]) {
						return
					}
				}
			}
		}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.fault.TextExtractor = textextraction.NewFakeExtractor(t, 2)
			err := textextractiontest.TestExtractor(t.Context(), row.fault, textextraction.FakePage())
			require.ErrorContains(t, err, row.want)
		})
	}
}
