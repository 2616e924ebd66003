package backend

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute/dtypes"

	"github.com/omnidocs/omnidocs/internal/hub"
	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/qwen"
)

// LoadOptions say which model is loaded and where. The zero value of each field but Model is its default.
type LoadOptions struct {
	// Model is a folder, the id of a repository on the Hugging Face hub ("Qwen/Qwen3-VL-8B-Instruct"), or the name of the
	// embedded model, "omnidocs/tiny".
	Model string
	// Revision is a branch, tag or commit of a repository on the hub. Default "main".
	Revision string
	// CacheDir is where repositories are kept. Default: as Hugging Face's own tools have it.
	CacheDir string
	// Device is a name that [Open] knows. Empty chooses the best there is.
	Device string
	// DType is the type of the weights on the device: "float32", "bfloat16" or "float16". Empty and "auto" mean the
	// checkpoint's own type on GPUs and float32 on CPUs; "bfloat16" there takes half the memory, and less time on xla:cpu.
	DType string
	// Quantization is "" or "int8": matrices rounded to int8 as they are loaded, from any checkpoint of floats, each row with
	// a scale of its own. DType then counts for nothing. A quarter of float32's memory; on xla:cpu, where the inputs of a
	// product are rounded too, also the fastest; on go, which turns a matrix into float32 wherever it is used, the slowest.
	Quantization string
	// MaxBatch is how many pages are written together. Default 1.
	MaxBatch int
	// MaxModelLen bounds a page's prompt and answer together, in tokens. Default: what the model allows.
	MaxModelLen int
	// VisionCache is the memory, in bytes, that the visual tokens of earlier pages may take, so that a page which is read
	// again goes through the vision tower once. Default 64 MiB; negative is none.
	VisionCache int64
	// Observer hears what happens in the engine. The zero value hears nothing.
	Observer Observer
	// Logger hears about loading. Nil is silence.
	Logger *slog.Logger
	// Progress, if set, is called as files arrive and weights are loaded.
	Progress func(LoadProgress)
}

// LoadProgress says how far loading has come.
type LoadProgress struct {
	// Stage is "download" or "weights".
	Stage string
	// File is the file that is being downloaded.
	File string
	// Done and Total count bytes of a download and weights of a model; Total is 0 where it is not known.
	Done, Total int64
}

// Info says what runs.
type Info struct {
	// Model is the name that was asked for, Revision the commit that it stood for, where there is one.
	Model, Revision string
	// Device is the device's name, Description says more: the plugin and its version.
	Device, Description string
	// DType is the type of the weights on the device, for example "bfloat16" or "int8".
	DType string
	// SpecHash stands for the model's configuration, see [qwen.Spec.Hash].
	SpecHash string
}

// Load opens a device and loads a model onto it. The context is obeyed throughout.
func Load(ctx context.Context, o LoadOptions) (_ *Engine, err error) {
	if o.Model == "" {
		return nil, errors.New("backend: load: no model is named: give a folder, a hub id or \"omnidocs/tiny\"")
	}
	if o.MaxBatch < 0 || o.MaxModelLen < 0 {
		return nil, fmt.Errorf("backend: load: MaxBatch is %d and MaxModelLen is %d, want 0 or more", o.MaxBatch, o.MaxModelLen)
	}
	fsys, revision, err := findModel(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("backend: load %s: %w", o.Model, err)
	}
	device, err := OpenWith(ctx, o.Device, OpenOptions{Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, device.Close())
		}
	}()
	spec, err := qwen.ReadSpec(fsys)
	if err != nil {
		return nil, fmt.Errorf("backend: load %s: %w", o.Model, err)
	}
	dtype, err := weightType(o.DType, o.Quantization, spec.DType, device)
	if err != nil {
		return nil, fmt.Errorf("backend: load %s: %w", o.Model, err)
	}
	stats := newStatsCollector(o.Observer, max(1, o.MaxBatch))
	opts := qwen.LoadOptions{DType: dtype, Compiled: stats.compiled}
	if o.Progress != nil {
		opts.Progress = func(done, total int64) { o.Progress(LoadProgress{Stage: "weights", Done: done, Total: total}) }
	}
	model, err := qwen.Load(ctx, device.Runtime(), fsys, opts)
	if err != nil {
		return nil, fmt.Errorf("backend: load %s: %w", o.Model, err)
	}
	info := Info{Model: o.Model, Revision: revision, Device: device.Name(), Description: device.Description(), DType: dtypeName(dtype), SpecHash: spec.Hash()}
	if o.Logger != nil {
		o.Logger.InfoContext(ctx, "model loaded", "model", info.Model, "device", info.Device, "dtype", info.DType)
	}
	return newEngine(model, device, info, o, stats), nil //nolint:contextcheck // the engine outlives the loading; pages have contexts of their own
}

// findModel finds a model's files, and the commit where it comes from the hub.
func findModel(ctx context.Context, o LoadOptions) (fsys fs.FS, revision string, err error) {
	if o.Model == tiny.Name {
		return tiny.FS(), "", nil
	}
	source := hub.Source{Model: o.Model, Revision: o.Revision, CacheDir: o.CacheDir}
	if o.Progress != nil {
		source.Progress = func(p hub.Progress) {
			o.Progress(LoadProgress{Stage: "download", File: p.File, Done: p.Done, Total: p.Total})
		}
	}
	dir, err := hub.Resolve(ctx, source)
	if err != nil {
		return nil, "", err
	}
	if parent, commit := filepath.Split(filepath.Clean(dir)); filepath.Base(parent) == "snapshots" { // the cache's layout
		revision = commit
	}
	return os.DirFS(dir), revision, nil
}

// QuantizationInt8 is the value of [LoadOptions.Quantization] that there is.
const QuantizationInt8 = "int8"

// weightTypes are the names of PyTorch's dtypes that weights can have on a device.
var weightTypes = []struct {
	name  string
	dtype dtypes.DType
}{{"float32", dtypes.Float32}, {"bfloat16", dtypes.BFloat16}, {"float16", dtypes.Float16}}

// weightType chooses the type of the weights on the device.
func weightType(asked, quantization, stored string, device *Device) (dtypes.DType, error) {
	switch quantization {
	case "":
	case QuantizationInt8:
		return dtypes.Int8, nil
	default:
		return 0, fmt.Errorf("quantization %q: want \"\" or %q", quantization, QuantizationInt8)
	}
	if asked == "" || asked == "auto" {
		if device.IsCPU() {
			return dtypes.Float32, nil
		}
		asked = stored
		if asked == "" {
			asked = "bfloat16"
		}
	}
	for _, t := range weightTypes {
		if t.name == asked {
			return t.dtype, nil
		}
	}
	return 0, fmt.Errorf("dtype %q: want \"auto\", \"float32\", \"bfloat16\" or \"float16\"", asked)
}

func dtypeName(d dtypes.DType) string {
	for _, t := range weightTypes {
		if t.dtype == d {
			return t.name
		}
	}
	return strings.ToLower(d.String())
}
