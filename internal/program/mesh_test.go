package program_test

import (
	"context"
	"errors"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/internal/program"
)

// openDevices opens XLA's CPU as so many devices.
func openDevices(t *testing.T, n int) *backend.Device {
	t.Helper()
	device, err := backend.OpenWith(context.Background(), "xla:cpu", backend.OpenOptions{Devices: n})
	if errors.Is(err, backend.ErrUnavailable) {
		t.Skipf("several devices are XLA's: %v", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, device.Close()) })
	return device
}

// shares adds up what the devices have, and tells each of them its place.
func shares(b *program.Builder) []*graph.Node {
	x := b.Input("x", dtypes.Float32, 2)
	rank := b.Rank()
	kept := b.Input("kept", dtypes.Float32, 2)
	b.Alias(1, 2)
	place := graph.ConvertDType(rank, dtypes.Float32)
	return []*graph.Node{program.Sum(x), program.Sum(graph.Mul(x, place)), graph.Add(kept, place)}
}

// Devices have numbers of their own, the sum of all is on each, and a buffer that is given away is on each of them.
func TestMesh(t *testing.T) {
	device := openDevices(t, 4)
	vector := shapes.Make(dtypes.Float32, 2)
	for _, devices := range [][]compute.DeviceNum{{0, 1, 2, 3}, {2, 3}, {1, 0}, {3}} {
		mesh := program.NewMesh(device.Backend(), devices...)
		require.Equal(t, len(devices), mesh.Size())
		cache := program.NewCacheOn(mesh)
		p, err := cache.Get("shares", shares)
		require.NoError(t, err)
		var flats []any
		want, weighted := float32(0), float32(0)
		for i := range devices {
			flats = append(flats, []float32{float32(i + 1), 1})
			want += float32(i + 1)
			weighted += float32(i * (i + 1))
		}
		x, err := mesh.Place(flats, vector)
		require.NoError(t, err)
		kept, err := mesh.Upload([]float32{5, 6}, vector)
		require.NoError(t, err)
		for range 3 {
			out, err := p.Run(t.Context(), []compute.Buffer{x, kept}, 1)
			require.NoError(t, err)
			require.Len(t, out, 3)
			require.Equal(t, []float32{want, float32(len(devices))}, each(t, out[0], devices)[0])
			for _, got := range each(t, out[1], devices) {
				require.Equal(t, weighted, got[0], "on each device")
			}
			kept = out[2]
			require.NoError(t, out[0].Finalize())
			require.NoError(t, out[1].Finalize())
		}
		for i, got := range each(t, kept, devices) {
			require.Equal(t, []float32{5 + 3*float32(i), 6 + 3*float32(i)}, got)
		}
		require.NoError(t, kept.Finalize())
		require.NoError(t, x.Finalize())
		cache.Close()
	}
}

// each reads what a buffer is on each device.
func each(t *testing.T, b compute.Buffer, devices []compute.DeviceNum) [][]float32 {
	t.Helper()
	parts := program.Spread{b}
	if s, ok := b.(program.Spread); ok {
		parts = s
	}
	require.Len(t, parts, len(devices))
	var all [][]float32
	for i, part := range parts {
		at, err := part.DeviceNum()
		require.NoError(t, err)
		require.Equal(t, devices[i], at)
		got := make([]float32, 2)
		require.NoError(t, part.ToFlatData(got))
		all = append(all, got)
	}
	return all
}

// What is on one device is no input of a program for two.
func TestMeshRefuses(t *testing.T) {
	device := openDevices(t, 2)
	cache := program.NewCacheOn(program.NewMesh(device.Backend(), 0, 1))
	defer cache.Close()
	p, err := cache.Get("double", double)
	require.NoError(t, err)
	_, err = p.Run(t.Context(), []compute.Buffer{upload(t, device.Backend(), 1, 2)})
	require.ErrorContains(t, err, "run double: input 0: a buffer is on one device, the program runs on 2")

	none := program.NewCacheOn(program.NewMesh(device.Backend(), 1, 2))
	defer none.Close()
	_, err = none.Get("double", double)
	require.ErrorContains(t, err, "compile double: ")
}

// On the pure-Go backend there is one device, and nothing to add up.
func TestMeshOfOne(t *testing.T) {
	b, c := newCache(t)
	p, err := c.Get("shares", shares)
	require.NoError(t, err)
	out, err := p.Run(t.Context(), []compute.Buffer{upload(t, b, 1, 2), upload(t, b, 3, 4)}, 1)
	require.NoError(t, err)
	got := make([]float32, 2)
	require.NoError(t, out[0].ToFlatData(got))
	require.Equal(t, []float32{1, 2}, got)
	require.NoError(t, out[2].ToFlatData(got))
	require.Equal(t, []float32{3, 4}, got)
}
