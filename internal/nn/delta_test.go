package nn_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/nn"
)

// delta is a sequence for the gated delta rule: one slice a row and head.
type delta struct {
	heads, rows, keyDim, valueDim int
	q, k, v, decay, beta, state   []float32
}

// run is the definition, a token at a time in float64. It returns what the tokens read and the state behind them.
func (d delta) run() (out, state []float64) {
	out = make([]float64, d.heads*d.rows*d.valueDim)
	for _, s := range d.state {
		state = append(state, float64(s))
	}
	for h := range d.heads {
		s := state[h*d.keyDim*d.valueDim:][:d.keyDim*d.valueDim]
		for r := range d.rows {
			at := h*d.rows + r
			for i := range s {
				s[i] *= math.Exp(float64(d.decay[at]))
			}
			for j := range d.valueDim {
				read := 0.0
				for i := range d.keyDim {
					read += float64(d.k[at*d.keyDim+i]) * s[i*d.valueDim+j]
				}
				fresh := float64(d.beta[at]) * (float64(d.v[at*d.valueDim+j]) - read)
				for i := range d.keyDim {
					s[i*d.valueDim+j] += float64(d.k[at*d.keyDim+i]) * fresh
					out[at*d.valueDim+j] += float64(d.q[at*d.keyDim+i]) * s[i*d.valueDim+j]
				}
			}
		}
	}
	return out, state
}

// newDelta makes a sequence with keys of length one. A stubborn one has the same key throughout, forgets nothing and writes
// over all: the worst for an inverse that is not built by substitution.
func newDelta(rows int, stubborn bool) delta {
	r := rand.New(rand.NewPCG(11, uint64(rows)))
	d := delta{heads: 2, rows: rows, keyDim: 4, valueDim: 3}
	d.q, d.k, d.v = random(r, 2*rows*4), random(r, 2*rows*4), random(r, 2*rows*3)
	d.state = random(r, 2*4*3)
	for i := range 2 * rows {
		key := d.k[i*4 : i*4+4]
		if stubborn {
			copy(key, d.k[:4])
		}
		norm := float32(0)
		for _, x := range key {
			norm += x * x
		}
		for j := range key {
			key[j] /= float32(math.Sqrt(float64(norm)))
		}
		if stubborn {
			d.decay, d.beta = append(d.decay, 0), append(d.beta, 1)
		} else {
			d.decay, d.beta = append(d.decay, -3*r.Float32()), append(d.beta, r.Float32())
		}
	}
	return d
}

func TestGatedDelta(t *testing.T) {
	b := goBackend(t)
	for _, rows := range []int{1, 5, 63, 64, 65, 200} {
		for _, stubborn := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d rows, stubborn %t", rows, stubborn), func(t *testing.T) {
				d := newDelta(rows, stubborn)
				got := run(t, b, []input{
					floats(d.q, 2, rows, 4), floats(d.k, 2, rows, 4), floats(d.v, 2, rows, 3),
					floats(d.decay, 2, rows), floats(d.beta, 2, rows), floats(d.state, 2, 4, 3),
				}, func(in []*graph.Node) *graph.Node {
					out, state := nn.GatedDelta(in[0], in[1], in[2], in[3], in[4], in[5])
					return graph.Concatenate([]*graph.Node{graph.Reshape(out, -1), graph.Reshape(state, -1)}, 0)
				})
				out, state := d.run()
				for i, w := range slices.Concat(out, state) {
					require.InDelta(t, w, got[i], 2e-4*max(1, math.Abs(w)), "number %d", i)
				}
			})
		}
	}
}

