//go:build linux && cgo

package compilecache

/*
#cgo LDFLAGS: -ldl
#include <stdlib.h>
#include "shim_linux.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/cgo"
	"strings"
	"sync"
	"unsafe"

	"github.com/gomlx/go-xla/pjrt"
)

// attached are the plugins that look into caches, by their names.
var (
	attachMu sync.Mutex
	attached = map[string]bool{}
)

// Attach has a plugin look into caches, by the path that go-xla is to load it by: clients that are made of it from then on do. It is
// loaded if it is not yet. No other goroutine may use go-xla's list of plugins meanwhile, which has no lock for this.
func Attach(path string) error {
	attachMu.Lock()
	defer attachMu.Unlock()
	if attached[path] {
		return nil
	}
	if _, err := pjrt.GetPlugin(path); err != nil { // which initializes it, and warns of what it lacks
		return fmt.Errorf("compilecache: %w", err)
	}
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	var message *C.char
	api := C.omnidocs_cc_table(name, &message)
	if api == nil {
		return fmt.Errorf("compilecache: plugin %s: %s", path, C.GoString(message))
	}
	table := C.omnidocs_cc_wrap(api)
	if table == nil {
		return fmt.Errorf("compilecache: plugin %s: there are too many", path)
	}
	if err := pjrt.RegisterPreloadedPlugin(path, uintptr(unsafe.Pointer(table))); err != nil {
		return fmt.Errorf("compilecache: plugin %s: %w", path, err)
	}
	attached[path] = true
	return nil
}

// Run runs f, which compiles on this goroutine, and takes from the cache what of it is there. ready says that all was.
func (c *Cache) Run(f func()) (ready bool) {
	call := &call{cache: c}
	handle := cgo.NewHandle(call)
	defer handle.Delete()
	runtime.LockOSThread() // C calls back on the thread that it is called on
	defer runtime.UnlockOSThread()
	C.omnidocs_cc_begin(C.uintptr_t(handle))
	defer C.omnidocs_cc_begin(0)
	f()
	return call.loaded > 0 && call.compiled == 0
}

// call is what is compiled in a Run.
type call struct {
	cache            *Cache
	loaded, compiled int
}

// omnidocsCompile is PJRT_Client_Compile.
//
//export omnidocsCompile
func omnidocsCompile(api *C.omnidocs_cc_api, handle C.uintptr_t, args *C.omnidocs_cc_compile_args) unsafe.Pointer {
	c, ok := cgo.Handle(handle).Value().(*call)
	if !ok {
		return C.omnidocs_cc_compile(api, args)
	}
	return c.compile(plugin{api}, args)
}

func (c *call) compile(p plugin, args *C.omnidocs_cc_compile_args) unsafe.Pointer {
	program := args.program
	k := c.cache.key(
		view(program.format, program.format_size), view(program.code, program.code_size), view(args.compile_options, args.compile_options_size))
	store := c.cache.store
	if data := store.get(k); data != nil {
		executable, err := p.load(args.client, data)
		if err == nil {
			args.executable = executable
			c.loaded++
			return nil
		}
		store.drop(k, err)
	}
	if err := C.omnidocs_cc_compile(p.api, args); err != nil {
		return err
	}
	c.compiled++
	if err := p.serialize(args.executable, func(data []byte) { store.put(k, data) }); err != nil {
		c.cache.cannot.Do(func() {
			store.log.Info("the plugin cannot write its compiled programs, which are not kept", "error", err)
		})
	}
	return nil
}

// view is memory of C's.
func view(from *C.char, size C.size_t) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(from)), int(size))
}

// plugin is a plugin's own table of functions.
type plugin struct{ api *C.omnidocs_cc_api }

// load reads an executable.
func (p plugin) load(client unsafe.Pointer, data []byte) (executable unsafe.Pointer, err error) {
	err = p.error(C.omnidocs_cc_load(p.api, client, unsafe.Pointer(unsafe.SliceData(data)), C.size_t(len(data)), &executable))
	return executable, err
}

// serialize writes an executable. The data are C's, and gone afterwards.
func (p plugin) serialize(executable unsafe.Pointer, use func(data []byte)) error {
	var args C.omnidocs_cc_serialize_args
	var described unsafe.Pointer
	err := p.error(C.omnidocs_cc_serialize(p.api, executable, &described, &args))
	defer C.omnidocs_cc_serialized(p.api, described, &args)
	if err != nil {
		return err
	}
	use(view(args.serialized_bytes, args.serialized_bytes_size))
	return nil
}

// error makes a Go error of PJRT's, which it frees.
func (p plugin) error(err unsafe.Pointer) error {
	if err == nil {
		return nil
	}
	var args C.omnidocs_cc_error_args
	C.omnidocs_cc_message(p.api, err, &args)
	message := C.GoStringN(args.message, C.int(args.message_size))
	C.omnidocs_cc_error_end(p.api, err)
	return errors.New(strings.Join(strings.Fields(message), " "))
}
