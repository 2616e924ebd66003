package backend_test

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

// On XLA a program that writes a row into a donated buffer does it in place: the mark that go-xla does not set is set by
// reflection, and this is the test that it still can be.
func TestAliasIsInPlace(t *testing.T) {
	device, err := backend.Open(t.Context(), "xla:cpu")
	if err != nil {
		t.Skipf("no XLA plugin: %v", err)
	}
	defer func() { require.NoError(t, device.Close()) }()
	const rows, width = 1 << 10, 1 << 8
	cache := program.NewCache(device.Backend())
	defer cache.Close()
	build := func(alias bool) func(b *program.Builder) []*graph.Node {
		return func(b *program.Builder) []*graph.Node {
			x := b.Input("x", dtypes.Float32, rows, width)
			row := b.Input("row", dtypes.Float32, 1, width)
			at := b.Input("at", dtypes.Int32)
			if alias {
				b.Alias(0, 0)
			}
			return []*graph.Node{graph.DynamicUpdateSlice(x, row, []*graph.Node{at, graph.Scalar(b.G, dtypes.Int32, 0)})}
		}
	}
	for _, alias := range []bool{true, false} {
		p, err := cache.Get(map[bool]string{true: "in place", false: "copy"}[alias], build(alias))
		require.NoError(t, err)
		row := make([]float32, width)
		row[3] = 7
		upload := func(flat any, shape shapes.Shape) compute.Buffer {
			b, err := device.Backend().BufferFromFlatData(0, flat, shape)
			require.NoError(t, err)
			return b
		}
		// A shared buffer is a view of memory that XLA does not own, which it does not reuse.
		x := upload(make([]float32, rows*width), shapes.Make(dtypes.Float32, rows, width))
		data, err := x.Data()
		require.NoError(t, err)
		before := data.([]float32)
		out, err := p.Run(t.Context(), []compute.Buffer{
			x, upload(row, shapes.Make(dtypes.Float32, 1, width)), upload([]int32{5}, shapes.Make(dtypes.Int32)),
		}, 0)
		require.NoError(t, err)
		data, err = out[0].Data()
		require.NoError(t, err)
		after := data.([]float32)
		require.Equal(t, float32(7), after[5*width+3])
		require.Equal(t, alias, &before[0] == &after[0], "the same memory")
		require.NoError(t, out[0].Finalize())
	}
}
