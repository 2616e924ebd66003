package qwen_test

import (
	"math"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/nn"
	"github.com/omnidocs/omnidocs/internal/program"
	"github.com/omnidocs/omnidocs/qwen"
)

// The log-probabilities are those of a log-softmax over the model's logits, whatever way the token was drawn; a barred token is
// not chosen.
func TestChoose(t *testing.T) {
	w := newWriter(t, openDevice(t).Runtime(), "qwen3_vl", 1)
	logits, err := w.m.Logits(t.Context(), w.layout, w.visuals)
	require.NoError(t, err)
	logits = logits[(len(w.layout.IDs)-1)*w.m.Spec.Text.VocabSize:]
	sum := 0.0
	for _, x := range logits {
		sum += math.Exp(float64(x))
	}
	h, err := w.m.Prefill(t.Context(), w.layout, w.visuals, w.cache, 0)
	require.NoError(t, err)
	defer func() { require.NoError(t, h.Close()) }()
	choose := func(d *qwen.Draw) int32 {
		c, err := w.m.Choose(t.Context(), h, d)
		require.NoError(t, err)
		token := c.Tokens[0]
		require.InDelta(t, float64(logits[token])-math.Log(sum), c.LogProbs[0], 1e-4)
		return token
	}
	best := choose(nil)
	require.Equal(t, w.want[0], best)
	draw := func(temperature float32, barred ...int32) *qwen.Draw {
		return &qwen.Draw{
			Temperature: []float32{temperature}, TopK: []int32{0}, TopP: []float32{1}, Seed: []uint32{3}, Step: []uint32{0},
			Barred: [][]int32{barred},
		}
	}
	require.NotEqual(t, best, choose(draw(5)), "it is drawn")
	second := choose(draw(0, best))
	logits[best] = float32(math.Inf(-1))
	require.EqualValues(t, slices.Index(logits, slices.Max(logits)), second)
	_, err = w.m.Choose(t.Context(), h, draw(0, 1, 2, 3, 4, 5))
	require.ErrorContains(t, err, "row 0 bars 5 tokens")
}

// BenchmarkChoose measures the output layer of a small model with Qwen3-VL's vocabulary, with the greedy choice alone and with
// the log-probability beside it.
func BenchmarkChoose(b *testing.B) {
	const vocab, hidden = 151936, 1024
	r := openDevice(b).Runtime()
	upload := func(size int, dims ...int) compute.Buffer {
		flat := make([]float32, size)
		for i := range flat {
			flat[i] = float32(i%251)/251 - 0.5
		}
		buffer, err := r.Backend.BufferFromFlatData(0, flat, shapes.Make(dtypes.Float32, dims...))
		require.NoError(b, err)
		return buffer
	}
	in := []compute.Buffer{upload(hidden, 1, hidden), upload(vocab*hidden, vocab, hidden)}
	programs := program.NewCache(r.Backend)
	defer programs.Close()
	for name, outputs := range map[string]func(logits *graph.Node) []*graph.Node{
		"greedy": func(logits *graph.Node) []*graph.Node { return []*graph.Node{nn.Greedy(logits)} },
		"log-prob": func(logits *graph.Node) []*graph.Node {
			return []*graph.Node{nn.Greedy(logits), nn.GreedyLogProb(logits)}
		},
	} {
		p, err := programs.Get(name, func(pb *program.Builder) []*graph.Node {
			x, w := pb.Input("x", dtypes.Float32, 1, hidden), pb.Input("w", dtypes.Float32, vocab, hidden)
			return outputs(nn.Dense(r.Traits, x, nn.Matrix{{W: w}}, nil))
		})
		require.NoError(b, err)
		b.Run(name, func(b *testing.B) {
			token := make([]int32, 1)
			for b.Loop() {
				out, err := p.Run(b.Context(), in)
				require.NoError(b, err)
				require.NoError(b, out[0].ToFlatData(token))
				for _, o := range out {
					require.NoError(b, o.Finalize())
				}
			}
		})
	}
}
