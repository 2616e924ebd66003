package nn

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// quantizedMatmul is x·wᵀ for a part in int8: x [rows, in] → [rows, n].
func quantizedMatmul(t Traits, x *Node, w Part) *Node {
	if !t.Int8Dot {
		return Mul(matmul(t, x, ConvertDType(w.W, dtypes.Float32)), ExpandAxes(w.Scale, 0))
	}
	rows, in := x.Shape().Dim(0), x.Shape().Dim(1)
	// Each row gets the scale that puts its largest number at 127; a row of zeros gets any.
	scale := Max(MulScalar(ReduceAndKeep(Abs(x), ReduceMax, -1), 1.0/127), Scalar(x.Graph(), dtypes.Float32, 1e-30))
	quantized := ConvertDType(Round(Div(x, scale)), dtypes.Int8)
	if rows == 1 { // XLA's code for a single row is twenty times slower
		quantized = Concatenate([]*Node{quantized, Zeros(x.Graph(), shapes.Make(dtypes.Int8, 1, in))}, 0)
	}
	y := Dot(quantized, w.W).WithOutputDType(dtypes.Int32).General([]int{1}, nil, []int{1}, nil)
	if rows == 1 {
		y = Slice(y, AxisRange(0, 1))
	}
	return Mul(Mul(ConvertDType(y, dtypes.Float32), scale), ExpandAxes(w.Scale, 0))
}
