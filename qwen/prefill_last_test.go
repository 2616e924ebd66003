package qwen_test

import (
	"math"
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/qwen"
)

// The first token is what the logits of all rows say of the last one, in every generation and however the prompt is run: Logits takes all rows
// through the last layer, Prompt the last one alone.
func TestLastLayer(t *testing.T) {
	eachPrefixCase(t, func(t *testing.T, m *qwen.Model, c prefixCase) { //nolint:thelper // it is the test
		allowed := 1e-3 // other orders of the same sums
		if c.dtype != dtypes.InvalidDType {
			allowed = 0.05 // XLA rounds what it multiplies with narrow weights to 8 bits, the host does not; 0.032 was seen
		}
		a := asker{t, m}
		for number, size := range [][2]int{{9, 10}, {3, 4}} {
			page := a.pageOf(number, size[0], size[1])
			l := a.layout(page, qwen.Prompt{Text: "qwenvl markdown"})
			all, err := m.Logits(t.Context(), l, []*qwen.Visual{page.visual})
			require.NoError(t, err)
			p := a.prompt(l, page.visual, qwen.PromptOptions{})
			chosen, err := m.Choose(t.Context(), p.Hidden, nil)
			require.NoError(t, err)
			require.NoError(t, p.Close())
			last := all[len(all)-m.Spec.Text.VocabSize:]
			best, sum := slices.Max(last), 0.0
			for _, v := range last {
				sum += math.Exp(float64(v - best))
			}
			require.InDelta(t, best, last[chosen.Tokens[0]], allowed)
			require.InDelta(t, -math.Log(sum), chosen.LogProbs[0], allowed)
		}
	})
}
