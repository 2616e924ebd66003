package textextraction

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"
)

// outcome is what a batch yields for a page.
type outcome struct {
	content string
	err     string
}

func collect(t *testing.T, results iter.Seq2[*ExtractResult, error]) (all []outcome) {
	t.Helper()
	for r, err := range results {
		o := outcome{}
		if r != nil {
			o.content = r.Content
		}
		if err != nil {
			var page *PageError
			require.ErrorAs(t, err, &page)
			require.Equal(t, len(all), page.Index)
			o.err = page.Err.Error()
		}
		all = append(all, o)
	}
	return all
}

func TestBatch(t *testing.T) {
	for _, size := range []int{1, 2, 3, 5, 8} {
		for _, reversed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d together, reversed %t", size, reversed), func(t *testing.T) {
				x, f := fake(t, QwenTextPyTorchConfig{BatchSize: size},
					says("p0"), says("p1"), answer{err: errors.New("bad page")}, says("p3"), says("p4"))
				f.reversed = reversed
				var progress []int
				got := collect(t, x.Batch(t.Context(), Images(pictures(5)...), BatchOptions{
					Total: 5, Progress: func(done, total int) {
						require.Equal(t, 5, total)
						progress = append(progress, done)
					},
				}))
				require.Equal(t, []outcome{
					{content: "p0"}, {content: "p1"}, {err: "textextraction: bad page"}, {content: "p3"}, {content: "p4"},
				}, got)
				require.Equal(t, []int{1, 2, 3, 4, 5}, progress)
				require.Len(t, f.batches, 5)
				require.LessOrEqual(t, f.most, size, "pages read together")
			})
		}
	}
}

func TestBatchOptions(t *testing.T) {
	x, f := fake(t, QwenTextPyTorchConfig{BatchSize: 2}, says("<p >a</p>"), says("<p >b</p>"))
	got := collect(t, x.Batch(t.Context(), Images(pictures(2)...), BatchOptions{Options: Options{Format: HTML, MaxNewTokens: 9}}))
	require.Equal(t, []outcome{{content: "<p>a</p>"}, {content: "<p>b</p>"}}, got)
	for _, requests := range f.batches {
		request := requests[0]
		require.Equal(t, "qwenvl html", request.Prompt)
		require.Equal(t, 9, request.MaxNewTokens)
	}
	got = collect(t, x.Batch(t.Context(), Images(pictures(2)...), BatchOptions{Options: Options{Format: 5}}))
	require.Len(t, got, 2)
	require.Contains(t, got[1].err, "invalid output_format")
	require.Len(t, f.batches, 2)
}

func TestBatchSourceErrors(t *testing.T) {
	x, _ := fake(t, QwenTextPyTorchConfig{BatchSize: 3}, says("p0"), says("p1"))
	source := func(yield func(image.Image, error) bool) {
		_ = yield(picture(0), nil) && yield(nil, errors.New("cannot render")) && yield(nil, nil) && yield(picture(1), nil)
	}
	var progress []int
	got := collect(t, x.Batch(t.Context(), source, BatchOptions{Progress: func(done, _ int) { progress = append(progress, done) }}))
	require.Equal(t, []outcome{
		{content: "p0"}, {err: "cannot render"}, {err: "textextraction: unreadable image: the image is nil"}, {content: "p1"},
	}, got)
	require.Equal(t, []int{1, 2, 3, 4}, progress)

	for _, err := range x.Batch(t.Context(), Files(t.Context(), "testdata/none.png"), BatchOptions{}) {
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.ErrorContains(t, err, "page 0: textextraction: image not found: testdata/none.png")
	}
	require.Empty(t, collect(t, x.Batch(t.Context(), Images(), BatchOptions{})))
}

// TestBatchTakesPagesAsNeeded holds a batch to its window: pages are taken late, and none after the consumer has left.
func TestBatchTakesPagesAsNeeded(t *testing.T) {
	var answers []answer
	for i := range 9 {
		answers = append(answers, says(fmt.Sprint("p", i)))
	}
	x, f := fake(t, QwenTextPyTorchConfig{BatchSize: 3}, answers...)
	taken, stopped := 0, false
	source := func(yield func(image.Image, error) bool) {
		defer func() { stopped = true }()
		for i := range 9 {
			taken++
			if !yield(picture(i), nil) {
				return
			}
		}
	}
	seen := 0
	for range x.Batch(t.Context(), source, BatchOptions{}) {
		require.LessOrEqual(t, taken-seen, 6)
		seen++
		if seen == 2 {
			break
		}
	}
	require.Equal(t, 7, taken)
	require.True(t, stopped)
	require.LessOrEqual(t, len(f.batches), 7)

	require.Len(t, collect(t, x.Batch(t.Context(), source, BatchOptions{})), 9, "it can be ranged over again")
}

func TestBatchCanceled(t *testing.T) {
	cut := says("so far")
	cut.hang = true
	answers := []answer{says("p0"), says("p1"), cut}
	for i := 3; i < 9; i++ {
		answers = append(answers, says(fmt.Sprint("p", i)))
	}
	x, f := fake(t, QwenTextPyTorchConfig{BatchSize: 2}, answers...)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-f.entered
		cancel()
	}()
	got := collect(t, x.Batch(ctx, Images(pictures(9)...), BatchOptions{}))
	ended := "textextraction: context canceled"
	for i, o := range got {
		if i != 2 && o.err == "" {
			require.Equal(t, outcome{content: fmt.Sprint("p", i)}, o, "a page that ended before")
		} else if i != 2 {
			require.Equal(t, ended, o.err)
		}
	}
	require.Equal(t, outcome{content: "so far", err: ended}, got[2])
	require.Equal(t, ended, got[len(got)-1].err, "there the sequence stops")
	require.LessOrEqual(t, len(got), 7)

	require.Equal(t, []outcome{{err: ended}}, collect(t, x.Batch(ctx, Images(pictures(9)...), BatchOptions{})))
	require.Empty(t, collect(t, x.Batch(ctx, Images(), BatchOptions{})), "no page, no error")
}

func TestBatchClosed(t *testing.T) {
	x, _ := fake(t, QwenTextPyTorchConfig{}, says("p0"), says("p1"), says("p2"))
	seen := 0
	for r, err := range x.Batch(t.Context(), Images(pictures(3)...), BatchOptions{}) {
		if seen++; seen == 1 {
			require.NoError(t, err)
			require.NoError(t, x.Close(), "the consumer may close between pages")
			continue
		}
		require.ErrorIs(t, err, ErrClosed)
		require.Nil(t, r)
	}
	require.Equal(t, 2, seen)
}

func TestConcurrentUse(t *testing.T) {
	x, f := fake(t, QwenTextPyTorchConfig{BatchSize: 2}, says("p0"), says("p1"), says("p2"))
	errs := make(chan error)
	for range 8 {
		go func() {
			n := 0
			for r, err := range x.Batch(t.Context(), Images(pictures(3)...), BatchOptions{}) {
				if err != nil || r.Content != fmt.Sprint("p", n) {
					errs <- fmt.Errorf("page %d: %v, %w", n, r, err)
					return
				}
				n++
			}
			errs <- nil
		}()
	}
	for range 8 {
		require.NoError(t, <-errs)
	}
	require.NoError(t, x.Close())
	require.Len(t, f.batches, 24)
}
