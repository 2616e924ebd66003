package nn

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph"
)

// WindowAttention is attention in which each row sees the rows of its own window alone, for q, k, v [heads, rows, dim] whose
// rows stand window by window, so many in each. The windows are an axis of the products, so that nothing is computed which a
// mask would throw away. A bias [rows], or nil, is added to the scores of each key. It returns [rows, heads·dim].
func WindowAttention(t Traits, q, k, v *Node, window int, bias *Node) *Node {
	heads, rows, dim := q.Shape().Dim(0), q.Shape().Dim(1), q.Shape().Dim(2)
	n := rows / window
	split := func(x *Node) *Node { return Reshape(x, heads*n, window, dim) }
	scores := batchDot(t, split(MulScalar(q, 1/math.Sqrt(float64(dim)))), split(k), 2) // [heads·n, window, window]
	if bias != nil {
		scores = Reshape(Add(Reshape(scores, heads, n, window, window), Reshape(bias, 1, n, 1, window)), heads*n, window, window)
	}
	out := batchDot(t, Softmax(scores, -1), split(v), 1)
	return Reshape(HeadsFirst(Reshape(out, heads, rows, dim)), rows, heads*dim)
}
