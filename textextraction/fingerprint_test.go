package textextraction

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFingerprint(t *testing.T) {
	x, _ := fake(t, QwenTextPyTorchConfig{MaxNewTokens: 300, Seed: 7})
	base, err := x.Fingerprint(t.Context(), Options{})
	require.NoError(t, err)
	require.JSONEq(t, `{"model":"omnidocs/fake","revision":"abc","dtype":"float32","format":"markdown","prompt":"qwenvl markdown",
		"max_new_tokens":300,"sampling":{"temperature":0,"seed":7},"read_blank_pages":true}`, base)
	same, err := x.Fingerprint(t.Context(), Options{Prompt: "qwenvl markdown", MaxNewTokens: 300, TokenProgress: func(int) {}})
	require.NoError(t, err)
	require.Equal(t, base, same, "what the options come to counts, not how they are said")
	for _, opts := range []Options{
		{Format: HTML}, {Prompt: "x"}, {SystemPrompt: "x"}, {MaxNewTokens: 2}, {MinPixels: 100}, {MaxPixels: 100},
		{Sampling: Sampling{Temperature: 1}}, {Repetition: Repetition{Off: true}}, {MaxContinuations: 1}, {DetectOrientation: true},
	} {
		other, err := x.Fingerprint(t.Context(), opts)
		require.NoError(t, err)
		require.NotEqual(t, base, other, "%+v", opts)
	}
	_, err = x.Fingerprint(t.Context(), Options{MaxNewTokens: -1})
	require.ErrorIs(t, err, ErrConfig)
}

func TestFolderRevision(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "config.json")
	revision := func() string {
		r, err := folderRevision(t.Context(), dir)
		require.NoError(t, err)
		return r
	}
	require.NoError(t, os.WriteFile(file, []byte("1"), 0o600))
	first := revision()
	require.Equal(t, first, revision())
	require.NoError(t, os.WriteFile(file, []byte("22"), 0o600))
	second := revision()
	require.NotEqual(t, first, second)
	require.NoError(t, os.Chtimes(file, time.Time{}, time.Unix(1, 0)))
	require.NotEqual(t, second, revision())
	none, err := folderRevision(t.Context(), "omnidocs/tiny")
	require.NoError(t, err)
	require.Empty(t, none)
}
