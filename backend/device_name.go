package backend

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// target is what a device's name asks for.
type target struct {
	kinds   []Kind // in the order in which they are tried
	plugin  string // the plugin's file, when the name holds one
	visible string // the GPU's number, when the name holds one
	options string // what follows the first comma, handed on to GoMLX's backend as it is
}

var (
	autoKinds = []Kind{KindXLACUDA, KindXLACPU, KindGo}
	cpuKinds  = []Kind{KindXLACPU, KindGo}
	xlaKinds  = []Kind{KindXLACUDA, KindXLACPU}
)

// errUnknownDevice lists the names that parseDevice takes.
var errUnknownDevice = errors.New(`unknown name: want "auto", "go", "cpu", "xla:cpu", "cuda", "cuda:N" or "xla:/path/to/plugin.so"`)

// parseDevice reads a device's name, of ours or as GOMLX_BACKEND spells it. Names are case-insensitive, paths are not.
func parseDevice(name string) (target, error) {
	name, options, _ := strings.Cut(strings.TrimSpace(name), ",")
	head, rest, _ := strings.Cut(strings.TrimSpace(name), ":")
	rest = strings.TrimSpace(rest)
	t := target{options: options}
	switch strings.ToLower(head) {
	case "", "auto":
		t.kinds = autoKinds
	case "cpu":
		t.kinds = cpuKinds
	case "go":
		// GoMLX writes the pure-Go backend's options after the colon: "go:parallelism=4,ops_sequential".
		t.kinds, t.options = []Kind{KindGo}, strings.Trim(rest+","+options, ",")
		return t, nil
	case "cuda", "gpu":
		return t.cuda(rest)
	case "xla", "stablehlo", "hlo", "shlo":
		return t.xla(rest)
	case "mps", "metal", "tpu", "rocm", "npu", "xpu":
		return target{}, fmt.Errorf(`%w: there is no support for %s here; use "cuda", "cpu" or "go"`, ErrUnavailable, head)
	default:
		if filepath.IsAbs(name) {
			return t.xla(name)
		}
		return target{}, errUnknownDevice
	}
	if rest != "" {
		return target{}, errUnknownDevice
	}
	if options != "" {
		return target{}, fmt.Errorf("options (%q) go with a named backend: want %q or %q before them", options, KindGo, KindXLACUDA)
	}
	return t, nil
}

// cuda fills in what follows "cuda:": nothing, or a GPU's number.
func (t target) cuda(rest string) (target, error) {
	t.kinds = []Kind{KindXLACUDA}
	if rest == "" {
		return t, nil
	}
	n, err := strconv.Atoi(rest)
	if err != nil || n < 0 {
		return target{}, fmt.Errorf(`%q is no GPU's number: want "cuda:0" for the first, "cuda" for all`, rest)
	}
	t.visible = strconv.Itoa(n)
	return t, nil
}

// xla fills in what follows "xla:": nothing, "cpu", "cuda", "cuda:N" or a plugin's path.
func (t target) xla(rest string) (target, error) {
	if filepath.IsAbs(rest) {
		kind, err := pluginKind(rest)
		if err != nil {
			return target{}, err
		}
		t.kinds, t.plugin = []Kind{kind}, filepath.Clean(rest)
		return t, nil
	}
	head, tail, _ := strings.Cut(strings.ToLower(rest), ":")
	switch {
	case head == "" && tail == "":
		t.kinds = xlaKinds
		return t, nil
	case head == "cpu" && tail == "":
		t.kinds = []Kind{KindXLACPU}
		return t, nil
	case head == "cuda" || head == "gpu":
		return t.cuda(tail)
	}
	return target{}, fmt.Errorf(`unknown XLA device %q: want "cpu", "cuda", "cuda:N" or the absolute path of a PJRT plugin`, rest)
}

// pluginKind tells a plugin's kind from its file's name, which is how go-xla tells it.
func pluginKind(path string) (Kind, error) {
	base := filepath.Base(path)
	cpu, cuda := looksCPU(base), looksCUDA(base)
	switch {
	case cpu == cuda:
		return "", fmt.Errorf(`plugin %s: its name does not say what it is for; link or rename it so that the file's name holds either "cpu" or "cuda"`, path)
	case cpu:
		return KindXLACPU, nil
	}
	return KindXLACUDA, nil
}

// looksCPU and looksCUDA are go-xla's tests of a plugin's name, which may be a path.
func looksCPU(s string) bool { return strings.Contains(strings.ToUpper(s), "CPU") }

func looksCUDA(s string) bool {
	s = strings.ToUpper(s)
	return strings.Contains(s, "CUDA") || strings.Contains(s, "NVIDIA")
}
