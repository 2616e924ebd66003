//go:build linux && cgo

package backend

/*
#include <malloc.h>

#ifdef M_ARENA_MAX // glibc; musl has neither this nor what it changes
static int omnidocs_keep_memory(void) {
	return mallopt(M_ARENA_MAX, 1) & mallopt(M_MMAP_MAX, 0) & mallopt(M_TRIM_THRESHOLD, 0x7fffffff) & mallopt(M_TOP_PAD, 64 << 20);
}
static void omnidocs_return_memory(void) { malloc_trim(0); }
#else
static int omnidocs_keep_memory(void) { return 0; }
static void omnidocs_return_memory(void) {}
#endif
*/
import "C"

import "strings"

// keepMemory lets the C library keep the memory that XLA on a CPU frees, in one place, for the next call. As it comes, it gives large
// arrays back to the system, which clears each page of them again for the next call that asks, and keeps the rest in a
// place for each thread, where the others do not find it. A page of a document takes a fifth longer that way.
//
// It holds for the whole process, so a setting of the user's own is left alone; done is false then, and where the C library has no such setting.
func keepMemory(getenv func(string) string) (done bool) {
	for _, name := range []string{"MALLOC_ARENA_MAX", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_"} {
		if getenv(name) != "" {
			return false
		}
	}
	return !strings.Contains(getenv("GLIBC_TUNABLES"), "glibc.malloc.") && C.omnidocs_keep_memory() != 0
}

// returnMemory gives the system back what the C library has kept.
func returnMemory() { C.omnidocs_return_memory() }
