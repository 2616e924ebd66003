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

// intMatmul is x·wᵀ for int8 x [rows, in] and w [n, in], summed in int32, as float32 [rows, n].
func intMatmul(t Traits, x, w *Node) *Node {
	rows := x.Shape().Dim(0)
	lhs, rhs := x, w
	swap := rows <= t.SwapRows
	if swap { // as in matmul
		lhs, rhs = w, GrowRight(x, 0, max(4, rows+1)-rows, 0)
	}
	y := Dot(lhs, rhs).WithOutputDType(dtypes.Int32).General([]int{1}, nil, []int{1}, nil)
	if swap {
		y = Transpose(Slice(y, AxisRange(), AxisRange(0, rows)), 0, 1)
	}
	return ConvertDType(y, dtypes.Float32)
}
