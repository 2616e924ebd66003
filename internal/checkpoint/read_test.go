package checkpoint

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// bits16 reads a stored tensor of 16-bit elements.
func bits16(t *testing.T, c *Checkpoint, name string) []uint16 {
	t.Helper()
	x, ok := c.Lookup(name)
	require.True(t, ok)
	data := make([]byte, x.Bytes)
	require.NoError(t, c.ReadInto(t.Context(), name, data))
	out := make([]uint16, len(data)/2)
	loadUint16(out, data)
	return out
}

// sameBits16 compares bits; any NaN equals any other, as their payloads differ
// between implementations.
func sameBits16(t *testing.T, want, got []uint16, infinity uint16) {
	t.Helper()
	require.Len(t, got, len(want))
	isNaN := func(b uint16) bool { return b&0x7fff > infinity }
	for i := range want {
		if isNaN(want[i]) && isNaN(got[i]) {
			continue
		}
		if want[i] != got[i] {
			t.Fatalf("element %d: want %#04x, got %#04x", i, want[i], got[i])
		}
	}
}

// Every conversion gives what torch gives.
func TestConvertLikeTorch(t *testing.T) {
	c := mustOpen(t, torchFile(t))
	got := make([]uint16, 64*64)
	for _, test := range []struct {
		from, want string
		to         DType
	}{
		{"f32", "bf16", BF16},
		{"bf16", "bf16", BF16},
		{"f16", "f32.f16.bf16", BF16},
		{"f32", "f16", F16},
		{"f16", "f16", F16},
		{"bf16", "f32.bf16.f16", F16},
	} {
		t.Run(test.from+" to "+string(test.to), func(t *testing.T) {
			read, infinity := c.ReadFloat16, uint16(0x7c00)
			if test.to == BF16 {
				read, infinity = c.ReadBFloat16, 0x7f80
			}
			require.NoError(t, read(t.Context(), test.from, got, ReadOptions{}))
			sameBits16(t, bits16(t, c, test.want), got, infinity)
		})
	}
}

// All half precision numbers, against the definition of the format.
func TestWidenHalf(t *testing.T) {
	for h := range 1 << 16 {
		sign, exponent, fraction := h>>15, h>>10&31, h&1023
		var want float64
		switch exponent {
		case 0:
			want = math.Ldexp(float64(fraction), -24)
		case 31:
			want = math.Inf(1)
			if fraction != 0 {
				want = math.NaN()
			}
		default:
			want = math.Ldexp(1+float64(fraction)/1024, exponent-15)
		}
		if sign == 1 {
			want = -want
		}
		bits := widenHalf(uint16(h))
		got := math.Float32frombits(bits)
		if math.IsNaN(want) != (got != got) || got == got && math.Float32bits(float32(want)) != bits {
			t.Fatalf("%#04x is %v, not %v", h, got, want)
		}
		if back := roundHalf(bits); exponent < 31 && back != uint16(h) {
			t.Fatalf("%#04x comes back as %#04x", h, back)
		}
	}
}

// Rounding gives the nearer of the two neighbors, the even one of a tie.
func TestRound(t *testing.T) {
	widenBFloat16 := func(b uint16) uint32 { return uint32(b) << 16 }
	rng := rand.New(rand.NewPCG(1, 2))
	for _, format := range []struct {
		name  string
		round func(uint32) uint16
		widen func(uint16) uint32
		max   uint16
	}{{"bfloat16", roundBFloat16, widenBFloat16, 0x7f7f}, {"float16", roundHalf, widenHalf, 0x7bff}} {
		value := func(h uint16) float64 { return float64(math.Float32frombits(format.widen(h))) }
		for i := range 200_000 {
			low := uint16(rng.IntN(int(format.max))) // any number but the largest
			a, b := value(low), value(low+1)
			x := float32(a + (b-a)*rng.Float64())
			if i%4 == 0 {
				x = float32((a + b) / 2)
			}
			want := low
			if da, db := float64(x)-a, b-float64(x); db < da || da == db && low&1 == 1 {
				want++
			}
			if got := format.round(math.Float32bits(x)); got != want {
				t.Fatalf("%s of %x is %#04x, not %#04x", format.name, x, got, want)
			}
			if got := format.round(math.Float32bits(-x)); got != want|0x8000 {
				t.Fatalf("%s of %x is %#04x, not %#04x", format.name, -x, got, want|0x8000)
			}
		}
	}
}

