package textextraction_test

import (
	"context"
	"errors"
	"image"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/textextraction"
)

// streamer is an extractor that streams what it is told to.
type streamer struct {
	textextraction.TextExtractor // nil: nothing else is called
	pieces                       []string
	err                          error // behind them
}

func (s *streamer) Stream(context.Context, image.Image, textextraction.Options) iter.Seq2[textextraction.Delta, error] {
	return func(yield func(textextraction.Delta, error) bool) {
		at, text := 0, ""
		for _, piece := range s.pieces {
			if !yield(textextraction.Delta{Offset: at, Text: piece}, nil) {
				return
			}
			at += len(piece)
			text += piece
		}
		if s.err != nil {
			yield(textextraction.Delta{}, s.err)
			return
		}
		yield(textextraction.Delta{Offset: at, Result: textextraction.NewExtractResult(text, textextraction.Markdown)}, nil)
	}
}

func (s *streamer) Close() error { return nil }

// A page whose worker fails in the middle is taken over by another one, and its text begins anew.
func TestPoolStream(t *testing.T) {
	lost := errors.New("connection lost")
	pool := func(workers ...textextraction.TextExtractor) *textextraction.Pool {
		p, err := textextraction.NewPool(workers...)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, p.Close()) })
		return p
	}
	p := pool(&streamer{pieces: []string{"one ", "tw"}, err: lost}, &streamer{pieces: []string{"one", " two"}})
	text, taken := "", 0
	var last textextraction.Delta
	for d, err := range p.Stream(t.Context(), onePage(), textextraction.Options{}) {
		require.NoError(t, err)
		if d.Offset < len(text) {
			taken++
		}
		text, last = d.Apply(text), d
	}
	require.Equal(t, "one two", text)
	require.Equal(t, 1, taken)
	require.Equal(t, "worker 1", last.Result.Worker)

	p = pool(&streamer{pieces: []string{"one "}, err: lost}, &streamer{err: lost})
	n := 0
	for _, err := range p.Stream(t.Context(), onePage(), textextraction.Options{}) {
		if err != nil {
			require.ErrorIs(t, err, lost)
			n++
		}
	}
	require.Equal(t, 1, n)
	for d, err := range p.Stream(t.Context(), onePage(), textextraction.Options{}) {
		require.NoError(t, err)
		require.Equal(t, "one ", d.Text)
		break
	}
}
