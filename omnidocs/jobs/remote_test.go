package jobs

import (
	"context"
	"errors"
	"iter"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/textextraction"
)

// elsewhere is a Remote that reads in this process, page by page and the last document first.
type elsewhere struct {
	ex   textextraction.TextExtractor
	stop int // after so many events; 0: never
	err  error
}

func (r elsewhere) Read(ctx context.Context, documents []RemoteDocument, opts DirectoryOptions) iter.Seq2[RemoteEvent, error] {
	return func(yield func(RemoteEvent, error) bool) {
		n := 0
		tell := func(e RemoteEvent) bool {
			if n++; r.stop > 0 && n > r.stop {
				if r.err != nil {
					yield(RemoteEvent{}, r.err)
				}
				return false
			}
			return yield(e, nil)
		}
		for at := len(documents) - 1; at >= 0; at-- {
			doc, err := omnidocs.Open(ctx, documents[at].Path, opts.Files.Load)
			if err != nil {
				if !tell(RemoteEvent{Document: at, Err: err}) {
					return
				}
				continue
			}
			defer doc.Close()
			if !tell(RemoteEvent{Document: at, Pages: doc.PageCount()}) {
				return
			}
			for i := range doc.PageCount() {
				p, err := ReadPage(ctx, doc, i, r.ex, opts.Options)
				if err != nil {
					yield(RemoteEvent{}, err)
					return
				}
				if !tell(RemoteEvent{Document: at, Page: &p}) {
					return
				}
			}
		}
	}
}

// TestRemote holds a job that is read elsewhere against one that is read here.
func TestRemote(t *testing.T) {
	in := t.TempDir()
	drawTIFF(t, filepath.Join(in, "a.tif"), 1, 2, 3)
	drawTIFF(t, filepath.Join(in, "b.tif"), 4, 13)
	draw(t, 5, in, "c.png")
	require.NoError(t, saveJSON(filepath.Join(in, "d.tif"), "this is none"))
	ex := func() *fake {
		return &fake{do: func(_ context.Context, page, _ int) error {
			if page == 13 {
				return errors.New("unlucky")
			}
			return nil
		}}
	}
	options := func(out string) DirectoryOptions {
		return DirectoryOptions{
			Options: Options{Retry: once}, Files: omnidocs.BatchOptions{Pattern: "*"}, OutputDir: out, Outputs: []Output{JSON, JSONL, Markdown},
		}
	}
	here, there := t.TempDir(), t.TempDir()
	want, err := ProcessDirectory(t.Context(), in, ex(), options(here))
	require.NoError(t, err)
	opts := options(there)
	opts.Remote = elsewhere{ex: ex()}
	var last Progress
	opts.Progress = func(p Progress) { last = p }
	_, err = ProcessDirectory(t.Context(), in, ex(), DirectoryOptions{Options: Options{Retry: once, Progress: opts.Progress}, Files: opts.Files})
	require.NoError(t, err)
	require.Equal(t, 6, last.PagesExpected, "none of the one that cannot be opened")
	got, err := ProcessDirectory(t.Context(), in, nil, opts)
	require.NoError(t, err)
	require.Equal(t, files(t, here), files(t, there))
	require.Equal(t, want.IDs(), got.IDs())
	require.Equal(t, 6, last.Done)
	require.Equal(t, 6, last.PagesExpected)
	require.Equal(t, 4, last.DocumentsDone)
	require.Equal(t, 1, last.DocumentsFailed)
	require.Equal(t, 1, last.Failed)

	// The end comes early, in the middle of b: what was read is there, and only whole documents are written.
	for name, remote := range map[string]elsewhere{"error": {ex: ex(), stop: 5, err: errLine}, "silence": {ex: ex(), stop: 5}} {
		t.Run(name, func(t *testing.T) {
			out := t.TempDir()
			opts := options(out)
			opts.Remote = remote
			got, err := ProcessDirectory(t.Context(), in, nil, opts)
			require.Error(t, err)
			if remote.err != nil {
				require.ErrorIs(t, err, remote.err)
			}
			require.Equal(t, []string{"b", "c", "d"}, got.IDs())
			require.Equal(t, 2, got.TotalPages())
			require.Len(t, files(t, out), 2*3)
		})
	}
	t.Run("nonsense", func(t *testing.T) {
		opts := options("")
		opts.Outputs, opts.Remote = nil, nonsense{}
		_, err := ProcessDirectory(t.Context(), in, nil, opts)
		require.ErrorContains(t, err, "document 99")
	})
}

var errLine = errors.New("the line is dead")

// nonsense tells of documents that are not there.
type nonsense struct{}

func (nonsense) Read(context.Context, []RemoteDocument, DirectoryOptions) iter.Seq2[RemoteEvent, error] {
	return func(yield func(RemoteEvent, error) bool) { yield(RemoteEvent{Document: 99}, nil) }
}

// TestReadPage reads single pages.
func TestReadPage(t *testing.T) {
	doc := drawn(t, 1, 2)
	p, err := ReadPage(t.Context(), doc, 1, &fake{}, Options{})
	require.NoError(t, err)
	require.NoError(t, p.Err)
	require.Equal(t, 1, p.Page)
	require.Equal(t, "# Page 2\n\nIt says <4>.", p.Result.Content)
	p, err = ReadPage(t.Context(), doc, 2, &fake{}, Options{})
	require.NoError(t, err)
	var pageRange *omnidocs.PageRangeError
	require.ErrorAs(t, p.Err, &pageRange)
	_, err = ReadPage(t.Context(), doc, 0, &fake{}, Options{Workers: -1})
	require.ErrorIs(t, err, ErrOptions)
}

// TestIdentity has two extractors, and options that matter.
func TestIdentity(t *testing.T) {
	id, err := IdentityOf(t.Context(), &fake{}, Options{})
	require.NoError(t, err)
	other, err := IdentityOf(t.Context(), &fake{}, Options{ExtractorID: "another"})
	require.NoError(t, err)
	html, err := IdentityOf(t.Context(), &fake{}, Options{Page: textextraction.Options{Format: textextraction.HTML}})
	require.NoError(t, err)
	require.NotEqual(t, id.PageKey(picture(1)), other.PageKey(picture(1)))
	require.NotEqual(t, id.PageKey(picture(1)), html.PageKey(picture(1)))
	require.NotEqual(t, id.PageKey(picture(1)), id.PageKey(picture(2)))
	require.Equal(t, id.PageKey(picture(1)), id.PageKey(picture(1)))
	_, err = IdentityOf(t.Context(), struct{ textextraction.TextExtractor }{}, Options{})
	require.ErrorIs(t, err, ErrOptions)
}
