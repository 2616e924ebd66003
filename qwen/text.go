package qwen

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/omnidocs/omnidocs/internal/nn"
	"github.com/omnidocs/omnidocs/internal/program"
)

// This file is the graph of the text tower (transformers' Qwen3VLTextModel), one program a layer as in vision.go.

// embedGraph looks up token embeddings: int32 [rows] → [rows, hidden].
func (m *Model) embedGraph(rows int) func(b *program.Builder) []*Node {
	t := m.local.Text
	return func(b *program.Builder) []*Node {
		ids := b.Input("ids", dtypes.Int32, rows)
		p := m.declare(b, embeddingParams(t))
		return []*Node{program.Sum(m.lookup(b, p["embed_tokens.weight"], ids, t.VocabSize))}
	}
}

// visualGraph puts the visual rows of one image into x [rows, hidden], at the tokens whose index (int32 [rows]) is not
// negative: in place of what is there, or, for deepstack, on top of it.
func (m *Model) visualGraph(rows, visual int, add bool) func(b *program.Builder) []*Node {
	hidden := m.Spec.Text.Hidden
	return func(b *program.Builder) []*Node {
		x := b.Input("x", dtypes.Float32, rows, hidden)
		features := b.Input("features", dtypes.Float32, visual, hidden)
		index := b.Input("index", dtypes.Int32, rows)
		here := BroadcastToDims(ExpandAxes(GreaterOrEqual(index, ScalarZero(b.G, dtypes.Int32)), -1), rows, hidden)
		row := Gather(features, ExpandAxes(Max(index, ScalarZero(b.G, dtypes.Int32)), -1)) // [rows, hidden]
		if add {
			return []*Node{Where(here, Add(x, row), x)}
		}
		return []*Node{Where(here, row, x)}
	}
}

// project computes the rotated queries and keys, and the values, of a layer for x [rows, hidden], and, where the generation
// has one, the gate of what the queries will read, [rows, heads·headDim].
func (m *Model) project(p params, x, cos, sin *Node) (q, k, v, gate *Node) {
	t := m.local.Text
	rows := x.Shape().Dim(0)
	qkv := nn.Dense(m.runtime.Traits, nn.RMSNorm(x, p.vector("input_layernorm.weight"), t.NormEps), p["qkv"], p.vector("qkv.bias"))
	wide := t.Heads
	if t.OutputGate {
		wide *= 2
	}
	qkv = Reshape(qkv, rows, wide+2*t.KVHeads, t.HeadDim)
	q = Slice(qkv, AxisRange(), AxisRange(0, wide))
	k = Slice(qkv, AxisRange(), AxisRange(wide, wide+t.KVHeads))
	v = Slice(qkv, AxisRange(), AxisRange(wide+t.KVHeads))
	if t.OutputGate { // each head's query is followed by its gate
		q = Reshape(q, rows, t.Heads, 2, t.HeadDim)
		gate = Reshape(Slice(q, AxisRange(), AxisRange(), AxisElem(1)), rows, t.Heads*t.HeadDim)
		q = Reshape(Slice(q, AxisRange(), AxisRange(), AxisElem(0)), rows, t.Heads, t.HeadDim)
	}
	if t.QKNorm {
		q = nn.RMSNorm(q, p.vector("self_attn.q_norm.weight"), t.NormEps)
		k = nn.RMSNorm(k, p.vector("self_attn.k_norm.weight"), t.NormEps)
	}
	return nn.Rotate(q, cos, sin), nn.Rotate(k, cos, sin), v, gate
}

// attended adds what the heads have read, [rows, heads·headDim], to the residual x.
func (m *Model) attended(p params, x, attention, gate *Node) *Node {
	if gate != nil {
		attention = Mul(attention, Sigmoid(gate))
	}
	return Add(x, program.Sum(nn.Dense(m.runtime.Traits, attention, p["self_attn.o_proj.weight"], nil)))
}

// feedForward ends a layer: it adds the feed-forward network to the residual x and returns it. Where the layer has experts it
// returns x, the input of the experts and the router's scores [rows, experts], for [Model.mix] to go on with.
func (m *Model) feedForward(p params, x *Node, kind layerKind) []*Node {
	t, traits := m.local.Text, m.runtime.Traits
	h := nn.RMSNorm(x, p.vector("post_attention_layernorm.weight"), t.NormEps)
	network := func() *Node {
		return program.Sum(nn.Dense(traits, nn.SwiGLU(nn.Dense(traits, h, p["gate_up"], nil)), p["down"], nil))
	}
	if !kind.sparse {
		return []*Node{Add(x, network())}
	}
	if t.MoE.Shared > 0 {
		x = Add(x, Mul(network(), Sigmoid(nn.Dense(traits, h, p["mlp.shared_expert_gate.weight"], nil))))
	}
	return []*Node{x, h, nn.Dense(traits, h, p["mlp.gate.weight"], nil)}
}

