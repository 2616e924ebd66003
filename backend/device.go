package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/gomlx/compute"

	"github.com/omnidocs/omnidocs/internal/compilecache"
)

// Kind says what a device is made of.
type Kind string

const (
	// KindGo is GoMLX's pure-Go backend on the CPU: no plugin, no cgo, any platform.
	KindGo Kind = "go"
	// KindXLACPU is XLA on the CPU, through a PJRT plugin.
	KindXLACPU Kind = "xla:cpu"
	// KindXLACUDA is XLA on NVIDIA GPUs, through a PJRT plugin.
	KindXLACUDA Kind = "xla:cuda"
)

// ErrUnavailable is wrapped by the error of [Open] when the device that was asked for is known, but cannot be had here:
// the plugin is not installed, there is no GPU, or the program was built without cgo. The error's text says what to install.
var ErrUnavailable = errors.New("device unavailable")

// OpenOptions tunes a device as it is opened. The zero value is the default of every field.
type OpenOptions struct {
	// TF32 lets a GPU round the inputs of float32 matrix products to TensorFloat-32: faster, with an error of about 3e-4.
	// The default is exact float32, which is what PyTorch does. It says nothing about bfloat16 and float16, and nothing to CPUs.
	TF32 bool
	// MemoryFraction reserves this share of a GPU's memory when the device is opened, 0 < MemoryFraction <= 1. Zero takes memory
	// as it is needed, which leaves room for other programs and costs a little at every allocation. CPUs ignore it.
	MemoryFraction float64
	// Devices is how many processors the device must have, for models that are spread over several (see [LoadOptions]). On xla:cpu
	// so many are made of the one that there is, which share its cores and memory; elsewhere it is an error if there are fewer.
	// Zero takes what there is, which is one on a CPU.
	Devices int
	// CompileCache is the folder in which compiled programs are kept, so that the next process compiles nothing that this one has: the
	// programs of XLA, for as long as plugin, hardware and flags are the same. Several processes of one user may share it; it is bounded by
	// [CompileCacheLimit]. Empty means that of the environment's OMNIDOCS_COMPILE_CACHE, else omnidocs/compiled in the user's folder of
	// caches ($XDG_CACHE_HOME or ~/.cache); "off" is none. What cannot be read or written there is compiled as if there were no
	// folder, and the Logger hears of it.
	CompileCache string
	// Logger hears why a device was passed over in an automatic choice, and what is wrong with compiled programs. Nil is silence.
	Logger *slog.Logger
}

func (o OpenOptions) validate() error {
	if o.MemoryFraction < 0 || o.MemoryFraction > 1 || o.MemoryFraction != o.MemoryFraction {
		return fmt.Errorf("backend: MemoryFraction is %v: want a share of the device's memory, above 0 and at most 1, or 0 to take memory as needed", o.MemoryFraction)
	}
	if o.Devices < 0 {
		return fmt.Errorf("backend: Devices is %d: want 1 or more, or 0 for what there is", o.Devices)
	}
	return nil
}

// Device is a place where graphs run. It is safe for concurrent use; close it when nothing made on it is in use any more.
type Device struct {
	backend     compute.Backend
	kind        Kind
	plugin      string
	description string
	notes       []string
	compile     *compilecache.Cache
	compiled    string       // the folder of compile
	visible     string       // the number of the one GPU that was asked for
	closing     sync.RWMutex // held to read while the plugin is asked for its memory, to write while it is closed
}

// Open opens the device called name, with the default options: see [OpenWith].
func Open(ctx context.Context, name string) (*Device, error) {
	return OpenWith(ctx, name, OpenOptions{})
}

// OpenWith opens the device called name:
//
//	""                 what GOMLX_BACKEND says, in GoMLX's own spelling ("go", "xla:cpu", "xla:/path/plugin.so,tf32=true"); if unset, as "auto"
//	"auto"             "cuda" if a plugin for it and a GPU are found, else "xla:cpu" if a plugin for it is found, else "go"
//	"cpu"              the best there is on the CPU: "xla:cpu" if a plugin for it is found, else "go"
//	"go"               GoMLX's pure-Go backend
//	"xla"              XLA, on CUDA if it can be had, else on the CPU
//	"xla:cpu"          XLA on the CPU
//	"cuda", "xla:cuda" XLA on all visible NVIDIA GPUs
//	"cuda:1"           XLA on the second NVIDIA GPU alone
//	"xla:/path/to.so"  XLA with the PJRT plugin in that file, whose name says "cpu" or "cuda"
//
// A device that is named is opened or refused, never replaced by another: the error wraps [ErrUnavailable] and says how to get
// the plugin. Where there is a choice ("", "auto", "cpu", "xla"), a device that is found but does not open is passed over, and
// [Device.Notes] says why; [Device.Name] says what was chosen.
//
// Plugins are searched in the folders of PJRT_PLUGIN_LIBRARY_PATH, those of go-xla's installer, the site-packages of the Python
// environments that are active or in their usual places, and LD_LIBRARY_PATH. Nothing is downloaded. With a CUDA plugin NVIDIA's
// libraries that lie beside it are loaded, and XLA_FLAGS gets --xla_gpu_cuda_data_dir unless it has one. Libraries that lie elsewhere
// must be in LD_LIBRARY_PATH when the process starts: the system's loader does not see later changes of it. XLA reads XLA_FLAGS and
// TF_CPP_MIN_LOG_LEVEL (its log, silent unless set) once, when the first plugin is opened.
//
// The context is looked at between the steps; loading a plugin cannot be interrupted.
func OpenWith(ctx context.Context, name string, opts OpenOptions) (*Device, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	source := ""
	if strings.TrimSpace(name) == "" {
		if env := os.Getenv(compute.ConfigEnvVar); env != "" {
			name, source = env, " (from "+compute.ConfigEnvVar+")"
		}
	}
	want, err := parseDevice(name)
	if err != nil {
		return nil, fmt.Errorf("backend: device %q%s: %w", name, source, err)
	}
	dev, err := open(ctx, want, opts, hostPlace())
	if err != nil {
		return nil, fmt.Errorf("backend: device %q%s: %w", name, source, err)
	}
	if err := dev.requireDevices(opts.Devices); err != nil {
		return nil, fmt.Errorf("backend: device %q%s: %w", name, source, errors.Join(err, dev.Close()))
	}
	return dev, nil
}

