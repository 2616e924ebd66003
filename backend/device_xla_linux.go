//go:build linux && cgo

package backend

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/gomlx/go-xla/compute/xla"
	"github.com/gomlx/go-xla/pjrt"

	"github.com/omnidocs/omnidocs/internal/compilecache"
)

// xlaSupported says why XLA cannot be had in this build. Here it can.
func xlaSupported() error { return nil }

// xlaMu makes the opening of plugins one after the other: go-xla and XLA read the environment as they start.
var xlaMu sync.Mutex

// pluginNamesInUse are the names under which plugins were given to go-xla, by their path: it keeps each for the process's life.
var pluginNamesInUse = map[string]string{}

// startXLA loads the plugin, once per process, and makes a client of it.
func startXLA(spec xlaSpec, at place) (info xlaInfo, err error) {
	xlaMu.Lock()
	defer xlaMu.Unlock()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("XLA did not start: %v", r)
		}
	}()

	if spec.kind == KindXLACUDA {
		info.notes = prepareCUDA(spec.plugin, at)
	} else {
		_ = keepMemory(at.getenv) // without it, it is slower
	}
	name, err := goxlaName(spec)
	if err != nil {
		return xlaInfo{}, err
	}
	config := name
	if spec.options != "" {
		config += "," + spec.options
	}
	var options pjrt.NamedValuesMap
	if spec.kind == KindXLACPU && spec.devices > 1 {
		options = pjrt.NamedValuesMap{"cpu_device_count": int64(spec.devices)} // the plugin's own option, which GoMLX has no name for
	}
	store, err := at.openCompileCache(spec.cache, spec.log)
	if err == nil && store != nil {
		err = compilecache.Attach(name)
	}
	if err != nil { // if the plugin does not load, that is told below
		info.notes, store = append(info.notes, noCache(err)), nil
	}
	be, err := xla.NewWithOptions(config, options)
	if err != nil {
		return xlaInfo{}, errors.New(oneLine(err.Error()))
	}
	info.backend = be
	info.version = pluginVersion(name)
	if store != nil {
		if identity, err := compileIdentity(spec, name, be, at); err != nil {
			info.notes = append(info.notes, noCache(err))
		} else {
			info.compile, info.folder = store.For(identity...), store.Dir()
		}
	}
	return info, nil
}

// goxlaName is the path by which go-xla is to load the plugin. Where the real one would mislead it (see misleading) it is the
// same file by way of the open folder's descriptor, which keeps the libraries that the plugin looks for beside itself in reach,
// as a link elsewhere would not.
func goxlaName(spec xlaSpec) (string, error) {
	if name, ok := pluginNamesInUse[spec.plugin]; ok {
		return name, nil
	}
	name := spec.plugin
	if misleading(spec.plugin, spec.kind) {
		dir, err := os.Open(filepath.Dir(spec.plugin))
		if err != nil {
			return "", err
		}
		// The descriptor stays open, and dir reachable, as long as the plugin is loaded: to the end of the process.
		keptOpen = append(keptOpen, dir)
		name = fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(spec.plugin))
	}
	if strings.Contains(name, ",") {
		return "", errors.New("its name holds a comma, at which GoMLX would split it; rename it")
	}
	pluginNamesInUse[spec.plugin] = name
	return name, nil
}

var keptOpen []*os.File

// pluginVersion is the version of the interface that the loaded plugin was built for.
func pluginVersion(name string) string {
	plugin, err := pjrt.GetPlugin(name) // loaded already: this looks it up
	if err != nil {
		return "PJRT API unknown"
	}
	major, minor := plugin.Version()
	return fmt.Sprintf("PJRT API %d.%d", major, minor)
}

// oneLine joins the lines of a message of go-xla's, which may end in a stack.
func oneLine(message string) string {
	return strings.Join(strings.Fields(message), " ")
}
