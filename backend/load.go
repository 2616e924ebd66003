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

	"github.com/gomlx/compute"
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
	// TensorParallelSize is how many devices the weights and the cache of the model are divided among, each of which holds about that
	// part of them. It must divide the model's numbers of heads and its inner widths; the error says what would. Default 1. The device
	// "go" is one; "xla:cpu" makes of a CPU as many as are asked for, which is for tests: they share its cores.
	TensorParallelSize int
	// Devices is how many devices are used in all, a multiple of TensorParallelSize. Where it is more than once that, there are as
	// many engines, each with its own copy of the weights: see [LoadEngines]. Default: TensorParallelSize.
	Devices int
	// DeviceIDs are the numbers of the devices that are used, counted from 0: the first engine has the first of them. Default: 0 and
	// on.
	DeviceIDs []int
	// MaxBatch is how many pages are written together at most, by each engine. Default 1. [BatchThatFits] makes as many as memory has
	// room for.
	MaxBatch int
	// MaxModelLen bounds a page's prompt and answer together, in tokens. Default: what the model allows, or less where memory holds no
	// more. It is an error if memory does not hold one page of MaxModelLen tokens, unless ShorterModelLen is set: it is then made
	// smaller, but never than what the largest page needs with PlannedAnswer tokens.
	MaxModelLen     int
	ShorterModelLen bool
	// MemoryLimit is what may be taken of each device's memory, in bytes: weights, caches, and what pages need on their way. Zero is what
	// the device has: of a GPU what is free of it, of a CPU what this process could still take within the limits of the machine and
	// its control group (see [Device.Memory]). Negative is no limit.
	//
	// A model that does not fit is refused before anything is loaded, with an error that matches [ErrOutOfMemory]. Pages are
	// admitted, and the cache grows, within the limit: what would exceed it waits.
	MemoryLimit int64
	// MemoryUtilization is the share of the device's memory to use in the place of all, from 0.1 to 1: on GPUs it is reserved when the
	// device is opened, of all that there is; on CPUs it counts of what is free. MemoryLimit must then be 0.
	MemoryUtilization float64
	// Page is the page that memory is planned for, the largest that is expected. Larger ones are read where there is room.
	Page PlanPage
	// VisionCache is the memory, in bytes, that the visual tokens of earlier pages may take, so that a page which is read
	// again goes through the vision tower once. Default 64 MiB; negative is none.
	VisionCache int64
	// PrefixCache is the memory, in bytes, that the keys, values and states of earlier prompts may take. A prompt that begins with the same
	// tokens, those of the same picture included, then begins behind them: HTML after Markdown of one page, pages behind one long system
	// prompt. What comes of it is the same to the bit as with nothing to begin behind; for that XLA runs each prompt in two or three parts,
	// which costs some percent. The default is, on "go", what the prompt of the page leaves that memory is planned for, if there is room
	// for it, and elsewhere none; negative is none. [Plan] tells.
	PrefixCache int64
	// CompileCache is the folder in which compiled programs are kept, see [OpenOptions]: empty for that of the environment or of the
	// user, "off" for none. [Stats] count what was found there.
	CompileCache string
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
func Load(ctx context.Context, o LoadOptions) (engine *Engine, err error) {
	l, err := startLoading(ctx, o)
	if err != nil {
		return nil, err
	}
	if n := len(l.places); n > 1 {
		return nil, errors.Join(fmt.Errorf("backend: load %s: %d devices for a model on each %d of them make %d engines, which LoadEngines loads",
			o.Model, n*len(l.places[0]), len(l.places[0]), n), l.device.Close())
	}
	e, err := l.engine(ctx, 0, l.progress("weights"))
	if err != nil {
		return nil, errors.Join(err, l.device.Close())
	}
	return e, nil
}

// loading is a model on its way to a device.
type loading struct {
	o        LoadOptions
	fsys     fs.FS
	revision string
	device   *Device
	dtype    dtypes.DType
	spec     string                // its hash
	places   [][]compute.DeviceNum // the devices of each engine
	planner  *qwen.Planner         // of the first
	plan     *Plan                 // of each, since they are alike
}

// plannerFor is the planner of an engine on these devices.
func (l *loading) plannerFor(devices []compute.DeviceNum) (*qwen.Planner, error) {
	runtime := l.device.Runtime()
	runtime.Devices = devices
	return qwen.NewPlanner(l.fsys, runtime, l.dtype)
}

// startLoading finds the model and opens the device.
func startLoading(ctx context.Context, o LoadOptions) (_ *loading, err error) {
	if o.Model == "" {
		return nil, errors.New("backend: load: no model is named: give a folder, a hub id or \"omnidocs/tiny\"")
	}
	if err := o.checkMemory(); err != nil {
		return nil, fmt.Errorf("backend: load: %w", err)
	}
	l := &loading{o: o}
	if l.places, err = o.places(); err != nil {
		return nil, fmt.Errorf("backend: load %s: %w", o.Model, err)
	}
	if l.fsys, l.revision, err = findModel(ctx, o); err != nil {
		return nil, fmt.Errorf("backend: load %s: %w", o.Model, err)
	}
	if l.device, err = OpenWith(ctx, o.Device, OpenOptions{
		Logger: o.Logger, Devices: needed(l.places), MemoryFraction: o.MemoryUtilization, CompileCache: o.CompileCache,
	}); err != nil {
		return nil, err
	}
	spec, err := qwen.ReadSpec(l.fsys)
	if err == nil {
		l.spec = spec.Hash()
		l.dtype, err = weightType(o.DType, o.Quantization, spec.DType, l.device)
	}
	if err == nil {
		l.planner, err = l.plannerFor(l.places[0])
	}
	if err == nil {
		l.plan, err = fitting(ctx, o, l.device, l.planner, l.dtype)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("backend: load %s: %w", o.Model, err), l.device.Close())
	}
	return l, nil
}

// progress is what is told of a stage.
func (l *loading) progress(stage string) func(done, total int64) {
	if l.o.Progress == nil {
		return nil
	}
	return func(done, total int64) { l.o.Progress(LoadProgress{Stage: stage, Done: done, Total: total}) }
}

// engine loads the model onto the devices of one engine.
func (l *loading) engine(ctx context.Context, number int, progress func(done, total int64)) (*Engine, error) {
	devices := l.places[number]
	stats := newStatsCollector(l.o.Observer, l.plan.Slots)
	stats.engine = number
	planner, err := l.planner, error(nil)
	if number > 0 {
		planner, err = l.plannerFor(devices)
	}
	if err != nil {
		return nil, fmt.Errorf("backend: load %s: %w", l.o.Model, err)
	}
	model, err := planner.Load(ctx, qwen.LoadOptions{Compiled: stats.compiled, Progress: progress})
	if exhausted(err) {
		err = &OutOfMemoryError{Plan: l.plan, Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("backend: load %s: %w", l.o.Model, err)
	}
	info := Info{
		Model: l.o.Model, Revision: l.revision, Device: l.device.Name(), Description: l.device.Description() + placed(devices), DType: dtypeName(l.dtype),
		SpecHash: l.spec,
	}
	if l.o.Logger != nil {
		l.o.Logger.InfoContext(ctx, "model loaded", "model", info.Model, "device", info.Device, "devices", devices, "dtype", info.DType,
			"weight_bytes", model.WeightBytes())
	}
	return newEngine(model, l.device, devices, info, l.plan, stats), nil //nolint:contextcheck // the engine outlives the loading; pages have contexts of their own
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
