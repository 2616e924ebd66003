package program

import (
	"reflect"
	"unsafe"

	"github.com/gomlx/compute"
)

// Alias says that an output may take the memory of an input, both counted from 0, which the caller then donates to Run. It
// spares XLA a copy of a buffer that a program changes in a few places. Where the backend has no such notion, or has
// changed so that the mark cannot be set, nothing happens: the result is the same, with the copy.
//
// go-xla donates inputs but does not write the attribute that lets XLA reuse them (tf.aliasing_output), and has no way
// to ask for it, so the mark is set on its function's inputs by reflection.
func (b *Builder) Alias(input, output int) {
	b.aliases = append(b.aliases, [2]int{input, output})
}

// applyAliases reports whether the marks could be set.
func (b *Builder) applyAliases() bool {
	if len(b.aliases) == 0 {
		return true
	}
	builder, ok := field(b.G, "builder").(compute.Builder)
	if !ok {
		return false
	}
	inputs := reflect.ValueOf(field(builder.Main(), "fn"))
	if inputs.Kind() != reflect.Pointer || inputs.IsNil() || inputs.Elem().Kind() != reflect.Struct {
		return false
	}
	inputs = inputs.Elem().FieldByName("Inputs")
	if !inputs.IsValid() || inputs.Kind() != reflect.Slice {
		return false
	}
	for _, a := range b.aliases {
		at := b.parameter(a[0])
		if at >= inputs.Len() || inputs.Index(at).Kind() != reflect.Pointer {
			return false
		}
		attributes := inputs.Index(at).Elem().FieldByName("Attributes")
		if !attributes.IsValid() || !attributes.CanSet() || attributes.Type() != reflect.TypeFor[map[string]any]() {
			return false
		}
		if attributes.IsNil() {
			attributes.Set(reflect.ValueOf(map[string]any{}))
		}
		attributes.SetMapIndex(reflect.ValueOf("tf.aliasing_output"), reflect.ValueOf(any(int32(a[1]))))
	}
	return true
}

// field reads a field, exported or not, of the struct that a pointer points to; nil where there is none.
func field(structPointer any, name string) any {
	v := reflect.ValueOf(structPointer)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return nil
	}
	f := v.Elem().FieldByName(name)
	if !f.IsValid() {
		return nil
	}
	return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem().Interface()
}
