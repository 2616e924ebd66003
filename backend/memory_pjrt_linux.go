//go:build linux && cgo

package backend

/*
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

// The parts of pjrt_c_api.h that are needed: its structures and the order of its functions only ever grow at the end within major
// version 0. TestPJRTLayout holds them to the header that go-xla brings.
typedef struct {
	size_t struct_size;
	void* extension_start;
	size_t version_struct_size;
	void* version_extension_start;
	int major_version;
	int minor_version;
	void* (*functions[35])(void*);
} omnidocs_pjrt_api;

enum {
	omnidocs_pjrt_error_destroy = 0,
	omnidocs_pjrt_error_message = 1,
	omnidocs_pjrt_device_local_hardware_id = 31,
	omnidocs_pjrt_device_memory_stats = 34,
};

typedef struct {
	size_t struct_size;
	void* extension_start;
	void* error;
	const char* message;
	size_t message_size;
} omnidocs_pjrt_error_args;

typedef struct {
	size_t struct_size;
	void* extension_start;
	void* device;
	int local_hardware_id;
} omnidocs_pjrt_hardware_args;

typedef struct {
	size_t struct_size;
	void* extension_start;
	void* device;
	int64_t bytes_in_use;
	int64_t peak_bytes_in_use;
	bool peak_bytes_in_use_is_set;
	int64_t num_allocs;
	bool num_allocs_is_set;
	int64_t largest_alloc_size;
	bool largest_alloc_size_is_set;
	int64_t bytes_limit;
	bool bytes_limit_is_set;
	int64_t bytes_reserved;
	bool bytes_reserved_is_set;
	int64_t peak_bytes_reserved;
	bool peak_bytes_reserved_is_set;
	int64_t bytes_reservable_limit;
	bool bytes_reservable_limit_is_set;
	int64_t largest_free_block_bytes;
	bool largest_free_block_bytes_is_set;
	int64_t pool_bytes;
	bool pool_bytes_is_set;
	int64_t peak_pool_bytes;
	bool peak_pool_bytes_is_set;
} omnidocs_pjrt_memory_args;

// The length that pjrt_c_api.h counts ends with the last field, without the padding after it.
static const size_t omnidocs_pjrt_memory_args_size = offsetof(omnidocs_pjrt_memory_args, peak_pool_bytes_is_set) + sizeof(bool);

static bool omnidocs_pjrt_whole(const omnidocs_pjrt_api* api) {
	return api->struct_size >= sizeof(omnidocs_pjrt_api) && api->functions[omnidocs_pjrt_device_memory_stats] != NULL;
}

static void* omnidocs_pjrt_hardware_id(const omnidocs_pjrt_api* api, void* device, int* id) {
	omnidocs_pjrt_hardware_args args = {
		.struct_size = offsetof(omnidocs_pjrt_hardware_args, local_hardware_id) + sizeof(int), .device = device};
	void* error = api->functions[omnidocs_pjrt_device_local_hardware_id](&args);
	*id = args.local_hardware_id;
	return error;
}

static void* omnidocs_pjrt_memory(const omnidocs_pjrt_api* api, void* device, omnidocs_pjrt_memory_args* args) {
	args->struct_size = omnidocs_pjrt_memory_args_size;
	args->device = device;
	return api->functions[omnidocs_pjrt_device_memory_stats](args);
}

static void omnidocs_pjrt_message(const omnidocs_pjrt_api* api, omnidocs_pjrt_error_args* args) {
	args->struct_size = sizeof(omnidocs_pjrt_error_args);
	api->functions[omnidocs_pjrt_error_message](args);
}

static void omnidocs_pjrt_destroy(const omnidocs_pjrt_api* api, void* error) {
	omnidocs_pjrt_error_args args = {.struct_size = offsetof(omnidocs_pjrt_error_args, message), .error = error};
	api->functions[omnidocs_pjrt_error_destroy](&args);
}
*/
import "C"

import (
	"errors"
	"fmt"
	"reflect"
	"unsafe"

	"github.com/gomlx/compute"
	"github.com/gomlx/go-xla/compute/xla"
	"github.com/gomlx/go-xla/pjrt"
)

// pjrtMemories asks the plugin's allocator for the memory of the first n devices. Plugins that keep no account refuse, the one for
// CPUs among them.
//
// go-xla v0.4.5 has PJRT_Device_MemoryStats in its tables but no Go function for it, so the table and the devices are taken from
// its unexported fields. Where these are not as they were, or a device that is found in this way does not know its own number,
// nothing is asked.
func pjrtMemories(backend compute.Backend, n int) ([]MemoryStats, error) {
	devices, err := pjrtDevices(backend)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoPJRTMemory, err)
	}
	if len(devices) < n {
		return nil, fmt.Errorf("%w: %d of %d devices", errNoPJRTMemory, len(devices), n)
	}
	all := make([]MemoryStats, n)
	for i := range all {
		if all[i], err = devices[i].memory(); err != nil {
			return nil, fmt.Errorf("%w: %w", errNoPJRTMemory, err)
		}
	}
	return all, nil
}

