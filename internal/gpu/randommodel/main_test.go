package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/qwen"
)

// What is written loads as the shape that was asked for, and can be run.
func TestRandomModel(t *testing.T) {
	golden := filepath.Join("..", "..", "..", "qwen", "testdata", "golden", "qwen3_vl")
	dir := t.TempDir()
	require.NoError(t, write("tiny", dir, golden))
	device, err := backend.Open(t.Context(), "go")
	require.NoError(t, err)
	defer func() { require.NoError(t, device.Close()) }()
	m, err := qwen.Load(t.Context(), device.Runtime(), os.DirFS(dir), qwen.LoadOptions{})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	require.Equal(t, 2, m.Spec.Text.Layers)
	patches := &qwen.Patches{Pixels: make([]float32, 16*m.Spec.Vision.PatchDim()), GridH: 4, GridW: 4}
	v, err := m.Encode(t.Context(), patches)
	require.NoError(t, err)
	rows, _, err := v.Rows()
	require.NoError(t, err)
	require.NotContains(t, rows, float32(0))
	require.NoError(t, v.Close())
	require.Error(t, write("3b", dir, golden))
	require.Error(t, write("tiny", "", golden))
	require.Error(t, write("tiny", dir, dir+"/nothing"))
}
