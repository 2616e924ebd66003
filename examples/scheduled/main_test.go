package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs/inbox"
	"github.com/omnidocs/omnidocs/textextraction"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, drop(dir, 2))
	f := flags{dir: dir, once: true, tz: "UTC", cron: "0 0 * * *", model: textextraction.TinyModel, maxTokens: 16}
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), f, &out))
	require.Contains(t, out.String(), "2 processed, 0 failed")
	data, err := os.ReadFile(filepath.Join(dir, "results", "letter-2.json"))
	require.NoError(t, err)
	var result inbox.Result
	require.NoError(t, json.Unmarshal(data, &result))
	require.Contains(t, result.Content, "# Order 4712")
	require.FileExists(t, filepath.Join(dir, "processed", "letter-1.png"))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.once = false
	require.ErrorIs(t, run(ctx, f, &out), context.Canceled, "it is not even loaded")
	f.tz = "Nowhere"
	require.Error(t, run(t.Context(), f, &out))
}
