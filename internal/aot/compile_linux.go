//go:build linux && cgo

package aot

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// The parts of pjrt_c_api.h that are needed. Its structures and the order of its functions only grow at the end within major version 0.
typedef struct {
	size_t struct_size;
	void* extension_start;
	size_t version[3];
	void* (*functions[90])(void*);
} omnidocs_aot_api;

enum {
	omnidocs_aot_error_destroy = 0,
	omnidocs_aot_error_message = 1,
	omnidocs_aot_plugin_initialize = 3,
	omnidocs_aot_executable_destroy = 40,
	omnidocs_aot_topology_create = 82,
	omnidocs_aot_topology_destroy = 83,
	omnidocs_aot_compile = 89,
};

typedef struct { size_t struct_size; void* extension_start; void* object; } omnidocs_aot_one;
typedef struct { size_t struct_size; void* extension_start; void* error; const char* message; size_t message_size; } omnidocs_aot_message;
typedef struct {
	size_t struct_size;
	void* extension_start;
	const char* name;
	size_t name_size;
	int type; // 0 is a string
	const char* value;
	size_t value_size;
} omnidocs_aot_option;
typedef struct {
	size_t struct_size;
	void* extension_start;
	const char* name;
	size_t name_size;
	const omnidocs_aot_option* options;
	size_t num_options;
	void* topology;
} omnidocs_aot_topology;
typedef struct {
	size_t struct_size;
	void* extension_start;
	const char* code;
	size_t code_size;
	const char* format;
	size_t format_size;
} omnidocs_aot_program;
typedef struct {
	size_t struct_size;
	void* extension_start;
	void* topology;
	const omnidocs_aot_program* program;
	const char* options;
	size_t options_size;
	void* client;
	void* executable;
} omnidocs_aot_compile_args;

// omnidocs_aot_open loads a plugin and returns its table of functions, or NULL and a message.
static const omnidocs_aot_api* omnidocs_aot_open(const char* path, const char** message) {
	void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (library == NULL) { *message = dlerror(); return NULL; }
	const omnidocs_aot_api* (*get)(void) = (const omnidocs_aot_api* (*)(void))dlsym(library, "GetPjrtApi");
	if (get == NULL) { *message = dlerror(); return NULL; }
	const omnidocs_aot_api* api = get();
	if (api == NULL || api->struct_size < sizeof(omnidocs_aot_api)) { *message = "its table of functions is too short"; return NULL; }
	return api;
}

static void* omnidocs_aot_call_one(const omnidocs_aot_api* api, int f, void* object) {
	omnidocs_aot_one args = {sizeof(args), NULL, object};
	if (f == omnidocs_aot_plugin_initialize) args.struct_size = 2 * sizeof(size_t);
	return api->functions[f](&args);
}

static void* omnidocs_aot_make_topology(const omnidocs_aot_api* api, const char* config, size_t config_size, void** topology) {
	omnidocs_aot_option options[2] = {
		{sizeof(omnidocs_aot_option), NULL, "target_config", 13, 0, config, config_size},
		{sizeof(omnidocs_aot_option), NULL, "topology", 8, 0, "1x1x1", 5},
	};
	omnidocs_aot_topology args = {sizeof(args), NULL, "cuda", 4, options, 2, NULL};
	void* error = api->functions[omnidocs_aot_topology_create](&args);
	*topology = args.topology;
	return error;
}

static void* omnidocs_aot_compile_text(const omnidocs_aot_api* api, void* topology, const char* code, size_t code_size,
		const char* options, size_t options_size, void** executable) {
	omnidocs_aot_program program = {sizeof(program), NULL, code, code_size, "mlir", 4};
	omnidocs_aot_compile_args args = {sizeof(args), NULL, topology, &program, options, options_size, NULL, NULL};
	void* error = api->functions[omnidocs_aot_compile](&args);
	*executable = args.executable;
	return error;
}

static void omnidocs_aot_read_message(const omnidocs_aot_api* api, omnidocs_aot_message* args) {
	args->struct_size = sizeof(*args);
	api->functions[omnidocs_aot_error_message](args);
}
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unsafe"
)

// Compiler compiles programs for one GPU. It may be used from several goroutines, which then wait for each other.
type Compiler struct {
	mu       sync.Mutex
	api      *C.omnidocs_aot_api
	topology unsafe.Pointer
	dump     string
}

