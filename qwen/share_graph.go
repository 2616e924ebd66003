package qwen

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/omnidocs/omnidocs/internal/nn"
	"github.com/omnidocs/omnidocs/internal/program"
)

// This file is what graphs do where a device has but a share of a model. On one device all of it is nothing.

// lookup reads rows of a table of which each device has so many: its own, and zeros in place of those that others have, which
// [program.Sum] puts together.
func (m *Model) lookup(b *program.Builder, table nn.Matrix, ids *Node, rows int) *Node {
	if m.mesh.Size() == 1 {
		return nn.Lookup(table, ids)
	}
	local := Sub(ids, MulScalar(b.Rank(), rows))
	zero := ScalarZero(b.G, dtypes.Int32)
	x := nn.Lookup(table, Clamp(zero, local, Const(b.G, int32(rows-1))))
	own := LogicalAnd(GreaterOrEqual(local, zero), LessThan(local, Const(b.G, int32(rows))))
	return Where(BroadcastToDims(ExpandAxes(own, -1), x.Shape().Dimensions...), x, ZerosLike(x))
}

// ownColumns are those columns of x [rows, in] that a device has the weights for.
func (m *Model) ownColumns(b *program.Builder, x *Node) *Node {
	n := m.mesh.Size()
	if n == 1 {
		return x
	}
	width := x.Shape().Dim(1) / n
	return DynamicSlice(x, []*Node{ScalarZero(b.G, dtypes.Int32), MulScalar(b.Rank(), width)}, []int{x.Shape().Dim(0), width})
}

// together puts the columns x [rows, n] of all devices side by side on each of them, and takes so many of them. A sum with zeros takes
// nothing from a number.
func (m *Model) together(b *program.Builder, x *Node, columns int) *Node {
	n := m.mesh.Size()
	if n == 1 {
		return x
	}
	rows, width := x.Shape().Dim(0), x.Shape().Dim(1)
	all := BroadcastToDims(ScalarZero(b.G, x.DType()), rows, n*width)
	all = program.Sum(DynamicUpdateSlice(all, x, []*Node{ScalarZero(b.G, dtypes.Int32), MulScalar(b.Rank(), width)}))
	return Slice(all, AxisRange(), AxisRange(0, columns))
}
