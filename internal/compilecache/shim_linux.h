// The parts of pjrt_c_api.h that are needed: its structures and the order of its functions only ever grow at the end within major
// version 0. TestLayout holds them to the header that go-xla brings.

#include <stddef.h>
#include <stdint.h>

typedef struct {
	size_t struct_size;
	void* extension_start;
	size_t version_struct_size;
	void* version_extension_start;
	int major_version;
	int minor_version;
	void* (*functions[57])(void*);
} omnidocs_cc_api;

enum {
	omnidocs_cc_error_destroy = 0,
	omnidocs_cc_error_message = 1,
	omnidocs_cc_plugin_initialize = 3,
	omnidocs_cc_client_compile = 20,
	omnidocs_cc_executable_destroy = 40,
	omnidocs_cc_executable_serialize = 49,
	omnidocs_cc_loaded_executable_get_executable = 51,
	omnidocs_cc_executable_deserialize_and_load = 56,
};

typedef struct {
	size_t struct_size;
	void* extension_start;
	void* error;
	const char* message;
	size_t message_size;
} omnidocs_cc_error_args;

typedef struct {
	size_t struct_size;
	void* extension_start;
	char* code;
	size_t code_size;
	const char* format;
	size_t format_size;
} omnidocs_cc_program;

typedef struct {
	size_t struct_size;
	void* extension_start;
	void* client;
	const omnidocs_cc_program* program;
	const char* compile_options;
	size_t compile_options_size;
	void* executable;
} omnidocs_cc_compile_args;

typedef struct {
	size_t struct_size;
	void* extension_start;
	void* executable;
} omnidocs_cc_destroy_args;

typedef struct {
	size_t struct_size;
	void* extension_start;
	void* loaded_executable;
	void* executable;
} omnidocs_cc_executable_args;

typedef struct {
	size_t struct_size;
	void* extension_start;
	const void* executable;
	const char* serialized_bytes;
	size_t serialized_bytes_size;
	void* serialized_executable;
	void (*serialized_executable_deleter)(void* exec);
} omnidocs_cc_serialize_args;

typedef struct {
	size_t struct_size;
	void* extension_start;
	void* client;
	const char* serialized_executable;
	size_t serialized_executable_size;
	void* loaded_executable;
	const char* overridden_serialized_compile_options;
	size_t overridden_serialized_compile_options_size;
} omnidocs_cc_load_args;

// omnidocs_cc_table loads the plugin's library, which is loaded already, and returns its table of functions, or NULL and a message.
const omnidocs_cc_api* omnidocs_cc_table(const char* path, const char** message);

// omnidocs_cc_wrap copies a table and puts another function in the place of PJRT_Client_Compile. It is NULL if that has been done for
// as many tables as it can be.
omnidocs_cc_api* omnidocs_cc_wrap(const omnidocs_cc_api* api);

// omnidocs_cc_begin sets what the calling thread compiles under: a handle of Go's, or 0.
void omnidocs_cc_begin(uintptr_t call);

// The functions of a table that are called here.
void* omnidocs_cc_compile(const omnidocs_cc_api* api, omnidocs_cc_compile_args* args);
void* omnidocs_cc_serialize(const omnidocs_cc_api* api, void* loaded_executable, void** executable, omnidocs_cc_serialize_args* args);
void omnidocs_cc_serialized(const omnidocs_cc_api* api, void* executable, omnidocs_cc_serialize_args* args);
void* omnidocs_cc_load(const omnidocs_cc_api* api, void* client, const void* bytes, size_t size, void** loaded_executable);
void omnidocs_cc_message(const omnidocs_cc_api* api, void* error, omnidocs_cc_error_args* args);
void omnidocs_cc_error_end(const omnidocs_cc_api* api, void* error);
