package qwen

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/omnidocs/omnidocs/internal/nn"
	"github.com/omnidocs/omnidocs/internal/program"
)

// This file is the graph of the vision tower (transformers' Qwen3VLVisionModel and its elders). A program holds one block, which all
// blocks share: compiling is quick, memory is that of one block, and a context is obeyed between them. The patches of a
// large image go through it in stripes.

// params are the parameters of a group, by their declared names.
type params map[string]nn.Matrix

// vector is a parameter that is in one part: a norm's weight, a bias. It is nil where there is none.
func (p params) vector(name string) *Node {
	if len(p[name]) == 0 {
		return nil
	}
	return p[name][0].W
}

// declare makes the inputs of a program for a group, in the order of its declaration.
func (m *Model) declare(b *program.Builder, declared []param) params {
	return m.declareAs(b, "", declared)
}

// declareAs is declare with a prefix to the names of the inputs, for programs that take several groups of the same kind.
func (m *Model) declareAs(b *program.Builder, prefix string, declared []param) params {
	p := params{}
	for _, d := range declared {
		for i, parts := range d.buffers(m.matrixElements()) {
			shape := d.shape(parts, m.dtype)
			part := nn.Part{W: b.Input(fmt.Sprintf("%s%s/%d", prefix, d.name, i), shape.DType, shape.Dimensions...)}
			if shape.DType == dtypes.Int8 {
				part.Scale = b.Input(fmt.Sprintf("%s%s/%d/scale", prefix, d.name, i), dtypes.Float32, shape.Dim(0))
			}
			p[d.name] = append(p[d.name], part)
		}
	}
	return p
}

// dense applies the linear layer of that key.
func (m *Model) dense(p params, key string, x *Node) *Node {
	return nn.Dense(m.runtime.Traits, x, p[key+".weight"], p.vector(key+".bias"))
}

// denseSum applies one whose columns are divided among the devices, to what each of them has for its own.
func (m *Model) denseSum(p params, key string, x *Node) *Node {
	y := program.Sum(nn.Dense(m.runtime.Traits, x, p[key+".weight"], nil))
	if bias := p.vector(key + ".bias"); bias != nil {
		y = Add(y, ExpandAxes(bias, 0))
	}
	return y
}

// visionNorm applies the norm of that key.
func (m *Model) visionNorm(p params, key string, x *Node) *Node {
	if m.Spec.Vision.RMSNorm {
		return nn.RMSNorm(x, p.vector(key+".weight"), visionNormEps)
	}
	return nn.LayerNorm(x, p.vector(key+".weight"), p.vector(key+".bias"), visionNormEps)
}

// patchGraph embeds patches [rows, channels·frames·height·width] and adds their interpolated positions, where the generation
// has any → [rows, hidden].
func (m *Model) patchGraph(rows int) func(b *program.Builder) []*Node {
	v := m.local.Vision
	return func(b *program.Builder) []*Node {
		pixels := b.Input("pixels", dtypes.Float32, rows, v.PatchDim())
		if v.PositionSide == 0 {
			return []*Node{m.denseSum(m.declare(b, patchParams(v)), "patch_embed.proj", m.ownColumns(b, pixels))}
		}
		index := b.Input("index", dtypes.Int32, rows, 4)
		weight := b.Input("weight", dtypes.Float32, rows, 4)
		p := m.declare(b, patchParams(v))
		x := m.denseSum(p, "patch_embed.proj", m.ownColumns(b, pixels))
		positions := v.each(v.PositionSide * v.PositionSide)
		taps := Reshape(m.lookup(b, p["pos_embed.weight"], Reshape(index, rows*4), positions), rows, 4, v.Hidden)
		return []*Node{Add(x, program.Sum(ReduceSum(Mul(taps, ExpandAxes(weight, -1)), 1)))}
	}
}

// blockGraph is one transformer block over rows of patches: all of an image, or, windowed, whole windows of one. Where there is
// padding among the keys a bias hides it.
func (m *Model) blockGraph(rows int, windowed, padded bool) func(b *program.Builder) []*Node {
	v := m.local.Vision
	return func(b *program.Builder) []*Node {
		x, cos, sin := blockInputs(b, v, rows)
		bias := optional(b, padded, "bias", rows)
		p := m.declare(b, blockParams(v))
		q, k, values := m.blockHeads(p, x, cos, sin)
		if windowed {
			unit := v.Window * v.MergeSize
			return []*Node{m.blockRest(p, x, nn.WindowAttention(m.runtime.Traits, q, k, values, unit*unit, bias))}
		}
		return []*Node{m.blockRest(p, x, nn.Attention(m.visionTraits(), q, k, values, false, bias))}
	}
}

// blockInputs declares what every block takes: the patches, and the angles of their rotation.
func blockInputs(b *program.Builder, v VisionSpec, rows int) (x, cos, sin *Node) {
	return b.Input("x", dtypes.Float32, rows, v.Hidden),
		b.Input("cos", dtypes.Float32, rows, v.HeadDim()/2),
		b.Input("sin", dtypes.Float32, rows, v.HeadDim()/2)
}