// A step is a row of the sequence, with the heads as they are and a batch around them.
func TestGatedDeltaStep(t *testing.T) {
	b := goBackend(t)
	d := newDelta(1, false)
	out, state := d.run()
	for _, traits := range []nn.Traits{{}, {MulReduce: true}} {
		got := run(t, b, []input{
			floats(d.q, 1, 2, 4), floats(d.k, 1, 2, 4), floats(d.v, 1, 2, 3), floats(d.decay, 1, 2), floats(d.beta, 1, 2), floats(d.state, 1, 2, 4, 3),
		}, func(in []*graph.Node) *graph.Node {
			out, state := nn.GatedDeltaStep(traits, in[0], in[1], in[2], in[3], in[4], in[5])
			return graph.Concatenate([]*graph.Node{graph.Reshape(out, -1), graph.Reshape(state, -1)}, 0)
		})
		for i, w := range slices.Concat(out, state) {
			require.InDelta(t, w, got[i], 1e-5)
		}
	}
}

// Attention in windows is the attention of each window by itself.
func TestWindowAttention(t *testing.T) {
	const rows, window, heads, dim, there = 24, 8, 2, 6, 21
	b := goBackend(t)
	r := rand.New(rand.NewPCG(12, 13))
	q, k, v := random(r, rows*heads*dim), random(r, rows*heads*dim), random(r, rows*heads*dim)
	real := slices.Concat(slices.Repeat([]bool{true}, there), slices.Repeat([]bool{false}, rows-there))
	for _, padded := range []bool{false, true} {
		inputs := []input{floats(q, rows, heads, dim), floats(k, rows, heads, dim), floats(v, rows, heads, dim), floats(nn.Hide(real), rows)}
		bias := func(in *graph.Node) *graph.Node {
			if padded {
				return in
			}
			return nil
		}
		got := run(t, b, inputs, func(in []*graph.Node) *graph.Node {
			return nn.WindowAttention(nn.Traits{}, nn.HeadsFirst(in[0]), nn.HeadsFirst(in[1]), nn.HeadsFirst(in[2]), window, bias(in[3]))
		})
		want := run(t, b, inputs, func(in []*graph.Node) *graph.Node {
			var parts []*graph.Node
			for from := 0; from < rows; from += window {
				part := func(x *graph.Node) *graph.Node {
					return graph.Slice(nn.HeadsFirst(x), graph.AxisRange(), graph.AxisRange(from, from+window))
				}
				hide := bias(in[3])
				if hide != nil {
					hide = graph.Slice(hide, graph.AxisRange(from, from+window))
				}
				parts = append(parts, nn.Attention(nn.Traits{}, part(in[0]), part(in[1]), part(in[2]), false, hide))
			}
			return graph.Concatenate(parts, 0)
		})
		require.Len(t, got, len(want))
		for i := range want {
			require.InDelta(t, want[i], got[i], 1e-5)
		}
	}
}

// An int8 matrix is its numbers times the scale of their row; with the inputs rounded too, as close as 127 steps are.
func TestQuantizedDense(t *testing.T) {
	const in, out = 33, 7
	b := goBackend(t)
	r := rand.New(rand.NewPCG(14, 15))
	w, scale := make([]int8, in*out), make([]float32, out)
	for i := range w {
		w[i] = int8(r.IntN(255) - 127)
	}
	for i := range scale {
		scale[i] = r.Float32() + 0.1
	}
	for _, rows := range []int{1, 3} {
		x := random(r, rows*in)
		clear(x[:in/2]) // zeros, and below a row of them
		for i := range x[(rows-1)*in:] {
			if rows > 1 {
				x[(rows-1)*in+i] = 0
			}
		}
		// The second form rounds the inputs to bfloat16, by 2^-9 each.
		for _, form := range []struct {
			traits nn.Traits
			delta  float64
		}{{nn.Traits{}, 1e-2}, {nn.Traits{HalfInt8: true}, 4}} {
			got := run(t, b, []input{floats(x, rows, in), {w, dtypes.Int8, []int{out, in}}, floats(scale, out)}, func(n []*graph.Node) *graph.Node {
				return nn.Dense(form.traits, n[0], nn.Matrix{{W: n[1], Scale: n[2]}}, nil)
			})
			for row := range rows {
				for i := range out {
					want := 0.0
					for j := range in {
						want += float64(x[row*in+j]) * float64(w[i*in+j]) * float64(scale[i])
					}
					require.InDelta(t, want, got[row*out+i], form.delta)
				}
			}
		}
	}
}
