package program_test

import (
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/internal/program"
)

// newXLA makes a cache for XLA's CPU; without a plugin the test is skipped.
func newXLA(t *testing.T) (compute.Backend, *program.Cache) {
	t.Helper()
	device, err := backend.Open(t.Context(), "xla:cpu")
	if err != nil {
		t.Skipf("no XLA plugin: %v", err)
	}
	c := program.NewCache(device.Backend())
	t.Cleanup(func() { c.Close(); require.NoError(t, device.Close()) })
	return device.Backend(), c
}

// halving has in each of its functions what GoMLX and go-xla would share between them: the same constant, and the same reduction.
func halving(b *program.Builder) []*graph.Node {
	x := b.Input("x", dtypes.Float32, 4)
	limit := graph.ReduceSum(graph.MulScalar(x, 0.5)) // a half of the sum, computed outside of the loop
	step := graph.Scalar(b.G, dtypes.Int32, 0)
	out := b.While([]*graph.Node{x, limit, step},
		func(s []*graph.Node) []*graph.Node {
			return []*graph.Node{graph.GreaterThan(graph.ReduceSum(graph.MulScalar(s[0], 0.5)), graph.MulScalar(s[1], 0.5))}
		},
		func(s []*graph.Node) []*graph.Node {
			smaller := graph.Sub(s[0], graph.MulScalar(s[0], 0.5))
			top := graph.ConvertDType(graph.ReduceMax(smaller), dtypes.Int32)
			return []*graph.Node{smaller, s[1], graph.Add(graph.Add(s[2], graph.OnesLike(s[2])), graph.Sub(top, top))}
		})
	return []*graph.Node{graph.MulScalar(out[0], 0.5), graph.ReduceSum(out[0]), out[2]}
}

func TestWhile(t *testing.T) {
	b, c := newXLA(t)
	p, err := c.Get("halving", halving)
	require.NoError(t, err)
	out, err := p.Run(t.Context(), []compute.Buffer{upload(t, b, 8, 16, 32, 8)})
	require.NoError(t, err)
	half, sum, steps := make([]float32, 4), make([]float32, 1), make([]int32, 1)
	require.NoError(t, out[0].ToFlatData(half))
	require.NoError(t, out[1].ToFlatData(sum))
	require.NoError(t, out[2].ToFlatData(steps))
	require.Equal(t, []int32{1}, steps)
	require.Equal(t, []float32{32}, sum)
	require.Equal(t, []float32{2, 4, 8, 2}, half)
}

func TestNoLoopOnGo(t *testing.T) {
	_, c := newCache(t)
	_, err := c.Get("halving", halving)
	require.ErrorIs(t, err, program.ErrNoLoop)
}

// putRows writes rows over a table that is an input, beside a sum that must stay a sum.
func putRows(b *program.Builder) []*graph.Node {
	table := b.Input("table", dtypes.Float32, 5, 2)
	index := b.Input("index", dtypes.Int32, 3)
	rows := b.Input("rows", dtypes.Float32, 3, 2)
	b.Alias(0, 0)
	before := graph.ReduceSum(rows)
	table = b.PutRows(table, index, rows)
	return []*graph.Node{table, before, graph.ReduceSum(rows, 0)}
}

func TestPutRows(t *testing.T) {
	b, c := newXLA(t)
	p, err := c.Get("put rows", putRows)
	require.NoError(t, err)
	table, err := b.BufferFromFlatData(0, []float32{1, 1, 2, 2, 3, 3, 4, 4, 5, 5}, shapes.Make(dtypes.Float32, 5, 2))
	require.NoError(t, err)
	index, err := b.BufferFromFlatData(0, []int32{4, 0, 2}, shapes.Make(dtypes.Int32, 3))
	require.NoError(t, err)
	rows, err := b.BufferFromFlatData(0, []float32{7, 8, 9, 10, 11, 12}, shapes.Make(dtypes.Float32, 3, 2))
	require.NoError(t, err)
	out, err := p.Run(t.Context(), []compute.Buffer{table, index, rows}, 0)
	require.NoError(t, err)
	got, sums := make([]float32, 10), make([]float32, 2)
	require.NoError(t, out[0].ToFlatData(got))
	require.Equal(t, []float32{9, 10, 2, 2, 11, 12, 4, 4, 7, 8}, got)
	require.NoError(t, out[1].ToFlatData(sums[:1]))
	require.Equal(t, float32(57), sums[0])
	require.NoError(t, out[2].ToFlatData(sums))
	require.Equal(t, []float32{27, 30}, sums)

	text, err := program.Lower(b, "put rows", putRows)
	require.NoError(t, err)
	require.Contains(t, string(text), "tf.aliasing_output")
	require.Contains(t, string(text), "stablehlo.scatter", "go-xla is as it was, and the rows are written at once")
}

func TestLowerNeedsXLA(t *testing.T) {
	b, _ := newCache(t)
	_, err := program.Lower(b, "double", double)
	require.Error(t, err)
}
