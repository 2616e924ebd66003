package qwen

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each number is the nearest multiple of the scale, which makes the largest 127.
func TestQuantizeRow(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	for _, size := range []float32{1, 1e-20, 1e20} {
		src := make([]float32, 1000)
		for i := range src {
			src[i] = float32(r.NormFloat64()) * size
		}
		src[7] = -6 * size
		dst := make([]int8, len(src))
		scale := quantizeRow(dst, src)
		require.InEpsilon(t, 6*size/127, scale, 1e-6)
		require.EqualValues(t, -127, dst[7])
		for i, v := range src {
			require.InDelta(t, math.RoundToEven(float64(v)/float64(scale)), dst[i], 1)
			require.LessOrEqual(t, math.Abs(float64(dst[i])*float64(scale)-float64(v)), 0.5001*float64(scale))
		}
	}
	for _, row := range [][]float32{{0, 0}, {1e-45, -1e-45}} { // nothing that could be told apart
		dst := []int8{1, 2}
		require.Zero(t, quantizeRow(dst, row))
		require.Equal(t, []int8{0, 0}, dst)
	}
}
