package backend

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gomlx/compute"
)

// places are the devices of each engine that the options ask for.
func (o LoadOptions) places() ([][]compute.DeviceNum, error) {
	if o.TensorParallelSize < 0 || o.Devices < 0 {
		return nil, fmt.Errorf("TensorParallelSize is %d and Devices is %d, want 0 or more", o.TensorParallelSize, o.Devices)
	}
	size := max(1, o.TensorParallelSize)
	ids := o.DeviceIDs
	if len(ids) == 0 {
		for i := range max(o.Devices, size) {
			ids = append(ids, i)
		}
		if o.Devices > 0 {
			ids = ids[:o.Devices]
		}
	}
	if o.Devices > 0 && o.Devices != len(ids) {
		return nil, fmt.Errorf("Devices is %d, and DeviceIDs names %d: %v", o.Devices, len(ids), ids)
	}
	if len(ids)%size != 0 {
		return nil, fmt.Errorf("%d devices are asked for, which is no multiple of TensorParallelSize, %d", len(ids), size)
	}
	var all [][]compute.DeviceNum
	for engine := range slices.Chunk(ids, size) {
		var place []compute.DeviceNum
		for _, id := range engine {
			place = append(place, compute.DeviceNum(id))
		}
		all = append(all, place)
	}
	for i, id := range ids {
		if id < 0 || slices.Contains(ids[:i], id) {
			return nil, fmt.Errorf("DeviceIDs are %v, want different numbers from 0 up", ids)
		}
	}
	return all, nil
}

// needed is how many devices there must be.
func needed(places [][]compute.DeviceNum) int {
	most := compute.DeviceNum(0)
	for _, place := range places {
		most = max(most, slices.Max(place))
	}
	return int(most) + 1
}

// placed says which devices of several a model is on, or nothing where it is on the first.
func placed(devices []compute.DeviceNum) string {
	if len(devices) == 1 && devices[0] == 0 {
		return ""
	}
	var names []string
	for _, d := range devices {
		names = append(names, strconv.Itoa(int(d)))
	}
	if len(names) == 1 {
		return ", device " + names[0]
	}
	return ", divided among the devices " + strings.Join(names, ", ")
}
