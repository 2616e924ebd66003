package textextraction_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/textextraction"
)

// The embedded model reads pages that it has never seen: Go Mono from 24 to 30 px anywhere on pages of up to 512×384, line
// pitch 1.15 to 1.45, headings, lists and English prose that no training page shows. At most one character in fifty is wrong (see internal/tiny/MODEL.md).
func TestTinyModelErrorRate(t *testing.T) {
	ex, err := textextraction.NewQwenTextExtractor(t.Context(), textextraction.QwenTextPyTorchConfig{
		Model: textextraction.TinyModel, Device: "go", MaxNewTokens: 700,
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, ex.Close()) }()
	wrong, letters := 0, 0
	for seed := range uint64(16) {
		page, err := tiny.DrawPage(tiny.RandomPage(1000+seed, tiny.Paragraphs(), tiny.Class{}))
		require.NoError(t, err)
		res, err := ex.Extract(t.Context(), page.Image, textextraction.Markdown)
		require.NoError(t, err)
		d := distance([]rune(page.Markdown), []rune(res.Content))
		t.Logf("%d×%d: %d of %d wrong", page.Image.Rect.Dx(), page.Image.Rect.Dy(), d, len([]rune(page.Markdown)))
		wrong += d
		letters += len([]rune(page.Markdown))
	}
	t.Logf("character error rate %.2f %%", 100*float64(wrong)/float64(letters))
	require.LessOrEqual(t, float64(wrong), 0.02*float64(letters))
}

// distance is Levenshtein's.
func distance(a, b []rune) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i, x := range a {
		corner := row[0]
		row[0] = i + 1
		for j, y := range b {
			cost := corner
			if x != y {
				cost++
			}
			corner = row[j+1]
			row[j+1] = min(row[j+1]+1, row[j]+1, cost)
		}
	}
	return row[len(b)]
}
