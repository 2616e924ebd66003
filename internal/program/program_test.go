package program_test

import (
	"context"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/program"
)

func newCache(t *testing.T) (compute.Backend, *program.Cache) {
	t.Helper()
	b, err := gobackend.New("")
	require.NoError(t, err)
	c := program.NewCache(b)
	t.Cleanup(func() { c.Close(); b.Finalize() })
	return b, c
}

func upload(t *testing.T, b compute.Backend, values ...float32) compute.Buffer {
	t.Helper()
	buffer, err := b.BufferFromFlatData(0, values, shapes.Make(dtypes.Float32, len(values)))
	require.NoError(t, err)
	return buffer
}

func double(b *program.Builder) []*graph.Node {
	x := b.Input("x", dtypes.Float32, 2)
	b.Alias(0, 0) // a backend that knows nothing of it does without
	return []*graph.Node{graph.Add(x, x)}
}

func TestRun(t *testing.T) {
	b, c := newCache(t)
	p, err := c.Get("double", double)
	require.NoError(t, err)
	again, err := c.Get("double", func(*program.Builder) []*graph.Node {
		t.Error("a program is built once")
		return nil
	})
	require.NoError(t, err)
	require.Same(t, p, again)
	require.Equal(t, 1, c.Len())

	out, err := p.Run(t.Context(), []compute.Buffer{upload(t, b, 1, 2)}, 0)
	require.NoError(t, err)
	got := make([]float32, 2)
	require.NoError(t, out[0].ToFlatData(got))
	require.Equal(t, []float32{2, 4}, got)
}

func TestRunRefuses(t *testing.T) {
	b, c := newCache(t)
	p, err := c.Get("double", double)
	require.NoError(t, err)
	_, err = p.Run(t.Context(), nil)
	require.ErrorContains(t, err, "0 inputs given, 1 declared")
	_, err = p.Run(t.Context(), []compute.Buffer{upload(t, b, 1, 2, 3)})
	require.ErrorContains(t, err, "run double")
	_, err = p.Run(t.Context(), []compute.Buffer{nil})
	require.ErrorContains(t, err, "run double", "a panic below is an error here")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Run(ctx, []compute.Buffer{upload(t, b, 1, 2)})
	require.ErrorIs(t, err, context.Canceled)
}

func TestGraphPanicsAreErrors(t *testing.T) {
	_, c := newCache(t)
	for range 2 {
		_, err := c.Get("bad", func(b *program.Builder) []*graph.Node {
			return []*graph.Node{graph.Add(b.Input("x", dtypes.Float32, 2), b.Input("y", dtypes.Float32, 3))}
		})
		require.ErrorContains(t, err, "compile bad")
	}
	_, err := c.Get("worse", func(*program.Builder) []*graph.Node { panic("a string") })
	require.ErrorContains(t, err, "a string")
}
