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
	require.Regexp(t, "omnidocs-ledger: [0-9]+ messages, 1 subjects", said.String())
	require.Regexp(t, "omnidocs-results: [0-9]+ messages, 1 subjects", said.String())
	require.Regexp(t, "omnidocs-index: (4[89][0-9]|500) messages", said.String()) // a bucket has two keys now and then
}