// projectGraph is the first half of a layer over a stripe of a prompt, x [rows, hidden]: its queries [heads, rows, headDim], keys
// and values [kvHeads, rows, headDim], and the gate where there is one.
func (m *Model) projectGraph(rows int, kind layerKind) func(b *program.Builder) []*Node {
	t := m.local.Text
	return func(b *program.Builder) []*Node {
		x := b.Input("x", dtypes.Float32, rows, t.Hidden)
		cos := b.Input("cos", dtypes.Float32, rows, t.RotaryDim/2)
		sin := b.Input("sin", dtypes.Float32, rows, t.RotaryDim/2)
		q, k, v, gate := m.project(m.declare(b, layerParams(t, kind)), x, cos, sin)
		out := []*Node{nn.HeadsFirst(q), nn.HeadsFirst(k), nn.HeadsFirst(v)}
		if gate != nil {
			out = append(out, gate)
		}
		return out
	}
}

// behindGraph puts keys or values of stripes [kvHeads, stripe, headDim] behind the first ones of a prefix's [kvHeads, rows, headDim].
func (m *Model) behindGraph(first, rows int, stripes []int) func(b *program.Builder) []*Node {
	t := m.local.Text
	return func(b *program.Builder) []*Node {
		prefix := b.Input("prefix", dtypes.Float32, t.KVHeads, rows, t.HeadDim)
		all := []*Node{Slice(prefix, AxisRange(), AxisRange(0, first))}
		for i, stripe := range stripes {
			all = append(all, b.Input(fmt.Sprintf("stripe%d", i), dtypes.Float32, t.KVHeads, stripe, t.HeadDim))
		}
		return []*Node{Concatenate(all, 1)}
	}
}

// attendGraph is the second half: the queries of a stripe that ends at the row to, against the keys and values of all rows
// [kvHeads, keys, headDim] up to there → x as feedForward returns it. Rows behind the prompt are padding, which no real row
// sees.
func (m *Model) attendGraph(rows, to, keys int, kind layerKind) func(b *program.Builder) []*Node {
	t := m.local.Text
	return func(b *program.Builder) []*Node {
		x := b.Input("x", dtypes.Float32, rows, t.Hidden)
		q := b.Input("q", dtypes.Float32, t.Heads, rows, t.HeadDim)
		k := b.Input("k", dtypes.Float32, t.KVHeads, keys, t.HeadDim)
		v := b.Input("v", dtypes.Float32, t.KVHeads, keys, t.HeadDim)
		gate := optional(b, t.OutputGate, "gate", rows, t.Heads*t.HeadDim)
		p := m.declare(b, layerParams(t, kind))
		if to < keys {
			k, v = Slice(k, AxisRange(), AxisRange(0, to)), Slice(v, AxisRange(), AxisRange(0, to))
		}
		x = m.attended(p, x, nn.Attention(m.runtime.Traits, q, k, v, true, nil), gate)
		return m.feedForward(p, x, kind)
	}
}

// stepGraph is one layer for one new token a slot: x [slots, hidden] against a cache [slots, kvHeads, capacity, headDim],
// of which length (int32 [slots]) rows are real. It returns x as feedForward does and the cache itself, with the new rows in it.
// Where the host writes the cache, see stepProjectGraph.
func (m *Model) stepGraph(slots, capacity int, kind layerKind) func(b *program.Builder) []*Node {
	t := m.local.Text
	return func(b *program.Builder) []*Node {
		x := b.Input("x", dtypes.Float32, slots, t.Hidden)
		cos := b.Input("cos", dtypes.Float32, slots, t.RotaryDim/2)
		sin := b.Input("sin", dtypes.Float32, slots, t.RotaryDim/2)
		length := b.Input("length", dtypes.Int32, slots)
		keys := b.Input("keys", m.cacheType(), slots, t.KVHeads, capacity, t.HeadDim)
		values := b.Input("values", m.cacheType(), slots, t.KVHeads, capacity, t.HeadDim)
		p := m.declare(b, layerParams(t, kind))
		x, keys, values = m.stepInPlace(b, p, x, cos, sin, length, keys, values)
		out := m.feedForward(p, x, kind)
		b.Alias(4, len(out))
		b.Alias(5, len(out)+1)
		return append(out, keys, values)
	}
}

