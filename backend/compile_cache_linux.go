//go:build linux && cgo

package backend

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/go-xla/pjrt"
)

// compileIdentity is what a compiled program depends on beside its text: the plugin, the hardware, flags, and NVIDIA's libraries.
func compileIdentity(spec xlaSpec, name string, b compute.Backend, at place) ([]string, error) {
	build, err := libraryBuild(spec.plugin)
	if err != nil {
		return nil, err
	}
	plugin, err := pjrt.GetPlugin(name) // loaded already: this looks it up
	if err != nil {
		return nil, err
	}
	major, minor := plugin.Version()
	identity := []string{string(spec.kind), build, fmt.Sprintf("PJRT %d.%d", major, minor), fmt.Sprint(plugin.Attributes())}
	for i := range b.NumDevices() {
		identity = append(identity, b.DeviceDescription(compute.DeviceNum(i)))
	}
	for _, variable := range []string{"XLA_FLAGS", "NVIDIA_TF32_OVERRIDE"} {
		identity = append(identity, variable+"="+at.getenv(variable))
	}
	if spec.kind == KindXLACUDA {
		driver, _, _ := strings.Cut(at.read("/proc/driver/nvidia/version"), "\n")
		return append(append(identity, driver), nvidiaLoaded(at.read("/proc/self/maps"))...), nil
	}
	// XLA compiles for the processor that it runs on, and divides the work by the number of its cores.
	return append(identity, processor(at.read("/proc/cpuinfo")), fmt.Sprint(runtime.NumCPU())), nil
}

// read is a file's text, "" if there is none.
func (p place) read(path string) string {
	data, err := os.ReadFile(p.abs(path))
	if err != nil {
		return ""
	}
	return string(data)
}

// libraryBuild stands for a library's content: the identity that its linker gave it, or else its sum.
func libraryBuild(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	if f, err := elf.NewFile(file); err == nil {
		if note := f.Section(".note.gnu.build-id"); note != nil {
			if data, err := note.Data(); err == nil && len(bytes.Trim(data, "\x00")) > 0 {
				return fmt.Sprintf("%x", data), nil
			}
		}
	}
	sum := sha256.New()
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", sum.Sum(nil)), nil
}

// processor is what /proc/cpuinfo says of the first processor that decides how XLA compiles for it.
func processor(cpuinfo string) string {
	first, _, _ := strings.Cut(cpuinfo, "\n\n")
	var told []string
	for line := range strings.Lines(first) {
		name, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(name) {
		case "vendor_id", "cpu family", "model", "model name", "stepping", "flags", // amd64
			"CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision", "Features": // arm64
			told = append(told, strings.TrimSpace(value))
		}
	}
	return strings.Join(told, "\n")
}

// nvidiaLoaded are NVIDIA's libraries that the process has loaded, by what /proc/self/maps says, with their sizes: what a program was
// compiled to call must be what is called.
func nvidiaLoaded(maps string) []string {
	var libraries []string
	for line := range strings.Lines(maps) {
		at := strings.IndexByte(line, '/')
		if at < 0 {
			continue
		}
		path := strings.TrimSpace(line[at:])
		name := filepath.Base(path)
		if !strings.HasPrefix(name, "libcudnn") && !strings.HasPrefix(name, "libcublas") && !strings.HasPrefix(name, "libnvrtc") {
			continue
		}
		if info, err := os.Stat(path); err == nil {
			libraries = append(libraries, fmt.Sprintf("%s %d", name, info.Size()))
		}
	}
	slices.Sort(libraries)
	return slices.Compact(libraries)
}
