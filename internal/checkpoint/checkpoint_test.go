package checkpoint

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// raw is a safetensors file with the given header and data.
func raw(header string, data ...byte) []byte {
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(file, header...), data...)
}

// written is the file that Write makes.
func written(t testing.TB, tensors ...Data) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, Write(&b, tensors...))
	return b.Bytes()
}

// oneFile is a checkpoint of one file.
func oneFile(file []byte) fstest.MapFS {
	return fstest.MapFS{singleFile: {Data: file}}
}

func mustOpen(t testing.TB, fsys fs.FS) *Checkpoint {
	t.Helper()
	c, err := Open(fsys)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// torchFile is a checkpoint that Python wrote, see testdata/make_torch.py.
func torchFile(t testing.TB) fstest.MapFS {
	t.Helper()
	data, err := os.ReadFile("testdata/torch.safetensors")
	require.NoError(t, err)
	return oneFile(data)
}

func TestOpenTorch(t *testing.T) {
	c := mustOpen(t, torchFile(t))
	var list []string
	for _, x := range c.Tensors() {
		list = append(list, fmt.Sprintf("%s %s %v %d %d", x.Name, x.DType, x.Shape, x.Elements(), x.Bytes))
	}
	require.Equal(t, []string{
		"bf16 BF16 [64 64] 4096 8192",
		"empty F32 [0 3] 0 0",
		"f16 F16 [64 64] 4096 8192",
		"f32 F32 [64 64] 4096 16384",
		"f32.bf16.f16 F16 [64 64] 4096 8192",
		"f32.f16.bf16 BF16 [64 64] 4096 8192",
		"ids I64 [5] 5 40",
		"scalar F32 [] 1 4",
	}, list)
	_, ok := c.Lookup("f64")
	require.False(t, ok)
	ids := make([]byte, 40)
	require.NoError(t, c.ReadInto(t.Context(), "ids", ids))
	require.Equal(t, byte(4), ids[32])
	scalar := make([]float32, 1)
	require.NoError(t, c.ReadFloat32(t.Context(), "scalar", scalar, ReadOptions{}))
	require.Equal(t, []float32{1.5}, scalar)
	require.NoError(t, c.ReadFloat32(t.Context(), "empty", nil, ReadOptions{}))
	require.NoError(t, c.ReadFloat32(t.Context(), "empty", nil, ReadOptions{}))
}

func TestOpenRefuses(t *testing.T) {
	entry := func(dtype, shape, offsets string) string {
		return fmt.Sprintf(`{"a":{"dtype":%s,"shape":%s,"data_offsets":%s}}`, dtype, shape, offsets)
	}
	huge := binary.LittleEndian.AppendUint64(nil, 1<<62)
	whole := written(t, Float32("a", make([]float32, 100), 10, 10))
	tests := []struct {
		name, want string
		file       []byte
	}{
		{"empty", "it has 0 bytes", nil},
		{"seven bytes", "it has 7 bytes", make([]byte, 7)},
		{"header of 2^62 bytes", "claims a header of 4611686018427387904 bytes, the format allows 100000000", huge},
		{"header of 2^64-1 bytes", "claims a header of 18446744073709551615 bytes", bytes.Repeat([]byte{255}, 20)},
		{"header longer than the file", "its header has 1000 bytes, 998 of them are missing", append(binary.LittleEndian.AppendUint64(nil, 1000), '{', '}')},
		{"git lfs pointer", "run: git lfs pull", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")},
		{"a web page", "claims a header of", []byte("<!DOCTYPE html><html></html>")},
		{"truncated data", "its tensors need 400 bytes, 50 of them are missing", whole[:len(whole)-50]},
		{"longer than its tensors", "the last 3 bytes of the file belong to no tensor", append(bytes.Clone(whole), 1, 2, 3)},
		{"header without length", "not a JSON object", raw("")},
		{"array", "not a JSON object", raw("[]")},
		{"cut JSON", "its JSON ends early", raw(`{"a":{"dtype":"F32"`)},
		{"broken JSON", "invalid character", raw(`{"a":{"dtype":F32}}`)},
		{"not UTF-8", "not UTF-8", raw("{\"\xff\":1}")},
		{"text after", "3 bytes after the end", raw(`{} "a"`)},
		{"name twice", `names "a" twice`, raw(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`)},
		{"key twice", "shape is given twice", raw(`{"a":{"dtype":"U8","shape":[0],"shape":[0]}}`)},
		{"no object", "5 where an object should be", raw(`{"a":5}`)},
		{"metadata", "__metadata__", raw(`{"__metadata__":{"a":5}}`)},
		{"unknown key", `unknown key "Shape"`, raw(`{"a":{"dtype":"F32","Shape":[1],"data_offsets":[0,4]}}`)},
		{"no shape", "shape is missing", raw(`{"a":{"dtype":"F32","data_offsets":[0,4]}}`, 0, 0, 0, 0)},
		{"no dtype", "dtype is missing", raw(`{"a":{"shape":[1],"data_offsets":[0,4]}}`, 0, 0, 0, 0)},
		{"no offsets", "data_offsets is missing", raw(`{"a":{"dtype":"F32","shape":[1]}}`, 0, 0, 0, 0)},
		{"dtype", `unknown dtype "F31"`, raw(entry(`"F31"`, "[1]", "[0,4]"))},
		{"dtype null", "unknown dtype null", raw(entry("null", "[1]", "[0,4]"))},
		{"dtype a list", "unknown dtype [", raw(entry("[]", "[1]", "[0,4]"))},
		{"shape negative", "shape holds -1", raw(entry(`"F32"`, "[-1]", "[0,4]"))},
		{"shape fraction", "shape holds 1.5", raw(entry(`"F32"`, "[1.5]", "[0,4]"))},
		{"shape 2^64", "shape holds 18446744073709551616", raw(entry(`"F32"`, "[18446744073709551616]", "[0,4]"))},
		{"shape null", "shape is null", raw(entry(`"F32"`, "null", "[0,4]"))},
		{"shape of nulls", "shape holds null", raw(entry(`"F32"`, "[null]", "[0,4]"))},
		{"shape of strings", `shape holds "1"`, raw(entry(`"F32"`, `["1"]`, "[0,4]"))},
		{"shape overflows", "overflows", raw(entry(`"F32"`, "[4294967296,4294967296]", "[0,0]"))},
		{"one dimension overflows", "overflows", raw(entry(`"F32"`, "[4611686018427387904]", "[0,0]"))},
		{"too many dimensions", "shape has more than 64 numbers", raw(entry(`"U8"`, "["+strings.Repeat("1,", 64)+"1]", "[0,1]"), 0)},
		{"inside a byte", "ends inside a byte", raw(entry(`"F4"`, "[3]", "[0,1]"), 0)},
		{"size", "needs 8 bytes, data_offsets span 4", raw(entry(`"F32"`, "[2]", "[0,4]"), 0, 0, 0, 0)},
		{"offsets backwards", "run backwards", raw(entry(`"F32"`, "[1]", "[4,0]"), 0, 0, 0, 0)},
		{"three offsets", "has 3 numbers", raw(entry(`"F32"`, "[1]", "[0,4,8]"), 0, 0, 0, 0)},
		{"offset out of the file", "before tensor", raw(entry(`"F32"`, "[1]", "[4611686018427387900,4611686018427387904]"), 0, 0, 0, 0)},
		{"data of 2^62 bytes", "truncated", raw(entry(`"U8"`, "[1152921504606846975]", "[0,1152921504606846975]"), 0)},
		{"overlap", `tensors "a" and "b" overlap by 1 bytes`, raw(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 0, 0, 0)},
		{"same place", "overlap by 2 bytes", raw(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 0, 0)},
		{"hole", `1 bytes before tensor "b" belong to no tensor`, raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, 0, 0, 0)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Open(oneFile(test.file))
			require.ErrorContains(t, err, test.want)
			require.ErrorContains(t, err, singleFile)
		})
	}
}

// A header's claims must not cost memory.
func TestOpenAllocatesLittle(t *testing.T) {
	file := raw(`{"a":{"dtype":"U8","shape":[99999999999],"data_offsets":[0,99999999999]}}`, 0)
	claim := append(binary.LittleEndian.AppendUint64(nil, maxHeader), '{', '}')
	for _, data := range [][]byte{file, claim} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Open(oneFile(data))
		runtime.ReadMemStats(&after)
		require.ErrorContains(t, err, "truncated")
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
	}
}

// sharded is a checkpoint of two shards.
func sharded(t testing.TB) fstest.MapFS {
	t.Helper()
	return fstest.MapFS{
		indexFile: {Data: []byte(`{"metadata":{"total_size":16},"weight_map":{"a":"m-1.safetensors","b":"m-1.safetensors","c":"m-2.safetensors"}}`)},
		"m-1.safetensors": {Data: written(t,
			Float32("b", []float32{2}, 1), Float32("a", []float32{1}, 1))},
		"m-2.safetensors": {Data: written(t, Float32("c", []float32{3, 4}, 2))},
	}
}

func TestSharded(t *testing.T) {
	c := mustOpen(t, sharded(t))
	var all []float32
	for _, x := range c.Tensors() {
		dst := make([]float32, x.Elements())
		require.NoError(t, c.ReadFloat32(t.Context(), x.Name, dst, ReadOptions{}))
		all = append(all, dst...)
	}
	require.Equal(t, []float32{1, 2, 3, 4}, all)
	x, _ := c.Lookup("c")
	require.Equal(t, "m-2.safetensors", x.File)

	t.Run("a tensor outside the index is listed", func(t *testing.T) {
		fsys := sharded(t)
		fsys[indexFile] = &fstest.MapFile{Data: []byte(`{"weight_map":{"a":"m-1.safetensors"}}`)}
		require.Len(t, mustOpen(t, fsys).Tensors(), 2)
	})
	t.Run("a single file is preferred", func(t *testing.T) {
		fsys := sharded(t)
		fsys[singleFile] = fsys["m-2.safetensors"]
		require.Len(t, mustOpen(t, fsys).Tensors(), 1)
	})
}

func TestShardedRefuses(t *testing.T) {
	index := func(s string) func(fstest.MapFS) {
		return func(fsys fstest.MapFS) { fsys[indexFile] = &fstest.MapFile{Data: []byte(s)} }
	}
	tests := []struct {
		name, want string
		change     func(fstest.MapFS)
	}{
		{"missing shards", "2 of the 2 shards that model.safetensors.index.json names are not there: m-1.safetensors, m-2.safetensors",
			func(fsys fstest.MapFS) { delete(fsys, "m-1.safetensors"); delete(fsys, "m-2.safetensors") }},
		{"wrong shard", `tensor "c" should be in m-1.safetensors, and is in m-2.safetensors`,
			index(`{"weight_map":{"a":"m-1.safetensors","c":"m-1.safetensors","x":"m-2.safetensors"}}`)},
		{"in no shard", `tensor "x" should be in m-2.safetensors, and is in no shard`,
			index(`{"weight_map":{"a":"m-1.safetensors","x":"m-2.safetensors"}}`)},
		{"in two shards", `tensor "c" is in two shards`,
			func(fsys fstest.MapFS) { fsys["m-1.safetensors"] = fsys["m-2.safetensors"] }},
		{"truncated shard", "m-2.safetensors: truncated",
			func(fsys fstest.MapFS) {
				data := fsys["m-2.safetensors"].Data
				fsys["m-2.safetensors"].Data = data[:len(data)-1]
			}},
		{"no weight_map", "no weight_map", index(`{"metadata":{}}`)},
		{"empty", "its JSON ends early", index("")},
		{"cut", "its JSON ends early", index(`{"weight_map":{"a":"m-1.safetensors"`)},
		{"weight_map twice", "given twice", index(`{"weight_map":{"a":"m-1.safetensors"},"weight_map":{}}`)},
		{"tensor twice", `tensor "a" is given twice`, index(`{"weight_map":{"a":"m-1.safetensors","a":"m-1.safetensors"}}`)},
		{"outside the folder", `"../m.safetensors" is not the name`, index(`{"weight_map":{"a":"../m.safetensors"}}`)},
		{"absolute", `"/m.safetensors" is not the name`, index(`{"weight_map":{"a":"/m.safetensors"}}`)},
		{"pickle", `"pytorch_model.bin" is not the name`, index(`{"weight_map":{"a":"pytorch_model.bin"}}`)},
		{"number", "5 is not the name", index(`{"weight_map":{"a":5}}`)},
		{"only pickles", "there is pytorch_model.bin, which has to be saved anew",
			func(fsys fstest.MapFS) {
				clear(fsys)
				fsys["pytorch_model.bin"] = &fstest.MapFile{}
			}},
		{"nothing", "neither model.safetensors nor model.safetensors.index.json is there", func(fsys fstest.MapFS) { clear(fsys) }},
		{"a folder", "model.safetensors is a folder", func(fsys fstest.MapFS) { fsys[singleFile+"/x"] = &fstest.MapFile{} }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fsys := sharded(t)
			test.change(fsys)
			_, err := Open(fsys)
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestOpenDir(t *testing.T) {
	dir := t.TempDir()
	_, err := OpenDir(filepath.Join(dir, "gone"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "gone is not there")
	_, err = OpenDir(dir)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, dir)

	// Hugging Face's cache: the folder holds links into another one.
	blob := filepath.Join(t.TempDir(), "blob")
	require.NoError(t, os.WriteFile(blob, written(t, Float32("a", []float32{1, 2}, 2)), 0o600))
	require.NoError(t, os.Symlink(blob, filepath.Join(dir, singleFile)))
	_, err = OpenDir(filepath.Join(dir, singleFile))
	require.ErrorContains(t, err, "is a file; give the folder")
	c, err := OpenDir(dir)
	require.NoError(t, err)
	dst := make([]float32, 2)
	require.NoError(t, c.ReadFloat32(t.Context(), "a", dst, ReadOptions{}))
	require.Equal(t, []float32{1, 2}, dst)
	require.NoError(t, c.Close())
	require.ErrorIs(t, c.ReadFloat32(t.Context(), "a", dst, ReadOptions{}), fs.ErrClosed)

	// The file shrinks under a reader.
	c, err = OpenDir(dir)
	require.NoError(t, err)
	defer c.Close() //nolint:errcheck // read only
	require.NoError(t, os.Truncate(blob, 100))
	require.ErrorContains(t, c.ReadFloat32(t.Context(), "a", dst, ReadOptions{}), `read tensor "a" from model.safetensors: unexpected EOF`)
}

// A zip archive's files cannot be read at an offset.
func TestSequential(t *testing.T) {
	values := make([]float32, 3000*700)
	for i := range values {
		values[i] = float32(i)
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create(singleFile)
	require.NoError(t, err)
	_, err = f.Write(written(t, Float32("a", values[:10], 10), Float32("b", values, 3000, 700)))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	archive, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	require.NoError(t, err)
	c := mustOpen(t, archive)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			got := make([]float32, len(values))
			assert.NoError(t, c.ReadFloat32(t.Context(), "b", got, ReadOptions{}))
			assert.True(t, slices.Equal(values, got))
			assert.NoError(t, c.ReadFloat32(t.Context(), "a", got[:10], ReadOptions{}))
			assert.Equal(t, values[:10], got[:10])
		})
	}
	wg.Wait()
	require.NoError(t, c.Close())
	require.ErrorIs(t, c.ReadFloat32(t.Context(), "a", make([]float32, 10), ReadOptions{}), fs.ErrClosed)
}

func TestCanceled(t *testing.T) {
	c := mustOpen(t, torchFile(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, c.ReadInto(ctx, "f32", make([]byte, 64*64*4)), context.Canceled)
	require.ErrorIs(t, c.ReadFloat32(ctx, "bf16", make([]float32, 64*64), ReadOptions{}), context.Canceled)
}

func TestReadRefuses(t *testing.T) {
	c := mustOpen(t, torchFile(t))
	require.ErrorContains(t, c.ReadInto(t.Context(), "x", nil), "no such tensor")
	require.ErrorContains(t, c.ReadInto(t.Context(), "ids", make([]byte, 39)), "it has 40 bytes, the destination has 39")
	require.ErrorContains(t, c.ReadFloat32(t.Context(), "f32", make([]float32, 5), ReadOptions{}), "has 4096 elements to read, the destination has 5")
	require.ErrorContains(t, c.ReadFloat32(t.Context(), "ids", make([]float32, 5), ReadOptions{}), "its type I64 cannot be converted to F32")
	for _, part := range []ReadOptions{{From: 5, To: 4}, {From: -1}, {To: 4097}, {From: 4097}} {
		require.ErrorContains(t, c.ReadFloat32(t.Context(), "f32", make([]float32, 1), part), "are asked for")
	}
}
