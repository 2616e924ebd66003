package qwen

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/omnidocs/omnidocs/internal/nn"
	"github.com/omnidocs/omnidocs/internal/program"
)

// This file is the graph of a layer with a recurrent state (transformers' Qwen3_5GatedDeltaNet). What it keeps of a sequence
// has one size, however long that is: the history, the last inputs of its convolution [kernel-1, channels], and the state
// [valueHeads, keyDim, valueDim].

// deltaInputs are what a layer makes of its tokens [rows, …] before they meet.
type deltaInputs struct {
	mixed       *Node // queries, keys and values before the convolution, [rows, channels]
	gate        *Node // of the output, [rows, valueHeads·valueDim]
	decay, beta *Node // [rows, valueHeads]
}

func (m *Model) deltaInputs(p params, x *Node) deltaInputs {
	t, d, traits := m.local.Text, m.local.Text.Delta, m.runtime.Traits
	h := nn.RMSNorm(x, p.vector("input_layernorm.weight"), t.NormEps)
	y := nn.Dense(traits, h, p["in"], nil)
	rates := nn.Dense(traits, h, p["rates"], nil)
	step := Softplus(Add(Slice(rates, AxisRange(), AxisRange(d.ValueHeads)), ExpandAxes(p.vector("linear_attn.dt_bias"), 0)))
	return deltaInputs{
		mixed: Slice(y, AxisRange(), AxisRange(0, d.Channels())),
		gate:  Slice(y, AxisRange(), AxisRange(d.Channels())),
		decay: Neg(Mul(ExpandAxes(Exp(p.vector("linear_attn.A_log")), 0), step)),
		beta:  Sigmoid(Slice(rates, AxisRange(), AxisRange(0, d.ValueHeads))),
	}
}

// deltaHeads splits the output of the convolution [rows, channels] into queries and keys [rows, valueHeads, keyDim] of length
// one, and values [rows, valueHeads, valueDim]. A key head serves as many value heads as there are to it.
func (m *Model) deltaHeads(mixed *Node) (q, k, v *Node) {
	d := m.local.Text.Delta
	rows, keys := mixed.Shape().Dim(0), d.KeyHeads*d.KeyDim
	share := func(from int) *Node {
		x := nn.UnitLength(Reshape(Slice(mixed, AxisRange(), AxisRange(from, from+keys)), rows, d.KeyHeads, 1, d.KeyDim))
		x = BroadcastToDims(x, rows, d.KeyHeads, d.ValueHeads/d.KeyHeads, d.KeyDim)
		return Reshape(x, rows, d.ValueHeads, d.KeyDim)
	}
	q = MulScalar(share(0), nn.DeltaScale(d.KeyDim))
	return q, share(keys), Reshape(Slice(mixed, AxisRange(), AxisRange(2*keys)), rows, d.ValueHeads, d.ValueDim)
}

// deltaOutput normalizes what the heads have read, [rows, valueHeads, valueDim], gates it and adds it to the residual x.
func (m *Model) deltaOutput(p params, x, out, gate *Node) *Node {
	rows := x.Shape().Dim(0)
	out = nn.RMSNorm(out, p.vector("linear_attn.norm.weight"), m.Spec.Text.NormEps)
	out = Mul(Reshape(out, rows, gate.Shape().Dim(1)), nn.SiLU(gate))
	return Add(x, program.Sum(nn.Dense(m.runtime.Traits, out, p["linear_attn.out_proj.weight"], nil)))
}

