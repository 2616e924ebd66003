package nn

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// quantizedMatmul is x·wᵀ for a part in int8: x [rows, in] → [rows, n].
func quantizedMatmul(t Traits, x *Node, w Part) *Node {
	if !t.Int8Dot && t.HalfInt8 {
		return Mul(matmul(t, x, ConvertDType(w.W, dtypes.BFloat16)), ExpandAxes(w.Scale, 0))
	}
	if !t.Int8Dot {
		return Mul(matmul(t, x, ConvertDType(w.W, dtypes.Float32)), ExpandAxes(w.Scale, 0))
	}
	// Each row gets the scale that puts its largest number at 127; a row of zeros gets any.
	scale := Max(MulScalar(ReduceAndKeep(Abs(x), ReduceMax, -1), 1.0/127), Scalar(x.Graph(), dtypes.Float32, 1e-30))
	y := Mul(intMatmul(t, ConvertDType(Round(Div(x, scale)), dtypes.Int8), w.W), scale)
	return Mul(y, ExpandAxes(w.Scale, 0))
}
