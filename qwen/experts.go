package qwen

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/omnidocs/omnidocs/internal/nn"
	"github.com/omnidocs/omnidocs/internal/program"
)

// This file sends tokens to experts (transformers' Qwen3VLMoeTextSparseMoeBlock). The host chooses, by the router's scores, and
// then calls one program for each expert that has been chosen, with the tokens that go to it: the weights of the others are
// never read.

// expertGraph adds one expert's output to the residual: acc and h [rows, hidden], of which the expert gets the rows at index
// (int32 [n]), times weight [n].
func (m *Model) expertGraph(rows, n int) func(b *program.Builder) []*Node {
	t, traits := m.local.Text, m.runtime.Traits
	return func(b *program.Builder) []*Node {
		acc := b.Input("acc", dtypes.Float32, rows, t.Hidden)
		h := b.Input("h", dtypes.Float32, rows, t.Hidden)
		index := ExpandAxes(b.Input("index", dtypes.Int32, n), -1)
		weight := b.Input("weight", dtypes.Float32, n)
		p := m.declare(b, expertParams(t, 0)) // all are alike
		y := nn.SwiGLU(nn.Dense(traits, Gather(h, index), p["gate_up"], nil))
		y = Mul(program.Sum(nn.Dense(traits, y, p["down"], nil)), ExpandAxes(weight, -1))
		b.Alias(0, 0)
		return []*Node{ScatterSum(acc, index, y, false, false)}
	}
}

// assignment is what one expert gets: rows and what its output counts in each.
type assignment struct {
	index  []int32
	weight []float32
}

// route chooses each live row's experts: the largest of the softmax of its scores, which are then divided by their sum.
func route(moe MoESpec, scores []float32, live []bool) []assignment {
	to := make([]assignment, moe.Experts)
	chosen := make([]int, 0, moe.TopK)
	for row, on := range live {
		if !on {
			continue
		}
		s := scores[row*moe.Experts:][:moe.Experts]
		chosen = chosen[:0]
		taken := func(e int) bool {
			for _, c := range chosen {
				if c == e {
					return true
				}
			}
			return false
		}
		for range moe.TopK {
			best := -1
			for e, v := range s {
				if (best < 0 || v > s[best]) && !taken(e) {
					best = e
				}
			}
			chosen = append(chosen, best)
		}
		// The softmax's own sum falls out of the division.
		sum := 0.0
		for _, e := range chosen {
			sum += math.Exp(float64(s[e] - s[chosen[0]]))
		}
		for _, e := range chosen {
			to[e].index = append(to[e].index, int32(row))
			to[e].weight = append(to[e].weight, float32(math.Exp(float64(s[e]-s[chosen[0]]))/sum))
		}
	}
	return to
}

// mix ends a layer with experts: x, the input of the experts and the router's scores, as feedForward returned them, become
// the layer's output. It takes all three buffers.
func (m *Model) mix(ctx context.Context, layer int, x, h, scores compute.Buffer, rows int, live []bool) (_ compute.Buffer, err error) {
	moe := m.Spec.Text.MoE
	defer func() { err = errors.Join(err, buffers{h, scores}.free()) }()
	flat := make([]float32, rows*moe.Experts)
	if err := scores.ToFlatData(flat); err != nil {
		return nil, errors.Join(err, x.Finalize())
	}
	for e, a := range route(moe, flat, live) {
		if len(a.index) == 0 {
			continue
		}
		next, err := m.expert(ctx, groupExpert(layer, e), x, h, rows, a)
		if err != nil {
			return nil, err
		}
		x = next
	}
	return x, nil
}

// expert runs one expert. It takes x, whatever becomes of it.
func (m *Model) expert(ctx context.Context, group string, x, h compute.Buffer, rows int, a assignment) (_ compute.Buffer, err error) {
	var scratch buffers
	defer func() { err = errors.Join(err, scratch.free()) }()
	n := len(a.index)
	if !m.runtime.ExactShapes { // up to a power of two, with rows that count nothing
		for n&(n-1) != 0 {
			n++
		}
		a.index, a.weight = append(a.index, make([]int32, n-len(a.index))...), append(a.weight, make([]float32, n-len(a.weight))...)
	}
	p, err := m.programs.Get(fmt.Sprintf("expert %d %d", rows, n), m.expertGraph(rows, n))
	if err != nil {
		return nil, errors.Join(err, x.Finalize())
	}
	if _, err := scratch.keep(m, a.index, n); err != nil {
		return nil, errors.Join(err, x.Finalize())
	}
	if _, err := scratch.keep(m, a.weight, n); err != nil {
		return nil, errors.Join(err, x.Finalize())
	}
	in := append([]compute.Buffer{x, h, scratch[0], scratch[1]}, m.weights[group]...)
	out, err := p.Run(ctx, in, 0)
	if err != nil {
		if ctx.Err() != nil { // the call was not made
			err = errors.Join(err, x.Finalize())
		}
		return nil, err
	}
	return out[0], nil
}
