package textextraction

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// pythonRow is what Python's cleaning gives for an answer; see testdata/make_clean.py.
type pythonRow struct {
	Name          string `json:"name"`
	Format        Format `json:"format"`
	Raw           string `json:"raw"`
	Content       string `json:"content"`
	PlainText     string `json:"plain_text"`
	ContentLength int    `json:"content_length"`
	WordCount     int    `json:"word_count"`
}

func pythonRows(t testing.TB) []pythonRow {
	t.Helper()
	data, err := os.ReadFile("testdata/clean_python.json")
	require.NoError(t, err)
	var rows []pythonRow
	require.NoError(t, json.Unmarshal(data, &rows))
	return rows
}

// TestCleanAsPython holds the cleaning to Python's on answers that Python's does not harm.
func TestCleanAsPython(t *testing.T) {
	seen := 0
	for _, row := range pythonRows(t) {
		if strings.HasPrefix(row.Name, "defect/") {
			continue
		}
		seen++
		t.Run(row.Format.String()+"/"+row.Name, func(t *testing.T) {
			got := NewExtractResult(row.Raw, row.Format)
			require.Equal(t, row.Content, got.Content, "content of %q", row.Raw)
			require.Equal(t, row.PlainText, got.PlainText, "plain text of %q", row.Raw)
			require.Equal(t, row.WordCount, got.WordCount)
			require.Equal(t, row.ContentLength, got.ContentLength)
		})
	}
	require.Greater(t, seen, 300)
}