// A tensor of many chunks and tiles, of every type and orientation.
func TestReadLarge(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	dir := t.TempDir()
	shapes := [][2]int{{1, 700_001}, {700_001, 1}, {33, 20_011}, {20_011, 33}, {1000, 1100}, {128, 4096}, {31, 31}}
	var tensors []Data
	values := map[string][]float32{}
	for _, shape := range shapes {
		n := shape[0] * shape[1]
		name := fmt.Sprint(shape)
		half := make([]byte, 0, 2*n)
		for range n { // small integers, exact in every type
			half = binary.LittleEndian.AppendUint16(half, roundHalf(math.Float32bits(float32(rng.IntN(256)))))
		}
		v := make([]float32, n)
		float16ToFloat32(v, half)
		values[name] = v
		brain := make([]uint16, n)
		float16ToBFloat16(brain, half)
		tensors = append(tensors,
			Float32("F32 "+name, v, shape[:]...),
			Data{Name: "F16 " + name, DType: F16, Shape: shape[:], Bytes: half},
			Data{Name: "BF16 " + name, DType: BF16, Shape: shape[:], Bytes: bytes.Clone(asBytes(brain))})
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, singleFile), written(t, tensors...), 0o600))
	c, err := OpenDir(dir)
	require.NoError(t, err)
	defer c.Close() //nolint:errcheck // read only

	for _, shape := range shapes {
		name := fmt.Sprint(shape)
		rows, cols := shape[0], shape[1]
		for _, from := range []DType{F32, F16, BF16} {
			stored := string(from) + " " + name
			got := make([]float32, rows*cols)
			require.NoError(t, c.ReadFloat32(t.Context(), stored, got, ReadOptions{}))
			require.True(t, bytes.Equal(asBytes(values[name]), asBytes(got)), stored)
			narrow := make([]uint16, rows*cols)
			require.NoError(t, c.ReadBFloat16(t.Context(), stored, narrow, ReadOptions{}))
			bfloat16ToFloat32(got, asBytes(narrow))
			require.True(t, bytes.Equal(asBytes(values[name]), asBytes(got)), stored)
			// Some rows of it, and what is left to the end.
			at := rows / 3 * cols
			part := make([]float32, rows*cols)
			require.NoError(t, c.ReadFloat32(t.Context(), stored, part[at:], ReadOptions{From: at}))
			if at > 0 {
				require.NoError(t, c.ReadFloat32(t.Context(), stored, part[:at], ReadOptions{To: at}))
			}
			require.True(t, bytes.Equal(asBytes(values[name]), asBytes(part)), stored)
			require.NoError(t, c.ReadFloat16(t.Context(), stored, narrow, ReadOptions{}))
			float16ToFloat32(got, asBytes(narrow))
			require.True(t, bytes.Equal(asBytes(values[name]), asBytes(got)), stored)
		}
	}
}

func TestWrite(t *testing.T) {
	file := written(t, Data{Name: "b", DType: BF16, Shape: []int{1, 2}, Bytes: []byte{1, 2, 3, 4}}, Float32("z <\"é>", []float32{1}))
	require.Zero(t, binary.LittleEndian.Uint64(file)%8)
	c := mustOpen(t, oneFile(file))
	x, ok := c.Lookup("z <\"é>")
	require.True(t, ok)
	require.Empty(t, x.Shape)

	var b bytes.Buffer
	require.ErrorContains(t, Write(&b, Float32("a", []float32{1}, 2)), "needs 8 bytes, data_offsets span 4")
	require.ErrorContains(t, Write(&b, Float32("a", nil, 0), Float32("a", nil, 0)), `names "a" twice`)
	require.ErrorContains(t, Write(&b, Data{Name: "a", DType: "F31"}), `unknown dtype "F31"`)
	require.ErrorContains(t, Write(&b, Float32("a", nil, -1)), "-1")
	require.Zero(t, b.Len())
}

// weights are n random numbers of the size that weights have.
func weights(dtype DType, n int) []byte {
	rng := rand.New(rand.NewPCG(5, 6))
	var pool [1 << 16]byte // repeated: drawing each would take longer than reading
	width := dtype.Bits() / 8
	for i := 0; i < len(pool); i += width {
		bits := math.Float32bits(float32(rng.NormFloat64() * 0.02))
		switch dtype {
		case F32:
			binary.LittleEndian.PutUint32(pool[i:], bits)
		case F16:
			binary.LittleEndian.PutUint16(pool[i:], roundHalf(bits))
		default:
			binary.LittleEndian.PutUint16(pool[i:], roundBFloat16(bits))
		}
	}
	return bytes.Repeat(pool[:], n*width/len(pool))
}

// BenchmarkRead reads a matrix of the size of a large linear layer from the
// page cache. MB/s counts the bytes in the file.
func BenchmarkRead(b *testing.B) {
	const rows, cols = 6144, 8192
	for _, from := range []DType{BF16, F16, F32} {
		dir := b.TempDir()
		data := weights(from, rows*cols)
		require.NoError(b, os.WriteFile(filepath.Join(dir, singleFile), written(b, Data{Name: "w", DType: from, Shape: []int{rows, cols}, Bytes: data}), 0o600))
		c, err := OpenDir(dir)
		require.NoError(b, err)
		run := func(name string, read func() error) {
			b.Run(string(from)+" "+name, func(b *testing.B) {
				b.SetBytes(int64(len(data)))
				for b.Loop() {
					require.NoError(b, read())
				}
			})
		}
		wide, narrow := make([]float32, rows*cols), make([]uint16, rows*cols)
		run("bytes", func() error { return c.ReadInto(b.Context(), "w", data) })
		run("to F32", func() error { return c.ReadFloat32(b.Context(), "w", wide, ReadOptions{}) })
		run("to BF16", func() error { return c.ReadBFloat16(b.Context(), "w", narrow, ReadOptions{}) })
		run("to F16", func() error { return c.ReadFloat16(b.Context(), "w", narrow, ReadOptions{}) })
		require.NoError(b, c.Close())
	}
}
