package nn

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// SampleInputs are what a draw depends on, one row a sequence.
type SampleInputs struct {
	// Temperature [batch] float32 divides the logits; 0 means greedy.
	Temperature *Node
	// TopK [batch] int32 keeps the k most likely tokens; 0 means all.
	TopK *Node
	// TopP [batch] float32 keeps the smallest set of most likely tokens that has that much of the probability.
	TopP *Node
	// Seed [batch] uint32 and Step [batch] uint32, the number of the token in its sequence, make the draw: nothing else does,
	// so that a sequence draws the same tokens alone and in a batch.
	Seed, Step *Node
	// Barred [batch, any] int32 are tokens that are not drawn, greedily neither; a negative one bars nothing. Nil bars none.
	Barred *Node
}

// Greedy returns the index of the largest logit of each row: logits [batch, vocab] → int32 [batch].
func Greedy(logits *Node) *Node { return ArgMax(logits, -1, dtypes.Int32) }

// Sample draws a token a row from logits [batch, vocab], in the order of transformers' generation: temperature, top-k,
// top-p. It returns int32 [batch].
//
// The thresholds of top-k and top-p are found by bisection over the bits of the float32 logits, which is exact and needs no
// sort (a sort of 150,000 logits is slow on every backend and impossible inside a loop of the graph). Where several tokens
// share the threshold's logit all of them are kept. The draw is Gumbel-max with a counter-based hash, which gives the
// same bits on every backend.
func Sample(logits *Node, in SampleInputs) *Node {
	g := logits.Graph()
	batch, vocab := logits.Shape().Dim(0), logits.Shape().Dim(1)
	column := func(x *Node) *Node { return Reshape(x, batch, 1) }
	if in.Barred != nil {
		logits = bar(logits, in.Barred)
	}
	greedy := Greedy(logits)
	cold := Equal(in.Temperature, ScalarZero(g, dtypes.Float32)) // [batch]
	temperature := Where(cold, ScalarOne(g, dtypes.Float32), in.Temperature)
	scaled := Div(logits, column(temperature)) // [batch, vocab]

	order := sortable(scaled) // int32 [batch, vocab]: larger logit, larger integer
	k := Where(Equal(in.TopK, Scalar(g, dtypes.Int32, 0)), Scalar(g, dtypes.Int32, vocab), in.TopK)
	atLeastK := func(threshold *Node) *Node {
		kept := ConvertDType(GreaterOrEqual(order, column(threshold)), dtypes.Int32)
		return GreaterOrEqual(ReduceSum(kept, -1), k)
	}
	byK := GreaterOrEqual(order, column(largest(batch, g, atLeastK)))

	top := ReduceAndKeep(scaled, ReduceMax, -1)
	weights := Where(byK, Exp(Sub(scaled, top)), ScalarZero(g, dtypes.Float32)) // not normalized
	need := Mul(in.TopP, ReduceSum(weights, -1))
	atLeastP := func(threshold *Node) *Node {
		kept := Where(GreaterOrEqual(order, column(threshold)), weights, ScalarZero(g, dtypes.Float32))
		return GreaterOrEqual(ReduceSum(kept, -1), need)
	}
	byP := GreaterOrEqual(order, column(largest(batch, g, atLeastP)))
	// At TopP = 1 rounding may leave a sum just below what is needed: then all that top-k keeps is kept.
	all := Equal(in.TopP, ScalarOne(g, dtypes.Float32))
	kept := LogicalAnd(byK, LogicalOr(byP, BroadcastToDims(column(all), batch, vocab)))

	noisy := Add(scaled, gumbel(g, batch, vocab, column(in.Seed), column(in.Step)))
	drawn := ArgMax(Where(kept, noisy, Scalar(g, dtypes.Float32, masked)), -1, dtypes.Int32)
	return Where(cold, greedy, drawn)
}

