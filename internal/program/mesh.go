package program

import (
	"errors"
	"fmt"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/distributed"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
)

// Mesh is the devices of a backend on which programs run side by side. Each device runs the whole of a program, on buffers of its
// own; where they have to agree, [Sum] adds up what each has come to. So a program is written as for one device, in the sizes of
// what that one holds. (SPMD; the devices are the replicas of XLA.)
type Mesh struct {
	backend compute.Backend
	devices []compute.DeviceNum
	// launching is held while a program is given to several devices: two that add up between them must reach every device in one
	// order, or each waits for the other's device for ever.
	launching sync.Mutex
}

// NewMesh makes a mesh of the given devices, or of the backend's first where none is given.
func NewMesh(backend compute.Backend, devices ...compute.DeviceNum) *Mesh {
	if len(devices) == 0 {
		devices = []compute.DeviceNum{0}
	}
	return &Mesh{backend: backend, devices: devices}
}

// Size counts the devices.
func (m *Mesh) Size() int { return len(m.devices) }

// Devices are their numbers.
func (m *Mesh) Devices() []compute.DeviceNum { return m.devices }

// axis is the name of the one axis of a mesh.
const axis = "devices"

// spread makes a graph one for all devices of the mesh.
func (m *Mesh) spread(g *graph.Graph) error {
	if len(m.devices) == 1 {
		return nil // such a program runs on any device, and is told which when it is run
	}
	mesh, err := distributed.NewDeviceMesh([]int{len(m.devices)}, []string{axis})
	if err != nil {
		return err
	}
	if err := g.SetSPMD(mesh); err != nil {
		return err
	}
	return g.SetDeviceAssignment(m.devices)
}

// Sum adds up x over the devices that run the graph, each of which gets the sum. On one device it is x.
func Sum(x *graph.Node) *graph.Node {
	if x.Graph().NumDevices() <= 1 {
		return x
	}
	return x.Graph().Distributed().Along(axis).AllReduceOne(x, compute.ReduceOpSum)
}

// Spread is a buffer on each device of a mesh, in its order, all of one shape. What the host reads of it is the first device's.
type Spread []compute.Buffer

var _ compute.Buffer = Spread(nil)

// Backend is that of all.
func (s Spread) Backend() compute.Backend { return s[0].Backend() }

// Finalize frees all.
func (s Spread) Finalize() error {
	var errs []error
	for _, b := range s {
		if b != nil {
			errs = append(errs, b.Finalize())
		}
	}
	return errors.Join(errs...)
}

// Shape is that of each.
func (s Spread) Shape() (shapes.Shape, error) { return s[0].Shape() }

// DeviceNum is the first device.
func (s Spread) DeviceNum() (compute.DeviceNum, error) { return s[0].DeviceNum() }

// ToFlatData copies what the first device has.
func (s Spread) ToFlatData(flat any) error { return s[0].ToFlatData(flat) }

// Data is what the first device has, where the host can see it.
func (s Spread) Data() (any, error) { return s[0].Data() }

// CopyToDevice is an error: the numbers of the devices need not be the same.
func (s Spread) CopyToDevice(compute.DeviceNum) (compute.Buffer, error) {
	return nil, errors.New("program: a buffer that is spread over devices is not copied to one")
}

// gather is what a program takes or returns for one buffer on each device.
func gather(parts []compute.Buffer) compute.Buffer {
	if len(parts) == 1 {
		return parts[0]
	}
	return Spread(parts)
}

// on is a buffer's part on the device of that place in a mesh of so many.
func on(b compute.Buffer, place, of int) (compute.Buffer, error) {
	s, ok := b.(Spread)
	switch {
	case !ok && of == 1:
		return b, nil
	case !ok:
		return nil, fmt.Errorf("a buffer is on one device, the program runs on %d", of)
	case len(s) != of:
		return nil, fmt.Errorf("a buffer is spread over %d devices, the program runs on %d", len(s), of)
	}
	return s[place], nil
}

// Place copies numbers to the devices: those of flats, each to its own device, or the same to all of them where flats has one entry.
func (m *Mesh) Place(flats []any, shape shapes.Shape) (compute.Buffer, error) {
	parts := make([]compute.Buffer, 0, len(m.devices))
	for i, device := range m.devices {
		b, err := m.backend.BufferFromFlatData(device, flats[min(i, len(flats)-1)], shape)
		if err != nil {
			return nil, errors.Join(err, Spread(parts).Finalize())
		}
		parts = append(parts, b)
	}
	return gather(parts), nil
}

// Upload copies the same numbers to all devices.
func (m *Mesh) Upload(flat any, shape shapes.Shape) (compute.Buffer, error) {
	return m.Place([]any{flat}, shape)
}

// Shared makes buffers that the host can write, with their numbers, one slice a device, and is an error where the backend has none.
func (m *Mesh) Shared(shape shapes.Shape) (compute.Buffer, []any, error) {
	if !m.backend.HasSharedBuffers() {
		return nil, nil, errors.New("program: the backend has no buffers that are shared with the host")
	}
	parts, flats := make([]compute.Buffer, 0, len(m.devices)), make([]any, 0, len(m.devices))
	for _, device := range m.devices {
		b, flat, err := m.backend.NewSharedBuffer(device, shape)
		if err != nil {
			return nil, nil, errors.Join(err, Spread(parts).Finalize())
		}
		parts, flats = append(parts, b), append(flats, flat)
	}
	return gather(parts), flats, nil
}

// HasShared says whether the backend has buffers that are shared with the host.
func (m *Mesh) HasShared() bool { return m.backend.HasSharedBuffers() }

// rank makes the numbers that tell the devices which of them they are.
func (m *Mesh) rank() (compute.Buffer, error) {
	var flats []any
	for i := range m.devices {
		flats = append(flats, []int32{int32(i)})
	}
	return m.Place(flats, shapes.Make(dtypes.Int32))
}
