//go:build linux && cgo

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "shim_linux.h"

// In plugin_linux.go.
extern void* omnidocsCompile(const omnidocs_cc_api* api, uintptr_t call, omnidocs_cc_compile_args* args);

static __thread uintptr_t current;

void omnidocs_cc_begin(uintptr_t call) { current = call; }

// A function of a table is not told which table it was called through. So there is one for each table that is wrapped.
#define TABLES 4
static const omnidocs_cc_api* originals[TABLES];
static int wrapped;

static void* compile(int table, void* args) {
	const omnidocs_cc_api* api = originals[table];
	if (current == 0) return api->functions[omnidocs_cc_client_compile](args);
	return omnidocsCompile(api, current, args);
}

static void* compile_0(void* args) { return compile(0, args); }
static void* compile_1(void* args) { return compile(1, args); }
static void* compile_2(void* args) { return compile(2, args); }
static void* compile_3(void* args) { return compile(3, args); }
static void* (*const compiles[TABLES])(void*) = {compile_0, compile_1, compile_2, compile_3};

// The plugin has been initialized when its table is copied.
static void* initialized(void* args) { (void)args; return NULL; }

omnidocs_cc_api* omnidocs_cc_wrap(const omnidocs_cc_api* api) {
	if (wrapped == TABLES) return NULL;
	omnidocs_cc_api* copy = malloc(api->struct_size);
	if (copy == NULL) return NULL;
	memcpy(copy, api, api->struct_size);
	originals[wrapped] = api;
	copy->functions[omnidocs_cc_client_compile] = compiles[wrapped];
	copy->functions[omnidocs_cc_plugin_initialize] = initialized;
	wrapped++;
	return copy;
}

const omnidocs_cc_api* omnidocs_cc_table(const char* path, const char** message) {
	void* library = dlopen(path, RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD);
	if (library == NULL) { *message = "it is not loaded"; return NULL; }
	const omnidocs_cc_api* (*get)(void) = (const omnidocs_cc_api* (*)(void))dlsym(library, "GetPjrtApi");
	const omnidocs_cc_api* api = get == NULL ? NULL : get();
	if (api == NULL) { *message = "it has no table of functions"; return NULL; }
	if (api->major_version != 0 || api->struct_size < sizeof(omnidocs_cc_api)) { *message = "its version of PJRT's C API is not known here"; return NULL; }
	if (api->functions[omnidocs_cc_executable_serialize] == NULL || api->functions[omnidocs_cc_executable_deserialize_and_load] == NULL) {
		*message = "it has no functions to write and read programs";
		return NULL;
	}
	return api;
}

void* omnidocs_cc_compile(const omnidocs_cc_api* api, omnidocs_cc_compile_args* args) {
	return api->functions[omnidocs_cc_client_compile](args);
}

void* omnidocs_cc_serialize(const omnidocs_cc_api* api, void* loaded_executable, void** executable, omnidocs_cc_serialize_args* args) {
	omnidocs_cc_executable_args got = {sizeof(got), NULL, loaded_executable, NULL};
	void* error = api->functions[omnidocs_cc_loaded_executable_get_executable](&got);
	if (error != NULL) return error;
	*executable = got.executable;
	memset(args, 0, sizeof(*args));
	args->struct_size = sizeof(*args);
	args->executable = got.executable;
	return api->functions[omnidocs_cc_executable_serialize](args);
}

void omnidocs_cc_serialized(const omnidocs_cc_api* api, void* executable, omnidocs_cc_serialize_args* args) {
	if (args->serialized_executable_deleter != NULL) args->serialized_executable_deleter(args->serialized_executable);
	if (executable == NULL) return;
	omnidocs_cc_destroy_args gone = {sizeof(gone), NULL, executable};
	void* error = api->functions[omnidocs_cc_executable_destroy](&gone);
	if (error != NULL) omnidocs_cc_error_end(api, error);
}

void* omnidocs_cc_load(const omnidocs_cc_api* api, void* client, const void* bytes, size_t size, void** loaded_executable) {
	omnidocs_cc_load_args args = {sizeof(args), NULL, client, bytes, size, NULL, NULL, 0};
	void* error = api->functions[omnidocs_cc_executable_deserialize_and_load](&args);
	*loaded_executable = args.loaded_executable;
	return error;
}

void omnidocs_cc_message(const omnidocs_cc_api* api, void* error, omnidocs_cc_error_args* args) {
	memset(args, 0, sizeof(*args));
	args->struct_size = sizeof(*args);
	args->error = error;
	api->functions[omnidocs_cc_error_message](args);
}

void omnidocs_cc_error_end(const omnidocs_cc_api* api, void* error) {
	omnidocs_cc_error_args args = {offsetof(omnidocs_cc_error_args, message), NULL, error, NULL, 0};
	api->functions[omnidocs_cc_error_destroy](&args);
}
