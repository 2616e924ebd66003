package jobs

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/omnidocs/journal"
	"github.com/omnidocs/omnidocs/qwen"
	"github.com/omnidocs/omnidocs/textextraction"
)

func TestProcessDocument(t *testing.T) {
	broken := errors.New("broken")
	ex := &fake{do: func(_ context.Context, page, _ int) error {
		if page == 12 {
			return broken
		}
		return nil
	}}
	var progress []Progress
	var seen []int
	d, err := ProcessDocument(t.Context(), drawn(t, 10, 11, 12, 13), ex, Options{
		Progress: func(p Progress) { progress = append(progress, p) },
		OnPage:   func(_ string, p PageOutcome) { seen = append(seen, p.Page) },
	})
	require.NoError(t, err)
	require.Equal(t, 4, d.PageCount)
	require.Equal(t, 3, d.ProcessedPages())
	require.Equal(t, 1, d.FailedPages())
	require.False(t, d.Complete())
	require.ErrorIs(t, d.Pages()[2].Err, broken)
	require.Equal(t, 1, d.Pages()[2].Attempts, "what cannot pass is not tried again")
	require.Nil(t, d.PageResult(2))
	require.Contains(t, d.PageResult(3).Content, "Page 13")
	require.Equal(t, "# Page 10\n\nIt says <100>.|# Page 11\n\nIt says <121>.|# Page 13\n\nIt says <169>.", MergeTextResults(d.AllResults(), "|"))
	require.ElementsMatch(t, []int{0, 1, 2, 3}, seen)
	require.Len(t, progress, 5)
	last := progress[4]
	require.Equal(t, -1, last.Page)
	require.Equal(t, []int{1, 1, 0, 4, 4, 4, 1, 0},
		[]int{last.Documents, last.DocumentsDone, last.DocumentsFailed, last.Pages, last.PagesExpected, last.Done, last.Failed, last.Resumed})
}

