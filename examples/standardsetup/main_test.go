package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
)

func TestRun(t *testing.T) {
	models := filepath.Join(t.TempDir(), "models")
	t.Setenv("OMNIDOCS_MODELS_DIR", models)
	t.Setenv("HF_TOKEN", "secret")
	config := filepath.Join(t.TempDir(), "setup.json")
	require.NoError(t, os.WriteFile(config, []byte(`{"model": "omnidocs/tiny", "max_num_seqs": 2, "max_tokens": 512, "enforce_eager": true}`), 0o600))
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), flags{config: config, timeout: 5 * time.Minute}, &out))
	require.Regexp(t, `^Configuration: \{"model":"omnidocs/tiny","max_num_seqs":2,"enforce_eager":true,"max_tokens":512,"device":"go"\}
Models: in .*models, 0 of them, 0\.00 GB
HF_TOKEN: set
Device: go, pure Go on the CPU.*
Plan: omnidocs/tiny in float32 takes \d+\.\d\d of \d+\.\d\d GB, 2 pages together
Loaded in \d+\.\d s
Read a page of 36 words in \d+\.\d s
Ready
$`, out.String())
	require.NotContains(t, out.String(), "secret")

	require.NoError(t, os.WriteFile(config, []byte(`{"modell": "omnidocs/tiny"}`), 0o600))
	require.ErrorContains(t, run(t.Context(), flags{config: config}, &out), `unknown field "modell"`)
	require.ErrorIs(t, run(t.Context(), flags{model: "omnidocs/tiny", device: "mps"}, &out), backend.ErrUnavailable)
}