// visionTraits are the traits for attention among all patches. Where the patches stand window by window there is padding in the
// windows at the edges too.
func (m *Model) visionTraits() Traits {
	t := m.runtime.Traits
	t.Flash = t.Flash && m.Spec.Vision.Window == 0
	return t
}

// optional declares a float32 input that is there only where it is needed.
func optional(b *program.Builder, needed bool, name string, dims ...int) *Node {
	if !needed {
		return nil
	}
	return b.Input(name, dtypes.Float32, dims...)
}

// seenType is the type of the keys and values of stripes on their way to each other: that which attention multiplies them in, so that each is
// rounded once.
func (m *Model) seenType() dtypes.DType {
	if m.visionTraits().HalfAttention {
		return dtypes.BFloat16
	}
	return dtypes.Float32
}

// headsGraph is the first half of a block for a stripe of an image's patches, [rows, hidden]: its queries, and its keys and values in seenType,
// [heads, rows, headDim] each.
func (m *Model) headsGraph(rows int) func(b *program.Builder) []*Node {
	v := m.local.Vision
	return func(b *program.Builder) []*Node {
		x, cos, sin := blockInputs(b, v, rows)
		q, k, values := m.blockHeads(m.declare(b, blockParams(v)), x, cos, sin)
		return []*Node{q, ConvertDType(k, m.seenType()), ConvertDType(values, m.seenType())}
	}
}

// restGraph is the second half of a block for a stripe: its queries against the keys and values of all patches.
func (m *Model) restGraph(rows, keys int, padded bool) func(b *program.Builder) []*Node {
	v := m.local.Vision
	return func(b *program.Builder) []*Node {
		x := b.Input("x", dtypes.Float32, rows, v.Hidden)
		q := b.Input("q", dtypes.Float32, v.Heads, rows, v.HeadDim())
		k := b.Input("k", m.seenType(), v.Heads, keys, v.HeadDim())
		values := b.Input("v", m.seenType(), v.Heads, keys, v.HeadDim())
		bias := optional(b, padded, "bias", keys)
		p := m.declare(b, blockParams(v))
		return []*Node{m.blockRest(p, x, nn.Attention(m.visionTraits(), q, k, values, false, bias))}
	}
}

// joinGraph puts parts end to end along an axis. All have the shape of the first but for that axis.
func joinGraph(axis int, parts []shapes.Shape) func(b *program.Builder) []*Node {
	return func(b *program.Builder) []*Node {
		var nodes []*Node
		for i, s := range parts {
			nodes = append(nodes, b.Input(fmt.Sprintf("part%d", i), s.DType, s.Dimensions...))
		}
		return []*Node{Concatenate(nodes, axis)}
	}
}

func (m *Model) blockHeads(p params, x, cos, sin *Node) (q, k, values *Node) {
	v := m.local.Vision
	rows := x.Shape().Dim(0)
	qkv := Reshape(m.dense(p, "attn.qkv", m.visionNorm(p, "norm1", x)), rows, 3, v.Heads, v.HeadDim())
	part := func(i int) *Node { return Squeeze(Slice(qkv, AxisRange(), AxisElem(i)), 1) } // [rows, heads, headDim]
	return nn.HeadsFirst(nn.Rotate(part(0), cos, sin)), nn.HeadsFirst(nn.Rotate(part(1), cos, sin)), nn.HeadsFirst(part(2))
}

// blockRest adds the attention's output and the feed-forward network to the residual x.
func (m *Model) blockRest(p params, x, attention *Node) *Node {
	v := m.local.Vision
	x = Add(x, m.denseSum(p, "attn.proj", attention))
	h := m.visionNorm(p, "norm2", x)
	act := activations[v.Activation]
	if v.Gated {
		h = m.dense(p, "gate_up", h)
		gate, up := Slice(h, AxisRange(), AxisRange(0, v.Intermediate)), Slice(h, AxisRange(), AxisRange(v.Intermediate))
		return Add(x, m.denseSum(p, "mlp.down_proj", Mul(act(gate), up)))
	}
	first, second := v.feedForwardKeys()
	return Add(x, m.denseSum(p, second, act(m.dense(p, first, h))))
}

// mergerGraph turns the merge×merge patches of each visual token into one row of the text tower's width:
// [rows, hidden] → [rows/merge², outHidden]. The last merger normalizes each patch, those of deepstack all patches of a
// token together.
func (m *Model) mergerGraph(rows int, deepstack bool) func(b *program.Builder) []*Node {
	v := m.local.Vision
	tokens := rows / (v.MergeSize * v.MergeSize)
	return func(b *program.Builder) []*Node {
		x := b.Input("x", dtypes.Float32, rows, v.Hidden)
		if deepstack {
			x = Reshape(x, tokens, v.MergedDim())
		}
		p := m.declare(b, mergerParams(v, deepstack))
		norm, first, second := v.mergerKeys()
		x = Reshape(m.visionNorm(p, norm, x), tokens, v.MergedDim())
		return []*Node{m.denseSum(p, second, nn.GELU(m.dense(p, first, x)))}
	}
}
