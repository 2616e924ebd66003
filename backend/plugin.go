package backend

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// pluginPathEnv is go-xla's variable for the folders in which plugins are searched.
const pluginPathEnv = "PJRT_PLUGIN_LIBRARY_PATH"

// errNotInstalled marks those ErrUnavailable that only say that a plugin, or a GPU, is not there. It reads the same.
var errNotInstalled = fmt.Errorf("%w", ErrUnavailable)

// place is the machine as the search for plugins sees it.
type place struct {
	getenv func(string) string
	home   string
	// root is put before the absolute paths that are searched on every machine. It is empty but in tests.
	root string
	// usable says what is wrong with a file as a plugin.
	usable func(path string) error
}

// hostPlace is the machine this program runs on.
func hostPlace() place {
	home, err := os.UserHomeDir()
	if err != nil {
		home = "" // no home folder: nothing to search below it
	}
	return place{getenv: os.Getenv, home: home, usable: checkPluginFile}
}

// search is what a search for plugins found.
type search struct {
	found   []string // usable plugins, the preferred one first
	refused []error  // files with a plugin's name that are none
	folders []string // the folders that exist and were looked at
	real    []string // the same, without links
}

// pluginNames are the files' names by which plugins are known, as patterns: go-xla's two, and that of JAX's wheels.
var pluginNames = map[Kind][]string{
	KindXLACPU:  {"pjrt_c_api_cpu_plugin.so", "pjrt_c_api_cpu*_plugin.so", "pjrt?plugin?cpu*.so"},
	KindXLACUDA: {"pjrt_c_api_cuda_plugin.so", "pjrt_c_api_cuda*_plugin.so", "pjrt?plugin?cuda*.so", "xla_cuda_plugin.so"},
}

// wheelNames are the places of plugins below Python's site-packages, as patterns.
var wheelNames = map[Kind][]string{
	KindXLACPU:  {"*/pjrt_c_api_cpu_plugin.so"},
	KindXLACUDA: {"jax_plugins/xla_cuda*/xla_cuda_plugin.so"},
}

// findPlugins searches the plugins of a kind, in the order in which they are preferred: the folders that the user names,
// go-xla's, those of Python environments, LD_LIBRARY_PATH.
func (p place) findPlugins(kind Kind) search {
	var s search
	named := splitList(p.getenv(pluginPathEnv))
	for _, entry := range named {
		if info, err := os.Stat(entry); err == nil && info.Mode().IsRegular() {
			if k, err := pluginKind(entry); err == nil && k == kind {
				s.add(p, entry)
			}
		}
	}
	s.scan(p, named, pluginNames[kind])
	s.scan(p, p.goxlaFolders(), pluginNames[kind])
	s.scan(p, p.sitePackages(), wheelNames[kind])
	s.scan(p, splitList(p.getenv("LD_LIBRARY_PATH")), pluginNames[kind])
	return s
}

// scan adds the files below the folders that match one of the patterns. Of several in a folder the highest number comes first,
// which is the newest version.
func (s *search) scan(p place, folders, patterns []string) {
	for _, folder := range folders {
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			continue
		}
		// On many systems /lib is a link to /usr/lib: one folder under two names is looked at once.
		if real, err := filepath.EvalSymlinks(folder); err == nil {
			if slices.Contains(s.real, real) {
				continue
			}
			s.real = append(s.real, real)
		}
		s.folders = append(s.folders, folder)
		for _, pattern := range patterns {
			files := globBelow(folder, pattern)
			slices.Reverse(files)
			for _, file := range files {
				s.add(p, file)
			}
		}
	}
}

func (s *search) add(p place, file string) {
	if slices.Contains(s.found, file) {
		return
	}
	if err := p.usable(file); err != nil {
		if !slices.ContainsFunc(s.refused, func(e error) bool { return e.Error() == err.Error() }) {
			s.refused = append(s.refused, err)
		}
		return
	}
	s.found = append(s.found, file)
}

// goxlaFolders are the folders of go-xla's installer, and of its predecessor gopjrt.
func (p place) goxlaFolders() []string {
	var folders []string
	for _, lib := range []string{filepath.Join(p.home, ".local", "lib"), p.abs("/usr/local/lib")} {
		if p.home == "" && !filepath.IsAbs(lib) {
			continue
		}
		folders = append(folders,
			filepath.Join(lib, "go-xla"), filepath.Join(lib, "go-xla", "nvidia"), filepath.Join(lib, "gomlx", "pjrt"))
	}
	return folders
}

