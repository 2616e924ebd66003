package backend

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// pjrtEntry is the function by which every PJRT plugin is entered.
const pjrtEntry = "GetPjrtApi"

// elfMachines are the machines of plugins, by Go's name for them.
var elfMachines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// checkPluginFile says what is wrong with a file as a PJRT plugin of this machine. It reads the file's tables only and runs
// nothing of it: loading runs a library's constructors, and loading one that was cut short ends the process with a bus error.
func checkPluginFile(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("plugin %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("plugin %s: is a %s, not a file: want the plugin's .so file itself", path, fileKind(info))
	}
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("plugin %s: not a Linux shared library, or not readable: %w", path, err)
	}
	defer f.Close()
	if want, ok := elfMachines[runtime.GOARCH]; ok && (f.Machine != want || f.Type != elf.ET_DYN) {
		return fmt.Errorf("plugin %s: is a %v file for %v, this machine needs %v for %v", path, f.Type, f.Machine, elf.ET_DYN, want)
	}
	for _, part := range f.Progs {
		if part.Type == elf.PT_LOAD && part.Off+part.Filesz > uint64(info.Size()) {
			return fmt.Errorf("plugin %s: is cut short: %d bytes, where its header asks for %d; install it again", path, info.Size(), part.Off+part.Filesz)
		}
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return fmt.Errorf("plugin %s: no table of exported functions: %w", path, err)
	}
	if !slices.ContainsFunc(symbols, func(s elf.Symbol) bool { return s.Name == pjrtEntry && s.Section != elf.SHN_UNDEF }) {
		return fmt.Errorf("plugin %s: is a library, but no PJRT plugin: it has no function %s", path, pjrtEntry)
	}
	return nil
}

// wheelVersion is the name and version of the Python wheel that brought the plugin, as its .dist-info folder says, or empty.
func wheelVersion(plugin string) string {
	dir := filepath.Dir(plugin)
	site, wheel := filepath.Dir(dir), filepath.Base(dir)
	if filepath.Base(site) == "jax_plugins" {
		// jax_plugins/xla_cuda13 is what the wheel jax_cuda13_pjrt brings.
		site, wheel = filepath.Dir(site), "jax_"+strings.TrimPrefix(wheel, "xla_")+"_pjrt"
	}
	for _, info := range globBelow(site, globEscape(wheel)+"-*.dist-info") {
		return strings.TrimSuffix(filepath.Base(info), ".dist-info")
	}
	return ""
}

func fileKind(info os.FileInfo) string {
	if info.IsDir() {
		return "folder"
	}
	return "special file"
}
