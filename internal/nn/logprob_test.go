package nn_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/nn"
)

// logSoftmax is the reference, in float64.
func logSoftmax(logits []float32, token int) float64 {
	top := float64(slices.Max(logits))
	sum := 0.0
	for _, x := range logits {
		sum += math.Exp(float64(x) - top)
	}
	return float64(logits[token]) - top - math.Log(sum)
}

func TestLogProb(t *testing.T) {
	const rows, vocab = 5, 3000
	b := goBackend(t)
	r := rand.New(rand.NewPCG(3, 4))
	logits := make([]float32, rows*vocab)
	tokens, best := make([]int32, rows), make([]int, rows)
	for row := range rows {
		of := logits[row*vocab:][:vocab]
		for i := range of { // from flat to so sharp that one token has it all
			of[i] = float32(r.NormFloat64()*math.Pow(4, float64(row))) + 100*float32(row-2)
		}
		tokens[row] = int32(r.IntN(vocab))
		best[row] = slices.Index(of, slices.Max(of))
	}
	in := []input{floats(logits, rows, vocab), {tokens, dtypes.Int32, []int{rows}}}
	any := run(t, b, in, func(in []*graph.Node) *graph.Node { return nn.LogProb(in[0], in[1]) })
	greedy := run(t, b, in[:1], func(in []*graph.Node) *graph.Node { return nn.GreedyLogProb(in[0]) })
	for row := range rows {
		of := logits[row*vocab:][:vocab]
		// float32 sums of up to 3000 numbers.
		want := logSoftmax(of, int(tokens[row]))
		require.InDelta(t, want, any[row], 1e-5*math.Max(1, math.Abs(want)), "row %d", row)
		require.InDelta(t, logSoftmax(of, best[row]), greedy[row], 1e-5, "row %d", row)
	}
}

// What is barred is not chosen, in its own row.
func TestBarred(t *testing.T) {
	b := goBackend(t)
	logits := slices.Repeat([]float32{-3, 5, 4.9, -100, 0.5, 1, 4, 2}, 3)
	barred := []int32{-1, -1, 1, -1, 2, 1}
	for _, temperature := range []float32{0, 0.5} {
		in := []input{
			floats(logits, 3, 8), floats(slices.Repeat([]float32{temperature}, 3), 3), {make([]int32, 3), dtypes.Int32, []int{3}},
			floats([]float32{1e-9, 1e-9, 1e-9}, 3), {make([]uint32, 3), dtypes.Uint32, []int{3}}, {make([]uint32, 3), dtypes.Uint32, []int{3}},
			{barred, dtypes.Int32, []int{3, 2}},
		}
		out := run(t, b, in, func(in []*graph.Node) *graph.Node {
			return nn.Sample(in[0], nn.SampleInputs{Temperature: in[1], TopK: in[2], TopP: in[3], Seed: in[4], Step: in[5], Barred: in[6]})
		})
		require.Equal(t, []float32{1, 2, 6}, out, "temperature %g", temperature)
	}
}
