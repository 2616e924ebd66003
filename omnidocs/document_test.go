package omnidocs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/textextraction"
)

// picture is a page of one gray.
func picture(w, h int, gray uint8) image.Image {
	img := image.NewGray(image.Rect(0, 0, w, h))
	for i := range img.Pix {
		img.Pix[i] = gray
	}
	return img
}

func pngBytes(t *testing.T, img image.Image) []byte {
	t.Helper()
	var buf bytes.Buffer
	require.NoError(t, png.Encode(&buf, img))
	return buf.Bytes()
}

func write(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, data, 0o644))
	return path
}

func grayOf(img image.Image) uint8 {
	return color.GrayModel.Convert(img.At(img.Bounds().Min.X, img.Bounds().Min.Y)).(color.Gray).Y
}

func TestFromImages(t *testing.T) {
	dir := t.TempDir()
	first := write(t, dir, "one.png", pngBytes(t, picture(30, 20, 10)))
	second := write(t, dir, "two.png", pngBytes(t, picture(40, 50, 200)))

	doc, err := omnidocs.FromImages(t.Context(), []string{first, second}, omnidocs.LoadOptions{})
	require.NoError(t, err)
	defer doc.Close()
	require.Equal(t, 2, doc.PageCount())
	w, h, err := doc.PageSize(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, [2]int{40, 50}, [2]int{w, h})
	var grays []uint8
	for img, err := range doc.Pages(t.Context()) {
		require.NoError(t, err)
		grays = append(grays, grayOf(img))
	}
	require.Equal(t, []uint8{10, 200}, grays)
	text, err := doc.Text(t.Context())
	require.NoError(t, err)
	require.Empty(t, text, "pictures have no text layer")

	meta := doc.Metadata()
	require.Equal(t, "2_images", meta.FileName)
	require.Equal(t, "images", meta.Format)
	require.False(t, meta.LoadedAt.IsZero())
	data, err := json.Marshal(meta)
	require.NoError(t, err)
	for _, name := range []string{`"source_type":"image"`, `"page_count":2`, `"image_format":"RGB"`, `"text_extraction_engine":"none"`} {
		require.Contains(t, string(data), name)
	}

	one, err := omnidocs.FromImage(t.Context(), first, omnidocs.LoadOptions{})
	require.NoError(t, err)
	defer one.Close()
	require.Equal(t, "one.png", one.Metadata().FileName)
	require.Equal(t, "png", one.Metadata().Format)
	require.Equal(t, first, one.Metadata().SourcePath)
	require.Positive(t, one.Metadata().FileSize)
}

// The page that was asked for last is not rendered again, one of long ago is.
func TestPagesAreCachedInAWindow(t *testing.T) {
	dir := t.TempDir()
	var paths []string
	for _, name := range []string{"a.png", "b.png", "c.png"} {
		paths = append(paths, write(t, dir, name, pngBytes(t, picture(4, 4, 0))))
	}
	doc, err := omnidocs.FromImages(t.Context(), paths, omnidocs.LoadOptions{})
	require.NoError(t, err)
	defer doc.Close()
	page := func(i int) image.Image {
		img, err := doc.Page(t.Context(), i)
		require.NoError(t, err)
		return img
	}
	first := page(0)
	require.Same(t, first, page(0))
	page(1)
	require.Same(t, first, page(0), "two are kept")
	page(1)
	page(2)
	require.NotSame(t, first, page(0), "no more than two are kept")
	first = page(0)
	doc.ClearCache()
	require.NotSame(t, first, page(0))
}

