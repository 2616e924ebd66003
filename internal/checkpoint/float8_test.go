package checkpoint

import (
	"bytes"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// All codes of the types of 8 bits are the numbers that torch makes of them, in each type that they are read as.
func TestFloat8LikeTorch(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "float8.safetensors"))
	require.NoError(t, err)
	c := mustOpen(t, oneFile(data))
	nan := func(v float32) bool { return math.IsNaN(float64(v)) }
	for name, test := range map[string]struct {
		dtype DType
		nans  int
	}{"float8_e4m3fn": {F8E4M3, 2}, "float8_e5m2": {F8E5M2, 6}, "float8_e8m0fnu": {F8E8M0, 1}} {
		t.Run(name, func(t *testing.T) {
			tensor, ok := c.Lookup(name)
			require.True(t, ok)
			require.Equal(t, test.dtype, tensor.DType)
			require.True(t, tensor.DType.Converts())
			want, got := make([]float32, 256), make([]float32, 256)
			require.NoError(t, c.ReadFloat32(t.Context(), name+".f32", want, ReadOptions{}))
			require.NoError(t, c.ReadFloat32(t.Context(), name, got, ReadOptions{}))
			nans := 0
			for code := range want {
				if nan(want[code]) {
					nans++
					require.True(t, nan(got[code]), "code %#02x", code)
					continue
				}
				require.Equal(t, math.Float32bits(want[code]), math.Float32bits(got[code]), "code %#02x", code)
			}
			require.Equal(t, test.nans, nans)

			// The 16-bit types: the rounding of the float32, which TestConvertLikeTorch holds to torch.
			bf16, f16 := make([]uint16, 256), make([]uint16, 256)
			require.NoError(t, c.ReadBFloat16(t.Context(), name, bf16, ReadOptions{}))
			require.NoError(t, c.ReadFloat16(t.Context(), name, f16, ReadOptions{}))
			wantBF16, wantF16 := make([]uint16, 256), make([]uint16, 256)
			require.NoError(t, c.ReadBFloat16(t.Context(), name+".f32", wantBF16, ReadOptions{}))
			require.NoError(t, c.ReadFloat16(t.Context(), name+".f32", wantF16, ReadOptions{}))
			sameBits16(t, wantBF16, bf16, 0x7f80)
			sameBits16(t, wantF16, f16, 0x7c00)

			part := make([]float32, 3)
			require.NoError(t, c.ReadFloat32(t.Context(), name, part, ReadOptions{From: 9, To: 12}))
			require.Equal(t, want[9:12], part)
		})
	}
}

// Map sees each element once, with its index, before it is rounded.
func TestReadMap(t *testing.T) {
	const n = 3*mapChunk + convertChunk + 5
	codes := make([]byte, n)
	for i := range codes {
		codes[i] = byte(i % 127)
	}
	var file bytes.Buffer
	require.NoError(t, Write(&file, Data{Name: "w", DType: F8E4M3, Shape: []int{n}, Bytes: codes}))
	for name, fsys := range map[string]*Checkpoint{
		"parallel":   mustOpen(t, oneFile(file.Bytes())),
		"sequential": mustOpen(t, noReaderAt{oneFile(file.Bytes())}),
	} {
		t.Run(name, func(t *testing.T) {
			const from, to = 11, n - 3
			var mu sync.Mutex
			seen := make([]int, n)
			double := func(values []float32, at int) {
				mu.Lock()
				defer mu.Unlock()
				for i := range values {
					seen[at+i]++
					values[i] *= float32(at+i) + 0.3
				}
			}
			f32, bf16, f16 := make([]float32, to-from), make([]uint16, to-from), make([]uint16, to-from)
			opts := ReadOptions{From: from, To: to, Map: double}
			require.NoError(t, fsys.ReadFloat32(t.Context(), "w", f32, opts))
			require.NoError(t, fsys.ReadBFloat16(t.Context(), "w", bf16, opts))
			require.NoError(t, fsys.ReadFloat16(t.Context(), "w", f16, opts))
			for i := range f32 {
				v := math.Float32frombits(widenE4M3(codes[from+i])) * (float32(from+i) + 0.3)
				if f32[i] != v || bf16[i] != roundBFloat16(math.Float32bits(v)) || f16[i] != roundHalf(math.Float32bits(v)) {
					t.Fatalf("element %d: %v, %#04x, %#04x for %v", from+i, f32[i], bf16[i], f16[i], v)
				}
			}
			for i, times := range seen {
				if want := 3; (i >= from && i < to) != (times == want) || (i < from || i >= to) && times != 0 {
					t.Fatalf("element %d was seen %d times", i, times)
				}
			}
		})
	}
}

// noReaderAt is a file system whose files can only be read from front to back.
type noReaderAt struct{ fs.FS }

func (n noReaderAt) Open(name string) (fs.File, error) {
	f, err := n.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return struct{ fs.File }{f}, nil
}
