package compilecache_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLayout holds what shim_linux.h knows of PJRT's C API to the header that go-xla brings.
func TestLayout(t *testing.T) {
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/gomlx/go-xla").Output()
	if err != nil {
		t.Skipf("go list does not find go-xla's sources: %v", err)
	}
	read := func(path string) string {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		return regexp.MustCompile(`//[^\n]*`).ReplaceAllString(string(text), "")
	}
	header, ours := read(filepath.Join(strings.TrimSpace(string(dir)), "pjrt", "pjrt_c_api.h")), read("shim_linux.h")

	_, api, found := strings.Cut(header, "typedef struct PJRT_Api {")
	require.True(t, found)
	api, _, _ = strings.Cut(api, "} PJRT_Api;")
	order := map[string]int{}
	for i, f := range regexp.MustCompile(`_PJRT_API_STRUCT_FIELD\(PJRT_(\w+)\)`).FindAllStringSubmatch(api, -1) {
		order[strings.ToLower(strings.ReplaceAll(f[1], "_", ""))] = i
	}
	functions := regexp.MustCompile(`\tomnidocs_cc_(\w+) = (\d+),`).FindAllStringSubmatch(ours, -1)
	require.Len(t, functions, 8)
	last := 0
	for _, f := range functions {
		want, ok := order[strings.ReplaceAll(f[1], "_", "")]
		require.True(t, ok, f[1])
		require.Equal(t, strconv.Itoa(want), f[2], f[1])
		last = max(last, want)
	}
	require.Contains(t, ours, "(*functions["+strconv.Itoa(last+1)+"])", "the table ends with the last function that is used")

	words := func(text string) string {
		return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "( ", "(")
	}
	begin, _, _ := strings.Cut(api, "_PJRT_API_STRUCT_FIELD")
	require.Equal(t, "size_t struct_size; PJRT_Extension_Base* extension_start; PJRT_Api_Version pjrt_api_version;", words(begin))
	structs := map[string]string{}
	for _, m := range regexp.MustCompile(`typedef struct \{([^{}]*)\} omnidocs_cc_(\w+);`).FindAllStringSubmatch(ours, -1) {
		structs[m[2]] = strings.ReplaceAll(words(m[1]), "omnidocs_cc_program*", "void*")
	}
	for name, theirs := range map[string]string{
		"error_args":      "PJRT_Error_Message_Args",
		"program":         "PJRT_Program",
		"compile_args":    "PJRT_Client_Compile_Args",
		"destroy_args":    "PJRT_Executable_Destroy_Args",
		"executable_args": "PJRT_LoadedExecutable_GetExecutable_Args",
		"serialize_args":  "PJRT_Executable_Serialize_Args",
		"load_args":       "PJRT_Executable_DeserializeAndLoad_Args",
	} {
		_, fields, found := strings.Cut(header, "\nstruct "+theirs+" {")
		require.True(t, found, theirs)
		fields, _, _ = strings.Cut(fields, "};")
		// In ours, pointers to what is PJRT's are void*.
		fields = regexp.MustCompile(`PJRT_\w+\*`).ReplaceAllString(fields, "void*")
		theirsWords, oursWords := words(fields), structs[name]
		if name == "error_args" || name == "compile_args" { // what is read there, and not changed
			theirsWords, oursWords = strings.ReplaceAll(theirsWords, "const void*", "void*"), strings.ReplaceAll(oursWords, "const void*", "void*")
		}
		require.Equal(t, theirsWords, oursWords, theirs)
	}
	require.Contains(t, ours, "\tsize_t version_struct_size;\n\tvoid* version_extension_start;\n\tint major_version;\n\tint minor_version;\n",
		"PJRT_Api_Version")
}
