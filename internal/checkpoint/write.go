package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
)

// Data is a tensor to be written.
type Data struct {
	Name  string
	DType DType
	Shape []int
	// Bytes are the elements, little-endian.
	Bytes []byte
}

// Float32 makes the Data of an F32 tensor. The shape is checked by [Write].
func Float32(name string, values []float32, shape ...int) Data {
	data := make([]byte, 0, 4*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return Data{Name: name, DType: F32, Shape: shape, Bytes: data}
}

// Write writes one safetensors file: wide types first and then by name, the
// data aligned to 8 bytes, as the format's own writer does. It is meant for
// small checkpoints, in tests and tools.
func Write(w io.Writer, tensors ...Data) error {
	tensors = slices.Clone(tensors)
	slices.SortStableFunc(tensors, func(a, b Data) int {
		return cmp.Or(cmp.Compare(b.DType.Bits(), a.DType.Bits()), cmp.Compare(a.Name, b.Name))
	})
	header := []byte(`{"__metadata__":{"format":"pt"}`)
	offset := 0
	for _, t := range tensors {
		name, err := json.Marshal(t.Name)
		if err != nil {
			return fmt.Errorf("write tensor %q: %w", t.Name, err)
		}
		shape, err := json.Marshal(append([]int{}, t.Shape...)) // never null
		if err != nil {
			return fmt.Errorf("write tensor %q: %w", t.Name, err)
		}
		header = fmt.Appendf(header, `,%s:{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`,
			name, string(t.DType), shape, offset, offset+len(t.Bytes))
		offset += len(t.Bytes)
	}
	header = append(header, '}')
	header = append(header, bytes.Repeat([]byte{' '}, -len(header)&7)...)
	// The reader's rules are the writer's: names, types, shapes and sizes.
	if _, err := parseHeader(header); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if _, err := w.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(header)))); err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return err
	}
	for _, t := range tensors {
		if _, err := w.Write(t.Bytes); err != nil {
			return err
		}
	}
	return nil
}
