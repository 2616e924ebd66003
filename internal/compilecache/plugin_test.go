package compilecache_test

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/internal/compilecache"
	"github.com/omnidocs/omnidocs/internal/program"
)

// TestPlugin has a program compiled, found again, and compiled anew where the plugin does not know what is there.
func TestPlugin(t *testing.T) {
	device, err := backend.OpenWith(t.Context(), "xla:cpu", backend.OpenOptions{CompileCache: t.TempDir()})
	if err != nil {
		t.Skipf("no XLA plugin: %v", err)
	}
	defer func() { require.NoError(t, device.Close()) }()
	require.NotEmpty(t, device.CompileCache(), device.Notes())
	var said bytes.Buffer
	store, err := compilecache.OpenStore(t.TempDir(), 1<<20, slog.New(slog.NewTextHandler(&said, nil)))
	require.NoError(t, err)
	cache := store.For("test")

	run := func() program.Stats {
		programs := program.NewCache(device.Backend())
		defer programs.Close()
		programs.Through(cache.Run)
		p, err := programs.Get("double", func(b *program.Builder) []*graph.Node {
			x := b.Input("x", dtypes.Float32, 3)
			b.Alias(0, 0)
			return []*graph.Node{graph.Add(x, x)}
		})
		require.NoError(t, err)
		x, err := device.Backend().BufferFromFlatData(0, []float32{1, 2, 3}, shapes.Make(dtypes.Float32, 3))
		require.NoError(t, err)
		out, err := p.Run(t.Context(), []compute.Buffer{x}, 0)
		require.NoError(t, err)
		got := make([]float32, 3)
		require.NoError(t, out[0].ToFlatData(got))
		require.Equal(t, []float32{2, 4, 6}, got)
		require.NoError(t, out[0].Finalize())
		return programs.Stats()
	}
	require.Equal(t, 1, run().Compilations)
	again := run()
	require.Equal(t, 1, again.Loaded)
	require.Zero(t, again.Compilations)
	require.Zero(t, again.CompileTime)
	require.Positive(t, again.LoadTime)
	require.Empty(t, said.String())

	n, err := compilecache.Replace(store, []byte("no program at all"))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, 1, run().Compilations)
	require.Contains(t, said.String(), "compiled anew")
	require.Equal(t, 1, run().Loaded)

	require.False(t, cache.Run(func() {}), "nothing was compiled")
	require.Panics(t, func() { cache.Run(func() { panic("no") }) })
	require.Equal(t, 1, run().Loaded)
}

// TestPluginDevices has programs that are spread over devices found again, each for the devices that it was compiled for.
func TestPluginDevices(t *testing.T) {
	device, err := backend.OpenWith(t.Context(), "xla:cpu", backend.OpenOptions{CompileCache: t.TempDir(), Devices: 3})
	if err != nil {
		t.Skipf("no XLA plugin: %v", err)
	}
	defer func() { require.NoError(t, device.Close()) }()
	store, err := compilecache.OpenStore(t.TempDir(), 1<<20, nil)
	require.NoError(t, err)
	cache := store.For("test")
	for _, c := range []struct {
		devices []compute.DeviceNum
		loaded  int
	}{
		{[]compute.DeviceNum{0, 1}, 0},
		{[]compute.DeviceNum{0, 1}, 1},
		{[]compute.DeviceNum{2, 1}, 0},
		{[]compute.DeviceNum{2, 1}, 1},
		{[]compute.DeviceNum{1}, 0},
		{[]compute.DeviceNum{2}, 1}, // such a program runs on any device
	} {
		mesh := program.NewMesh(device.Backend(), c.devices...)
		programs := program.NewCacheOn(mesh)
		programs.Through(cache.Run)
		p, err := programs.Get("sum", func(b *program.Builder) []*graph.Node {
			x := b.Input("x", dtypes.Float32, 1)
			return []*graph.Node{program.Sum(graph.Add(x, graph.ConvertDType(b.Rank(), dtypes.Float32)))}
		})
		require.NoError(t, err)
		require.Equal(t, c.loaded, programs.Stats().Loaded, c.devices)
		x, err := mesh.Upload([]float32{1}, shapes.Make(dtypes.Float32, 1))
		require.NoError(t, err)
		out, err := p.Run(t.Context(), []compute.Buffer{x})
		require.NoError(t, err)
		got := make([]float32, 1)
		require.NoError(t, out[0].ToFlatData(got))
		require.Equal(t, []float32{0, 1, 3}[len(c.devices)], got[0])
		at, err := out[0].DeviceNum()
		require.NoError(t, err)
		require.Equal(t, c.devices[0], at)
		require.NoError(t, out[0].Finalize())
		require.NoError(t, x.Finalize())
		programs.Close()
	}
}
