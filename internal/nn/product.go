package nn

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// arrangement is how a product of few rows with a matrix, x·wᵀ, is written so that the backend has fast code for it.
type arrangement struct {
	rows, padded int
	swap         bool // the matrix comes first
}

// arrange says how a product of rows with a matrix of that type is written.
func (t Traits) arrange(rows int, matrix dtypes.DType) arrangement {
	limit, least := t.SwapNarrow, t.LeastHalf
	switch matrix {
	case dtypes.Float32:
		limit, least = t.SwapRows, 0
	case dtypes.Int8:
		least = t.LeastInt8
	}
	if rows <= limit {
		// More rows than there are keep XLA from folding the transposition back into the product.
		return arrangement{rows, max(4, rows+1), true}
	}
	return arrangement{rows, max(least, rows), false}
}

// operands are x and w in the order of the product, with x padded on the axis of its rows.
func (a arrangement) operands(x, w *Node, axis int) (lhs, rhs *Node) {
	if a.padded > a.rows {
		x = GrowRight(x, axis, a.padded-a.rows, 0)
	}
	if a.swap {
		return w, x
	}
	return x, w
}

// result takes x·wᵀ out of the product, [any, rows, n] or [rows, n].
func (a arrangement) result(y *Node) *Node {
	n := y.Rank()
	if a.padded > a.rows {
		cut := make([]SliceAxisSpec, n)
		for i := range cut {
			cut[i] = AxisRange()
		}
		if a.swap {
			cut[n-1] = AxisRange(0, a.rows)
		} else {
			cut[n-2] = AxisRange(0, a.rows)
		}
		y = Slice(y, cut...)
	}
	if a.swap {
		y = Transpose(y, n-2, n-1)
	}
	return y
}

// matmul is x·wᵀ.
func matmul(t Traits, x, w *Node) *Node {
	half := w.DType() != x.DType()
	how := arrangement{rows: x.Shape().Dim(0), padded: x.Shape().Dim(0)}
	if half || how.rows > 1 { // a single row of float32 is fast as it is
		how = t.arrange(how.rows, w.DType())
	}
	lhs, rhs := how.operands(ConvertDType(x, w.DType()), w, 0)
	dot := Dot(lhs, rhs)
	if half { // the inputs are rounded, the sums are not
		dot = dot.WithOutputDType(dtypes.Float32)
		if t.HalfAccumulator {
			dot = dot.WithAccumulatorDType(w.DType())
		}
	}
	return how.result(dot.General([]int{1}, nil, []int{1}, nil))
}

// intMatmul is x·wᵀ for int8 x [rows, in] and w [n, in], summed in int32, as float32 [rows, n].
func intMatmul(t Traits, x, w *Node) *Node {
	how := t.arrange(x.Shape().Dim(0), dtypes.Int8)
	lhs, rhs := how.operands(x, w, 0)
	y := Dot(lhs, rhs).WithOutputDType(dtypes.Int32).General([]int{1}, nil, []int{1}, nil)
	return ConvertDType(how.result(y), dtypes.Float32)
}

// rowDot is x·rowsᵀ for each of the heads: x [heads, few, n], rows [heads, many, n] → [heads, few, many].
func rowDot(t Traits, x, rows *Node) *Node {
	half := rows.DType() != x.DType()
	how := t.arrange(x.Shape().Dim(1), rows.DType())
	lhs, rhs := how.operands(ConvertDType(x, rows.DType()), rows, 1)
	dot := Dot(lhs, rhs)
	if half {
		dot = dot.WithOutputDType(dtypes.Float32)
		if t.HalfAccumulator {
			dot = dot.WithAccumulatorDType(rows.DType())
		}
	}
	return how.result(dot.General([]int{2}, []int{0}, []int{2}, []int{0}))
}
