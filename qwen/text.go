package qwen

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/omnidocs/omnidocs/internal/nn"
	"github.com/omnidocs/omnidocs/internal/program"
)

// This file is the graph of the text tower (transformers' Qwen3VLTextModel), one program a layer as in vision.go.

// embedGraph looks up token embeddings: int32 [rows] → [rows, hidden].
func (m *Model) embedGraph(rows int) func(b *program.Builder) []*Node {
	t := m.Spec.Text
	return func(b *program.Builder) []*Node {
		ids := b.Input("ids", dtypes.Int32, rows)
		p := m.declare(b, []param{one(matrix, "embed_tokens.weight", t.VocabSize, t.Hidden)})
		return []*Node{nn.Lookup(p["embed_tokens.weight"], ids)}
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

// project computes the rotated queries and keys, and the values, of a layer for x [rows, hidden].
func (m *Model) project(p params, x, cos, sin *Node) (q, k, v *Node) {
	t := m.Spec.Text
	rows := x.Shape().Dim(0)
	qkv := nn.Dense(m.runtime.Traits, nn.RMSNorm(x, p.vector("input_layernorm.weight"), t.NormEps), p["qkv"], nil)
	qkv = Reshape(qkv, rows, t.Heads+2*t.KVHeads, t.HeadDim)
	q = Slice(qkv, AxisRange(), AxisRange(0, t.Heads))
	k = Slice(qkv, AxisRange(), AxisRange(t.Heads, t.Heads+t.KVHeads))
	v = Slice(qkv, AxisRange(), AxisRange(t.Heads+t.KVHeads))
	q = nn.Rotate(nn.RMSNorm(q, p.vector("self_attn.q_norm.weight"), t.NormEps), cos, sin)
	k = nn.Rotate(nn.RMSNorm(k, p.vector("self_attn.k_norm.weight"), t.NormEps), cos, sin)
	return q, k, v
}

// finish adds the attention's output and the feed-forward network to the residual x.
func (m *Model) finish(p params, x, attention *Node) *Node {
	t := m.Spec.Text
	x = Add(x, nn.Dense(m.runtime.Traits, attention, p["self_attn.o_proj.weight"], nil))
	h := nn.RMSNorm(x, p.vector("post_attention_layernorm.weight"), t.NormEps)
	h = nn.SwiGLU(nn.Dense(m.runtime.Traits, h, p["gate_up"], nil))
	return Add(x, nn.Dense(m.runtime.Traits, h, p["mlp.down_proj.weight"], nil))
}

// prefillGraph is one layer over a prompt: x [rows, hidden] → x, and its keys and values [kvHeads, rows, headDim].
// Rows behind the prompt are padding; being causal, no real row sees them.
func (m *Model) prefillGraph(rows int) func(b *program.Builder) []*Node {
	t := m.Spec.Text
	return func(b *program.Builder) []*Node {
		x := b.Input("x", dtypes.Float32, rows, t.Hidden)
		cos := b.Input("cos", dtypes.Float32, rows, t.HeadDim/2)
		sin := b.Input("sin", dtypes.Float32, rows, t.HeadDim/2)
		p := m.declare(b, layerParams(t))
		q, k, v := m.project(p, x, cos, sin)
		k, v = nn.HeadsFirst(k), nn.HeadsFirst(v)
		return []*Node{m.finish(p, x, nn.Attention(m.runtime.Traits, nn.HeadsFirst(q), k, v, true, nil)), k, v}
	}
}

// stepGraph is one layer for one new token a slot: x [slots, hidden] against a cache [slots, kvHeads, capacity, headDim],
// of which length (int32 [slots]) rows are real. It returns x and, where the host writes the cache, the new keys and values
// [slots, kvHeads, headDim]; else the cache itself, with the new rows in it.
func (m *Model) stepGraph(slots, capacity int) func(b *program.Builder) []*Node {
	t := m.Spec.Text
	return func(b *program.Builder) []*Node {
		x := b.Input("x", dtypes.Float32, slots, t.Hidden)
		cos := b.Input("cos", dtypes.Float32, slots, t.HeadDim/2)
		sin := b.Input("sin", dtypes.Float32, slots, t.HeadDim/2)
		length := b.Input("length", dtypes.Int32, slots)
		keys := b.Input("keys", dtypes.Float32, slots, t.KVHeads, capacity, t.HeadDim)
		values := b.Input("values", dtypes.Float32, slots, t.KVHeads, capacity, t.HeadDim)
		p := m.declare(b, layerParams(t))
		q, k, v := m.project(p, x, cos, sin)
		x = m.finish(p, x, nn.StepAttention(m.runtime.Traits, q, keys, values, k, v, length))
		if m.runtime.HostCache {
			return []*Node{x, k, v}
		}
		b.Alias(4, 1)
		b.Alias(5, 2)
		return []*Node{x, writeRows(keys, k, length), writeRows(values, v, length)}
	}
}

// writeRows writes rows [slots, kvHeads, headDim] into a cache [slots, kvHeads, capacity, headDim], each slot's at its length.
func writeRows(cache, rows, length *Node) *Node {
	d := rows.Shape().Dimensions
	zero := ScalarZero(cache.Graph(), dtypes.Int32)
	for slot := range d[0] {
		row := Reshape(Slice(rows, AxisElem(slot)), 1, d[1], 1, d[2])
		at := Reshape(Slice(length, AxisElem(slot)))
		cache = DynamicUpdateSlice(cache, row, []*Node{Const(cache.Graph(), int32(slot)), zero, at, zero})
	}
	return cache
}

// storeGraph writes a prompt's keys or values [kvHeads, rows, headDim] into a slot of a cache on the device.
func (m *Model) storeGraph(slots, capacity, rows int) func(b *program.Builder) []*Node {
	t := m.Spec.Text
	return func(b *program.Builder) []*Node {
		cache := b.Input("cache", dtypes.Float32, slots, t.KVHeads, capacity, t.HeadDim)
		fresh := b.Input("rows", dtypes.Float32, t.KVHeads, rows, t.HeadDim)
		slot := b.Input("slot", dtypes.Int32)
		b.Alias(0, 0)
		zero := ScalarZero(b.G, dtypes.Int32)
		return []*Node{DynamicUpdateSlice(cache, ExpandAxes(fresh, 0), []*Node{slot, zero, zero, zero})}
	}
}

// growGraph gives a cache on the device more capacity, filled with zeros.
func (m *Model) growGraph(slots, from, to int) func(b *program.Builder) []*Node {
	t := m.Spec.Text
	return func(b *program.Builder) []*Node {
		cache := b.Input("cache", dtypes.Float32, slots, t.KVHeads, from, t.HeadDim)
		return []*Node{GrowRight(cache, 2, to-from, 0)}
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
	t := m.Spec.Text
	p := m.declare(b, m.Spec.headParams())
	x = nn.RMSNorm(x, p.vector("model.language_model.norm.weight"), t.NormEps)
	w := p["lm_head.weight"]
	if w == nil { // it is the embedding
		w = m.declare(b, []param{one(matrix, "embed_tokens.weight", t.VocabSize, t.Hidden)})["embed_tokens.weight"]
	}
	return nn.Dense(m.runtime.Traits, x, w, nil)
}

// logitsGraph is the output layer: [rows, hidden] → [rows, vocab].
func (m *Model) logitsGraph(rows int) func(b *program.Builder) []*Node {
	return func(b *program.Builder) []*Node {
		x := b.Input("x", dtypes.Float32, rows, m.Spec.Text.Hidden)
		return []*Node{m.logits(b, x)}
	}
}

// greedyGraph chooses the most likely token of each row: [rows, hidden] → int32 [rows].
func (m *Model) greedyGraph(rows int) func(b *program.Builder) []*Node {
	return func(b *program.Builder) []*Node {
		x := b.Input("x", dtypes.Float32, rows, m.Spec.Text.Hidden)
		return []*Node{nn.Greedy(m.logits(b, x))}
	}
}

// sampleGraph draws a token for each row: [rows, hidden] → int32 [rows].
func (m *Model) sampleGraph(rows int) func(b *program.Builder) []*Node {
	return func(b *program.Builder) []*Node {
		x := b.Input("x", dtypes.Float32, rows, m.Spec.Text.Hidden)
		in := nn.SampleInputs{
			Temperature: b.Input("temperature", dtypes.Float32, rows),
			TopK:        b.Input("top_k", dtypes.Int32, rows),
			TopP:        b.Input("top_p", dtypes.Float32, rows),
			Seed:        b.Input("seed", dtypes.Uint32, rows),
			Step:        b.Input("step", dtypes.Uint32, rows),
		}
		return []*Node{nn.Sample(m.logits(b, x), in)}
	}
}
