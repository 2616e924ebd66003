//go:build linux && cgo

package backend

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>
*/
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"
)

// prepareCUDA readies the process for a CUDA plugin: the folder of ptxas and libdevice in XLA_FLAGS, and NVIDIA's libraries loaded.
// What it could not do is returned as notes: XLA itself may still find what is missing.
func prepareCUDA(plugin string, at place) []string {
	var notes []string
	flags := at.getenv("XLA_FLAGS")
	dir := at.cudaDataDir(plugin)
	if changed := withCUDAData(flags, dir); changed != flags {
		if err := os.Setenv("XLA_FLAGS", changed); err != nil {
			notes = append(notes, fmt.Sprintf("XLA_FLAGS could not be set: %v", err))
		}
	} else if dir == "" && !strings.Contains(flags, cudaDataFlag) {
		notes = append(notes, "neither ptxas nor libdevice was found, without which XLA cannot compile for a GPU: "+
			`install NVIDIA's toolkit, or "pip install nvidia-cuda-nvcc" ("nvidia-cuda-nvcc-cu12" for CUDA 12) beside the plugin, or set CUDA_HOME`)
	}
	// go-xla warns on standard error where it does not find the libraries in the one place it knows; this package looked further.
	if at.getenv("GOPJRT_CUDA_CHECKS") == "" {
		if err := os.Setenv("GOPJRT_CUDA_CHECKS", "0"); err != nil {
			notes = append(notes, fmt.Sprintf("GOPJRT_CUDA_CHECKS could not be set: %v", err))
		}
	}
	for _, file := range nvidiaLibraryFiles(plugin) {
		if err := loadLibrary(file); err != nil {
			notes = append(notes, err.Error())
		}
	}
	return notes
}

// loadLibrary loads a shared library for the life of the process.
func loadLibrary(path string) error {
	runtime.LockOSThread() // dlerror's message is the thread's
	defer runtime.UnlockOSThread()
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	if C.dlopen(name, C.RTLD_NOW|C.RTLD_LOCAL) == nil {
		return fmt.Errorf("library %s did not load: %s", path, C.GoString(C.dlerror()))
	}
	return nil
}
