//go:build linux && cgo

package backend

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// pjrtHeader is the header that go-xla was built with.
func pjrtHeader(t *testing.T) string {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/gomlx/go-xla").Output()
	if err != nil {
		t.Skipf("go list does not find go-xla's sources: %v", err)
	}
	header, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "pjrt", "pjrt_c_api.h"))
	require.NoError(t, err)
	return regexp.MustCompile(`//[^\n]*`).ReplaceAllString(string(header), "")
}

// TestPJRTLayout holds what memory_pjrt_linux.go knows of PJRT's C API to its header.
func TestPJRTLayout(t *testing.T) {
	header := pjrtHeader(t)
	_, api, found := strings.Cut(header, "typedef struct PJRT_Api {")
	require.True(t, found)
	api, _, _ = strings.Cut(api, "} PJRT_Api;")
	begin, _, _ := strings.Cut(api, "_PJRT_API_STRUCT_FIELD")
	require.Equal(t, "size_t struct_size; PJRT_Extension_Base* extension_start; PJRT_Api_Version pjrt_api_version;", oneLine(begin))
	order := map[string]int{}
	for i, f := range regexp.MustCompile(`_PJRT_API_STRUCT_FIELD\(PJRT_(\w+)\)`).FindAllStringSubmatch(api, -1) {
		order[strings.ToLower(strings.ReplaceAll(f[1], "_", ""))] = i
	}
	source, err := os.ReadFile("memory_pjrt_linux.go")
	require.NoError(t, err)
	functions := regexp.MustCompile(`\tomnidocs_pjrt_(\w+) = (\d+),`).FindAllStringSubmatch(string(source), -1)
	require.Len(t, functions, 4)
	for _, f := range functions {
		want, ok := order[strings.ReplaceAll(f[1], "_", "")]
		require.True(t, ok, f[1])
		require.Equal(t, strconv.Itoa(want), f[2], f[1])
	}

	_, version, _ := strings.Cut(header, "\nstruct PJRT_Api_Version {")
	version, _, _ = strings.Cut(version, "};")
	require.Equal(t, "size_t struct_size; PJRT_Extension_Base* extension_start; int major_version; int minor_version;",
		oneLine(version))

	// In ours, pointers to what is PJRT's are void*. The last field ends what the header counts as the structure's length.
	structs := map[string]string{}
	for _, m := range regexp.MustCompile(`typedef struct \{([^{}]*)\} omnidocs_pjrt_(\w+);`).FindAllStringSubmatch(string(source), -1) {
		structs[m[2]] = oneLine(m[1])
	}
	for ours, theirs := range map[string]string{
		"error_args":    "PJRT_Error_Message_Args",
		"hardware_args": "PJRT_Device_LocalHardwareId_Args",
		"memory_args":   "PJRT_Device_MemoryStats_Args",
	} {
		_, fields, found := strings.Cut(header, "\nstruct "+theirs+" {")
		require.True(t, found, theirs)
		fields, _, _ = strings.Cut(fields, "};")
		fields = regexp.MustCompile(`(const )?PJRT_\w+\*`).ReplaceAllString(fields, "void*")
		require.Equal(t, oneLine(fields), structs[ours], theirs)
	}
}

// An allocator's answer counts only where it says that it is one.
func TestAllocatorMemory(t *testing.T) {
	answer := reflect.New(reflect.TypeOf(allocatorMemory).In(0))
	set := func(name string, bytes int64) {
		for _, f := range []string{name, name + "_is_set"} {
			field, ok := answer.Elem().Type().FieldByName(f)
			if !ok && name == "bytes_in_use" {
				continue
			}
			require.True(t, ok, f)
			p := unsafe.Add(answer.UnsafePointer(), field.Offset)
			if f == name {
				*(*int64)(p) = bytes
			} else {
				*(*bool)(p) = true
			}
		}
	}
	read := func() MemoryStats {
		out := reflect.ValueOf(allocatorMemory).Call([]reflect.Value{answer.Elem()})[0].Interface()
		m, ok := out.(MemoryStats)
		require.True(t, ok)
		return m
	}
	set("bytes_in_use", 5*gib)
	require.Equal(t, MemoryStats{Used: 5 * gib, Reserved: 5 * gib, Source: MemoryPJRT}, read())
	set("peak_bytes_in_use", 7*gib)
	set("bytes_limit", 16*gib)
	set("bytes_reserved", 0)
	set("pool_bytes", 8*gib)
	require.Equal(t, MemoryStats{
		Used: 5 * gib, Reserved: 8 * gib, Peak: 7 * gib, Total: 16 * gib, Available: 11 * gib, Source: MemoryPJRT,
	}, read())
}

// Where a plugin does not answer, it is by an error of its own, which shows that the call came through.
func TestPJRTMemories(t *testing.T) {
	d := testDevice(t)
	all, err := pjrtMemories(d.backend, 1)
	switch {
	case !d.IsXLA():
		require.ErrorIs(t, err, errNoPJRTMemory)
		require.ErrorContains(t, err, "is not XLA's")
	case err != nil:
		require.ErrorIs(t, err, errNoPJRTMemory)
		require.NotErrorIs(t, err, errGoxlaChanged)
		require.ErrorContains(t, err, "GetAllocatorStats")
	default:
		require.Len(t, all, 1)
		require.Equal(t, MemoryPJRT, all[0].Source)
	}
}
