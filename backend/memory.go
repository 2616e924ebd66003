package backend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// MemorySource says who told the numbers of a [MemoryStats].
type MemorySource string

const (
	// MemoryPJRT is the allocator of the PJRT plugin: the memory of this process on the device, to the byte.
	MemoryPJRT MemorySource = "pjrt"
	// MemoryNVIDIASMI is nvidia-smi: the memory of all programs on the GPU, to the MiB, with the driver's own.
	MemoryNVIDIASMI MemorySource = "nvidia-smi"
	// MemoryProcess is Linux, for devices that are the CPU: the resident memory of this process, against that of the machine or,
	// where it is less, of the control group (the container) that the process is in.
	MemoryProcess MemorySource = "process"
	// MemoryGoRuntime is Go's runtime, for devices that are the CPU of other systems: the memory that Go holds, which leaves out
	// what C code holds, and nothing of the machine.
	MemoryGoRuntime MemorySource = "go runtime"
)

// MemoryStats are the bytes of memory of a device. A number that the source does not know is 0, except as said.
type MemoryStats struct {
	// Used is what holds data now. MemoryProcess counts all that is resident, with the program's own code and its page tables.
	Used int64 `json:"used_bytes"`
	// Reserved is what is held from others, in use or not: Used, and what an allocator keeps for later. It is Used where the source
	// tells no such difference.
	Reserved int64 `json:"reserved_bytes"`
	// Peak is the most that Used has been in this process. nvidia-smi does not know it.
	Peak int64 `json:"peak_bytes"`
	// Total is what there is: of MemoryPJRT the most that its allocator may take, which is a share of the GPU's memory.
	Total int64 `json:"total_bytes"`
	// Available is what could still be taken of Total. MemoryPJRT does not see what other programs have taken.
	Available int64 `json:"available_bytes"`
	// Source says where the numbers come from, and so what they count.
	Source MemorySource `json:"source"`
}

// errNoPJRTMemory is why the plugin's own numbers are not to be had, where nothing is wrong.
var errNoPJRTMemory = errors.New("this PJRT plugin tells nothing of its memory")

// nvidiaSMITimeout bounds a call of nvidia-smi, which starts the driver where nothing else has.
const nvidiaSMITimeout = 10 * time.Second

// Memory tells the memory of the device's first processor, which is where models are loaded. For GPUs it asks the plugin's
// allocator and, where that does not answer, nvidia-smi, for at most ten seconds; for devices that are the CPU it reads what the
// system says of this process. It may be called at any time, beside running graphs and Close.
func (d *Device) Memory(ctx context.Context) (MemoryStats, error) {
	all, err := d.memories(ctx, false)
	if err != nil {
		return MemoryStats{}, fmt.Errorf("backend: memory of %s: %w", d.Name(), err)
	}
	return all[0], nil
}

// MemoryAll is Memory for each of the device's processors, in the order of their numbers.
func (d *Device) MemoryAll(ctx context.Context) ([]MemoryStats, error) {
	all, err := d.memories(ctx, true)
	if err != nil {
		return nil, fmt.Errorf("backend: memory of %s: %w", d.Name(), err)
	}
	return all, nil
}

// memories tells the memory of every processor, or of the first one alone.
func (d *Device) memories(ctx context.Context, every bool) ([]MemoryStats, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	all, n, err := d.ownMemories(every)
	if !errors.Is(err, errNoPJRTMemory) {
		return all, err
	}
	gpus, smiErr := d.gpus(ctx)
	if smiErr == nil && len(gpus) < n {
		smiErr = fmt.Errorf("nvidia-smi lists %d of %d GPUs", len(gpus), n)
	}
	if smiErr != nil {
		return nil, errors.Join(err, smiErr)
	}
	all = make([]MemoryStats, n)
	for i := range all {
		all[i] = gpus[i].Memory
	}
	return all, nil
}

// ownMemories tells what can be told from within this process, and of how many processors that is or would be. The device stays
// open meanwhile, which takes no time to speak of.
func (d *Device) ownMemories(every bool) (all []MemoryStats, n int, err error) {
	d.closing.RLock()
	defer d.closing.RUnlock()
	if d.backend.IsFinalized() {
		return nil, 0, errors.New("the device is closed")
	}
	n = 1
	if every {
		n = d.NumDevices()
	}
	if !d.IsCPU() {
		all, err = pjrtMemories(d.backend, n)
		return all, n, err
	}
	// XLA may make several processors of a CPU. They share one memory, so each has all of it.
	m, err := hostMemory()
	if err != nil {
		return nil, n, err
	}
	return slices.Repeat([]MemoryStats{m}, n), n, nil
}

// GPUs says what nvidia-smi says of the GPUs that the device computes on, in the order of their numbers. For devices that are
// the CPU there are none, and no error.
func (d *Device) GPUs(ctx context.Context) ([]GPU, error) {
	if d.IsCPU() {
		return nil, nil
	}
	gpus, err := d.gpus(ctx)
	if err != nil {
		return nil, fmt.Errorf("backend: GPUs of %s: %w", d.Name(), err)
	}
	return gpus, nil
}

func (d *Device) gpus(ctx context.Context) ([]GPU, error) {
	gpus, err := queryGPUs(ctx)
	if err != nil {
		return nil, err
	}
	visible, isSet := os.LookupEnv("CUDA_VISIBLE_DEVICES")
	return visibleGPUs(gpus, visible, isSet, d.visible)
}
