package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gomlx/compute"

	"github.com/omnidocs/omnidocs/internal/compilecache"
)

// xlaSpec is what the platform's part needs to start XLA.
type xlaSpec struct {
	plugin  string // the plugin's file
	kind    Kind
	options string // GoMLX's options, "key=value,…"
	devices int    // how many a CPU is to be, if more than one
	cache   string // see OpenOptions.CompileCache
	log     *slog.Logger
}

// xlaInfo is what the platform's part tells of a started XLA.
type xlaInfo struct {
	backend compute.Backend
	version string // of the plugin, for people
	compile *compilecache.Cache
	folder  string // of compile
	notes   []string
}

// openXLAKind finds a plugin of the kind, unless want names one, and starts XLA with it. Of several plugins the first that starts
// is taken: a CUDA 13 plugin does not start with an older driver, where one for CUDA 12 does.
func openXLAKind(ctx context.Context, kind Kind, want target, opts OpenOptions, at place) (*Device, error) {
	plugins := []string{want.plugin}
	if want.plugin != "" {
		if err := at.usable(want.plugin); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if err := xlaSupported(); err != nil {
			return nil, err
		}
	} else {
		found := at.findPlugins(kind)
		switch err := xlaSupported(); {
		case err != nil && len(found.found) == 0:
			return nil, fmt.Errorf("%w: %w", errNotInstalled, err)
		case err != nil:
			return nil, err
		case len(found.found) == 0:
			return nil, found.missing(kind)
		}
		plugins = found.found
	}
	if kind == KindXLACUDA && !at.hasNVIDIA() {
		return nil, fmt.Errorf("%w: no NVIDIA GPU on this machine (neither /dev/nvidia0 nor /proc/driver/nvidia/version; in a container, "+
			"start it with its GPUs, for example \"docker run --gpus all\"), so the plugin %s is of no use", errNotInstalled, plugins[0])
	}

	var faults []error
	for _, plugin := range plugins {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		info, err := startXLA(xlaSpec{
			plugin: plugin, kind: kind, options: xlaOptions(kind, want, opts), devices: opts.Devices, cache: opts.CompileCache, log: opts.Logger,
		}, at)
		if err != nil {
			faults = append(faults, fmt.Errorf("plugin %s: %w", plugin, err))
			continue
		}
		dev := &Device{
			backend: info.backend, kind: kind, plugin: plugin, notes: info.notes, visible: want.visible, compile: info.compile, compiled: info.folder,
		}
		for _, fault := range faults {
			dev.notes = append(dev.notes, fmt.Sprintf("passed over: %v", fault))
		}
		dev.description = describeXLA(dev, info.version)
		return dev, nil
	}
	return nil, fmt.Errorf("%w: %w", ErrUnavailable, errors.Join(faults...))
}

// xlaOptions are the options of the device in GoMLX's spelling. Those in the device's name come last, since GoMLX takes the last
// of two equal keys.
func xlaOptions(kind Kind, want target, opts OpenOptions) string {
	var list []string
	if kind == KindXLACUDA {
		list = append(list, "tf32="+strconv.FormatBool(opts.TF32))
		if opts.MemoryFraction > 0 {
			list = append(list, "preallocate=true", "memory_fraction="+strconv.FormatFloat(opts.MemoryFraction, 'g', -1, 32))
		}
		if want.visible != "" {
			list = append(list, "visible_devices="+want.visible)
		}
	}
	if want.options != "" {
		list = append(list, want.options)
	}
	return strings.Join(list, ",")
}

func describeXLA(dev *Device, version string) string {
	if wheel := wheelVersion(dev.plugin); wheel != "" {
		version = wheel + ", " + version
	}
	hardware := dev.backend.DeviceDescription(0)
	if n := dev.NumDevices(); n > 1 {
		hardware += fmt.Sprintf(" and %d more", n-1)
	}
	return fmt.Sprintf("XLA through the PJRT plugin %s (%s), on %s", dev.plugin, version, hardware)
}

// misleading says whether go-xla would take the path of a plugin for one of another kind. It looks for "cpu" and "cuda" anywhere
// in the path, so that a CPU plugin below /home/u/cuda-env gets CUDA's operations, and splits it at commas.
func misleading(path string, kind Kind) bool {
	dir := filepath.Dir(path)
	if strings.Contains(dir, ",") {
		return true
	}
	if kind == KindXLACUDA {
		return looksCPU(dir)
	}
	return looksCUDA(dir)
}
