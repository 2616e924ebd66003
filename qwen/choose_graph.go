package qwen

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/omnidocs/omnidocs/internal/nn"
	"github.com/omnidocs/omnidocs/internal/program"
)

// greedyGraph chooses the most likely token of each row: [rows, hidden] → int32 [2, rows], see chosen.
func (m *Model) greedyGraph(rows int) func(b *program.Builder) []*Node {
	return func(b *program.Builder) []*Node {
		logits := m.logits(b, b.Input("x", dtypes.Float32, rows, m.Spec.Text.Hidden))
		return []*Node{chosen(nn.Greedy(logits), nn.GreedyLogProb(logits))}
	}
}

// sampleGraph draws a token for each row: [rows, hidden] → int32 [2, rows], see chosen.
func (m *Model) sampleGraph(rows int) func(b *program.Builder) []*Node {
	return func(b *program.Builder) []*Node {
		x := b.Input("x", dtypes.Float32, rows, m.Spec.Text.Hidden)
		in := nn.SampleInputs{
			Temperature: b.Input("temperature", dtypes.Float32, rows),
			TopK:        b.Input("top_k", dtypes.Int32, rows),
			TopP:        b.Input("top_p", dtypes.Float32, rows),
			Seed:        b.Input("seed", dtypes.Uint32, rows),
			Step:        b.Input("step", dtypes.Uint32, rows),
			Barred:      b.Input("barred", dtypes.Int32, rows, MaxBarred),
		}
		logits := m.logits(b, x)
		tokens := nn.Sample(logits, in)
		return []*Node{chosen(tokens, nn.LogProb(logits, tokens))}
	}
}

// chosen packs tokens and the bits of their log-probabilities, [rows] each, into int32 [2, rows]: one transfer to the host.
func chosen(tokens, logProbs *Node) *Node {
	return Stack([]*Node{tokens, Bitcast(logProbs, dtypes.Int32)}, 0)
}