// pjrtDevice is a device as C has it.
type pjrtDevice struct {
	api    *C.omnidocs_pjrt_api
	device unsafe.Pointer
}

var errGoxlaChanged = errors.New("go-xla is not as it was")

func pjrtDevices(backend compute.Backend) ([]pjrtDevice, error) {
	if _, ok := backend.(*xla.Backend); !ok {
		return nil, fmt.Errorf("a %T is not XLA's", backend)
	}
	client := reflect.ValueOf(backend).Elem().FieldByName("client")
	if !client.IsValid() || client.Type() != reflect.TypeFor[*pjrt.Client]() || client.IsNil() {
		return nil, errGoxlaChanged
	}
	var devices []pjrtDevice
	for _, d := range (*pjrt.Client)(client.UnsafePointer()).AddressableDevices() {
		device, err := pjrtDeviceOf(d)
		if err != nil {
			return nil, err
		}
		devices = append(devices, device)
	}
	return devices, nil
}

// pjrtDeviceOf finds what is C's in go-xla's device, and tries it: the table must be of the version that go-xla says, and the device,
// asked through it, must give the number that go-xla got.
func pjrtDeviceOf(d *pjrt.Device) (pjrtDevice, error) {
	v := reflect.ValueOf(d).Elem()
	plugin, device := v.FieldByName("plugin"), v.FieldByName("cDevice")
	if !plugin.IsValid() || plugin.Type() != reflect.TypeFor[*pjrt.Plugin]() || plugin.IsNil() {
		return pjrtDevice{}, errGoxlaChanged
	}
	api := plugin.Elem().FieldByName("api")
	for _, pointer := range []reflect.Value{api, device} {
		if !pointer.IsValid() || pointer.Kind() != reflect.Pointer || pointer.IsNil() {
			return pjrtDevice{}, errGoxlaChanged
		}
	}
	p := pjrtDevice{api: (*C.omnidocs_pjrt_api)(api.UnsafePointer()), device: device.UnsafePointer()}
	major, minor := (*pjrt.Plugin)(plugin.UnsafePointer()).Version()
	if major != 0 || int(p.api.major_version) != major || int(p.api.minor_version) != minor {
		return pjrtDevice{}, fmt.Errorf("version %d.%d of PJRT's C API is not known here", major, minor)
	}
	if !C.omnidocs_pjrt_whole(p.api) {
		return pjrtDevice{}, fmt.Errorf("version %d.%d of PJRT's C API has no such function", major, minor)
	}
	var id C.int
	if err := p.error(C.omnidocs_pjrt_hardware_id(p.api, p.device, &id)); err != nil {
		return pjrtDevice{}, err
	}
	if int(id) != d.LocalHardwareID() {
		return pjrtDevice{}, errGoxlaChanged
	}
	return p, nil
}

// memory asks the allocator.
func (p pjrtDevice) memory() (MemoryStats, error) {
	var args C.omnidocs_pjrt_memory_args
	if err := p.error(C.omnidocs_pjrt_memory(p.api, p.device, &args)); err != nil {
		return MemoryStats{}, err
	}
	return allocatorMemory(args), nil
}

// allocatorMemory reads the answer of an allocator, of which all but the bytes in use may be missing.
func allocatorMemory(args C.omnidocs_pjrt_memory_args) MemoryStats {
	m := MemoryStats{Used: int64(args.bytes_in_use), Source: MemoryPJRT}
	m.Reserved = m.Used
	if args.bytes_reserved_is_set {
		m.Reserved = max(m.Reserved, int64(args.bytes_reserved))
	}
	if args.pool_bytes_is_set { // what the allocator holds, used or not
		m.Reserved = max(m.Reserved, int64(args.pool_bytes))
	}
	if args.peak_bytes_in_use_is_set {
		m.Peak = max(m.Used, int64(args.peak_bytes_in_use))
	}
	if args.bytes_limit_is_set {
		m.Total = int64(args.bytes_limit)
		m.Available = max(0, m.Total-m.Used)
	}
	return m
}

// error makes a Go error of PJRT's, which it frees.
func (p pjrtDevice) error(err unsafe.Pointer) error {
	if err == nil {
		return nil
	}
	var args C.omnidocs_pjrt_error_args
	args.error = err
	C.omnidocs_pjrt_message(p.api, &args)
	message := C.GoStringN(args.message, C.int(args.message_size))
	C.omnidocs_pjrt_destroy(p.api, err)
	return errors.New(oneLine(message))
}
