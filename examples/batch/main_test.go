package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/textextraction"
)

// TestRun reads the letters, and again: the second time nothing is read, and the results are the same to the byte.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	f := flags{out: dir, pattern: "*", outputs: "json,jsonl,markdown", model: textextraction.TinyModel, format: "markdown", workers: 2, maxTokens: 24}
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), f, &out))
	require.Contains(t, out.String(), "3 documents, 5 pages read (0 of them by an earlier run), 0 failed")
	results := func() map[string]string {
		all := map[string]string{}
		for _, name := range []string{"orders", "order.pdf", "order.png"} {
			for _, extension := range []string{".json", ".jsonl", ".md"} {
				data, err := os.ReadFile(filepath.Join(dir, name+extension))
				require.NoError(t, err)
				all[name+extension] = string(data)
				require.NoError(t, os.Remove(filepath.Join(dir, name+extension)))
			}
		}
		return all
	}
	first := results()
	require.Contains(t, first["orders.md"], "# Order 4711")
	require.Contains(t, first["orders.md"], "# Order 4713")

	require.NoError(t, os.WriteFile(filepath.Join(dir, "letters", "notes.txt"), []byte("no document"), 0o600))
	out.Reset()
	require.ErrorContains(t, run(t.Context(), f, &out), "not everything")
	require.Contains(t, out.String(), "4 documents, 5 pages read (5 of them by an earlier run), 0 failed")
	require.Contains(t, out.String(), `failed: "notes"`)
	require.Equal(t, first, results())
}
