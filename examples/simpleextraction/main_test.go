package main

import (
	"bytes"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/textextraction"
	"github.com/omnidocs/omnidocs/textextraction/httpapi"
)

// A model here and one behind a server give the same.
func TestRun(t *testing.T) {
	f := flags{model: textextraction.TinyModel, timeout: 5 * time.Minute}
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), f, &out))
	require.Contains(t, out.String(), "Extraction succeeded: true\nContent length: 174 chars\nWord count: 36\n\nContent preview:\n# Order 4711\n")

	x, err := extractor(t.Context(), f)
	require.NoError(t, err)
	api, err := httpapi.New(x, httpapi.Options{})
	require.NoError(t, err)
	server := httptest.NewServer(api)
	defer func() {
		server.Close()
		require.NoError(t, x.Close())
	}()
	var elsewhere bytes.Buffer
	f.base = server.URL + "/v1"
	require.NoError(t, run(t.Context(), f, &elsewhere))
	require.Equal(t, out.String(), elsewhere.String())

	f.image = filepath.Join(t.TempDir(), "page.png")
	require.ErrorIs(t, run(t.Context(), f, &out), os.ErrNotExist)
	require.NoError(t, os.WriteFile(f.image, []byte("no picture"), 0o600))
	require.ErrorIs(t, run(t.Context(), f, &out), textextraction.ErrImage)
}
