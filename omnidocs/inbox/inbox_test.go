package inbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs/jobs"
	"github.com/omnidocs/omnidocs/omnidocs/journal"
	"github.com/omnidocs/omnidocs/textextraction"
)

// fake is an extractor that says of each page which one it is, or does what the test says.
type fake struct {
	textextraction.TextExtractor
	do func(ctx context.Context, page int) error

	mu    sync.Mutex
	reads []int
}

func (f *fake) ExtractWith(ctx context.Context, img image.Image, opts textextraction.Options) (*textextraction.ExtractResult, error) {
	n := int(color.GrayModel.Convert(img.At(img.Bounds().Min.X, img.Bounds().Min.Y)).(color.Gray).Y) //nolint:errcheck // that is what it converts to
	n = n<<8 | int(color.GrayModel.Convert(img.At(img.Bounds().Min.X+1, img.Bounds().Min.Y)).(color.Gray).Y)
	f.mu.Lock()
	f.reads = append(f.reads, n)
	f.mu.Unlock()
	if f.do != nil {
		if err := f.do(ctx, n); err != nil {
			return nil, err
		}
	}
	return textextraction.NewExtractResult(fmt.Sprintf("page %d", n), opts.Format), nil
}

func (f *fake) Fingerprint(context.Context, textextraction.Options) (string, error) {
	return "fake", nil
}

// drop puts page n into the inbox, whole at once.
func drop(t *testing.T, dir, name string, n int) {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 4, 4))
	img.Pix[0], img.Pix[1] = uint8(n>>8), uint8(n)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "inbox"), 0o755))
	f, err := os.CreateTemp(dir, "drop")
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, img))
	require.NoError(t, f.Close())
	require.NoError(t, os.Rename(f.Name(), filepath.Join(dir, "inbox", name)))
}

func open(t *testing.T, dir string, ex textextraction.TextExtractor) *Inbox {
	t.Helper()
	b, err := Open(dir, ex, Options{Settle: -1, Options: jobs.Options{Retry: jobs.Retry{Attempts: 1}}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// list are the names in a folder.
func list(t *testing.T, dir ...string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir...))
	require.NoError(t, err)
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	broken := errors.New("broken")
	ex := &fake{do: func(_ context.Context, page int) error {
		if page == 3 {
			return broken
		}
		return nil
	}}
	drop(t, dir, "a.png", 1)
	drop(t, dir, "two\nlines.PNG", 2)
	drop(t, dir, "bad page.png", 3)
	for _, name := range []string{"bad file.png", "letter.docx", ".hidden.png", "half.png.part"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "inbox", name), []byte("x"), 0o600))
	}
	require.NoError(t, os.Symlink("link.png", filepath.Join(dir, "inbox", "link.png")))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "inbox", "folder.png"), 0o755))
	var told []string
	b := open(t, dir, ex)
	b.opts.OnFile = func(r Result) { told = append(told, r.FileName) }
	s, err := b.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int{2, 2, 4}, []int{s.Processed, s.Failed, s.Words})
	require.Empty(t, s.Problems)
	require.ElementsMatch(t, []string{"a.png", "two\nlines.PNG", "bad page.png", "bad file.png"}, told)
	require.Equal(t, []string{".hidden.png", "folder.png", "half.png.part", "letter.docx", "link.png"}, list(t, dir, "inbox"), "what is no document is left alone")
	require.Equal(t, []string{"a.png", "two\nlines.PNG"}, list(t, dir, "processed"))
	require.Equal(t, []string{"a.json", "two\nlines.json"}, list(t, dir, "results"))
	require.Equal(t, []string{"bad file.png", "bad file.png.error.json", "bad page.png", "bad page.png.error.json"}, list(t, dir, "failed"))
	data, err := os.ReadFile(filepath.Join(dir, "results", "a.json"))
	require.NoError(t, err)
	var result Result
	require.NoError(t, json.Unmarshal(data, &result))
	require.Equal(t, []any{"a.png", "page 1", 2, 6}, []any{result.FileName, result.Content, result.WordCount, result.ContentLength})
	require.Equal(t, "page 1", result.Document.PageResult(0).Content)
	require.WithinDuration(t, time.Now(), result.ProcessedAt, time.Hour)
	reason, err := os.ReadFile(filepath.Join(dir, "failed", "bad page.png.error.json"))
	require.NoError(t, err)
	require.Contains(t, string(reason), `"error": "1 of 1 pages failed"`)
	require.Contains(t, string(reason), `"0": "broken"`)
	reason, err = os.ReadFile(filepath.Join(dir, "failed", "bad file.png.error.json"))
	require.NoError(t, err)
	require.NotContains(t, string(reason), "workers", "the place where it was read means nothing to anybody")

	t.Run("names that are taken", func(t *testing.T) {
		drop(t, dir, "a.png", 4)
		_, err := b.Run(t.Context())
		require.NoError(t, err)
		drop(t, dir, "a.png", 1) // the first again
		_, err = b.Run(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"a-2.png", "a-3.png", "a.png", "two\nlines.PNG"}, list(t, dir, "processed"))
		require.Equal(t, []string{"a-2.json", "a.json", "two\nlines.json"}, list(t, dir, "results"), "the same bytes have the same result")
		require.Len(t, ex.reads, 4, "and are not read again")
	})
	t.Run("a failed file dropped again", func(t *testing.T) {
		ex.do = nil
		require.NoError(t, os.Rename(filepath.Join(dir, "failed", "bad page.png"), filepath.Join(dir, "inbox", "bad page.png")))
		_, err := b.Run(t.Context())
		require.NoError(t, err)
		require.Contains(t, list(t, dir, "results"), "bad page.json")
	})
	require.Empty(t, list(t, b.own))
	require.NoError(t, b.Close())
	_, err = b.Run(t.Context())
	require.ErrorIs(t, err, ErrClosed)
}

