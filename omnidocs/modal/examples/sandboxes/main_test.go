package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs/modal"
)

// Three sandboxes run our server with the embedded model; one dies after the first page. Every page is read once, and nothing is left.
func TestSandboxes(t *testing.T) {
	for _, name := range []string{"MODAL_SERVER_URL", "MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET", "MODAL_CONFIG_PATH"} {
		t.Setenv(name, "") // put back afterwards
	}
	const pages = 24
	var out strings.Builder
	require.NoError(t, run(t.Context(), flags{config: modal.Config{GPU: modal.DefaultGPU, Fleet: "test"}, sandboxes: 3, pages: pages, kill: true}, &out))
	text := out.String()
	for n := range pages {
		require.Equal(t, 1, strings.Count(text, fmt.Sprintf("[%d] # Order %d: ", n+1, 4711+n)), text)
	}
	require.Contains(t, text, fmt.Sprintf("%d pages in", pages))
	require.Contains(t, text, ", 0 failed\n")
	require.Contains(t, text, "has ended with code 137")
	require.True(t, strings.HasSuffix(text, "\n0 sandboxes are left\n"), text)
	require.Len(t, regexp.MustCompile(`(?m)^sb-\d+: \d+ pages, well: `).FindAllString(text, -1), 3)
}
