package pdf

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/imageproc"
	"github.com/omnidocs/omnidocs/internal/pdfwriter"
)

var limits = Limits{MaxPixels: imageproc.DefaultMaxPixels, Timeout: time.Minute}

func openBytes(t *testing.T, data []byte, limits Limits) (*File, error) {
	t.Helper()
	f, err := Open(t.Context(), bytes.NewReader(data), int64(len(data)), "", limits)
	if err == nil {
		t.Cleanup(f.Close)
	}
	return f, err
}

// halves is red on its upper half and blue on its lower.
func halves() image.Image {
	img := image.NewRGBA(image.Rect(0, 0, 8, 8))
	for y := range 8 {
		for x := range 8 {
			img.SetRGBA(x, y, map[bool]color.RGBA{true: {255, 0, 0, 255}, false: {0, 0, 255, 255}}[y < 4])
		}
	}
	return img
}

func TestFile(t *testing.T) {
	f, err := openBytes(t, pdfwriter.Write(map[string]string{"Title": "Prüfung (1)", "Author": ""},
		pdfwriter.Page{Text: "Grüße, “Müller” – 12 €\nsecond line"},
		pdfwriter.Page{Width: 144, Height: 72, Image: halves()},
		pdfwriter.Page{Width: 144, Height: 72, Image: halves(), Rotate: 90},
		pdfwriter.Page{Width: 595.276, Height: 841.89},
	), limits)
	require.NoError(t, err)
	require.Equal(t, 4, f.Count())
	require.Equal(t, map[string]string{"Title": "Prüfung (1)"}, f.Metadata())

	text, err := f.Text(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, "Grüße, “Müller” – 12 €\nsecond line", text)
	text, err = f.Text(t.Context(), 1)
	require.NoError(t, err)
	require.Empty(t, text)

	for i, want := range []image.Point{{1275, 1650}, {300, 150}, {150, 300}, {1241, 1754}} {
		size, err := f.Size(t.Context(), i, 150)
		require.NoError(t, err)
		require.Equal(t, want, size)
		img, err := f.Render(t.Context(), i, 150)
		require.NoError(t, err)
		require.Equal(t, want, img.Bounds().Size())
	}
	red, blue := color.RGBA{255, 0, 0, 255}, color.RGBA{0, 0, 255, 255}
	upright, err := f.Render(t.Context(), 1, 72)
	require.NoError(t, err)
	require.Equal(t, red, upright.At(10, 10))
	require.Equal(t, blue, upright.At(10, 62))
	turned, err := f.Render(t.Context(), 2, 72)
	require.NoError(t, err)
	require.Equal(t, blue, turned.At(10, 72), "turned clockwise the lower half is on the left")
	require.Equal(t, red, turned.At(62, 72))

	again, err := f.Render(t.Context(), 0, 150)
	require.NoError(t, err)
	dark := 0
	for _, v := range again.Pix {
		if v < 128 {
			dark++
		}
	}
	require.Greater(t, dark, 1000, "the text is drawn")
	other, err := f.Render(t.Context(), 0, 150)
	require.NoError(t, err)
	require.Equal(t, again.Pix, other.Pix, "the same page gives the same pixels")
}

func TestOpenErrors(t *testing.T) {
	good := string(pdfwriter.Write(nil, pdfwriter.Page{Text: "x"}, pdfwriter.Page{Text: "y"}))
	for _, test := range []struct {
		name, data string
		is         error
		says       string
	}{
		{"nothing", "", ErrDamaged, "no bytes"},
		{"no PDF", strings.Repeat("text ", 100), ErrDamaged, "no PDF"},
		{"only a header", "%PDF-1.7\n", ErrDamaged, "cut short"},
		{"no pages", "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Count 0/Kids[]>>endobj\ntrailer<</Root 1 0 R>>", ErrDamaged, "PDF"},
		{"a million pages", strings.Replace(good, "/Count 2/", "/Count 1000000/", 1), ErrDamaged, "1000000 pages, but no more than the first 2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := openBytes(t, []byte(test.data), limits)
			require.ErrorIs(t, err, test.is)
			require.ErrorContains(t, err, test.says)
		})
	}
}

// A page that is not there is that page's error, and the rest can be read.
func TestDamagedPage(t *testing.T) {
	data := pdfwriter.Write(nil, pdfwriter.Page{Text: "one"}, pdfwriter.Page{Text: "two"}, pdfwriter.Page{Text: "three"})
	// The second page becomes a number.
	data = bytes.Replace(data, []byte("7 0 obj\n<</Type/Page/Parent 2 0 R"), []byte("7 0 obj\n77 %%%%%%%%%%%%%%%%%%%%%%%%"), 1)
	f, err := openBytes(t, data, limits)
	require.NoError(t, err)
	require.Equal(t, 3, f.Count())
	_, err = f.Render(t.Context(), 1, 72)
	require.ErrorIs(t, err, ErrDamaged)
	for i, want := range map[int]string{0: "one", 2: "three"} {
		text, err := f.Text(t.Context(), i)
		require.NoError(t, err)
		require.Equal(t, want, text)
	}
}