func TestPageRange(t *testing.T) {
	var grays []image.Image
	for i := range 5 {
		grays = append(grays, picture(4, 4, uint8(i)))
	}
	dir := t.TempDir()
	var paths []string
	for i, img := range grays {
		paths = append(paths, write(t, dir, string(rune('a'+i))+".png", pngBytes(t, img)))
	}
	doc, err := omnidocs.FromImages(t.Context(), paths, omnidocs.LoadOptions{Pages: &omnidocs.PageRange{First: 1, Last: 3}})
	require.NoError(t, err)
	defer doc.Close()
	require.Equal(t, 3, doc.PageCount())
	require.Equal(t, 2, doc.PageNumber(0))
	img, err := doc.Page(t.Context(), 0)
	require.NoError(t, err)
	require.EqualValues(t, 1, grayOf(img))

	for _, r := range []omnidocs.PageRange{{-1, 2}, {0, 5}, {3, 2}} {
		_, err := omnidocs.FromImages(t.Context(), paths, omnidocs.LoadOptions{Pages: &r})
		var rangeError *omnidocs.PageRangeError
		require.ErrorAs(t, err, &rangeError)
		require.Equal(t, 5, rangeError.Count)
	}
	for _, i := range []int{-1, 3} {
		_, err := doc.Page(t.Context(), i)
		var rangeError *omnidocs.PageRangeError
		require.ErrorAs(t, err, &rangeError)
		require.ErrorContains(t, err, "it has 3 pages")
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	good := pngBytes(t, picture(300, 300, 7))
	for _, test := range []struct {
		name, path string
		opts       omnidocs.LoadOptions
		is         error
		says       string
	}{
		{name: "missing", path: filepath.Join(dir, "none.png"), is: fs.ErrNotExist, says: "none.png"},
		{name: "a folder", path: dir, says: "it is a folder"},
		{name: "empty", path: write(t, dir, "empty.png", nil), is: textextraction.ErrImage, says: "no bytes"},
		{name: "cut in its header", path: write(t, dir, "cut.png", good[:20]), is: textextraction.ErrImage, says: "cut short"},
		{name: "too many pixels", path: write(t, dir, "big.png", good), opts: omnidocs.LoadOptions{MaxPixels: 1000}, is: omnidocs.ErrTooLarge, says: "300 x 300"},
		{name: "too many bytes", path: write(t, dir, "big.png", good), opts: omnidocs.LoadOptions{MaxBytes: 10}, is: omnidocs.ErrTooLarge, says: "10 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := omnidocs.Open(t.Context(), test.path, test.opts)
			var loadError *omnidocs.DocumentLoadError
			require.ErrorAs(t, err, &loadError)
			require.Equal(t, test.path, loadError.Source)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
			require.ErrorContains(t, err, test.says)
		})
	}
	_, err := omnidocs.Open(t.Context(), write(t, dir, "notes.pdf", []byte("only text")), omnidocs.LoadOptions{})
	var unsupported *omnidocs.UnsupportedFormatError
	require.ErrorAs(t, err, &unsupported)
	require.ErrorContains(t, err, "text file")

	_, err = omnidocs.Open(t.Context(), "x.png", omnidocs.LoadOptions{DPI: 10, MaxPixels: -1})
	require.ErrorIs(t, err, omnidocs.ErrOptions)
	require.ErrorContains(t, err, "DPI: 10")
	require.ErrorContains(t, err, "MaxPixels: -1")
}

// A page that is damaged is that page's error, and the others are read.
func TestDamagedPage(t *testing.T) {
	dir := t.TempDir()
	good := pngBytes(t, picture(300, 300, 7))
	paths := []string{write(t, dir, "a.png", good), write(t, dir, "b.png", good[:len(good)/2]), write(t, dir, "c.png", good)}
	doc, err := omnidocs.FromImages(t.Context(), paths, omnidocs.LoadOptions{})
	require.NoError(t, err)
	defer doc.Close()
	var failed []int
	read := 0
	for img, err := range doc.Pages(t.Context()) {
		if err == nil {
			require.NotNil(t, img)
			read++
			continue
		}
		var pageError *omnidocs.PageError
		require.ErrorAs(t, err, &pageError)
		require.ErrorIs(t, err, textextraction.ErrImage)
		failed = append(failed, pageError.Page)
	}
	require.Equal(t, 2, read)
	require.Equal(t, []int{1}, failed)
}

func TestNewImageDocument(t *testing.T) {
	doc, err := omnidocs.NewImageDocument("", picture(3, 4, 1), picture(5, 6, 2))
	require.NoError(t, err)
	require.Equal(t, "2_images (2 pages)", doc.String())
	w, h, err := doc.PageSize(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, [2]int{5, 6}, [2]int{w, h})
	require.NoError(t, doc.Close())
	require.NoError(t, doc.Close(), "closing twice is no error")
	_, err = doc.Page(t.Context(), 0)
	require.ErrorIs(t, err, omnidocs.ErrClosed)

	for _, pages := range [][]image.Image{nil, {nil}, {(*image.Gray)(nil)}, {image.NewGray(image.Rectangle{})}} {
		_, err := omnidocs.NewImageDocument("x", pages...)
		var loadError *omnidocs.DocumentLoadError
		require.ErrorAs(t, err, &loadError)
	}
}

