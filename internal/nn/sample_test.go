package nn_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/nn"
)

func goBackend(t testing.TB) compute.Backend {
	t.Helper()
	b, err := gobackend.New("")
	require.NoError(t, err)
	t.Cleanup(b.Finalize)
	return b
}

// run builds a graph on inputs, each a flat slice with its dimensions, and returns its outputs as float32.
func run(t testing.TB, b compute.Backend, inputs []input, build func(in []*graph.Node) *graph.Node) []float32 {
	t.Helper()
	g := graph.NewGraph(b, t.Name())
	var nodes []*graph.Node
	var buffers []compute.Buffer
	for i, in := range inputs {
		shape := shapes.Make(in.dtype, in.dims...)
		nodes = append(nodes, graph.Parameter(g, string(rune('a'+i)), shape))
		buffer, err := b.BufferFromFlatData(0, in.flat, shape)
		require.NoError(t, err)
		buffers = append(buffers, buffer)
	}
	require.NoError(t, g.Compile(graph.ConvertDType(build(nodes), dtypes.Float32)))
	outputs, err := g.Executable().Execute(buffers, nil, 0)
	require.NoError(t, err)
	shape, err := outputs[0].Shape()
	require.NoError(t, err)
	flat := make([]float32, shape.Size())
	require.NoError(t, outputs[0].ToFlatData(flat))
	return flat
}

type input struct {
	flat  any
	dtype dtypes.DType
	dims  []int
}

func floats(flat []float32, dims ...int) input { return input{flat, dtypes.Float32, dims} }

// sample draws one token for each row of logits.
func sample(t testing.TB, b compute.Backend, logits []float32, vocab int, temperature, topP float32, topK int32, seeds, steps []uint32) []int {
	t.Helper()
	rows := len(logits) / vocab
	inputs := []input{
		floats(logits, rows, vocab),
		floats(slices.Repeat([]float32{temperature}, rows), rows),
		{slices.Repeat([]int32{topK}, rows), dtypes.Int32, []int{rows}},
		floats(slices.Repeat([]float32{topP}, rows), rows),
		{seeds, dtypes.Uint32, []int{rows}},
		{steps, dtypes.Uint32, []int{rows}},
	}
	out := run(t, b, inputs, func(in []*graph.Node) *graph.Node {
		return nn.Sample(in[0], nn.SampleInputs{Temperature: in[1], TopK: in[2], TopP: in[3], Seed: in[4], Step: in[5]})
	})
	tokens := make([]int, rows)
	for i := range tokens {
		tokens[i] = int(out[i])
	}
	return tokens
}

// probabilities is the reference: transformers' TemperatureLogitsWarper, TopKLogitsWarper and TopPLogitsWarper.
func probabilities(logits []float32, temperature, topP float64, topK int) []float64 {
	order := make([]int, len(logits))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case logits[a] > logits[b]:
			return -1
		case logits[a] < logits[b]:
			return 1
		}
		return 0
	})
	if topK > 0 && topK < len(order) {
		order = order[:topK]
	}
	p := make([]float64, len(logits))
	top := float64(logits[order[0]])
	normalize := func(keep []int) {
		sum := 0.0
		for _, i := range keep {
			sum += math.Exp((float64(logits[i]) - top) / temperature)
		}
		clear(p)
		for _, i := range keep {
			p[i] = math.Exp((float64(logits[i])-top)/temperature) / sum
		}
	}
	normalize(order)
	sum := 0.0
	for n, i := range order {
		if sum += p[i]; sum >= topP {
			normalize(order[:n+1])
			break
		}
	}
	return p
}

// Draws have the probabilities that transformers' warpers leave, and never a token that they drop.
func TestSampleDistribution(t *testing.T) {
	const vocab, draws = 40, 4000
	b := goBackend(t)
	r := rand.New(rand.NewPCG(1, 2))
	logits := make([]float32, vocab)
	for i := range logits {
		logits[i] = float32(r.NormFloat64() * 2) // of both signs
	}
	rows := slices.Repeat(logits, draws)
	seeds, steps := make([]uint32, draws), make([]uint32, draws)
	for i := range seeds {
		seeds[i], steps[i] = uint32(i%7), uint32(i/7)
	}
	for name, test := range map[string]struct {
		temperature, topP float32
		topK              int32
	}{
		"temperature 1":    {1, 1, 0},
		"temperature 0.5":  {0.5, 1, 0},
		"top-k 5":          {1, 1, 5},
		"top-p 0.7":        {1, 0.7, 0},
		"all of them":      {1.5, 0.8, 12},
		"top-k over vocab": {1, 1, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			want := probabilities(logits, float64(test.temperature), float64(test.topP), int(test.topK))
			counts := make([]float64, vocab)
			for _, token := range sample(t, b, rows, vocab, test.temperature, test.topP, test.topK, seeds, steps) {
				counts[token]++
			}
			for i, p := range want {
				if p == 0 {
					require.Zero(t, counts[i], "token %d is dropped", i)
					continue
				}
				// Five standard deviations of a binomial: one failure in a million.
				require.InDelta(t, p*draws, counts[i], 5*math.Sqrt(p*(1-p)*draws)+1, "token %d", i)
			}
		})
	}
}

func TestSampleGreedyAndSeeds(t *testing.T) {
	b := goBackend(t)
	logits := []float32{-3, 5, 4.9, -100, 0.5, 1, 5, 2}
	two := slices.Repeat(logits, 2)
	require.Equal(t, []int{1, 1}, sample(t, b, two, 8, 0, 1, 0, []uint32{1, 2}, []uint32{0, 0}), "the first of equals")
	// With the threshold's logit shared, all of its tokens are kept.
	seen := map[int]bool{}
	for seed := range uint32(40) {
		seen[sample(t, b, logits, 8, 1, 1, 1, []uint32{seed}, []uint32{3})[0]] = true
	}
	require.Equal(t, map[int]bool{1: true, 6: true}, seen)

	flat := make([]float32, 1000)
	draw := func(seed, step uint32) int {
		return sample(t, b, flat, 1000, 1, 1, 0, []uint32{seed}, []uint32{step})[0]
	}
	require.Equal(t, draw(5, 6), draw(5, 6))
	require.NotEqual(t, draw(5, 6), draw(6, 6))
	require.NotEqual(t, draw(5, 6), draw(5, 7))
	row := sample(t, b, slices.Repeat(flat, 3), 1000, 1, 1, 0, []uint32{9, 5, 9}, []uint32{6, 6, 6})
	require.Equal(t, draw(5, 6), row[1], "a row does not depend on its neighbors")
	require.Equal(t, row[0], row[2])
}
