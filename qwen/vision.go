package qwen

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/omnidocs/omnidocs/internal/nn"
	"github.com/omnidocs/omnidocs/internal/program"
)

// This file is the graph of the vision tower (transformers' Qwen3VLVisionModel). A program holds one block, which all
// blocks share: compiling is quick, memory is that of one block, and a context is obeyed between them. The patches of a
// large image go through it in stripes.

// params are the parameters of a group, by their declared names, each in one or more parts.
type params map[string][]*Node

// vector is a parameter that is in one part: a norm's weight, a bias.
func (p params) vector(name string) *Node { return p[name][0] }

// declare makes the inputs of a program for a group, in the order of its declaration.
func (m *Model) declare(b *program.Builder, declared []param) params {
	p := params{}
	for _, d := range declared {
		for i, parts := range d.buffers(m.runtime.MatrixElements) {
			shape := d.shape(parts, m.dtype)
			p[d.name] = append(p[d.name], b.Input(fmt.Sprintf("%s/%d", d.name, i), shape.DType, shape.Dimensions...))
		}
	}
	return p
}

// dense applies the linear layer of that key.
func (m *Model) dense(p params, key string, x *Node) *Node {
	return nn.Dense(m.runtime.Traits, x, p[key+".weight"], p.vector(key+".bias"))
}

func layerNormOf(p params, key string, x *Node) *Node {
	return nn.LayerNorm(x, p.vector(key+".weight"), p.vector(key+".bias"), visionNormEps)
}

// patchGraph embeds patches [rows, channels·frames·height·width] and adds their interpolated positions → [rows, hidden].
func (m *Model) patchGraph(rows int) func(b *program.Builder) []*Node {
	v := m.Spec.Vision
	return func(b *program.Builder) []*Node {
		pixels := b.Input("pixels", dtypes.Float32, rows, v.PatchDim())
		index := b.Input("index", dtypes.Int32, rows, 4)
		weight := b.Input("weight", dtypes.Float32, rows, 4)
		p := m.declare(b, patchParams(v))
		x := m.dense(p, "patch_embed.proj", pixels)
		taps := Reshape(nn.Lookup(p["pos_embed.weight"], Reshape(index, rows*4)), rows, 4, v.Hidden)
		return []*Node{Add(x, ReduceSum(Mul(taps, ExpandAxes(weight, -1)), 1))}
	}
}

// blockGraph is one transformer block over all patches of an image, of which the first valid are real.
func (m *Model) blockGraph(rows int) func(b *program.Builder) []*Node {
	v := m.Spec.Vision
	return func(b *program.Builder) []*Node {
		x := b.Input("x", dtypes.Float32, rows, v.Hidden)
		cos := b.Input("cos", dtypes.Float32, rows, v.HeadDim()/2)
		sin := b.Input("sin", dtypes.Float32, rows, v.HeadDim()/2)
		valid := b.Input("valid", dtypes.Int32)
		p := m.declare(b, blockParams(v))
		q, k, values := m.blockHeads(p, x, cos, sin)
		return []*Node{m.blockRest(p, x, q, k, values, valid)}
	}
}

// headsGraph is the first half of a block for a stripe of an image's patches, [rows, hidden]: its queries, keys and values,
// [heads, rows, headDim] each.
func (m *Model) headsGraph(rows int) func(b *program.Builder) []*Node {
	v := m.Spec.Vision
	return func(b *program.Builder) []*Node {
		x := b.Input("x", dtypes.Float32, rows, v.Hidden)
		cos := b.Input("cos", dtypes.Float32, rows, v.HeadDim()/2)
		sin := b.Input("sin", dtypes.Float32, rows, v.HeadDim()/2)
		q, k, values := m.blockHeads(m.declare(b, blockParams(v)), x, cos, sin)
		return []*Node{q, k, values}
	}
}

// restGraph is the second half of a block for a stripe: its queries against the keys and values of all patches.
func (m *Model) restGraph(rows, keys int) func(b *program.Builder) []*Node {
	v := m.Spec.Vision
	return func(b *program.Builder) []*Node {
		x := b.Input("x", dtypes.Float32, rows, v.Hidden)
		q := b.Input("q", dtypes.Float32, v.Heads, rows, v.HeadDim())
		k := b.Input("k", dtypes.Float32, v.Heads, keys, v.HeadDim())
		values := b.Input("v", dtypes.Float32, v.Heads, keys, v.HeadDim())
		valid := b.Input("valid", dtypes.Int32)
		return []*Node{m.blockRest(m.declare(b, blockParams(v)), x, q, k, values, valid)}
	}
}

// joinGraph puts parts end to end along an axis. All have the shape of the first but for that axis.
func joinGraph(axis int, parts [][]int) func(b *program.Builder) []*Node {
	return func(b *program.Builder) []*Node {
		var nodes []*Node
		for i, dims := range parts {
			nodes = append(nodes, b.Input(fmt.Sprintf("part%d", i), dtypes.Float32, dims...))
		}
		return []*Node{Concatenate(nodes, axis)}
	}
}

func (m *Model) blockHeads(p params, x, cos, sin *Node) (q, k, values *Node) {
	v := m.Spec.Vision
	rows := x.Shape().Dim(0)
	qkv := Reshape(m.dense(p, "attn.qkv", layerNormOf(p, "norm1", x)), rows, 3, v.Heads, v.HeadDim())
	part := func(i int) *Node { return Squeeze(Slice(qkv, AxisRange(), AxisElem(i)), 1) } // [rows, heads, headDim]
	return nn.HeadsFirst(nn.Rotate(part(0), cos, sin)), nn.HeadsFirst(nn.Rotate(part(1), cos, sin)), nn.HeadsFirst(part(2))
}

func (m *Model) blockRest(p params, x, q, k, values, valid *Node) *Node {
	if m.runtime.ExactShapes {
		valid = nil // there is no padding
	}
	x = Add(x, m.dense(p, "attn.proj", nn.Attention(m.runtime.Traits, q, k, values, false, valid)))
	h := nn.GELUTanh(m.dense(p, "mlp.linear_fc1", layerNormOf(p, "norm2", x)))
	return Add(x, m.dense(p, "mlp.linear_fc2", h))
}

// mergerGraph turns the merge×merge patches of each visual token into one row of the text tower's width:
// [rows, hidden] → [rows/merge², outHidden]. The last merger normalizes each patch, those of deepstack all patches of a
// token together.
func (m *Model) mergerGraph(rows int, deepstack bool) func(b *program.Builder) []*Node {
	v := m.Spec.Vision
	tokens := rows / (v.MergeSize * v.MergeSize)
	return func(b *program.Builder) []*Node {
		x := b.Input("x", dtypes.Float32, rows, v.Hidden)
		width := v.Hidden
		if deepstack {
			width = v.MergedDim()
			x = Reshape(x, tokens, width)
		}
		p := m.declare(b, mergerParams(v, width))
		x = Reshape(layerNormOf(p, "norm", x), tokens, v.MergedDim())
		return []*Node{m.dense(p, "linear_fc2", nn.GELU(m.dense(p, "linear_fc1", x)))}
	}
}