func TestOptions(t *testing.T) {
	doc := drawn(t, 1)
	for _, opts := range []Options{
		{Workers: -1}, {Window: -1}, {Workers: 3, Window: 2}, {PageTimeout: -1}, {DocumentTimeout: -1}, {MaxDeaths: -1}, {Retry: Retry{Attempts: -1}},
	} {
		_, err := ProcessDocument(t.Context(), doc, &fake{}, opts)
		require.ErrorIs(t, err, ErrOptions)
	}
	j, err := journal.Open(t.TempDir())
	require.NoError(t, err)
	defer j.Close()
	_, err = ProcessDocument(t.Context(), doc, struct{ textextraction.TextExtractor }{&fake{}}, Options{Journal: j})
	require.ErrorContains(t, err, "ExtractorID")
	for _, opts := range []DirectoryOptions{
		{Outputs: []Output{JSON}},
		{OutputDir: t.TempDir(), Outputs: []Output{"pdf"}},
		{OutputDir: t.TempDir(), Outputs: []Output{HTML}},
	} {
		_, err := ProcessDirectory(t.Context(), t.TempDir(), &fake{}, opts)
		require.ErrorIs(t, err, ErrOptions)
	}
	_, err = ProcessDirectory(t.Context(), "no such folder", &fake{}, DirectoryOptions{})
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestProcessDirectory(t *testing.T) {
	in, out := t.TempDir(), t.TempDir()
	draw(t, 1, in, "a.png")
	draw(t, 2, in, "sub", "a.png")
	draw(t, 3, in, "two\nlines <&>.png")
	require.NoError(t, os.WriteFile(filepath.Join(in, "bad.png"), []byte("no picture"), 0o600))
	opts := pictures(out)
	opts.Outputs = []Output{JSON, JSONL, Markdown}
	ex := &fake{}
	b, err := ProcessDirectory(t.Context(), in, ex, opts)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "bad", "sub/a", "two\nlines <&>"}, b.IDs())
	require.Equal(t, 3, b.TotalPages())
	require.Equal(t, 1, b.FailedDocuments())
	require.Error(t, b.Document("bad").Err)
	require.True(t, b.Document("sub/a").Complete())

	got := files(t, out)
	require.Len(t, got, 12)
	require.Equal(t, "# Page 2\n\nIt says <4>.\n", got["sub/a.md"])
	require.Equal(t, `{
  "source_path": "`+filepath.Join(in, "a.png")+`",
  "page_count": 1,
  "processed_pages": 1,
  "results": {
    "0": {
      "content": "# Page 1\n\nIt says <1>.",
      "format": "markdown",
      "raw_output": "# Page 1\n\nIt says <1>.",
      "plain_text": "Page 1 It says <1>.",
      "word_count": 5,
      "content_length": 22,
      "truncated": false,
      "prompt_tokens": 0,
      "visual_tokens": 0,
      "completion_tokens": 0
    }
  }
}
`, got["a.json"])
	require.Contains(t, got["bad.json"], `"results": {},`)
	require.Contains(t, got["bad.json"], `"error": "omnidocs: `)
	require.Equal(t, 1, strings.Count(got["two\nlines <&>.jsonl"], "\n"))

	t.Run("again", func(t *testing.T) {
		again, err := ProcessDirectory(t.Context(), in, ex, opts)
		require.NoError(t, err)
		require.Equal(t, 3, ex.reads(), "nothing is read twice")
		require.True(t, again.Document("a").Pages()[0].Resumed)
		require.Equal(t, got, files(t, out))
	})
	t.Run("a file that was renamed is known", func(t *testing.T) {
		require.NoError(t, os.Rename(filepath.Join(in, "a.png"), filepath.Join(in, "b.png")))
		_, err := ProcessDirectory(t.Context(), in, ex, opts)
		require.NoError(t, err)
		require.Equal(t, 3, ex.reads())
	})
	t.Run("another prompt is another page", func(t *testing.T) {
		opts := opts
		opts.Page.Prompt = "other"
		_, err := ProcessDirectory(t.Context(), in, ex, opts)
		require.NoError(t, err)
		require.Equal(t, 6, ex.reads())
	})
	t.Run("a folder is one job's", func(t *testing.T) {
		opts := pictures(t.TempDir())
		var second error
		_, err := ProcessDirectory(t.Context(), in, &fake{do: func(ctx context.Context, _, _ int) error {
			_, second = ProcessDirectory(ctx, in, ex, DirectoryOptions{OutputDir: opts.OutputDir})
			return nil
		}}, func() DirectoryOptions { opts.Workers = 1; return opts }())
		require.NoError(t, err)
		require.ErrorIs(t, second, ErrInUse)
	})
	t.Run("without texts", func(t *testing.T) {
		opts := opts
		opts.DiscardText = true
		b, err := ProcessDirectory(t.Context(), in, ex, opts)
		require.NoError(t, err)
		require.Equal(t, 3, b.TotalPages())
		require.Empty(t, b.Document("b").PageResult(0).Content)
		require.Equal(t, 5, b.Document("b").PageResult(0).WordCount)
	})
}

func TestHTMLOutput(t *testing.T) {
	in, out := t.TempDir(), t.TempDir()
	draw(t, 1, in, "a <b>.png")
	opts := pictures(out)
	opts.Page.Format, opts.Outputs = textextraction.HTML, []Output{HTML}
	_, err := ProcessDirectory(t.Context(), in, &fake{}, opts)
	require.NoError(t, err)
	require.Contains(t, files(t, out)["a <b>.html"], "<title>a &lt;b&gt;.png</title>\n</head>\n<body>\n<section data-page=\"1\">\n")
}

