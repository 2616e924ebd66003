package nn

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// masked is added to the score of a key that must not be seen. It is finite, so that a row in which every key is masked
// (padding) stays free of NaN.
const masked = -1e30

// Hide is the bias of keys that are not there: 0 for those that are, and for the rest a number that leaves no weight to them.
func Hide(there []bool) []float32 {
	bias := make([]float32, len(there))
	for i, ok := range there {
		if !ok {
			bias[i] = masked
		}
	}
	return bias
}

// HeadsFirst turns x [rows, heads, dim] into [heads, rows, dim], the layout that attention works in.
func HeadsFirst(x *Node) *Node { return TransposeAllAxes(x, 1, 0, 2) }

// Attention is softmax(q·kᵀ/√dim)·v within one sequence, for q [heads, rows, dim] and k, v [kvHeads, keys, dim], where heads
// is a multiple of kvHeads. It returns [rows, heads·dim].
//
// With causal set, the rows are the last of the keys' tokens, and a row sees itself and those before it. A bias [keys], or nil, is added
// to the scores of each key: see [Hide]. The queries go in blocks, so that the scores in memory at one time stay within
// t.BlockBytes, however many keys there are; or, with t.Flash, to the backend's own attention, where it has one for the case.
func Attention(t Traits, q, k, v *Node, causal bool, bias *Node) *Node {
	blocks := func() *Node { return blockAttention(t, q, k, v, causal, bias) }
	if !t.Flash || !t.HalfAttention || q.Shape().Dim(1) != k.Shape().Dim(1) {
		return blocks()
	}
	out, _ := InternalFusedOpCaller(func() *Node { return flash(q, k, v, causal, bias) }, blocks, false)
	return out
}

// blockAttention is Attention written with products of matrices.
func blockAttention(t Traits, q, k, v *Node, causal bool, bias *Node) *Node {
	heads, rows, dim := q.Shape().Dim(0), q.Shape().Dim(1), q.Shape().Dim(2)
	kv, keys := k.Shape().Dim(0), k.Shape().Dim(1)
	before := keys - rows // where causal
	q = MulScalar(q, 1/math.Sqrt(float64(dim)))
	block := t.QueryBlock(heads, rows, keys, causal)
	var outs []*Node
	for from := 0; from < rows; from += block {
		n := min(block, rows-from)
		qb, kb, vb, seen := q, k, v, keys
		if n < rows {
			qb = Slice(q, AxisRange(), AxisRange(from, from+n))
		}
		if causal && from+n < rows { // the keys after the block's last query are seen by none of its queries
			seen = before + from + n
			kb, vb = Slice(k, AxisRange(), AxisRange(0, seen)), Slice(v, AxisRange(), AxisRange(0, seen))
		}
		qb = Reshape(qb, kv, heads/kv*n, dim)                     // heads that share a key stand together
		scores := Reshape(batchDot(t, qb, kb, 2), heads, n, seen) // [heads, n, seen]
		if causal {
			scores = Add(scores, causalBias(q.Graph(), before+from, n, seen))
		}
		if bias != nil {
			scores = Add(scores, Reshape(Slice(bias, AxisRange(0, seen)), 1, 1, seen))
		}
		p := Reshape(Softmax(scores, -1), kv, heads/kv*n, seen)
		outs = append(outs, Reshape(batchDot(t, p, vb, 1), heads, n, dim))
	}
	out := outs[0]
	if len(outs) > 1 {
		out = Concatenate(outs, 1)
	}
	return Reshape(HeadsFirst(out), rows, heads*dim) // the same permutation back
}

// batchDot contracts the last axis of a with one of b, for each of the batch that is the first axis of both; in bfloat16 where that
// is allowed, with float32 sums.
func batchDot(t Traits, a, b *Node, axis int) *Node {
	if t.HalfAttention {
		a, b = ConvertDType(a, dtypes.BFloat16), ConvertDType(b, dtypes.BFloat16)
	}
	dot := Dot(a, b)
	if t.HalfAttention {
		dot = dot.WithOutputDType(dtypes.Float32)
		if t.HalfAccumulator {
			dot = dot.WithAccumulatorDType(dtypes.BFloat16)
		}
	}
	return dot.General([]int{2}, []int{0}, []int{axis}, []int{0})
}

// QueryBlock says how many queries go together: all of them where their scores fit the limit, else as many as make blocks
// of one size. Fewer than 128 would be slow, and make graphs that take long to compile. Causal blocks are a quarter as
// large: each leaves out the keys behind it, so that many small ones come close to half the work.
func (t Traits) QueryBlock(heads, rows, keys int, causal bool) int {
	limit := t.BlockBytes
	if limit <= 0 {
		limit = 256 << 20
	}
	least := min(128, limit) // a limit below that is a test's
	if causal {
		limit = max(1, limit/4)
	}
	blocks := (4*heads*rows*keys + limit - 1) / limit
	return min(rows, max(least, (rows+blocks-1)/blocks))
}

