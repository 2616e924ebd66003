package qwen_test

import (
	"image"
	"sync/atomic"
	"testing"

	"github.com/gomlx/compute/gobackend"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/qwen"
)

// A page compiles the programs that it needs, and the same page again none.
func TestModelStats(t *testing.T) {
	b, err := gobackend.New("ops_sequential")
	require.NoError(t, err)
	defer b.Finalize()
	var compiled atomic.Int64
	m, err := qwen.Load(t.Context(), qwen.Runtime{Backend: b, ExactShapes: true}, tiny.FS(), qwen.LoadOptions{
		Compiled: func(p qwen.ProgramStats) {
			if p.Name != "" && p.CompileTime > 0 && !p.Loaded {
				compiled.Add(1)
			}
		},
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	require.Zero(t, m.Stats())

	encode := func() {
		patches, err := m.Processor.Process(t.Context(), image.NewRGBA(image.Rect(0, 0, 64, 64)), qwen.Bounds{})
		require.NoError(t, err)
		v, err := m.Encode(t.Context(), patches)
		require.NoError(t, err)
		require.NoError(t, v.Close())
	}
	encode()
	first := m.Stats()
	require.Positive(t, first.Compilations)
	require.EqualValues(t, first.Compilations, compiled.Load())
	require.Positive(t, first.Calls)
	encode()
	second := m.Stats()
	require.Equal(t, first.Compilations, second.Compilations)
	require.Equal(t, first.CompileTime, second.CompileTime)
	require.Equal(t, 2*first.Calls, second.Calls)
	require.Greater(t, second.CallTime, first.CallTime)
	require.Len(t, m.ProgramStats(), second.Programs)
}
