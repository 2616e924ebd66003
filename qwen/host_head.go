package qwen

import (
	"context"

	"github.com/omnidocs/omnidocs/internal/hostmath"
	"github.com/omnidocs/omnidocs/internal/program"
)

// hostHead says whether the host computes the logits itself that a token is chosen from.
func (m *Model) hostHead() bool { return m.hostComputes(layerKind{}) && hostmath.HasVectors() }

// hostGreedy is Choose for the most likely tokens. Rows that stand for nothing get token 0.
func (m *Model) hostGreedy(ctx context.Context, h *Hidden) (*Chosen, error) {
	c := &Chosen{Tokens: make([]int32, h.rows), LogProbs: make([]float32, h.rows)}
	return c, m.hostLogits(ctx, h, func(rows []int, logits []float32) error {
		vocab := m.Spec.Text.VocabSize
		program.Paced(ctx, func() {
			hostmath.Parallel(len(rows), 8*vocab, func(from, to int) {
				for i := from; i < to; i++ {
					token, prob := hostmath.Greedy(logits[i*vocab:][:vocab])
					c.Tokens[rows[i]], c.LogProbs[rows[i]] = int32(token), prob
				}
			})
		})
		return nil
	})
}

// hostLogits is the output layer as the host runs it, for the rows that stand for something. It lends f these rows and their logits,
// [n, vocab], in room for those of all rows.
func (m *Model) hostLogits(ctx context.Context, h *Hidden, f func(rows []int, logits []float32) error) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	x, err := hostView[float32](h.x)
	if err != nil {
		return err
	}
	host, err := m.onHost()
	if err != nil {
		return err
	}
	t := m.Spec.Text
	room, _ := m.logitsRoom.Get().(*[]float32)
	if room == nil || cap(*room) < h.rows*t.VocabSize {
		fresh := make([]float32, h.rows*t.VocabSize)
		room = &fresh
	}
	defer m.logitsRoom.Put(room)
	rows, logits := h.active, (*room)[:h.rows*t.VocabSize]
	if rows == nil {
		for row := range h.rows {
			rows = append(rows, row)
		}
	}
	normed := make([]float32, len(rows)*t.Hidden)
	program.Paced(ctx, func() {
		for i, row := range rows {
			hostmath.RMSNorm(normed[i*t.Hidden:][:t.Hidden], x[row*t.Hidden:][:t.Hidden], host.head.vector("model.language_model.norm.weight"), t.NormEps)
		}
		host.table.Mul(logits, normed, len(rows))
	})
	return f(rows, logits)
}

// spread moves the rows at the front of x to where they belong, which are in order, and clears the others.
func spread(x []float32, rows []int, width int) {
	end := len(x)
	for i := len(rows) - 1; i >= 0; i-- { // no row has gone where one is that has not
		to := x[rows[i]*width:][:width]
		copy(to, x[i*width:][:width])
		clear(x[(rows[i]+1)*width : end])
		end = rows[i] * width
	}
	clear(x[:end])
}