// bar gives the logits [batch, vocab] of the barred tokens [batch, any] a value that is never chosen.
func bar(logits, barred *Node) *Node {
	g := logits.Graph()
	batch, vocab := logits.Shape().Dim(0), logits.Shape().Dim(1)
	index := Iota(g, shapes.Make(dtypes.Int32, batch, vocab), 1)
	for i := range barred.Shape().Dim(1) { // a comparison each, so that the compiler makes one pass of them
		token := Slice(barred, AxisRange(), AxisRange(i, i+1)) // [batch, 1]
		logits = Where(Equal(index, token), Scalar(g, dtypes.Float32, masked), logits)
	}
	return logits
}

// GreedyLogProb is [LogProb] of the tokens that [Greedy] chooses, with less to do.
func GreedyLogProb(logits *Node) *Node { return Neg(logSumExp(logits)) }

// LogProb is the natural logarithm of the probability that the logits [batch, vocab] give to a token of each row, int32 [batch],
// by softmax: float32 [batch].
func LogProb(logits, tokens *Node) *Node {
	g := logits.Graph()
	batch := logits.Shape().Dim(0)
	row := Iota(g, shapes.Make(dtypes.Int32, batch, 1), 0)
	chosen := Gather(logits, Concatenate([]*Node{row, Reshape(tokens, batch, 1)}, -1)) // [batch]
	return Sub(Sub(chosen, ReduceMax(logits, -1)), logSumExp(logits))
}

// logSumExp is log Σ exp(x - max x) over the last axis.
func logSumExp(x *Node) *Node {
	return Log(ReduceSum(Exp(Sub(x, ReduceAndKeep(x, ReduceMax, -1))), -1))
}

// sortable maps float32 to int32 so that the order is kept (negative numbers have their other bits flipped).
func sortable(x *Node) *Node {
	bits := Bitcast(x, dtypes.Int32)
	flipped := BitwiseXor(bits, Scalar(x.Graph(), dtypes.Int32, math.MaxInt32))
	return Where(LessThan(bits, Scalar(x.Graph(), dtypes.Int32, 0)), flipped, bits)
}

// largest finds, a row, the largest int32 threshold for which enough still holds, given that it holds for the smallest
// one and that it does not come back once it is lost: a bisection of 32 steps.
func largest(batch int, g *Graph, enough func(threshold *Node) *Node) *Node {
	shape := shapes.Make(dtypes.Int32, batch)
	t := BroadcastToShape(Scalar(g, dtypes.Int32, math.MinInt32), shape)
	for bit := 31; bit >= 0; bit-- {
		// From the smallest integer up, setting a bit adds it; the first step adds 2^31, which wraps around to 0.
		step := int32(math.MinInt32)
		if bit < 31 {
			step = 1 << bit
		}
		next := Add(t, Scalar(g, dtypes.Int32, step))
		t = Where(enough(next), next, t)
	}
	return t
}

// gumbel is standard Gumbel noise [batch, vocab] from a hash of seed, step (uint32 [batch, 1] each) and column.
func gumbel(g *Graph, batch, vocab int, seed, step *Node) *Node {
	h := Iota(g, shapes.Make(dtypes.Uint32, batch, vocab), 1)
	h = mix(Add(h, mix(Add(seed, mix(Add(step, Scalar(g, dtypes.Uint32, uint32(0x9e3779b9))))))))
	// 24 bits give uniform numbers strictly between 0 and 1.
	u := MulScalar(AddScalar(ConvertDType(shiftRight(h, 8), dtypes.Float32), 0.5), 1.0/(1<<24))
	return Neg(Log(Neg(Log(u))))
}

// mix is the finalizer of MurmurHash3, which spreads each bit of x over all of the result.
func mix(x *Node) *Node {
	g := x.Graph()
	x = BitwiseXor(x, shiftRight(x, 16))
	x = Mul(x, Scalar(g, dtypes.Uint32, uint32(0x85ebca6b)))
	x = BitwiseXor(x, shiftRight(x, 13))
	x = Mul(x, Scalar(g, dtypes.Uint32, uint32(0xc2b2ae35)))
	return BitwiseXor(x, shiftRight(x, 16))
}

func shiftRight(x *Node, bits uint32) *Node {
	return BitwiseShiftRightLogical(x, Scalar(x.Graph(), dtypes.Uint32, bits))
}
