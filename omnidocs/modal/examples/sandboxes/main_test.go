package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs/modal"
	"github.com/omnidocs/omnidocs/textextraction"
)

// Three sandboxes run our server with the embedded model; one dies after the first page. Every page is read once, with the words that the
// model says here, and nothing is left.
func TestSandboxes(t *testing.T) {
	for _, name := range []string{"MODAL_SERVER_URL", "MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET", "MODAL_CONFIG_PATH"} {
		t.Setenv(name, "") // put back afterwards
	}
	const pages = 24
	var out strings.Builder
	require.NoError(t, run(t.Context(), flags{config: modal.Config{GPU: modal.DefaultGPU, Fleet: "test"}, sandboxes: 3, pages: pages, kill: true}, &out))
	text := out.String()
	alone, err := textextraction.NewQwenTextExtractor(t.Context(), textextraction.QwenTextPyTorchConfig{Model: textextraction.TinyModel})
	require.NoError(t, err)
	defer func() { require.NoError(t, alone.Close()) }()
	n := 0
	for page, err := range source(t.Context(), flags{pages: pages}) {
		require.NoError(t, err)
		r, err := alone.Extract(t.Context(), page, textextraction.Markdown)
		require.NoError(t, err)
		title, _, _ := strings.Cut(r.Content, "\n")
		n++
		require.Equal(t, 1, strings.Count(text, fmt.Sprintf("\n[%d] %s: ", n, title)), text)
	}
	require.Contains(t, text, fmt.Sprintf("%d pages in", pages))
	require.Contains(t, text, ", 0 failed\n")
	require.Contains(t, text, "has ended with code 137")
	require.True(t, strings.HasSuffix(text, "\n0 sandboxes are left\n"), text)
	require.Len(t, regexp.MustCompile(`(?m)^sb-\d+: \d+ pages, well: `).FindAllString(text, -1), 3)
}
