package backend

import "context"

// Memory tells the memory of the device that the engine runs on: see [Device.Memory]. Where the model is divided among several it is
// that of all of them.
func (e *Engine) Memory(ctx context.Context) (MemoryStats, error) {
	if len(e.devices) == 1 && e.devices[0] == 0 || e.device.IsCPU() {
		return e.device.Memory(ctx)
	}
	all, err := e.device.MemoryAll(ctx)
	if err != nil {
		return MemoryStats{}, err
	}
	var sum MemoryStats
	for _, number := range e.devices {
		sum = sum.plus(all[number])
	}
	return sum, nil
}

// plus is the memory of two processors together.
func (m MemoryStats) plus(o MemoryStats) MemoryStats {
	return MemoryStats{
		Used: m.Used + o.Used, Reserved: m.Reserved + o.Reserved, Peak: m.Peak + o.Peak, Total: m.Total + o.Total,
		Available: m.Available + o.Available, Source: o.Source,
	}
}

// GPUs says what nvidia-smi says of the GPUs that the engine runs on: see [Device.GPUs].
func (e *Engine) GPUs(ctx context.Context) ([]GPU, error) { return e.device.GPUs(ctx) }
