package backend

import (
	"testing"

	"github.com/gomlx/compute"
	"github.com/stretchr/testify/require"
)

func TestPlaces(t *testing.T) {
	for name, row := range map[string]struct {
		o    LoadOptions
		want [][]compute.DeviceNum
		err  string
	}{
		"one":              {LoadOptions{}, [][]compute.DeviceNum{{0}}, ""},
		"divided":          {LoadOptions{TensorParallelSize: 2}, [][]compute.DeviceNum{{0, 1}}, ""},
		"copies":           {LoadOptions{Devices: 3}, [][]compute.DeviceNum{{0}, {1}, {2}}, ""},
		"both":             {LoadOptions{TensorParallelSize: 2, Devices: 4}, [][]compute.DeviceNum{{0, 1}, {2, 3}}, ""},
		"named":            {LoadOptions{DeviceIDs: []int{3}}, [][]compute.DeviceNum{{3}}, ""},
		"named and both":   {LoadOptions{TensorParallelSize: 2, DeviceIDs: []int{5, 1, 2, 0}}, [][]compute.DeviceNum{{5, 1}, {2, 0}}, ""},
		"named, counted":   {LoadOptions{Devices: 2, DeviceIDs: []int{5, 1}}, [][]compute.DeviceNum{{5}, {1}}, ""},
		"no multiple":      {LoadOptions{TensorParallelSize: 2, Devices: 3}, nil, "3 devices are asked for, which is no multiple of TensorParallelSize, 2"},
		"too few":          {LoadOptions{TensorParallelSize: 4, Devices: 2}, nil, "2 devices are asked for, which is no multiple of TensorParallelSize, 4"},
		"too few are told": {LoadOptions{TensorParallelSize: 4, DeviceIDs: []int{1}}, nil, "1 devices are asked for"},
		"negative":         {LoadOptions{Devices: -1}, nil, "TensorParallelSize is 0 and Devices is -1, want 0 or more"},
		"twice":            {LoadOptions{DeviceIDs: []int{1, 1}}, nil, "DeviceIDs are [1 1], want different numbers from 0 up"},
		"below":            {LoadOptions{DeviceIDs: []int{-1}}, nil, "DeviceIDs are [-1], want different numbers from 0 up"},
		"other count":      {LoadOptions{Devices: 3, DeviceIDs: []int{0, 1}}, nil, "Devices is 3, and DeviceIDs names 2: [0 1]"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := row.o.places()
			if row.err != "" {
				require.ErrorContains(t, err, row.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.want, got)
		})
	}
	require.Equal(t, 6, needed([][]compute.DeviceNum{{5, 1}, {2, 0}}))
}

// gpus is a backend with so many devices.
type gpus struct {
	compute.Backend
	n int
}

func (g gpus) NumDevices() int { return g.n }

// A device with fewer processors than are asked for says how many it has, and why.
func TestRequireDevices(t *testing.T) {
	two := &Device{backend: gpus{n: 2}, kind: KindXLACUDA}
	require.NoError(t, two.requireDevices(0))
	require.NoError(t, two.requireDevices(2))
	err := two.requireDevices(4)
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, "4 devices are asked for, xla:cuda has 2")
	one := &Device{backend: gpus{n: 1}, kind: KindXLACUDA, visible: "1"}
	require.ErrorContains(t, one.requireDevices(2), `2 devices are asked for, and the name stands for one; "cuda" is all of them`)

	for _, o := range []LoadOptions{{TensorParallelSize: 2}, {Devices: 2}, {DeviceIDs: []int{1}}} {
		o.Model, o.Device = "omnidocs/tiny", "go"
		_, err := LoadEngines(t.Context(), o)
		require.ErrorIs(t, err, ErrUnavailable)
		require.ErrorContains(t, err, `backend: device "go": `)
		require.ErrorContains(t, err, "2 devices are asked for, and the pure-Go backend is one: it has no means")
	}
	_, err = OpenWith(t.Context(), "go", OpenOptions{Devices: -2})
	require.ErrorContains(t, err, "Devices is -2")
}
