package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "-serve" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestRun(t *testing.T) {
	var said strings.Builder
	require.NoError(t, run(t.Context(), flags{
		pages: 500, perDocument: 30, perTask: 4, workers: 2, parallel: 8, measure: 1, mean: time.Second, speedup: 1000,
	}, &said))
	require.Contains(t, said.String(), "17 documents submitted")
	require.Contains(t, said.String(), "500 pages, 0 failed")
	require.Contains(t, said.String(), "omnidocs-ledger: 517 messages")
	require.Contains(t, said.String(), "KV_omnidocs-results: 500 messages")
}