func TestOpenFaults(t *testing.T) {
	for _, opts := range []Options{{Files: -1}, {Options: jobs.Options{Workers: -1}}, {Options: jobs.Options{Journal: &journal.Journal{}}}} {
		_, err := Open(t.TempDir(), &fake{}, opts)
		require.ErrorIs(t, err, jobs.ErrOptions)
	}
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := Open(file, &fake{}, Options{})
	require.ErrorContains(t, err, file)
}

func TestSettle(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, &fake{})
	b.opts.Settle = time.Hour
	drop(t, dir, "new.png", 1)
	drop(t, dir, "old.png", 2)
	old := time.Now().Add(-2 * time.Hour)
	require.NoError(t, os.Chtimes(filepath.Join(dir, "inbox", "old.png"), old, old))
	s, err := b.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, s.Processed)
	require.Equal(t, []string{"new.png"}, list(t, dir, "inbox"))
	require.WithinDuration(t, time.Now().Add(time.Hour), s.Next, time.Minute)
}

// TestCanceled ends a pass in the middle: nothing is lost, and the next goes on.
func TestCanceled(t *testing.T) {
	for name, ends := range map[string]error{"canceled": context.Canceled, "closed": textextraction.ErrClosed} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for n := range 20 {
				drop(t, dir, fmt.Sprintf("%02d.png", n), n)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ex := &fake{do: func(ctx context.Context, page int) error {
				if page < 10 {
					return nil
				}
				if name == "canceled" {
					cancel()
					return ctx.Err()
				}
				return textextraction.ErrClosed
			}}
			b := open(t, dir, ex)
			s, err := b.Run(ctx)
			require.ErrorIs(t, err, ends)
			require.Zero(t, s.Failed)
			require.Less(t, s.Processed, 20)
			before := s.Processed
			ex.do = nil
			s, err = b.Run(t.Context())
			require.NoError(t, err)
			require.Equal(t, 20, before+s.Processed)
			require.Len(t, list(t, dir, "processed"), 20)
			require.Len(t, list(t, dir, "results"), 20)
			require.Empty(t, list(t, dir, "inbox"))
		})
	}
}

// TestTakeOver has a worker that died with claims, and one that lives.
func TestTakeOver(t *testing.T) {
	dir := t.TempDir()
	dead, living := open(t, dir, &fake{}), open(t, dir, &fake{})
	for n := range 6 {
		drop(t, dir, fmt.Sprintf("%d.png", n), n)
	}
	for n := range 3 {
		_, err := dead.claim(fmt.Sprintf("%d.png", n))
		require.NoError(t, err)
	}
	_, err := living.claim("3.png")
	require.NoError(t, err)
	_, err = living.claim("2.png")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, dead.lock.Unlock()) // as the system does when a process dies
	third := open(t, dir, &fake{})
	require.Equal(t, dead.own, third.own)
	s, err := third.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, 5, s.Processed, "all but what the living one has")
	require.NoError(t, third.lock.Unlock())
	drop(t, dir, "6.png", 6)
	_, err = third.claim("6.png")
	require.NoError(t, err)
	s, err = living.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, s.Processed)
	require.Len(t, list(t, dir, "processed"), 7)
	require.Len(t, list(t, dir, "results"), 7)
}

// TestUnwritable takes the folder of the results away for a pass.
func TestUnwritable(t *testing.T) {
	dir := t.TempDir()
	ex := &fake{}
	b := open(t, dir, ex)
	drop(t, dir, "a.png", 1)
	results := filepath.Join(dir, "results")
	require.NoError(t, os.Remove(results))
	require.NoError(t, os.WriteFile(results, nil, 0o600))
	s, err := b.Run(t.Context())
	require.NoError(t, err)
	require.Zero(t, s.Processed+s.Failed)
	require.Len(t, s.Problems, 1)
	require.ErrorContains(t, s.Problems[0], "a.png")
	require.NoError(t, os.Remove(results))
	s, err = b.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, s.Processed)
	require.Len(t, ex.reads, 1, "it need not be read again")
	require.Equal(t, []string{"a.json"}, list(t, results))
}

func TestNumbered(t *testing.T) {
	for _, test := range []struct {
		name string
		n    int
		want string
	}{{"a.png", 1, "a.png"}, {"a.png", 2, "a-2.png"}, {"a.b.json", 3, "a.b-3.json"}, {"a", 2, "a-2"}} {
		require.Equal(t, test.want, numbered(test.name, test.n))
	}
	require.False(t, strings.HasPrefix(numbered("x.png", 2), "."))
}