// requireDevices is an error where the device has fewer processors than are asked for.
func (d *Device) requireDevices(n int) error {
	have := d.NumDevices()
	switch {
	case n <= have:
		return nil
	case d.kind == KindGo:
		return fmt.Errorf("%w: %d devices are asked for, and the pure-Go backend is one: it has no means by which several could add up "+
			"what they have computed; \"xla:cpu\" makes any number of devices of one CPU", ErrUnavailable, n)
	case d.visible != "":
		return fmt.Errorf("%w: %d devices are asked for, and the name stands for one; \"cuda\" is all of them", ErrUnavailable, n)
	}
	return fmt.Errorf("%w: %d devices are asked for, %s has %d", ErrUnavailable, n, d.kind, have)
}

// open tries the kinds that want allows, in order. Only an error of the last one is returned; those before it become notes.
func open(ctx context.Context, want target, opts OpenOptions, at place) (*Device, error) {
	var notes []string
	for i, kind := range want.kinds {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		var dev *Device
		var err error
		if kind == KindGo {
			dev, err = openGo(want.options)
		} else {
			dev, err = openXLAKind(ctx, kind, want, opts, at)
		}
		if err == nil {
			dev.notes = append(notes, dev.notes...)
			return dev, nil
		}
		if i == len(want.kinds)-1 {
			return nil, err
		}
		if ctxErr := context.Cause(ctx); ctxErr != nil {
			return nil, ctxErr
		}
		// Not having a plugin is the usual case and no news; a plugin that is there and does not open is.
		if !errors.Is(err, errNotInstalled) {
			notes = append(notes, fmt.Sprintf("%s was passed over: %v", kind, err))
			if opts.Logger != nil {
				opts.Logger.WarnContext(ctx, "device passed over", "device", string(kind), "error", err)
			}
		}
	}
	return nil, fmt.Errorf("%w: nothing to choose from", ErrUnavailable)
}

// Backend is GoMLX's handle of the device, for graphs and tensors. It is the Device's: do not finalize it.
func (d *Device) Backend() compute.Backend { return d.backend }

// Kind says what the device is made of.
func (d *Device) Kind() Kind { return d.kind }

// Name is the device's kind, as a name that [Open] takes: "go", "xla:cpu" or "xla:cuda".
func (d *Device) Name() string { return string(d.kind) }

// Description says in one line what runs: the plugin's file and version and the hardware, or how the pure-Go backend was built.
func (d *Device) Description() string { return d.description }

// Notes are remarks on the choice of the device: which ones were passed over and why, and what may be missing. Usually empty.
func (d *Device) Notes() []string { return d.notes }

// Plugin is the path of the PJRT plugin, empty for the pure-Go backend.
func (d *Device) Plugin() string { return d.plugin }

// CompileCache is the folder in which compiled programs are kept, "" if they are not.
func (d *Device) CompileCache() string { return d.compiled }

// IsXLA says whether graphs are compiled by XLA, once per shape.
func (d *Device) IsXLA() bool { return d.kind != KindGo }

// IsCPU says whether the computing is done by the CPU.
func (d *Device) IsCPU() bool { return d.kind != KindXLACUDA }

// HasSharedBuffers says whether the host can read and write the device's buffers in place, without a copy.
func (d *Device) HasSharedBuffers() bool { return d.backend.HasSharedBuffers() }

// NumDevices is the number of processors that graphs can be spread over; 1 for the pure-Go backend, and on xla:cpu unless more were
// asked for.
func (d *Device) NumDevices() int { return d.backend.NumDevices() }

// String is Name.
func (d *Device) String() string { return d.Name() }

// Close frees the device. Buffers and executables made on it are of no use afterwards. Closing twice does nothing.
func (d *Device) Close() error {
	d.closing.Lock()
	defer d.closing.Unlock()
	if !d.backend.IsFinalized() {
		d.backend.Finalize()
		if d.kind == KindXLACPU {
			returnMemory()
		}
	}
	return nil
}
