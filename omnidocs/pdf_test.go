package omnidocs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/pdfwriter"
	"github.com/omnidocs/omnidocs/omnidocs"
)

// letter is a PDF of pages that say which they are.
func letter(pages int) []byte {
	list := make([]pdfwriter.Page, pages)
	for i := range list {
		list[i].Text = fmt.Sprintf("This is page %d.\nIt has two lines.", i+1)
	}
	return pdfwriter.Write(map[string]string{"Title": "Letters", "Author": "A. Writer"}, list...)
}

func TestFromPDF(t *testing.T) {
	path := write(t, t.TempDir(), "letter.pdf", letter(3))
	for name, open := range map[string]func(context.Context, string, omnidocs.LoadOptions) (*omnidocs.Document, error){
		"FromPDF": omnidocs.FromPDF, "Open": omnidocs.Open,
	} {
		t.Run(name, func(t *testing.T) {
			doc, err := open(t.Context(), path, omnidocs.LoadOptions{})
			require.NoError(t, err)
			defer doc.Close()
			require.Equal(t, 3, doc.PageCount())
			meta := doc.Metadata()
			require.Equal(t, map[string]string{"Title": "Letters", "Author": "A. Writer"}, meta.PDFMetadata)
			require.Equal(t, "pdf", meta.Format)
			require.Equal(t, 150, meta.ImageDPI)
			require.Equal(t, "letter.pdf", meta.FileName)
			require.Equal(t, path, meta.SourcePath)
			require.EqualValues(t, len(letter(3)), meta.FileSize)
			require.Equal(t, "pdfium", meta.TextExtractionEngine)
			var names map[string]any
			data, err := json.Marshal(meta)
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(data, &names))
			for _, name := range []string{"source_type", "source_path", "file_name", "file_size", "pdf_metadata", "page_count", "format", "image_dpi", "image_format", "text_extraction_engine", "loaded_at"} {
				require.Contains(t, names, name)
			}

			text, err := doc.PageText(t.Context(), 1)
			require.NoError(t, err)
			require.Equal(t, "This is page 2.\nIt has two lines.", text)
			text, err = doc.Text(t.Context())
			require.NoError(t, err)
			require.Len(t, strings.Split(text, "\n\n"), 3)

			w, h, err := doc.PageSize(t.Context(), 0)
			require.NoError(t, err)
			require.Equal(t, image.Pt(1275, 1650), image.Pt(w, h))
			n := 0
			for img, err := range doc.Pages(t.Context()) {
				require.NoError(t, err)
				require.Equal(t, image.Pt(w, h), img.Bounds().Size())
				n++
			}
			require.Equal(t, 3, n)
		})
	}
}

func TestPDFOptions(t *testing.T) {
	doc, err := omnidocs.FromBytes(t.Context(), letter(5), "letter.pdf", omnidocs.LoadOptions{
		DPI: 72, Pages: &omnidocs.PageRange{First: 2, Last: 3}, MaxPixels: 612 * 792,
	})
	require.NoError(t, err)
	defer doc.Close()
	require.Equal(t, 2, doc.PageCount())
	require.Equal(t, omnidocs.SourceBytes, doc.Metadata().SourceType)
	text, err := doc.PageText(t.Context(), 0)
	require.NoError(t, err)
	require.Contains(t, text, "page 3")
	img, err := doc.Page(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, image.Pt(612, 792), img.Bounds().Size())

	large, err := omnidocs.FromBytes(t.Context(), letter(1), "letter.pdf", omnidocs.LoadOptions{DPI: 73, MaxPixels: 612 * 792})
	require.NoError(t, err)
	defer large.Close()
	_, err = large.Page(t.Context(), 0)
	require.ErrorIs(t, err, omnidocs.ErrTooLarge)
	var pageError *omnidocs.PageError
	require.ErrorAs(t, err, &pageError)
}

