package checkpoint

import (
	"encoding/binary"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func FuzzHeader(f *testing.F) {
	f.Add(written(f, Float32("a", []float32{1, 2, 3, 4, 5, 6}, 2, 3), Data{Name: "b", DType: "U8", Shape: []int{0}}))
	f.Add(raw(`{"a":{"dtype":"F4","shape":[2,1],"data_offsets":[0,1]},"__metadata__":{"x":"y"}}`, 7))
	f.Add(binary.LittleEndian.AppendUint64(nil, 1<<62))
	f.Fuzz(func(t *testing.T, file []byte) {
		c, err := Open(oneFile(file))
		if err != nil {
			return
		}
		var sum int64
		for _, x := range c.Tensors() {
			sum += x.Bytes
			require.LessOrEqual(t, x.Offset+x.Bytes, int64(len(file)))
			data := make([]byte, x.Bytes)
			require.NoError(t, c.ReadInto(t.Context(), x.Name, data))
			require.Equal(t, file[x.Offset:x.Offset+x.Bytes], data)
			if n := x.Elements(); x.DType == F32 {
				require.NoError(t, c.ReadFloat32(t.Context(), x.Name, make([]float32, n), ReadOptions{}))
			}
		}
		header := int64(binary.LittleEndian.Uint64(file))
		require.Equal(t, int64(len(file)), 8+header+sum)
		require.NoError(t, c.Close())
	})
}

func FuzzIndex(f *testing.F) {
	f.Add(`{"metadata":{},"weight_map":{"a":"m-1.safetensors"}}`)
	f.Add(`{"weight_map":{"a":"../m-1.safetensors"}}`)
	shard := written(f, Float32("a", []float32{1}, 1))
	f.Fuzz(func(t *testing.T, index string) {
		c, err := Open(fstest.MapFS{indexFile: {Data: []byte(index)}, "m-1.safetensors": {Data: shard}})
		if err == nil {
			require.Len(t, c.Tensors(), 1)
		}
	})
}