// New loads the plugin and makes a compiler. XLA reads its flags once a process, so it is to be the first use of that plugin. What
// XLA writes of its work goes through files in a folder of the system's temporary files, which Close removes.
func New(t Target) (compiler *Compiler, err error) {
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("aot: %w", err)
	}
	config, err := os.ReadFile(t.Config)
	if err != nil {
		return nil, fmt.Errorf("aot: %w", err)
	}
	c := &Compiler{}
	if c.dump, err = os.MkdirTemp("", "omnidocs-aot-"); err != nil {
		return nil, fmt.Errorf("aot: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("aot: plugin %s: %w", t.Plugin, err), os.RemoveAll(c.dump))
		}
	}()
	if err := os.Setenv("XLA_FLAGS", t.flags(c.dump)); err != nil {
		return nil, err
	}
	path := C.CString(t.Plugin)
	defer C.free(unsafe.Pointer(path))
	var message *C.char
	if c.api = C.omnidocs_aot_open(path, &message); c.api == nil {
		return nil, errors.New(C.GoString(message))
	}
	if err := c.error(C.omnidocs_aot_call_one(c.api, C.omnidocs_aot_plugin_initialize, nil)); err != nil {
		return nil, err
	}
	text := C.CString(string(config))
	defer C.free(unsafe.Pointer(text))
	if err := c.error(C.omnidocs_aot_make_topology(c.api, text, C.size_t(len(config)), &c.topology)); err != nil {
		return nil, err
	}
	return c, nil
}

// Close frees what the compiler holds. The plugin stays loaded.
func (c *Compiler) Close() error {
	return errors.Join(c.error(C.omnidocs_aot_call_one(c.api, C.omnidocs_aot_topology_destroy, c.topology)), os.RemoveAll(c.dump))
}

// compileOptions is a CompileOptionsProto: executable_build_options {device_ordinal: -1, num_replicas: 1, num_partitions: 1} and
// compile_portable_executable.
const compileOptions = "\x1a\x0f\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x20\x01\x28\x01\x20\x01"

// Compile compiles a StableHLO text and tells what became of it.
func (c *Compiler) Compile(text []byte) (program *Program, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	code, options := C.CString(string(text)), C.CString(compileOptions)
	defer C.free(unsafe.Pointer(code))
	defer C.free(unsafe.Pointer(options))
	var executable unsafe.Pointer
	call := C.omnidocs_aot_compile_text(c.api, c.topology, code, C.size_t(len(text)), options, C.size_t(len(compileOptions)), &executable)
	if err := c.error(call); err != nil {
		return nil, fmt.Errorf("aot: compile: %w", err)
	}
	if err := c.error(C.omnidocs_aot_call_one(c.api, C.omnidocs_aot_executable_destroy, executable)); err != nil {
		return nil, fmt.Errorf("aot: compile: %w", err)
	}
	return c.read()
}

// read reads what XLA has written of its last program, and removes it.
func (c *Compiler) read() (*Program, error) {
	files, err := filepath.Glob(filepath.Join(c.dump, "*"))
	if err != nil {
		return nil, fmt.Errorf("aot: %w", err)
	}
	texts := map[string]string{}
	for _, file := range files {
		for _, suffix := range []string{".thunk_sequence.txt", "_gpu_after_optimizations.txt"} {
			if strings.HasSuffix(file, suffix) {
				text, err := os.ReadFile(file)
				if err != nil {
					return nil, fmt.Errorf("aot: %w", err)
				}
				texts[suffix] += string(text)
			}
		}
		if err := os.Remove(file); err != nil {
			return nil, fmt.Errorf("aot: %w", err)
		}
	}
	if len(texts) != 2 {
		return nil, fmt.Errorf("aot: XLA has not written its thunk_sequence and gpu_after_optimizations to %s: it was in use before with other flags", c.dump)
	}
	return parse(texts[".thunk_sequence.txt"], texts["_gpu_after_optimizations.txt"])
}

// error makes a Go error of PJRT's, which it frees.
func (c *Compiler) error(err unsafe.Pointer) error {
	if err == nil {
		return nil
	}
	args := C.omnidocs_aot_message{error: err}
	C.omnidocs_aot_read_message(c.api, &args)
	message := C.GoStringN(args.message, C.int(args.message_size))
	C.omnidocs_aot_call_one(c.api, C.omnidocs_aot_error_destroy, err)
	return errors.New(message)
}