func TestFromReader(t *testing.T) {
	data := pngBytes(t, picture(30, 20, 9))
	doc, err := omnidocs.FromReader(t.Context(), bytes.NewReader(data), "scan", omnidocs.LoadOptions{})
	require.NoError(t, err)
	defer doc.Close()
	require.Equal(t, omnidocs.SourceBytes, doc.Metadata().SourceType)
	require.Equal(t, "scan", doc.Metadata().FileName)
	require.EqualValues(t, len(data), doc.Metadata().FileSize)
	img, err := doc.Page(t.Context(), 0)
	require.NoError(t, err)
	require.EqualValues(t, 9, grayOf(img))

	_, err = omnidocs.FromReader(t.Context(), bytes.NewReader(data), "scan", omnidocs.LoadOptions{MaxBytes: 50})
	require.ErrorIs(t, err, omnidocs.ErrTooLarge)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = omnidocs.FromReader(ctx, strings.NewReader("x"), "scan", omnidocs.LoadOptions{})
	require.ErrorIs(t, err, context.Canceled)
}

// Many goroutines ask for the same pages.
func TestDocumentFromSeveralGoroutines(t *testing.T) {
	dir := t.TempDir()
	var paths []string
	for i := range 4 {
		paths = append(paths, write(t, dir, string(rune('a'+i))+".png", pngBytes(t, picture(16, 16, uint8(i)))))
	}
	doc, err := omnidocs.FromImages(t.Context(), paths, omnidocs.LoadOptions{})
	require.NoError(t, err)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := range 40 {
				i := (n + g) % len(paths)
				img, err := doc.Page(t.Context(), i)
				if err != nil || grayOf(img) != uint8(i) {
					t.Errorf("page %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, doc.Close())
}

func TestSaveImages(t *testing.T) {
	doc, err := omnidocs.NewImageDocument("x", picture(3, 4, 1), picture(5, 6, 2))
	require.NoError(t, err)
	defer doc.Close()
	dir := filepath.Join(t.TempDir(), "new", "folder")
	paths, err := doc.SaveImages(t.Context(), dir, omnidocs.SaveOptions{})
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Join(dir, "page_001.png"), filepath.Join(dir, "page_002.png")}, paths)
	img, err := textextraction.LoadImage(t.Context(), paths[1])
	require.NoError(t, err)
	require.EqualValues(t, 2, grayOf(img))
	paths, err = doc.SaveImages(t.Context(), dir, omnidocs.SaveOptions{Prefix: "scan", Format: "jpg"})
	require.NoError(t, err)
	require.Equal(t, "scan_002.jpg", filepath.Base(paths[1]))
	_, err = doc.SaveImages(t.Context(), dir, omnidocs.SaveOptions{Format: "xcf"})
	require.ErrorIs(t, err, omnidocs.ErrOptions)
}

// The largest page is that of the most pixels; one that cannot be read is passed over, unless all are like it.
func TestLargestPage(t *testing.T) {
	dir := t.TempDir()
	small := write(t, dir, "small.png", pngBytes(t, picture(30, 20, 10)))
	tall := write(t, dir, "tall.png", pngBytes(t, picture(10, 90, 10)))
	broken := write(t, dir, "broken.png", pngBytes(t, picture(400, 500, 10)))
	doc, err := omnidocs.FromImages(t.Context(), []string{small, tall, broken, small}, omnidocs.LoadOptions{})
	require.NoError(t, err)
	w, h, err := doc.LargestPage(t.Context())
	require.NoError(t, err)
	require.Equal(t, [2]int{400, 500}, [2]int{w, h})
	require.NoError(t, os.Remove(broken))
	w, h, err = doc.LargestPage(t.Context())
	require.NoError(t, err)
	require.Equal(t, [2]int{10, 90}, [2]int{w, h})
	require.NoError(t, errors.Join(os.Remove(small), os.Remove(tall)))
	_, _, err = doc.LargestPage(t.Context())
	require.ErrorContains(t, err, "small.png")
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = doc.LargestPage(canceled)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, doc.Close())
	_, _, err = doc.LargestPage(t.Context())
	require.Error(t, err)
}