// deltaPromptGraph is such a layer over a stripe of a prompt, x [rows, hidden], of which the first valid (int32) are real, with
// the history and state of what stands before it → x as feedForward returns it, history, state.
func (m *Model) deltaPromptGraph(rows int, kind layerKind) func(b *program.Builder) []*Node {
	t, d := m.local.Text, m.local.Text.Delta
	past := d.Kernel - 1
	return func(b *program.Builder) []*Node {
		x := b.Input("x", dtypes.Float32, rows, t.Hidden)
		valid := b.Input("valid", dtypes.Int32)
		history := b.Input("history", dtypes.Float32, past, d.Channels())
		state := b.Input("state", dtypes.Float32, d.ValueHeads, d.KeyDim, d.ValueDim)
		p := m.declare(b, layerParams(t, kind))
		in := m.deltaInputs(p, x)
		long := Concatenate([]*Node{history, in.mixed}, 0)
		weight := p.vector("linear_attn.conv1d.weight") // [channels, kernel]
		var mixed *Node
		for i := range d.Kernel {
			tap := Mul(Slice(long, AxisRange(i, i+rows)), Reshape(Slice(weight, AxisRange(), AxisElem(i)), 1, d.Channels()))
			if mixed == nil {
				mixed = tap
			} else {
				mixed = Add(mixed, tap)
			}
		}
		history = Gather(long, Add(Iota(b.G, shapes.Make(dtypes.Int32, past, 1), 0), valid))

		q, k, v := m.deltaHeads(nn.SiLU(mixed))
		live := ConvertDType(LessThan(Iota(b.G, shapes.Make(dtypes.Int32, rows, 1), 0), valid), dtypes.Float32)
		out, state := nn.GatedDelta(nn.HeadsFirst(q), nn.HeadsFirst(k), nn.HeadsFirst(v),
			Transpose(Mul(in.decay, live), 0, 1), Transpose(Mul(in.beta, live), 0, 1), state)
		return append(m.feedForward(p, m.deltaOutput(p, x, nn.HeadsFirst(out), in.gate), kind), history, state)
	}
}

// deltaStepGraph is such a layer for one new token a slot: x [slots, hidden], history [slots, kernel-1, channels] and state
// [slots, valueHeads, keyDim, valueDim] → x as feedForward returns it, history, state.
func (m *Model) deltaStepGraph(slots int, kind layerKind) func(b *program.Builder) []*Node {
	t, d := m.local.Text, m.local.Text.Delta
	return func(b *program.Builder) []*Node {
		x := b.Input("x", dtypes.Float32, slots, t.Hidden)
		history := b.Input("history", dtypes.Float32, slots, d.Kernel-1, d.Channels())
		state := b.Input("state", dtypes.Float32, slots, d.ValueHeads, d.KeyDim, d.ValueDim)
		out, history, state := m.deltaStep(m.declare(b, layerParams(t, kind)), x, history, state, kind)
		if !m.runtime.HostCache {
			b.Alias(1, len(out))
			b.Alias(2, len(out)+1)
		}
		return append(out, history, state)
	}
}

// deltaStep is deltaStepGraph without its inputs.
func (m *Model) deltaStep(p params, x, history, state *Node, kind layerKind) (out []*Node, newHistory, newState *Node) {
	in := m.deltaInputs(p, x)
	window := Concatenate([]*Node{history, ExpandAxes(in.mixed, 1)}, 1) // [slots, kernel, channels]
	weight := Transpose(p.vector("linear_attn.conv1d.weight"), 0, 1)
	mixed := ReduceSum(Mul(window, ExpandAxes(weight, 0)), 1)
	q, k, v := m.deltaHeads(nn.SiLU(mixed))
	read, state := nn.GatedDeltaStep(m.runtime.Traits, q, k, v, in.decay, in.beta, state)
	out = m.feedForward(p, m.deltaOutput(p, x, read, in.gate), kind)
	return out, Slice(window, AxisRange(), AxisRange(1)), state
}

// putGraph writes one slot's numbers [dims] into a buffer of all slots' [slots, dims].
func (m *Model) putGraph(slots int, dims []int) func(b *program.Builder) []*Node {
	return func(b *program.Builder) []*Node {
		all := b.Input("all", dtypes.Float32, append([]int{slots}, dims...)...)
		fresh := b.Input("fresh", dtypes.Float32, dims...)
		slot := b.Input("slot", dtypes.Int32)
		b.Alias(0, 0)
		at := []*Node{slot}
		for range dims {
			at = append(at, ScalarZero(b.G, dtypes.Int32))
		}
		return []*Node{DynamicUpdateSlice(all, ExpandAxes(fresh, 0), at)}
	}
}

// takeGraph reads one slot's numbers.
func (m *Model) takeGraph(slots int, dims []int) func(b *program.Builder) []*Node {
	return func(b *program.Builder) []*Node {
		all := b.Input("all", dtypes.Float32, append([]int{slots}, dims...)...)
		slot := b.Input("slot", dtypes.Int32, 1)
		return []*Node{Reshape(Gather(all, ExpandAxes(slot, -1)), dims...)}
	}
}