func TestFromPDFErrors(t *testing.T) {
	dir := t.TempDir()
	good := letter(2)
	for _, test := range []struct {
		name, path string
		is         error
		says       string
	}{
		{"missing", dir + "/none.pdf", fs.ErrNotExist, "none.pdf"},
		{"empty", write(t, dir, "empty.pdf", nil), nil, "no bytes"},
		{"damaged", write(t, dir, "damaged.pdf", []byte("%PDF-1.7\nnothing else")), nil, "damaged"},
		{"a million pages", write(t, dir, "million.pdf", []byte(strings.Replace(string(good), "/Count 2/", "/Count 1000000/", 1))), nil, "1000000 pages"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := omnidocs.FromPDF(t.Context(), test.path, omnidocs.LoadOptions{})
			var loadError *omnidocs.DocumentLoadError
			require.ErrorAs(t, err, &loadError)
			require.Equal(t, test.path, loadError.Source)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
			require.ErrorContains(t, err, test.says)
		})
	}
	_, err := omnidocs.FromPDF(t.Context(), write(t, dir, "picture.pdf", pngBytes(t, picture(3, 3, 0))), omnidocs.LoadOptions{})
	var unsupported *omnidocs.UnsupportedFormatError
	require.ErrorAs(t, err, &unsupported)
	_, err = omnidocs.FromImage(t.Context(), write(t, dir, "letter.png", good), omnidocs.LoadOptions{})
	require.ErrorAs(t, err, &unsupported)
	require.ErrorContains(t, err, "it is a PDF")
}

func TestEncryptedPDF(t *testing.T) {
	path := filepath.Join("internal", "pdf", "testdata", "encrypted_aes256.pdf")
	_, err := omnidocs.FromPDF(t.Context(), path, omnidocs.LoadOptions{})
	var loadError *omnidocs.DocumentLoadError
	require.ErrorAs(t, err, &loadError)
	require.ErrorIs(t, err, omnidocs.ErrPassword)
	require.ErrorContains(t, err, "give LoadOptions.Password")
	doc, err := omnidocs.FromPDF(t.Context(), path, omnidocs.LoadOptions{Password: "sesame"})
	require.NoError(t, err)
	defer doc.Close()
	text, err := doc.Text(t.Context())
	require.NoError(t, err)
	require.Equal(t, "a secret", text)
}

// A folder of PDFs, one of which is damaged.
func TestBatchOfPDFs(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.pdf", letter(2))
	write(t, dir, "b.pdf", []byte("%PDF-"))
	write(t, dir, "c.pdf", letter(1))
	b, err := omnidocs.BatchFromDirectory(t.Context(), dir, omnidocs.BatchOptions{Load: omnidocs.LoadOptions{DPI: 50}})
	require.NoError(t, err)
	var seen []string
	for page, err := range b.AllPages(t.Context()) {
		seen = append(seen, fmt.Sprint(page.Document, page.Page, err == nil))
	}
	require.Equal(t, []string{"0 0 true", "0 1 true", "1 0 false", "2 0 true"}, seen)
}

// A document of 500 pages takes no more memory than one of few: the pages are let go of, and so is what PDFium keeps.
func TestMemoryOf500Pages(t *testing.T) {
	pages := make([]pdfwriter.Page, 500)
	for i := range pages {
		pages[i].Text = strings.Repeat(fmt.Sprintf("Line of page %d.\n", i), 40)
	}
	doc, err := omnidocs.FromBytes(t.Context(), pdfwriter.Write(nil, pages...), "long.pdf", omnidocs.LoadOptions{DPI: 72})
	require.NoError(t, err)
	defer doc.Close()
	n, peak := 0, uint64(0)
	for img, err := range doc.Pages(t.Context()) {
		require.NoError(t, err)
		require.NotNil(t, img)
		if n++; n%25 == 0 {
			peak = max(peak, heap())
		}
	}
	require.Equal(t, 500, n)
	t.Logf("peak of the heap: %d MB", peak>>20)
	require.Less(t, peak, uint64(250<<20), "all pages together would be 725 MB")
}
