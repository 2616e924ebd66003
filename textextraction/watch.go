package textextraction

import (
	"context"
	"errors"
	"fmt"

	"github.com/omnidocs/omnidocs/backend"
)

// Observer hears what happens in an extractor's engine. A field of it that is nil hears nothing.
type Observer = backend.Observer

// Stats say how an extractor's engine is doing and what it has done since it was loaded. In JSON times are seconds and sizes bytes.
type Stats = backend.Stats

// watched is what an engine tells of its device. That of [backend.Engine] does, others need not.
type watched interface {
	Memory(ctx context.Context) (backend.MemoryStats, error)
	GPUs(ctx context.Context) ([]backend.GPU, error)
}

// watch finds it. The error matches [errors.ErrUnsupported] where there is none.
func (x *QwenTextExtractor) watch(ctx context.Context) (watched, error) {
	if err := x.ended(ctx); err != nil {
		return nil, err
	}
	w, ok := x.engine.(watched)
	if !ok {
		return nil, fmt.Errorf("textextraction: %w: pages are not read in this process, and the memory of what reads them is not known",
			errors.ErrUnsupported)
	}
	return w, nil
}

// Memory tells the memory of the device that the extractor runs on: what is used and reserved, the most that was used, what there
// is, and who says so. It may be called beside the reading of pages.
func (x *QwenTextExtractor) Memory(ctx context.Context) (backend.MemoryStats, error) {
	w, err := x.watch(ctx)
	if err != nil {
		return backend.MemoryStats{}, err
	}
	return w.Memory(ctx)
}

// GPUs says what nvidia-smi says of the GPUs that the extractor runs on: their names, memory and utilization. There are none, and no
// error, where it runs on the CPU.
func (x *QwenTextExtractor) GPUs(ctx context.Context) ([]backend.GPU, error) {
	w, err := x.watch(ctx)
	if err != nil {
		return nil, err
	}
	return w.GPUs(ctx)
}

// Stats tells how the engine is doing and what it has done: pages, slots, tokens, times, cache, memory. The error matches
// [errors.ErrUnsupported] where pages are not read in this process, and [ErrClosed] after Close. It may be called beside the reading of
// pages, as often as wanted: the device is asked for its memory once a second at most.
func (x *QwenTextExtractor) Stats() (Stats, error) {
	if err := x.ended(context.Background()); err != nil {
		return Stats{}, err
	}
	e, ok := x.engine.(interface{ Stats() backend.Stats })
	if !ok {
		return Stats{}, fmt.Errorf("textextraction: %w: pages are not read in this process, and what reads them tells nothing", errors.ErrUnsupported)
	}
	return e.Stats(), nil
}