func TestRetries(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for _, test := range []struct {
		name     string
		err      error
		times    int // that it comes
		attempts int
		ok       bool
	}{
		{"passes", refused, 2, 3, true},
		{"does not pass in time", refused, 3, 3, false},
		{"picture", fmt.Errorf("%w: %w", textextraction.ErrImage, refused), 1, 1, false},
		{"says so itself", says(true), 1, 2, true},
		{"says so itself that it does not", says(false), 1, 1, false},
		{"unknown", errors.New("unknown"), 1, 1, false},
		{"canceled by itself", context.Canceled, 1, 1, false},
		{"no memory", textextraction.ErrOutOfMemory, 1, 2, true},
		{"no memory for the model", &textextraction.OutOfMemoryError{Plan: &textextraction.Plan{}}, 1, 1, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			ex := &fake{do: func(_ context.Context, _, attempt int) error {
				if attempt <= test.times {
					return test.err
				}
				return nil
			}}
			d, err := ProcessDocument(t.Context(), drawn(t, 1), ex, Options{Retry: quick})
			require.NoError(t, err)
			require.Equal(t, test.attempts, d.Pages()[0].Attempts)
			require.Equal(t, test.ok, d.Complete())
			if !test.ok {
				require.ErrorIs(t, d.Pages()[0].Err, test.err)
			}
		})
	}
}

// TestNoMemory reads a page with fewer pixels each time that there was no room for it.
func TestNoMemory(t *testing.T) {
	full := func(width, height int) error {
		return &textextraction.OutOfMemoryError{Page: &qwen.PagePlan{ResizedWidth: width, ResizedHeight: height}}
	}
	var asked []textextraction.Options
	ex := &fake{with: func(o textextraction.Options) error {
		asked = append(asked, o)
		switch len(asked) {
		case 1:
			return full(640, 800)
		case 2:
			return full(448, 576)
		}
		return nil
	}}
	d, err := ProcessDocument(t.Context(), drawn(t, 1), ex, Options{Retry: quick, Page: textextraction.Options{MinPixels: 200_000}})
	require.NoError(t, err)
	require.True(t, d.Complete())
	require.Len(t, asked, 3)
	require.Zero(t, asked[0].MaxPixels)
	require.Equal(t, 640*800/2, asked[1].MaxPixels)
	require.Equal(t, 200_000, asked[1].MinPixels)
	require.Equal(t, 448*576/2, asked[2].MaxPixels)
	require.Equal(t, 448*576/2, asked[2].MinPixels, "it may not be more than MaxPixels")
}

type says bool

func (s says) Error() string   { return "an error that says it itself" }
func (s says) Retryable() bool { return bool(s) }

func TestDeadlines(t *testing.T) {
	hang := &fake{do: func(ctx context.Context, page, _ int) error {
		if page != 2 {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}}
	d, err := ProcessDocument(t.Context(), drawn(t, 1, 2, 3), hang, Options{PageTimeout: 20 * time.Millisecond, Workers: 1, Window: 1})
	require.NoError(t, err)
	require.ErrorIs(t, d.Pages()[1].Err, ErrDeadline)
	require.Equal(t, 2, d.ProcessedPages())

	d, err = ProcessDocument(t.Context(), drawn(t, 1, 2, 3), hang, Options{DocumentTimeout: 50 * time.Millisecond, Workers: 1, Window: 1})
	require.NoError(t, err)
	require.Len(t, d.Pages(), 3, "a document's deadline ends all of its pages")
	require.ErrorIs(t, d.Pages()[1].Err, ErrDeadline)
	require.ErrorIs(t, d.Pages()[2].Err, ErrDeadline)
	require.ErrorContains(t, d.Pages()[2].Err, "50ms")
}

func TestCanceled(t *testing.T) {
	in, out := t.TempDir(), t.TempDir()
	for n := range 20 {
		draw(t, n, in, fmt.Sprintf("%02d.png", n))
	}
	ctx, cancel := context.WithCancel(t.Context())
	ex := &fake{do: func(ctx context.Context, page, _ int) error {
		if page == 10 {
			cancel()
			<-ctx.Done()
		}
		return nil
	}}
	opts := pictures(out)
	opts.Workers, opts.Window = 1, 1
	b, err := ProcessDirectory(ctx, in, ex, opts)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 10, b.TotalPages(), "what was read is returned")
	require.Len(t, files(t, out), 10, "and written")

	b, err = ProcessDirectory(t.Context(), in, &fake{}, opts)
	require.NoError(t, err)
	require.Equal(t, 20, b.TotalPages())
}

