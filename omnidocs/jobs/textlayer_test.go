package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/pdfwriter"
	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/omnidocs/assemble"
	"github.com/omnidocs/omnidocs/textextraction"
)

// reading is an extractor that says of a page what the test says, by its width in pixels.
type reading struct {
	textextraction.TextExtractor
	texts map[int]string
}

var errUnread = errors.New("it is not read")

func (r reading) ExtractWith(_ context.Context, img image.Image, opts textextraction.Options) (*textextraction.ExtractResult, error) {
	text, ok := r.texts[img.Bounds().Dx()]
	if !ok {
		return nil, errUnread
	}
	return textextraction.NewExtractResult(text, opts.Format), nil
}

const pageText = "The harbor handled 1,204 ships in the first\nquarter, more than in the year before."

// TestTextLayer reads a PDF of five pages: one well, one with a wrong number, one not at all, one that is a picture, and is not read either, and one without text that is.
func TestTextLayer(t *testing.T) {
	in, out := t.TempDir(), t.TempDir()
	pdf := pdfwriter.Write(nil,
		pdfwriter.Page{Width: 72, Height: 200, Text: pageText, FontSize: 3}, pdfwriter.Page{Width: 144, Height: 200, Text: pageText, FontSize: 3},
		pdfwriter.Page{Width: 216, Height: 200, Text: pageText, FontSize: 3}, pdfwriter.Page{Width: 288, Height: 200}, pdfwriter.Page{Width: 360, Height: 200})
	require.NoError(t, os.WriteFile(filepath.Join(in, "a.pdf"), pdf, 0o600))
	well := strings.ReplaceAll(pageText, "\n", " ")
	ex := reading{texts: map[int]string{72: well, 144: strings.Replace(well, "1,204", "1,264", 1), 360: "# Blank"}}
	opts := DirectoryOptions{
		Options:   Options{CrossCheck: true, TextLayerFallback: true, ExtractorID: "reading"},
		Files:     omnidocs.BatchOptions{Load: omnidocs.LoadOptions{DPI: 72}},
		OutputDir: out, Outputs: []Output{JSON, JSONL, Markdown}, Assemble: assemble.Options{Separator: "\n\n---\n\n"},
	}
	b, err := ProcessDirectory(t.Context(), in, ex, opts)
	require.NoError(t, err)
	d := b.Document("a")
	require.Empty(t, d.Problems)
	require.Equal(t, []int{5, 4, 2}, []int{d.PageCount, d.ProcessedPages(), d.FailedPages()})
	pages := d.Pages()
	require.False(t, pages[0].Check.Suspicious())
	require.InDelta(t, 1, pages[0].Check.Coverage, 1e-9)
	require.True(t, pages[1].Check.Suspicious())
	require.Equal(t, []string{"1,264"}, pages[1].Check.InventedNumbers)
	require.True(t, pages[2].TextLayer)
	require.ErrorIs(t, pages[2].Err, errUnread)
	require.Equal(t, well, strings.Join(strings.Fields(pages[2].Result.Content), " "))
	require.False(t, pages[3].TextLayer)
	require.Nil(t, pages[3].Result)
	require.Nil(t, pages[4].Check, "there is nothing to compare with")

	got := files(t, out)
	require.Contains(t, got["a.json"], `"text_layer": [`)
	require.Contains(t, got["a.json"], `"invented_numbers": [`)
	require.Contains(t, got["a.md"], "\n\n---\n\n# Blank\n")
	var read DocumentResult
	require.NoError(t, json.Unmarshal([]byte(got["a.json"]), &read))
	require.Equal(t, pages[1].Check, read.Pages()[1].Check)
	require.True(t, read.Pages()[2].TextLayer)
	require.Error(t, read.Pages()[2].Err)

	t.Run("again", func(t *testing.T) {
		_, err := ProcessDirectory(t.Context(), in, ex, opts)
		require.NoError(t, err)
		require.Equal(t, got, files(t, out))
	})
	t.Run("as HTML", func(t *testing.T) {
		opts := opts
		opts.OutputDir, opts.Outputs, opts.Page.Format = "", nil, textextraction.HTML
		b, err := ProcessDirectory(t.Context(), in, ex, opts)
		require.NoError(t, err)
		require.Contains(t, b.Document("a").PageResult(2).Content, "<pre>The harbor")
	})
	t.Run("not asked for", func(t *testing.T) {
		b, err := ProcessDirectory(t.Context(), in, ex, DirectoryOptions{})
		require.NoError(t, err)
		require.Zero(t, b.Document("a").ProcessedPages(), "pages are wider at 150 dpi")
		require.Nil(t, b.Document("a").Pages()[0].Check)
	})
}