// causalBias is what is added to the scores [heads, n, keys] of n queries, the first of which is the token from.
func causalBias(g *Graph, from, n, keys int) *Node {
	shape := shapes.Make(dtypes.Int32, 1, n, keys)
	seen := LessOrEqual(Iota(g, shape, 2), AddScalar(Iota(g, shape, 1), from))
	return Where(seen, ScalarZero(g, dtypes.Float32), Scalar(g, dtypes.Float32, masked))
}

// CachedAttention is the attention of one new token a sequence against its cache: q [batch, heads, dim], the cache's keys and values
// [batch, kvHeads, capacity, dim] of which the first length[b] (int32 [batch]) are real, the token's own the last of them. It returns
// [batch, heads·dim].
func CachedAttention(t Traits, q, keys, values, length *Node) *Node {
	g := q.Graph()
	batch, heads, dim := q.Shape().Dim(0), q.Shape().Dim(1), q.Shape().Dim(2)
	kv, capacity := keys.Shape().Dim(1), keys.Shape().Dim(2)
	q = Reshape(MulScalar(q, 1/math.Sqrt(float64(dim))), batch, kv, heads/kv, dim)
	half := keys.DType() != dtypes.Float32
	// product contracts the last axis of a with one of the cache, for each sequence and head of it.
	product := func(a, cache *Node, axis int) *Node {
		if !half {
			return Dot(a, cache).General([]int{3}, []int{0, 1}, []int{axis}, []int{0, 1})
		}
		dot := Dot(ConvertDType(a, cache.DType()), cache).WithOutputDType(dtypes.Float32)
		if t.HalfAccumulator {
			dot = dot.WithAccumulatorDType(cache.DType())
		}
		return dot.General([]int{3}, []int{0, 1}, []int{axis}, []int{0, 1})
	}
	var scores *Node // [batch, kv, heads/kv, capacity]
	if t.MulReduce && !half {
		scores = ReduceSum(Mul(ExpandAxes(q, 3), ExpandAxes(keys, 2)), -1)
	} else {
		scores = product(q, keys, 3)
	}
	seen := LessThan(Iota(g, shapes.Make(dtypes.Int32, batch, 1, 1, capacity), 3), Reshape(length, batch, 1, 1, 1))
	scores = Add(scores, Where(seen, ScalarZero(g, dtypes.Float32), Scalar(g, dtypes.Float32, masked)))
	p := Softmax(scores, -1)
	if t.MulReduce && !half {
		return Reshape(ReduceSum(Mul(ExpandAxes(p, 4), ExpandAxes(values, 2)), 3), batch, heads*dim)
	}
	return Reshape(product(p, values, 2), batch, heads*dim)
}

// MaskedAttention is softmax(q·kᵀ/√dim)·v for q [heads, rows, dim] and those of k, v [kvHeads, keys, dim] that are seen by all rows (bool
// [keys]). It returns [rows, heads·dim].
func MaskedAttention(t Traits, q, k, v, seen *Node) *Node {
	g := q.Graph()
	return blockAttention(t, q, k, v, false, Where(seen, ScalarZero(g, dtypes.Float32), Scalar(g, dtypes.Float32, masked)))
}

// RowAttention is the attention of one new token against the rows of its own sequence: q [heads, dim], keys [kvHeads, capacity, dim]
// and values [kvHeads, dim, capacity], of which the first length (int32) are real, the token's own the last of them. It
// returns [1, heads·dim]. Rows in bfloat16 are multiplied with queries and weights rounded to it.
func RowAttention(t Traits, q, keys, values, length *Node) *Node {
	g := q.Graph()
	heads, dim := q.Shape().Dim(0), q.Shape().Dim(1)
	kv, capacity := keys.Shape().Dim(0), keys.Shape().Dim(1)
	q = Reshape(MulScalar(q, 1/math.Sqrt(float64(dim))), kv, heads/kv, dim)
	scores := rowDot(t, q, keys) // [kv, heads/kv, capacity]
	seen := LessThan(Iota(g, shapes.Make(dtypes.Int32, 1, 1, capacity), 2), Reshape(length, 1, 1, 1))
	scores = Add(scores, Where(seen, ScalarZero(g, dtypes.Float32), Scalar(g, dtypes.Float32, masked)))
	return Reshape(rowDot(t, Softmax(scores, -1), values), 1, heads*dim)
}
