package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/textextraction"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	f := flags{out: dir, pattern: "*.pdf", model: textextraction.TinyModel, format: "markdown", workers: 2, maxTokens: 16, cost: 1}
	require.NoError(t, run(t.Context(), f, &out))
	require.Contains(t, out.String(), "2 documents, 2 pages read, 0 failed: look at "+filepath.Join(dir, "report.html"))
	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(string(page), "data:image/jpeg"))
	require.Contains(t, string(page), "# Order 4712")
	require.Contains(t, string(page), "<dt>cost</dt>")
	require.Contains(t, string(page), "damaged")
}