// stepInPlace is the attention of a layer for one new token a slot, whose keys and values go into the cache before it is read: the
// cache then changes in place. See stepGraph for the shapes.
func (m *Model) stepInPlace(b *program.Builder, p params, x, cos, sin, length, keys, values *Node) (newX, newKeys, newValues *Node) {
	q, k, v, gate := m.project(p, x, cos, sin)
	keys, values = writeRows(b, keys, k, length), writeRows(b, values, v, length)
	attention := nn.CachedAttention(m.runtime.Traits, q, keys, values, AddScalar(length, 1))
	return m.attended(p, x, attention, gate), keys, values
}

// writeRows writes rows [slots, kvHeads, headDim] into a cache [slots, kvHeads, capacity, headDim], each slot's at its length.
func writeRows(b *program.Builder, cache, rows, length *Node) *Node {
	slots, heads, capacity, dim := cache.Shape().Dim(0), cache.Shape().Dim(1), cache.Shape().Dim(2), cache.Shape().Dim(3)
	rows = ConvertDType(rows, cache.DType())
	if slots == 1 {
		zero := ScalarZero(b.G, dtypes.Int32)
		return DynamicUpdateSlice(cache, Reshape(rows, 1, heads, 1, dim), []*Node{zero, zero, Reshape(length), zero})
	}
	first := MulScalar(Iota(b.G, shapes.Make(dtypes.Int32, slots*heads), 0), capacity) // row of each slot and head
	index := Add(first, Reshape(BroadcastToDims(ExpandAxes(length, -1), slots, heads), slots*heads))
	flat := b.PutRows(Reshape(cache, slots*heads*capacity, dim), index, Reshape(rows, slots*heads, dim))
	return Reshape(flat, slots, heads, capacity, dim)
}

// storeGraph writes a prompt's keys or values [kvHeads, rows, headDim] into a slot of a cache on the device. Rows behind the prompt are
// padding, which may be cut off.
func (m *Model) storeGraph(slots, capacity, rows int) func(b *program.Builder) []*Node {
	t := m.local.Text
	return func(b *program.Builder) []*Node {
		cache := b.Input("cache", m.cacheType(), slots, t.KVHeads, capacity, t.HeadDim)
		fresh := b.Input("rows", dtypes.Float32, t.KVHeads, rows, t.HeadDim)
		slot := b.Input("slot", dtypes.Int32)
		b.Alias(0, 0)
		if rows > capacity {
			fresh = Slice(fresh, AxisRange(), AxisRange(0, capacity))
		}
		zero := ScalarZero(b.G, dtypes.Int32)
		return []*Node{DynamicUpdateSlice(cache, ConvertDType(ExpandAxes(fresh, 0), cache.DType()), []*Node{slot, zero, zero, zero})}
	}
}

// rowGraph takes one row of x [rows, hidden] → [1, hidden].
func (m *Model) rowGraph(rows int) func(b *program.Builder) []*Node {
	return func(b *program.Builder) []*Node {
		x := b.Input("x", dtypes.Float32, rows, m.Spec.Text.Hidden)
		row := b.Input("row", dtypes.Int32, 1)
		return []*Node{Gather(x, ExpandAxes(row, -1))}
	}
}

// logits applies the last norm and the output matrix: [rows, hidden] → [rows, vocab].
func (m *Model) logits(b *program.Builder, x *Node) *Node {
	p := m.declare(b, m.local.headParams())
	var table nn.Matrix
	if m.local.Text.Tied {
		table = m.declare(b, embeddingParams(m.local.Text))["embed_tokens.weight"]
	}
	return m.headLogits(b, p, table, x)
}

// headLogits is logits with the parameters of the head, and the embedding, which may be the output matrix too.
func (m *Model) headLogits(b *program.Builder, p params, table nn.Matrix, x *Node) *Node {
	x = nn.RMSNorm(x, p.vector("model.language_model.norm.weight"), m.local.Text.NormEps)
	if w := p["lm_head.weight"]; w != nil {
		table = w
	}
	return m.together(b, nn.Dense(m.runtime.Traits, x, table, nil), m.Spec.Text.VocabSize)
}

// logitsGraph is the output layer: [rows, hidden] → [rows, vocab].
func (m *Model) logitsGraph(rows int) func(b *program.Builder) []*Node {
	return func(b *program.Builder) []*Node {
		x := b.Input("x", dtypes.Float32, rows, m.Spec.Text.Hidden)
		return []*Node{m.logits(b, x)}
	}
}
