package qwen

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/checkpoint"
)

// Any part of a quantized weight, of any number of dimensions, is its numbers times the scales that the definition gives them.
func TestReadQuantizedParts(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	number := func(code byte) float32 { // of float8_e4m3fn, by definition
		e, f := int(code>>3&15), float64(code&7)
		v := math.Ldexp(1+f/8, e-7)
		if e == 0 {
			v = math.Ldexp(f/8, -6)
		}
		if code >= 0x80 {
			v = -v
		}
		return float32(v)
	}
	for _, test := range []struct {
		shape, scaleShape []int
		blocks            [][2]int
		block             [2]int // which counts
	}{
		{[]int{300, 260}, []int{3, 3}, [][2]int{{128, 128}}, [2]int{128, 128}},
		{[]int{256, 128}, []int{2, 1}, [][2]int{{128, 128}, {64, 64}}, [2]int{128, 128}},
		{[]int{5, 7}, []int{1, 1}, [][2]int{{128, 128}}, [2]int{128, 128}},
		{[]int{50, 33}, []int{50, 1}, [][2]int{{0, 0}, {1, 0}}, [2]int{1, 0}},
		{[]int{50, 33}, []int{50}, [][2]int{{1, 0}}, [2]int{1, 0}},
		{[]int{50, 33}, []int{}, [][2]int{{1, 0}, {0, 0}}, [2]int{0, 0}},
		{[]int{50, 33}, []int{50, 5}, [][2]int{{1, 8}}, [2]int{1, 8}},
		{[]int{4, 40, 30}, []int{4, 3, 2}, [][2]int{{16, 16}}, [2]int{16, 16}}, // fused experts
		{[]int{4, 40, 30}, []int{4, 40, 1}, [][2]int{{1, 0}}, [2]int{1, 0}},
		{[]int{4, 40, 30}, []int{1}, [][2]int{{0, 0}}, [2]int{0, 0}},
		{[]int{4, 40, 30}, []int{4, 1, 1}, [][2]int{{0, 0}}, [2]int{0, 0}},
	} {
		t.Run(fmt.Sprint(test.shape, test.scaleShape, test.block), func(t *testing.T) {
			n, m := elements(test.shape), elements(test.scaleShape)
			codes, scales := make([]byte, n), make([]float32, m)
			for i := range codes {
				for codes[i] = byte(rng.Uint32()); codes[i]&0x7f == 0x7f; codes[i]++ { // no NaN
				}
			}
			for i := range scales {
				scales[i] = rng.Float32() + 0.5
			}
			var file bytes.Buffer
			require.NoError(t, checkpoint.Write(&file, checkpoint.Data{Name: "w", DType: checkpoint.F8E4M3, Shape: test.shape, Bytes: codes},
				checkpoint.Float32("w_scale_inv", scales, test.scaleShape...)))
			c, err := checkpoint.Open(fstest.MapFS{"model.safetensors": &fstest.MapFile{Data: file.Bytes()}})
			require.NoError(t, err)
			defer func() { require.NoError(t, c.Close()) }()
			weights := weightFile{c, &QuantizedWeights{Method: methodFP8, Blocks: test.blocks}}

			cols := test.shape[len(test.shape)-1]
			rows := test.shape[len(test.shape)-2]
			side := func(block, size int) int {
				if block == 0 {
					return size
				}
				return block
			}
			br, bc := side(test.block[0], rows), side(test.block[1], cols)
			gridRows, gridCols := (rows+br-1)/br, (cols+bc-1)/bc
			want := make([]float32, n)
			for i := range want {
				matrix, row, col := i/(rows*cols), i/cols%rows, i%cols
				scale := scales[0]
				if m > 1 {
					scale = scales[(matrix*gridRows+row/br)*gridCols+col/bc]
				}
				want[i] = number(codes[i]) * scale
			}
			got := make([]float32, n)
			require.NoError(t, weights.ReadFloat32(t.Context(), "w", got, checkpoint.ReadOptions{}))
			require.Equal(t, want, got)
			for range 20 {
				from := rng.IntN(n)
				to := from + 1 + rng.IntN(n-from)
				require.NoError(t, weights.ReadFloat32(t.Context(), "w", got[:to-from], checkpoint.ReadOptions{From: from, To: to}))
				require.Equal(t, want[from:to], got[:to-from], "%d to %d", from, to)
			}
			// The 16-bit types are that product, rounded once.
			bits := make([]uint16, n)
			var plain bytes.Buffer
			require.NoError(t, checkpoint.Write(&plain, checkpoint.Float32("w", want, test.shape...)))
			p, err := checkpoint.Open(fstest.MapFS{"model.safetensors": &fstest.MapFile{Data: plain.Bytes()}})
			require.NoError(t, err)
			defer func() { require.NoError(t, p.Close()) }()
			rounded := make([]uint16, n)
			require.NoError(t, weights.ReadBFloat16(t.Context(), "w", bits, checkpoint.ReadOptions{}))
			require.NoError(t, p.ReadBFloat16(t.Context(), "w", rounded, checkpoint.ReadOptions{}))
			require.Equal(t, rounded, bits)
			require.NoError(t, weights.ReadFloat16(t.Context(), "w", bits, checkpoint.ReadOptions{}))
			require.NoError(t, p.ReadFloat16(t.Context(), "w", rounded, checkpoint.ReadOptions{}))
			require.Equal(t, rounded, bits)

			require.ErrorContains(t, weights.ReadFloat32(t.Context(), "w", got, checkpoint.ReadOptions{From: 1, To: n + 1}), "elements")
		})
	}
}

