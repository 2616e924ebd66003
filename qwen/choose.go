package qwen

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute"
)

// MaxBarred is how many tokens can be barred in one row of a Choose.
const MaxBarred = 4

// Draw says how a token is chosen, one a row. All slices have as many entries as there are rows.
type Draw struct {
	// Temperature divides the logits; 0 is greedy.
	Temperature []float32
	// TopK keeps the k most likely tokens, 0 all; TopP, in (0, 1], the most likely ones that have that much of the probability.
	TopK []int32
	TopP []float32
	// Seed and Step, the number of the token in its answer, make the draw.
	Seed, Step []uint32
	// Barred are tokens that a row must not choose, at most [MaxBarred]. Nil bars none in any row.
	Barred [][]int32
}

// greedy says whether no row is drawn, and none is barred a token.
func (d *Draw) greedy() bool {
	if d == nil {
		return true
	}
	for _, t := range d.Temperature {
		if t != 0 {
			return false
		}
	}
	for _, barred := range d.Barred {
		if len(barred) > 0 {
			return false
		}
	}
	return true
}

// barred is Barred as the program takes it: MaxBarred a row, filled up with -1.
func (d *Draw) barred(rows int) ([]int32, error) {
	flat := slices.Repeat([]int32{-1}, rows*MaxBarred)
	for row, tokens := range d.Barred {
		if len(tokens) > MaxBarred {
			return nil, fmt.Errorf("row %d bars %d tokens, at most %d can be", row, len(tokens), MaxBarred)
		}
		copy(flat[row*MaxBarred:], tokens)
	}
	return flat, nil
}

// Chosen are tokens that were chosen, one a row.
type Chosen struct {
	// Tokens are their ids.
	Tokens []int32
	// LogProbs are the natural logarithms of the probabilities that the model gave them: of the softmax of its logits as they are,
	// before temperature, top-k, top-p and what was barred, so that they say the same however the tokens were drawn. They may
	// differ in their last digits between batches of different sizes, as the sums in a product of matrices do.
	LogProbs []float32
}

// Choose picks the next token of each row, greedily where draw is nil: on the device, or on the host where that runs the step. Rows of slots that
// were not active in the step get any token.
func (m *Model) Choose(ctx context.Context, h *Hidden, draw *Draw) (chosen *Chosen, err error) {
	if m.hostHead() && draw.greedy() {
		c, err := m.hostGreedy(ctx, h)
		if err != nil {
			return nil, fmt.Errorf("qwen: choose: %w", err)
		}
		return c, nil
	}
	var scratch buffers
	defer func() { err = errors.Join(err, scratch.free()) }()
	inputs, groups := []compute.Buffer{h.x}, m.headGroups()
	if m.hostHead() {
		err := m.hostLogits(ctx, h, func(rows []int, logits []float32) (err error) {
			spread(logits, rows, m.Spec.Text.VocabSize)
			inputs[0], err = scratch.keep(m, logits, h.rows, m.Spec.Text.VocabSize)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("qwen: choose: %w", err)
		}
		groups = nil
	}
	name, build := "greedy", m.greedyGraph(h.rows)
	if !draw.greedy() {
		name, build = "sample", m.sampleGraph(h.rows)
		var drawn buffers
		err := m.keepDraw(&drawn, draw, h.rows)
		scratch = append(scratch, drawn...)
		if err != nil {
			return nil, fmt.Errorf("qwen: choose: %w", err)
		}
		inputs = append(inputs, drawn...) // a program's weights follow its inputs
	}
	out, err := m.run(ctx, fmt.Sprintf("%s %d", name, h.rows), build, inputs, groups...)
	if err != nil {
		return nil, fmt.Errorf("qwen: choose: %w", err)
	}
	packed := make([]int32, 2*h.rows)
	if err := errors.Join(out[0].ToFlatData(packed), out[0].Finalize()); err != nil {
		return nil, fmt.Errorf("qwen: choose: %w", err)
	}
	c := &Chosen{Tokens: packed[:h.rows:h.rows], LogProbs: make([]float32, h.rows)}
	for i, bits := range packed[h.rows:] {
		c.LogProbs[i] = math.Float32frombits(uint32(bits))
	}
	return c, nil
}

// headGroups are the groups of weights that the output layer reads.
func (m *Model) headGroups() []string {
	if m.Spec.Text.Tied {
		return []string{groupHead, groupEmbedding}
	}
	return []string{groupHead}
}

// keepDraw puts a draw on the device, in the order in which the programs take it.
func (m *Model) keepDraw(scratch *buffers, draw *Draw, rows int) error {
	for _, column := range []any{draw.Temperature, draw.TopK, draw.TopP, draw.Seed, draw.Step} {
		if _, err := scratch.keep(m, column, rows); err != nil {
			return err
		}
	}
	barred, err := draw.barred(rows)
	if err != nil {
		return err
	}
	_, err = scratch.keep(m, barred, rows, MaxBarred)
	return err
}

// Logits returns the logits of all tokens of a prompt, [tokens, vocab] row by row. It is for checks against a reference:
// reading a page needs those of the last token alone, and not on the host.
func (m *Model) Logits(ctx context.Context, l *Layout, visual []*Visual) (logits []float32, err error) {
	drop := func(_ int, left []compute.Buffer) error { return buffers(left).free() }
	p, err := m.prompt(ctx, l, visual, PromptOptions{}, true, drop)
	if err != nil {
		return nil, fmt.Errorf("qwen: logits: %w", err)
	}
	defer func() { err = errors.Join(err, p.free()) }()
	x, rows := p.stripes[0].x, p.rows
	if len(p.stripes) > 1 {
		if x, err = m.join(ctx, 0, p.states()); err != nil {
			return nil, fmt.Errorf("qwen: logits: %w", err)
		}
		defer func() { err = errors.Join(err, x.Finalize()) }()
	}
	out, err := m.run(ctx, fmt.Sprintf("logits %d", rows), m.logitsGraph(rows), []compute.Buffer{x}, m.headGroups()...)
	if err != nil {
		return nil, fmt.Errorf("qwen: logits: %w", err)
	}
	logits = make([]float32, rows*m.Spec.Text.VocabSize)
	if err := errors.Join(out[0].ToFlatData(logits), out[0].Finalize()); err != nil {
		return nil, fmt.Errorf("qwen: logits: %w", err)
	}
	return logits[:len(l.IDs)*m.Spec.Text.VocabSize], nil
}

// Rows copies an image's visual tokens to the host, [tokens, hidden] row by row, and those that go into the first text
// layers, one slice a layer.
func (v *Visual) Rows() (rows []float32, deepstack [][]float32, err error) {
	fetch := func(b compute.Buffer) []float32 {
		shape, e := b.Shape()
		if e != nil {
			err = errors.Join(err, e)
			return nil
		}
		flat := make([]float32, shape.Size())
		err = errors.Join(err, b.ToFlatData(flat))
		hidden := shape.Dimensions[1]
		out := make([]float32, v.tokens*hidden)
		for row, token := range v.order {
			if token >= 0 {
				copy(out[int(token)*hidden:], flat[row*hidden:(row+1)*hidden])
			}
		}
		return out
	}
	rows = fetch(v.rows)
	for _, d := range v.deepstack {
		deepstack = append(deepstack, fetch(d))
	}
	return rows, deepstack, err
}
