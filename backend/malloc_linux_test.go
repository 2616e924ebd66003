//go:build linux && cgo

package backend

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the user has set for the C library stays.
func TestKeepMemory(t *testing.T) {
	for name, set := range map[string]map[string]string{
		"arenas":    {"MALLOC_ARENA_MAX": "2"},
		"threshold": {"MALLOC_MMAP_THRESHOLD_": "131072"},
		"tunables":  {"GLIBC_TUNABLES": "glibc.rtld.nns=4:glibc.malloc.trim_threshold=128"},
	} {
		require.False(t, keepMemory(func(variable string) string { return set[variable] }), name)
	}
	musl, err := filepath.Glob("/lib/ld-musl-*")
	require.NoError(t, err)
	require.Equal(t, len(musl) == 0, keepMemory(func(string) string { return "" }), "glibc has such settings, and musl has none")
}