func TestClosed(t *testing.T) {
	ex := &fake{do: func(_ context.Context, page, _ int) error {
		if page > 2 {
			return textextraction.ErrClosed
		}
		return nil
	}}
	d, err := ProcessDocument(t.Context(), drawn(t, 1, 2, 3, 4, 5, 6, 7, 8), ex, Options{Workers: 1, Window: 1})
	require.ErrorIs(t, err, textextraction.ErrClosed)
	require.Equal(t, 2, d.ProcessedPages())
	require.LessOrEqual(t, ex.reads(), 4, "a closed extractor ends the job")
}

// TestWindow counts how many images there are at a time.
func TestWindow(t *testing.T) {
	var images, most atomic.Int64
	ex := &fake{do: func(context.Context, int, int) error {
		most.Store(max(most.Load(), images.Load()))
		images.Add(-1)
		return nil
	}}
	opts, err := Options{Workers: 2, Window: 3}.withDefaults()
	require.NoError(t, err)
	r, err := newRun(t.Context(), ex, opts, func(*gathering) {})
	require.NoError(t, err)
	var entries []entry
	for range 5 {
		doc := drawn(t, 1, 2, 3, 4, 5, 6, 7, 8)
		entries = append(entries, entry{open: func(context.Context) (document, error) { return counting{kept{doc}, &images}, nil }})
	}
	require.NoError(t, r.all(t.Context(), entries))
	require.Equal(t, 40, ex.reads())
	require.LessOrEqual(t, ex.most, 2)
	require.LessOrEqual(t, most.Load(), int64(3))
	require.Positive(t, most.Load())
}

// counting is a document that counts the pages that it renders.
type counting struct {
	kept
	images *atomic.Int64
}

func (c counting) Page(ctx context.Context, i int) (image.Image, error) {
	c.images.Add(1)
	return c.kept.Page(ctx, i)
}

func TestFailingPages(t *testing.T) {
	opts, err := Options{}.withDefaults()
	require.NoError(t, err)
	var got *DocumentResult
	r, err := newRun(t.Context(), &fake{}, opts, func(g *gathering) { got = g.result })
	require.NoError(t, err)
	doc := drawn(t, 1, 2, 3, 4)
	broken := errors.New("broken")
	require.NoError(t, r.all(t.Context(), []entry{{open: func(context.Context) (document, error) { return brokenPage{kept{doc}, broken}, nil }}}))
	require.Len(t, got.Pages(), 4)
	require.ErrorIs(t, got.Pages()[1].Err, broken)
	require.Zero(t, got.Pages()[1].Attempts)
	require.Equal(t, 3, got.ProcessedPages())
}

// brokenPage is a document whose second page cannot be rendered.
type brokenPage struct {
	kept
	err error
}

func (b brokenPage) Page(ctx context.Context, i int) (image.Image, error) {
	if i == 1 {
		return nil, b.err
	}
	return b.kept.Page(ctx, i)
}

func TestProcessBatch(t *testing.T) {
	in, out := t.TempDir(), t.TempDir()
	draw(t, 1, in, "x", "a.png")
	draw(t, 2, in, "y", "a.png")
	batch, err := omnidocs.BatchFromPaths([]string{filepath.Join(in, "y", "a.png"), filepath.Join(in, "x", "a.png")}, omnidocs.LoadOptions{})
	require.NoError(t, err)
	b, err := ProcessBatch(t.Context(), batch, &fake{}, DirectoryOptions{OutputDir: out})
	require.NoError(t, err)
	require.Equal(t, []string{"y/a", "x/a"}, b.IDs())
	require.Len(t, files(t, out), 2)
}
