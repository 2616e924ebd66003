package textextraction

import (
	"context"
	"fmt"

	"github.com/omnidocs/omnidocs/backend"
)

// LoadProgress says how far the download and the loading of a model have come.
type LoadProgress = backend.LoadProgress

// NewQwenTextExtractor loads the model that cfg names onto the device that it names. The extractor holds both until it is
// closed. Every fault of cfg is in one error that matches [ErrConfig].
func NewQwenTextExtractor(ctx context.Context, cfg Config) (*QwenTextExtractor, error) {
	if cfg == nil {
		return nil, fmt.Errorf("%w: the config is nil; QwenTextPyTorchConfig{} has the defaults", ErrConfig)
	}
	s, err := cfg.check()
	if err != nil {
		return nil, err
	}
	e, err := cfg.load(ctx)
	if err != nil {
		return nil, fmt.Errorf("textextraction: %w", err)
	}
	return newExtractor(e, s), nil
}

// WithConfig returns an extractor that reads with the model of x, as cfg says: in another format of prompt, say, or with
// another sampling. What cfg says of the model, its device and its place in memory is not looked at; x is what was
// loaded. Closing it ends its own calls; the model stays until x is closed.
func (x *QwenTextExtractor) WithConfig(cfg Config) (*QwenTextExtractor, error) {
	if cfg == nil {
		return nil, fmt.Errorf("%w: the config is nil", ErrConfig)
	}
	s, err := cfg.check()
	if err != nil {
		return nil, err
	}
	other := newExtractor(x.engine, s)
	other.close = func() error { return nil }
	return other, nil
}

func (c QwenTextPyTorchConfig) load(ctx context.Context) (engine, error) {
	return loadEngine(ctx, c.withDefaults().loadOptions())
}

// warmEngine is an engine in this process.
type warmEngine interface {
	engine
	Warmup(ctx context.Context) error
}

// loadEngine loads one engine, or as many as there are devices for.
func loadEngine(ctx context.Context, o backend.LoadOptions) (warmEngine, error) {
	if max(o.Devices, len(o.DeviceIDs)) > max(1, o.TensorParallelSize) {
		e, err := backend.LoadEngines(ctx, o)
		if err != nil {
			return nil, err // not a nil *backend.Engines in an engine
		}
		return e, nil
	}
	e, err := backend.Load(ctx, o)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// loadOptions are what the engine is loaded with, for a config whose defaults are filled in.
func (c QwenTextPyTorchConfig) loadOptions() backend.LoadOptions {
	return backend.LoadOptions{
		Model:        c.Model,
		Revision:     c.Revision,
		CacheDir:     c.CacheDir,
		Device:       c.Device,
		Devices:      c.Devices,
		DeviceIDs:    c.DeviceIDs,
		DType:        c.TorchDtype,
		Quantization: c.Quantization,
		MaxBatch:     c.BatchSize,
		MemoryLimit:  c.MemoryLimit,
		VisionCache:  c.VisionCache,
		PrefixCache:  c.PrefixCache,
		CompileCache: c.CompileCache,
		Page:         backend.PlanPage{MinPixels: c.MinPixels, MaxPixels: c.MaxPixels, System: c.SystemPrompt},
		Logger:       c.Logger,
		Progress:     c.Progress,
		Observer:     c.Observer,
	}
}