func TestPixelLimit(t *testing.T) {
	f, err := openBytes(t, pdfwriter.Write(nil, pdfwriter.Page{Width: 14400, Height: 14400}, pdfwriter.Page{}), limits)
	require.NoError(t, err)
	for _, call := range []func() error{
		func() error { _, err := f.Render(t.Context(), 0, 600); return err },
		func() error { _, err := f.Size(t.Context(), 0, 600); return err },
	} {
		err := call()
		require.ErrorIs(t, err, ErrTooLarge)
		require.ErrorContains(t, err, "120000 x 120000 pixels at 600 dpi")
	}
	_, err = f.Render(t.Context(), 1, 72)
	require.NoError(t, err)
}

// A page that needs more memory than a sandbox has costs the page and the sandbox, and nothing else.
func TestOutOfMemory(t *testing.T) {
	f, err := openBytes(t, pdfwriter.Write(nil, pdfwriter.Page{Width: 14400, Height: 14400, Text: "x"}, pdfwriter.Page{Text: "y"}),
		Limits{MaxPixels: 1 << 40, Timeout: time.Minute})
	require.NoError(t, err)
	_, err = f.Render(t.Context(), 0, 90) // 324 million pixels, which are 1.3 GB
	require.ErrorIs(t, err, ErrTooLarge)
	require.ErrorContains(t, err, "no memory for 18000 x 18000 pixels")
	text, err := f.Text(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, "y", text)
}

// slowPage is a PDF whose first page draws for a very long time.
func slowPage() []byte {
	// Forms that draw the next form a hundred times: 100 to the power of their number.
	w := &bytes.Buffer{}
	w.WriteString("%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Count 2/Kids[3 0 R 4 0 R]>>endobj\n" +
		"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]/Resources<</XObject<</F 10 0 R>>>>/Contents 5 0 R>>endobj\n" +
		"4 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]>>endobj\n5 0 obj<</Length 5>>stream\n/F Do\nendstream endobj\n")
	const depth = 8
	for i := range depth {
		body := strings.Repeat("/F Do ", 100)
		if i == depth-1 {
			body = "0 0 50 50 re f"
		}
		fmt.Fprintf(w, "%d 0 obj<</Type/XObject/Subtype/Form/BBox[0 0 100 100]/Resources<</XObject<</F %d 0 R>>>>/Length %d>>stream\n%s\nendstream endobj\n",
			10+i, 11+i, len(body), body)
	}
	w.WriteString("trailer<</Root 1 0 R>>\n")
	return w.Bytes()
}

func TestSlowPageTimesOut(t *testing.T) {
	f, err := openBytes(t, slowPage(), Limits{MaxPixels: 1 << 20, Timeout: time.Minute})
	require.NoError(t, err)
	f.limits.Timeout = time.Millisecond
	_, err = f.Render(t.Context(), 0, 72)
	require.ErrorIs(t, err, ErrTimeout)
	f.limits.Timeout = time.Minute
	_, err = f.Render(t.Context(), 1, 72)
	require.NoError(t, err, "the other page is read all the same")
}

func TestSlowPageIsCanceled(t *testing.T) {
	f, err := openBytes(t, slowPage(), limits)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel) // whenever that is: the page takes longer
	_, err = f.Render(ctx, 0, 72)
	require.ErrorIs(t, err, context.Canceled)
	_, err = f.Render(ctx, 1, 72)
	require.ErrorIs(t, err, context.Canceled)
	_, err = f.Render(t.Context(), 1, 72)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(workers.slots) == 0 }, time.Minute, time.Millisecond,
		"the sandbox has stopped, and its slot is free")
}

// More files than there may be sandboxes, each from several goroutines, with calls that are canceled among them.
func TestManyFiles(t *testing.T) {
	var files []*File
	for i := range cap(workers.slots) + 3 {
		f, err := openBytes(t, pdfwriter.Write(nil, pdfwriter.Page{Text: fmt.Sprint("file ", i)}, pdfwriter.Page{Text: "last"}), limits)
		require.NoError(t, err)
		files = append(files, f)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for n := range 2 * len(files) {
				i := (n + 3*g) % len(files)
				ctx, cancel := context.WithCancel(t.Context())
				if n%5 == g {
					cancel()
				}
				text, err := files[i].Text(ctx, 0)
				if n%5 == g {
					cancel()
					continue
				}
				cancel()
				if err != nil || text != fmt.Sprint("file ", i) {
					t.Errorf("file %d: %q, %v", i, text, err)
				}
			}
		})
	}
	wg.Wait()
	for _, f := range files {
		f.Close()
	}
	workers.mu.Lock()
	defer workers.mu.Unlock()
	require.LessOrEqual(t, workers.live, cap(workers.slots))
	for _, w := range workers.idle {
		require.NotContains(t, files, w.file, "a closed file has no sandbox")
	}
}
