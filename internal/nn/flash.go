package nn

import (
	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// flash is Attention by the backend's own, in bfloat16, for as many rows as keys. It panics with compute.ErrNotImplemented where
// the backend has none for the case.
func flash(q, k, v *Node, causal bool, bias *Node) *Node {
	heads, rows, dim := q.Shape().Dim(0), q.Shape().Dim(1), q.Shape().Dim(2)
	g := q.Graph()
	// [1, rows, heads, dim]: the layout in which the heads are computed, so that nothing is transposed for it.
	half := func(x *Node) *Node { return ExpandAxes(ConvertDType(HeadsFirst(x), dtypes.BFloat16), 0) }
	config := &compute.ScaledDotProductAttentionConfig{Causal: causal}
	var there *Node // [1], the keys that are not hidden
	if bias != nil {
		there = Reshape(ReduceSum(ConvertDType(GreaterOrEqual(bias, ScalarZero(g, dtypes.Float32)), dtypes.Int32)), 1)
		length := InternalBackendOutputs(there)[0]
		config.QuerySeqLen, config.KeyValueSeqLen = length, length
	}
	out, _ := BackendFusedScaledDotProductAttention(half(q), half(k), half(v), compute.AttentionAxesLayoutBSHD, config)
	out = ConvertDType(Reshape(out, rows, heads*dim), dtypes.Float32)
	if there != nil { // what stands in the hidden rows is nobody's, and may be no number
		index := Iota(g, shapes.Make(dtypes.Int32, rows, 1), 0)
		real := BroadcastToDims(LessThan(index, ExpandAxes(there, -1)), rows, heads*dim)
		out = Where(real, out, ScalarZero(g, dtypes.Float32))
	}
	return out
}
