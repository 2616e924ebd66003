package omnidocs_test

import (
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/omnidocs/crosscheck"
	"github.com/omnidocs/omnidocs/textextraction"
)

// TestRealTinyModel measures what the embedded model reads of real PDFs: pages from the inside of each, at two resolutions, against
// their text layer. It holds the model to nothing, the model's card has the numbers; a page that fails is an error.
//
//	OMNIDOCS_PDFS=/path/to/pdfs go test ./omnidocs -run RealTinyModel -v
func TestRealTinyModel(t *testing.T) {
	paths := realPDFs(t)
	ex, err := textextraction.NewQwenTextExtractor(t.Context(), textextraction.QwenTextPyTorchConfig{
		Model: textextraction.TinyModel, Device: "go", MaxNewTokens: 2800,
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, ex.Close()) }()
	for _, dpi := range []int{100, 150} {
		for _, path := range paths {
			doc, err := omnidocs.Open(t.Context(), path, omnidocs.LoadOptions{DPI: dpi})
			require.NoError(t, err)
			n := doc.PageCount()
			var wrong, letters, pages int
			var coverage, novelty float64
			for _, i := range []int{n / 3, n / 2, 2 * n / 3} {
				layer, err := doc.PageText(t.Context(), i)
				require.NoError(t, err)
				page, err := doc.Page(t.Context(), i)
				require.NoError(t, err)
				res, err := ex.Extract(t.Context(), page, textextraction.Markdown)
				require.NoError(t, err)
				report := crosscheck.Compare(res.Content, layer, crosscheck.Options{N: 1})
				if !report.Usable {
					continue
				}
				pages++
				coverage += report.Coverage
				novelty += report.Novelty
				want := strings.Join(strings.Fields(layer), " ")
				wrong += min(utf8.RuneCountInString(want), editDistance(want, strings.Join(strings.Fields(res.PlainText), " ")))
				letters += utf8.RuneCountInString(want)
			}
			require.NoError(t, doc.Close())
			if pages == 0 {
				t.Logf("%-28s %d dpi: none of the pages has a text layer to compare with", filepath.Base(path), dpi)
				continue
			}
			t.Logf("%-28s %d dpi, %d pages of %d letters: %.1f %% wrong, %.2f of the words found, %.2f of those written are not there",
				filepath.Base(path), dpi, pages, letters, 100*float64(wrong)/float64(letters), coverage/float64(pages), novelty/float64(pages))
		}
	}
}

// editDistance is Levenshtein's, in letters.
func editDistance(a, b string) int {
	to := []rune(b)
	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}
	for i, x := range []rune(a) {
		corner := row[0]
		row[0] = i + 1
		for j, y := range to {
			cost := corner
			if x != y {
				cost++
			}
			corner = row[j+1]
			row[j+1] = min(row[j+1]+1, row[j]+1, cost)
		}
	}
	return row[len(to)]
}
