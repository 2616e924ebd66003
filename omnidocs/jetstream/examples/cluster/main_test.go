package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	out := t.TempDir()
	var said strings.Builder
	require.NoError(t, run(t.Context(), flags{out: out, model: "omnidocs/tiny", workers: 3, parallel: 2, costPerHour: 1}, &said))
	require.Contains(t, said.String(), "5/5 pages, 0 failed")
	require.Contains(t, said.String(), "3 documents, 5 pages read, 0 failed")
	require.Regexp(t, `worker-[123] read [1-5] pages`, said.String())
	text, err := os.ReadFile(filepath.Join(out, "orders.md"))
	require.NoError(t, err)
	require.Contains(t, strings.ToLower(string(text)), "order")
	require.FileExists(t, filepath.Join(out, "report.html"))
}
