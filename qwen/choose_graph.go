package qwen

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/omnidocs/omnidocs/internal/nn"
	"github.com/omnidocs/omnidocs/internal/program"
)

// greedyGraph chooses the most likely token of each row: [rows, hidden] → int32 [2, rows], see chosen. See hostGreedy for where the host does.
func (m *Model) greedyGraph(rows int) func(b *program.Builder) []*Node {
	return func(b *program.Builder) []*Node {
		logits := m.logits(b, b.Input("x", dtypes.Float32, rows, m.Spec.Text.Hidden))
		return []*Node{chosen(nn.Greedy(logits), nn.GreedyLogProb(logits))}
	}
}

// sampleGraph draws a token for each row of a drawInput: → int32 [2, rows], see chosen.
func (m *Model) sampleGraph(rows int) func(b *program.Builder) []*Node {
	return func(b *program.Builder) []*Node {
		x := m.drawInput(b, rows)
		in := nn.SampleInputs{
			Temperature: b.Input("temperature", dtypes.Float32, rows),
			TopK:        b.Input("top_k", dtypes.Int32, rows),
			TopP:        b.Input("top_p", dtypes.Float32, rows),
			Seed:        b.Input("seed", dtypes.Uint32, rows),
			Step:        b.Input("step", dtypes.Uint32, rows),
			Barred:      b.Input("barred", dtypes.Int32, rows, MaxBarred),
		}
		logits := m.drawLogits(b, x)
		tokens := nn.Sample(logits, in)
		return []*Node{chosen(tokens, nn.LogProb(logits, tokens))}
	}
}

// drawInput is what a token is drawn from: logits [rows, vocab] where the host computes them, or else hidden states [rows, hidden].
func (m *Model) drawInput(b *program.Builder, rows int) *Node {
	if m.hostHead() {
		return b.Input("logits", dtypes.Float32, rows, m.Spec.Text.VocabSize)
	}
	return b.Input("x", dtypes.Float32, rows, m.Spec.Text.Hidden)
}

// drawLogits are the logits [rows, vocab] of a drawInput. The weights that they take follow all inputs.
func (m *Model) drawLogits(b *program.Builder, x *Node) *Node {
	if m.hostHead() {
		return x
	}
	return m.logits(b, x)
}

// chosen packs tokens and the bits of their log-probabilities, [rows] each, into int32 [2, rows]: one transfer to the host.
func chosen(tokens, logProbs *Node) *Node {
	return Stack([]*Node{tokens, Bitcast(logProbs, dtypes.Int32)}, 0)
}
