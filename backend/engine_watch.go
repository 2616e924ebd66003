package backend

import "context"

// Memory tells the memory of the device that the engine runs on: see [Device.Memory].
func (e *Engine) Memory(ctx context.Context) (MemoryStats, error) { return e.device.Memory(ctx) }

// GPUs says what nvidia-smi says of the GPUs that the engine runs on: see [Device.GPUs].
func (e *Engine) GPUs(ctx context.Context) ([]GPU, error) { return e.device.GPUs(ctx) }
