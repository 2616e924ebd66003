package qwen

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/omnidocs/omnidocs/internal/nn"
	"github.com/omnidocs/omnidocs/internal/program"
)

// This file is the graph of the vision tower (transformers' Qwen3VLVisionModel). A program holds one block, which all
// blocks share: compiling is quick, memory is that of one block, and a context is obeyed between them.

// params are the parameters of a group, by their declared names.
type params map[string]*Node

// declare makes the inputs of a program for a group, in the order of its declaration.
func (m *Model) declare(b *program.Builder, declared []param) params {
	p := params{}
	for _, d := range declared {
		shape := paramShape(d, m.dtype, m.runtime.Traits.InOut)
		p[d.name] = b.Input(d.name, shape.DType, shape.Dimensions...)
	}
	return p
}

// dense applies the linear layer of that key.
func (m *Model) dense(p params, key string, x *Node) *Node {
	return nn.Dense(m.runtime.Traits, x, p[key+".weight"], p[key+".bias"])
}

func layerNormOf(p params, key string, x *Node) *Node {
	return nn.LayerNorm(x, p[key+".weight"], p[key+".bias"], visionNormEps)
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
		taps := ConvertDType(Gather(p["pos_embed.weight"], ExpandAxes(index, -1)), dtypes.Float32) // [rows, 4, hidden]
		return []*Node{Add(x, ReduceSum(Mul(taps, ExpandAxes(weight, -1)), 1))}
	}
}

// blockGraph is one transformer block over the patches of one image, of which the first valid are real.
func (m *Model) blockGraph(rows int) func(b *program.Builder) []*Node {
	v := m.Spec.Vision
	return func(b *program.Builder) []*Node {
		x := b.Input("x", dtypes.Float32, rows, v.Hidden)
		cos := b.Input("cos", dtypes.Float32, rows, v.HeadDim()/2)
		sin := b.Input("sin", dtypes.Float32, rows, v.HeadDim()/2)
		valid := b.Input("valid", dtypes.Int32)
		p := m.declare(b, blockParams(v))
		if m.runtime.ExactShapes {
			valid = nil // there is no padding
		}
		qkv := Reshape(m.dense(p, "attn.qkv", layerNormOf(p, "norm1", x)), rows, 3, v.Heads, v.HeadDim())
		part := func(i int) *Node { return Squeeze(Slice(qkv, AxisRange(), AxisElem(i)), 1) } // [rows, heads, headDim]
		q, k := nn.Rotate(part(0), cos, sin), nn.Rotate(part(1), cos, sin)
		x = Add(x, m.dense(p, "attn.proj", nn.Attention(m.runtime.Traits, q, k, part(2), false, valid)))
		h := nn.GELUTanh(m.dense(p, "mlp.linear_fc1", layerNormOf(p, "norm2", x)))
		return []*Node{Add(x, m.dense(p, "mlp.linear_fc2", h))}
	}
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