// Scales that fit two kinds of blocks are refused: either could be meant.
func TestReadQuantizedAmbiguous(t *testing.T) {
	q := &QuantizedWeights{Method: methodFP8, Blocks: [][2]int{{128, 128}, {100, 128}}}
	weight := checkpoint.Tensor{Name: "w", DType: checkpoint.F8E4M3, Shape: []int{200, 128}}
	_, err := q.scaleFor(weight, checkpoint.Tensor{Name: "w_scale_inv", DType: checkpoint.F32, Shape: []int{2, 1}})
	require.ErrorContains(t, err, "both fit")
	_, err = q.scaleFor(checkpoint.Tensor{Name: "w", DType: checkpoint.F8E4M3, Shape: []int{90, 128}},
		checkpoint.Tensor{Name: "w_scale_inv", DType: checkpoint.F32, Shape: []int{1, 1}})
	require.NoError(t, err, "both are the whole matrix")
}

// The products of compressed-tensors are rounded to the type of its scales, but for those of experts; other scales are exact.
func TestReadQuantizedRounds(t *testing.T) {
	codes := make([]byte, 127)
	for i := range codes {
		codes[i] = byte(i)
	}
	// 1.3 has more bits than any of the types; 2^-3 is one of all of them, scaled by a power of two.
	for _, test := range []struct {
		method, name string
		scale        checkpoint.Data
		value        float32
		to           checkpoint.DType
	}{
		{methodCompressedTensors, "proj.weight", checkpoint.Data{DType: checkpoint.BF16, Bytes: []byte{0xa6, 0x3f}}, 1.296875, checkpoint.BF16},
		{methodCompressedTensors, "proj.weight", checkpoint.Data{DType: checkpoint.F16, Bytes: []byte{0x33, 0x3d}}, 1.2998046875, checkpoint.F16},
		{methodCompressedTensors, "proj.weight", checkpoint.Float32("", []float32{1.3}), 1.3, checkpoint.F32},
		{methodCompressedTensors, "mlp.experts.7.up_proj.weight", checkpoint.Data{DType: checkpoint.BF16, Bytes: []byte{0xa6, 0x3f}}, 1.296875, checkpoint.F32},
		{methodFP8, "proj.weight", checkpoint.Data{DType: checkpoint.BF16, Bytes: []byte{0xa6, 0x3f}}, 1.296875, checkpoint.F32},
		{methodFP8, "proj.weight", checkpoint.Data{DType: checkpoint.F8E8M0, Bytes: []byte{124}}, 0.125, checkpoint.F32},
	} {
		t.Run(fmt.Sprint(test.method, test.name, test.scale.DType), func(t *testing.T) {
			q := &QuantizedWeights{Method: test.method, Blocks: [][2]int{{0, 0}}}
			test.scale.Name, test.scale.Shape = test.name+q.scaleSuffix(), []int{1}
			open := func(data ...checkpoint.Data) *checkpoint.Checkpoint {
				var file bytes.Buffer
				require.NoError(t, checkpoint.Write(&file, data...))
				c, err := checkpoint.Open(fstest.MapFS{"model.safetensors": &fstest.MapFile{Data: file.Bytes()}})
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, c.Close()) })
				return c
			}
			c := open(test.scale, checkpoint.Data{Name: test.name, DType: checkpoint.F8E4M3, Shape: []int{1, 127}, Bytes: codes})
			products, got := make([]float32, 127), make([]float32, 127)
			require.NoError(t, c.ReadFloat32(t.Context(), test.name, products, checkpoint.ReadOptions{}))
			for i := range products {
				products[i] *= test.value
			}
			bits, gotBits := make([]uint16, 127), make([]uint16, 127)
			exact := open(checkpoint.Float32("w", products, 127))
			require.NoError(t, weightFile{c, q}.ReadFloat32(t.Context(), test.name, got, checkpoint.ReadOptions{}))
			switch test.to {
			case checkpoint.F32:
				require.Equal(t, products, got)
				return
			case checkpoint.BF16:
				require.NoError(t, exact.ReadBFloat16(t.Context(), "w", bits, checkpoint.ReadOptions{}))
				require.NoError(t, weightFile{c, q}.ReadBFloat16(t.Context(), test.name, gotBits, checkpoint.ReadOptions{}))
			default:
				require.NoError(t, exact.ReadFloat16(t.Context(), "w", bits, checkpoint.ReadOptions{}))
				require.NoError(t, weightFile{c, q}.ReadFloat16(t.Context(), test.name, gotBits, checkpoint.ReadOptions{}))
			}
			require.Equal(t, bits, gotBits)
			require.NotEqual(t, products, got)
			data := make([]byte, 0, 254)
			for _, b := range bits {
				data = append(data, byte(b), byte(b>>8))
			}
			rounded := make([]float32, 127)
			c = open(checkpoint.Data{Name: "w", DType: test.to, Shape: []int{127}, Bytes: data})
			require.NoError(t, c.ReadFloat32(t.Context(), "w", rounded, checkpoint.ReadOptions{}))
			require.Equal(t, rounded, got)
		})
	}
}
