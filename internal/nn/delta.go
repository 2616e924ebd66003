package nn

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// The gated delta rule (Yang, Kautz, Hatamizadeh: "Gated Delta Networks", 2024) keeps one matrix S [keyDim, valueDim] a head in
// place of a cache. A token with key k, value v, decay g ≤ 0 and rate β first forgets, S ← exp(g)·S, then corrects what S says
// of its key, S ← S + k·(β·(v − kᵀS))ᵀ, and reads qᵀS.

// deltaChunk is the number of tokens that GatedDelta takes together.
const deltaChunk = 64

// GatedDelta runs a sequence through the rule, 64 tokens at a time (transformers' torch_chunk_gated_delta_rule): q, k
// [heads, rows, keyDim], v [heads, rows, valueDim], decay and beta [heads, rows], state [heads, keyDim, valueDim]. It returns
// what the tokens read, [heads, rows, valueDim], and the state behind them. A row with decay and beta 0 changes nothing.
func GatedDelta(q, k, v, decay, beta, state *Node) (out, newState *Node) {
	heads, rows := q.Shape().Dim(0), q.Shape().Dim(1)
	keyDim, valueDim := k.Shape().Dim(2), v.Shape().Dim(2)
	n := (rows + deltaChunk - 1) / deltaChunk
	if pad := n*deltaChunk - rows; pad > 0 {
		q, k, v = GrowRight(q, 1, pad, 0), GrowRight(k, 1, pad, 0), GrowRight(v, 1, pad, 0)
		decay, beta = GrowRight(decay, 1, pad, 0), GrowRight(beta, 1, pad, 0)
	}
	chunks := func(x *Node) *Node { return Reshape(x, heads*n, deltaChunk, x.Shape().Dim(2)) }
	q, k, v = chunks(q), chunks(k), chunks(v)
	beta = Reshape(beta, heads*n, deltaChunk, 1)
	sum := CumSum(Reshape(decay, heads*n, deltaChunk), -1) // of the logarithms, so exp(sum) is a product of decays
	last := Slice(sum, AxisRange(), AxisElem(-1))          // [heads·n, 1]

	// Within a chunk all tokens are solved for together: (I + L)·U = β·V, where L holds how much of each token's key the
	// tokens before it have written over.
	lower := lowerTriangle(q.Graph())
	pairs := Sub(ExpandAxes(sum, 2), ExpandAxes(sum, 1))
	pairs = Where(BroadcastToDims(lower, pairs.Shape().Dimensions...), Exp(Min(pairs, ScalarZero(q.Graph(), dtypes.Float32))), ZerosLike(pairs))
	rate := Mul(k, beta)
	inverse := invertUnitLower(Mul(Einsum("bik,bjk->bij", rate, k), pairs))
	grown := ExpandAxes(Exp(sum), -1)
	values := Einsum("bij,bjv->biv", inverse, Mul(v, beta))
	keys := Einsum("bij,bjk->bik", inverse, Mul(rate, grown))
	within := Mul(Einsum("bik,bjk->bij", q, k), pairs)
	reads := Mul(q, grown)
	writes := Mul(k, ExpandAxes(Exp(Sub(last, sum)), -1))
	keep := Exp(last)

	// The chunks follow each other.
	chunk := func(x *Node, i int) *Node { // [heads·n, a, …] → the i-th of each head, [heads, a, …]
		d := x.Shape().Dimensions
		x = Reshape(x, append([]int{heads, n}, d[1:]...)...)
		return Reshape(Slice(x, AxisRange(), AxisElem(i)), append([]int{heads}, d[1:]...)...)
	}
	outs := make([]*Node, n)
	for i := range n {
		fresh := Sub(chunk(values, i), Einsum("hik,hkv->hiv", chunk(keys, i), state))
		outs[i] = Add(Einsum("hik,hkv->hiv", chunk(reads, i), state), Einsum("hij,hjv->hiv", chunk(within, i), fresh))
		state = Add(Mul(state, Reshape(chunk(keep, i), heads, 1, 1)), Einsum("hik,hiv->hkv", chunk(writes, i), fresh))
	}
	out = outs[0]
	if n > 1 {
		out = Concatenate(outs, 1)
	}
	return Slice(out, AxisRange(), AxisRange(0, rows)), Reshape(state, heads, keyDim, valueDim)
}

// lowerTriangle is true at [1, i, j] where j ≤ i.
func lowerTriangle(g *Graph) *Node {
	shape := shapes.Make(dtypes.Int32, 1, deltaChunk, deltaChunk)
	return LessOrEqual(Iota(g, shape, 2), Iota(g, shape, 1))
}

// invertUnitLower is (I + L)⁻¹ for L the part below the diagonal of x [batch, chunk, chunk]. Blocks on the diagonal are inverted
// from the size of one up, two at a time: with A and B inverted, [[A, 0], [C, B]]⁻¹ = [[A⁻¹, 0], [−B⁻¹·C·A⁻¹, B⁻¹]]. That is the
// substitution by which the reference solves the system, in six steps in place of 64, and as stable.
func invertUnitLower(x *Node) *Node {
	g := x.Graph()
	below := func(size int) *Node { // the blocks C of blocks of that size
		mask := make([][]float32, deltaChunk)
		for i := range mask {
			mask[i] = make([]float32, deltaChunk)
			for j := range i {
				if i/size != j/size && i/(2*size) == j/(2*size) {
					mask[i][j] = 1
				}
			}
		}
		return Mul(x, ExpandAxes(Const(g, mask), 0))
	}
	eye := make([][]float32, deltaChunk)
	for i := range eye {
		eye[i] = make([]float32, deltaChunk)
		eye[i][i] = 1
	}
	inverse := Sub(ExpandAxes(Const(g, eye), 0), below(1))
	for size := 2; size < deltaChunk; size *= 2 {
		inverse = Sub(inverse, Einsum("bij,bjk->bik", Einsum("bij,bjk->bik", inverse, below(size)), inverse))
	}
	return inverse
}

// GatedDeltaStep is one token of each sequence of a batch: q, k [batch, heads, keyDim], v [batch, heads, valueDim], decay and
// beta [batch, heads], state [batch, heads, keyDim, valueDim] (transformers' torch_recurrent_gated_delta_rule). It returns what
// the tokens read, [batch, heads, valueDim], and the state.
func GatedDeltaStep(t Traits, q, k, v, decay, beta, state *Node) (out, newState *Node) {
	read := func(key *Node) *Node {
		if t.MulReduce {
			return ReduceSum(Mul(state, ExpandAxes(key, -1)), 2)
		}
		return Einsum("bhk,bhkv->bhv", key, state)
	}
	state = Mul(state, ExpandAxes(ExpandAxes(Exp(decay), -1), -1))
	fresh := Mul(Sub(v, read(k)), ExpandAxes(beta, -1))
	state = Add(state, Mul(ExpandAxes(k, -1), ExpandAxes(fresh, 2)))
	return read(q), state
}

// UnitLength scales the last axis of x to the length one.
func UnitLength(x *Node) *Node {
	return Mul(x, Rsqrt(AddScalar(ReduceAndKeep(Square(x), ReduceSum, -1), 1e-6)))
}

// DeltaScale is the factor on the queries of the delta rule, keyDim^-½.
func DeltaScale(keyDim int) float64 { return 1 / math.Sqrt(float64(keyDim)) }
