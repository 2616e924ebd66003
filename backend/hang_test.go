package backend_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/internal/program"
)

// Many large products that do not depend on each other hang compute's own way of running operations side by side.
func TestGoDoesNotHang(t *testing.T) {
	device, err := backend.Open(t.Context(), "go")
	require.NoError(t, err)
	defer func() { require.NoError(t, device.Close()) }()
	programs := program.NewCache(device.Backend())
	defer programs.Close()
	const rows, width = 64, 512 // more than the size from which a product is divided among workers
	products := 4*runtime.GOMAXPROCS(0) + 4
	p, err := programs.Get("products", func(b *program.Builder) []*graph.Node {
		x := b.Input("x", dtypes.Float32, rows, width)
		var sum *graph.Node
		for i := range products {
			y := graph.Dot(x, b.Input(fmt.Sprint("w", i), dtypes.Float32, width, width)).Product()
			if sum != nil {
				y = graph.Add(sum, y)
			}
			sum = y
		}
		return []*graph.Node{sum}
	})
	require.NoError(t, err)
	zeros := func(dims ...int) compute.Buffer {
		shape := shapes.Make(dtypes.Float32, dims...)
		b, err := device.Backend().BufferFromFlatData(0, make([]float32, shape.Size()), shape)
		require.NoError(t, err)
		return b
	}
	inputs := []compute.Buffer{zeros(rows, width)}
	for range products {
		inputs = append(inputs, zeros(width, width))
	}
	done := make(chan error, 1)
	go func() {
		for range 10 {
			out, err := p.Run(t.Context(), inputs)
			if err != nil {
				done <- err
				return
			}
			_ = out[0].Finalize()
		}
		done <- nil
	}()
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(30 * time.Second):
		t.Fatal("the pure-Go backend hangs")
	}
}
