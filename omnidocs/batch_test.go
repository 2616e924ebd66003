package omnidocs_test

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs"
)

func TestBatchFromDirectory(t *testing.T) {
	dir := t.TempDir()
	page := pngBytes(t, picture(4, 4, 3))
	for _, name := range []string{"b.png", "a.png", "new\nline.png", "sub/c.png", "sub/deep/a.png", "notes.txt"} {
		write(t, dir, name, page)
	}
	write(t, dir, "damaged.png", page[:10])
	require.NoError(t, os.Symlink(dir, filepath.Join(dir, "sub", "loop")))
	require.NoError(t, os.Symlink("self.png", filepath.Join(dir, "self.png")))
	require.NoError(t, os.Symlink(filepath.Join(dir, "a.png"), filepath.Join(dir, "link.png")))

	names := func(b *omnidocs.DocumentBatch) []string {
		var names []string
		for _, path := range b.Paths() {
			name, err := filepath.Rel(dir, path)
			require.NoError(t, err)
			names = append(names, filepath.ToSlash(name))
		}
		return names
	}
	b, err := omnidocs.BatchFromDirectory(t.Context(), dir, omnidocs.BatchOptions{Pattern: "*.png"})
	require.NoError(t, err)
	require.Equal(t, []string{"a.png", "b.png", "damaged.png", "link.png", "new\nline.png"}, names(b))
	require.Len(t, b.Problems(), 1)
	require.ErrorContains(t, b.Problems()[0], "self.png")

	read, failed := 0, 0
	for doc, err := range b.Documents(t.Context()) {
		if err != nil {
			var loadError *omnidocs.DocumentLoadError
			require.ErrorAs(t, err, &loadError)
			failed++
			continue
		}
		require.Equal(t, 1, doc.PageCount())
		read++
	}
	require.Equal(t, 4, read)
	require.Equal(t, 1, failed)

	b, err = omnidocs.BatchFromDirectory(t.Context(), dir, omnidocs.BatchOptions{Pattern: "*.png", Recursive: true})
	require.NoError(t, err)
	require.Equal(t, 7, b.Count())
	require.Equal(t, []string{"sub/c.png", "sub/deep/a.png"}, names(b)[5:])
	pages := 0
	for page, err := range b.AllPages(t.Context()) {
		require.Equal(t, b.Paths()[page.Document], page.Path)
		if err == nil {
			require.NotNil(t, page.Image)
			pages++
		}
	}
	require.Equal(t, 6, pages)

	b, err = omnidocs.BatchFromDirectory(t.Context(), dir, omnidocs.BatchOptions{Pattern: "sub/*.png"})
	require.NoError(t, err)
	require.Equal(t, []string{"sub/c.png"}, names(b))

	b, err = omnidocs.BatchFromGlob(filepath.Join(dir, "?.png"), omnidocs.LoadOptions{})
	require.NoError(t, err)
	require.Equal(t, []string{"a.png", "b.png"}, names(b))
}

func TestBatchErrors(t *testing.T) {
	dir := t.TempDir()
	_, err := omnidocs.BatchFromDirectory(t.Context(), filepath.Join(dir, "none"), omnidocs.BatchOptions{})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "none")
	_, err = omnidocs.BatchFromDirectory(t.Context(), write(t, dir, "file", nil), omnidocs.BatchOptions{})
	require.ErrorContains(t, err, "not a folder")
	_, err = omnidocs.BatchFromDirectory(t.Context(), dir, omnidocs.BatchOptions{Pattern: "["})
	require.ErrorIs(t, err, omnidocs.ErrOptions)
	_, err = omnidocs.BatchFromDirectory(t.Context(), dir, omnidocs.BatchOptions{Load: omnidocs.LoadOptions{DPI: 1}})
	require.ErrorIs(t, err, omnidocs.ErrOptions)
	empty, err := omnidocs.BatchFromDirectory(t.Context(), dir, omnidocs.BatchOptions{})
	require.NoError(t, err)
	require.Zero(t, empty.Count())
}

// A ZIP archive's files have no random access.
func TestBatchFromArchive(t *testing.T) {
	var buf bytes.Buffer
	archive := zip.NewWriter(&buf)
	for _, name := range []string{"b.png", "in/a.png"} {
		f, err := archive.Create(name)
		require.NoError(t, err)
		_, err = f.Write(pngBytes(t, picture(4, 4, 77)))
		require.NoError(t, err)
	}
	require.NoError(t, archive.Close())
	fsys, err := zip.NewReader(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	require.NoError(t, err)
	b, err := omnidocs.BatchFromFS(t.Context(), fsys, omnidocs.BatchOptions{Pattern: "*.png", Recursive: true})
	require.NoError(t, err)
	require.Equal(t, []string{"b.png", "in/a.png"}, b.Paths())
	for page, err := range b.AllPages(t.Context()) {
		require.NoError(t, err)
		require.EqualValues(t, 77, grayOf(page.Image))
	}
}
