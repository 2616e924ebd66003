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