// sitePackages are the folders in which Python keeps installed packages, without asking Python: of the active environment,
// of the Python on PATH, of the user, of the usual homes of environments, and of the system.
func (p place) sitePackages() []string {
	var prefixes []string
	for _, env := range []string{"VIRTUAL_ENV", "CONDA_PREFIX"} {
		if dir := p.getenv(env); filepath.IsAbs(dir) {
			prefixes = append(prefixes, dir)
		}
	}
	prefixes = append(prefixes, p.pythonsOnPath()...)
	var homes []string
	if p.home != "" {
		prefixes = append(prefixes, filepath.Join(p.home, ".local"))
		homes = append(homes, p.home)
	}
	pyenv := p.getenv("PYENV_ROOT")
	if pyenv == "" && p.home != "" {
		pyenv = filepath.Join(p.home, ".pyenv")
	}
	if filepath.IsAbs(pyenv) {
		prefixes = append(prefixes, globBelow(pyenv, "versions/*")...)
	}
	for _, home := range append(homes, p.abs("/opt")) {
		for _, name := range []string{"conda", "miniconda3", "miniforge3", "mambaforge", "anaconda3"} {
			prefixes = append(prefixes, filepath.Join(home, name))
		}
	}
	prefixes = append(prefixes, p.abs("/usr/local"), p.abs("/usr"))

	folders := splitList(p.getenv("PYTHONPATH"))
	for _, prefix := range prefixes {
		for _, pattern := range []string{"lib*/python3*/site-packages", "lib*/python3*/dist-packages"} {
			found := globBelow(prefix, pattern)
			slices.Reverse(found)
			folders = append(folders, found...)
		}
	}
	return unique(folders)
}

// pythonsOnPath are the prefixes of the Pythons on PATH: /opt/env for /opt/env/bin/python3, and where its links lead to.
func (p place) pythonsOnPath() []string {
	var prefixes []string
	for _, dir := range splitList(p.getenv("PATH")) {
		for _, name := range []string{"python3", "python"} {
			file := filepath.Join(dir, name)
			if _, err := os.Stat(file); err != nil {
				continue
			}
			prefixes = append(prefixes, filepath.Dir(dir))
			if real, err := filepath.EvalSymlinks(file); err == nil {
				prefixes = append(prefixes, filepath.Dir(filepath.Dir(real)))
			}
		}
	}
	return unique(prefixes)
}

// hasNVIDIA says whether there is an NVIDIA GPU: its device file, its driver, or WSL's.
func (p place) hasNVIDIA() bool {
	for _, path := range []string{"/dev/nvidia0", "/proc/driver/nvidia/version", "/dev/dxg"} {
		if _, err := os.Stat(p.abs(path)); err == nil {
			return true
		}
	}
	// A container may be given the second GPU alone.
	return len(globBelow(p.abs("/dev"), "nvidia[0-9]*")) > 0
}

func (p place) abs(path string) string { return filepath.Join(p.root, path) }

// splitList splits a list of folders and keeps the absolute ones: a relative one would load code from wherever the program is run.
func splitList(list string) []string {
	return slices.DeleteFunc(filepath.SplitList(list), func(dir string) bool { return !filepath.IsAbs(dir) })
}

// globBelow is the sorted list of what matches pattern in folder, whose own name may hold any character.
func globBelow(folder, pattern string) []string {
	names, err := filepath.Glob(filepath.Join(globEscape(folder), pattern))
	if err != nil {
		return nil // the patterns are ours and well-formed
	}
	return names
}

func globEscape(path string) string {
	if runtime.GOOS == "windows" {
		return path // the backslash parts folders there and cannot escape
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func unique(list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// howToGet says how a user gets the plugin of a kind.
func howToGet(kind Kind) string {
	const elsewhere = `; or with go-xla's installer, "go run github.com/gomlx/go-xla/cmd/pjrt_installer@latest"; or set ` + pluginPathEnv +
		` to the folder of a plugin that you have`
	if kind == KindXLACUDA {
		return `get one with "pip install 'jax[cuda13]'" ("jax[cuda12]" for NVIDIA drivers older than 580), which brings NVIDIA's libraries too, ` +
			`or "pip install jax-cuda13-pjrt" where they are there already` + elsewhere + ` (pjrt_c_api_cuda_plugin.so or xla_cuda_plugin.so)`
	}
	return `get one with "pip install lammps-jax-pjrt-cpu==0.11.2"` + elsewhere + ` (pjrt_c_api_cpu_plugin.so); the device "go" needs none`
}

// missing is the error of a search that found nothing usable.
func (s search) missing(kind Kind) error {
	looked := "none of the usual folders exists"
	if len(s.folders) > 0 {
		looked = "looked in " + strings.Join(s.folders, ", ")
	}
	if len(s.refused) > 0 {
		return fmt.Errorf("%w: no usable PJRT plugin for %s: %w; %s (%s)", ErrUnavailable, kind, errors.Join(s.refused...), howToGet(kind), looked)
	}
	return fmt.Errorf("%w: no PJRT plugin for %s was found; %s (%s)", errNotInstalled, kind, howToGet(kind), looked)
}
