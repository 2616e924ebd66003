package main

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs/modal"
)

// Three sandboxes pull pages from a queue; one dies with its pages and is replaced. Every page is read once, and nothing is left.
func TestCluster(t *testing.T) {
	for _, name := range []string{"MODAL_SERVER_URL", "MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET", "MODAL_CONFIG_PATH", "NATS_CREDS"} {
		t.Setenv(name, "") // put back afterwards
	}
	const pages = 12
	var out strings.Builder
	err := run(t.Context(), flags{config: modal.Config{GPU: modal.DefaultGPU, Fleet: "test"}, sandboxes: 3, pages: pages, kill: true}, &out)
	text := out.String()
	require.NoError(t, err, text)
	for n := range pages {
		require.Equal(t, 1, strings.Count(text, fmt.Sprintf("[%d.1] ", n+1)), text)
	}
	require.Equal(t, pages, strings.Count(text, " words, by sb-"), text)
	require.Contains(t, text, fmt.Sprintf("%d pages in", pages))
	require.Contains(t, text, ", 0 failed\n")
	require.Equal(t, 1, strings.Count(text, "has ended with code 137"), text)
	require.True(t, strings.HasSuffix(text, "\n0 sandboxes are left\n"), text)
}

// Where no worker can run the job is not waited for.
func TestNoWorkers(t *testing.T) {
	for _, name := range []string{"MODAL_SERVER_URL", "MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET", "MODAL_CONFIG_PATH", "NATS_CREDS"} {
		t.Setenv(name, "")
	}
	broken := modal.Config{GPU: modal.DefaultGPU, Fleet: "test", Command: []string{"sh", "-c", "echo no such model; exit 3"}}
	err := run(t.Context(), flags{config: broken, sandboxes: 1, pages: 1}, io.Discard)
	require.ErrorContains(t, err, "no worker is left")
	require.ErrorContains(t, err, "has ended with code 3: no such model")
}
