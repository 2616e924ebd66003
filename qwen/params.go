package qwen

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
)

// Each parameter of the model is declared once, here. Its shape, its place in the checkpoint and its place among the
// inputs of the programs all come from that declaration; graph code looks parameters up and never makes one.

// paramKind says how a parameter is held on the device.
type paramKind int

const (
	// vector is a norm's weight or a bias, always float32.
	vector paramKind = iota
	// matrix is the weight of a dense layer or an embedding, [out, in] as the checkpoint has it, in the model's dtype.
	matrix
)

// param is one parameter of a group. Matrices that are multiplied with the same input are one parameter with several
// sources, whose rows stand one after the other: one product in place of three.
type param struct {
	name    string
	kind    paramKind
	sources []source
}

// source is a tensor of the checkpoint: its key, after the group's prefix, and its shape.
type source struct {
	key   string
	shape []int
}

// dims is the shape of the parameter with its sources put together: [n], or [out, in] for matrices.
func (p param) dims() []int {
	rows := 0
	for _, s := range p.sources {
		rows += s.shape[0]
	}
	if p.kind == vector {
		return []int{rows}
	}
	return []int{rows, elements(p.sources[0].shape) / p.sources[0].shape[0]}
}

// part is a run of rows of one source.
type part struct {
	source   source
	from, to int
}

// buffers says how a parameter lies on the device: as one buffer with all sources, or, where that would have more than limit
// elements (0 means no limit), in buffers of so many rows each that none has.
func (p param) buffers(limit int) [][]part {
	var whole []part
	for _, s := range p.sources {
		whole = append(whole, part{s, 0, s.shape[0]})
	}
	dims := p.dims()
	if p.kind == vector || limit <= 0 || elements(dims) <= limit {
		return [][]part{whole}
	}
	rows := max(1, limit/dims[1])
	if rows > 64 {
		rows -= rows % 64 // whole panels for the backend's kernels
	}
	var list [][]part
	for _, w := range whole {
		for from := 0; from < w.to; from += rows {
			list = append(list, []part{{w.source, from, min(from+rows, w.to)}})
		}
	}
	return list
}

// shape is the shape of a buffer.
func (p param) shape(parts []part, dtype dtypes.DType) shapes.Shape {
	rows := 0
	for _, part := range parts {
		rows += part.to - part.from
	}
	if p.kind == vector {
		return shapes.Make(dtypes.Float32, rows)
	}
	return shapes.Make(dtype, rows, p.dims()[1])
}

func elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// group is a set of parameters that the programs take together: one block, one merger, the embedding.
type group struct {
	name   string // for lookups in weights
	prefix string // of the checkpoint's keys
	params []param
}

func one(kind paramKind, key string, shape ...int) param {
	return param{name: key, kind: kind, sources: []source{{key, shape}}}
}

// linear declares a dense layer with a bias (torch.nn.Linear).
func linear(key string, out, in int) []param {
	return []param{one(matrix, key+".weight", out, in), one(vector, key+".bias", out)}
}

// layerNorm declares a torch.nn.LayerNorm.
func layerNorm(key string, n int) []param {
	return []param{one(vector, key+".weight", n), one(vector, key+".bias", n)}
}

func concat(lists ...[]param) []param {
	var all []param
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// Names of the groups. Those of blocks and layers take a number.
const (
	groupPatch     = "patch"
	groupMerger    = "merger"
	groupEmbedding = "embedding"
	groupHead      = "head"
)

func groupBlock(i int) string     { return fmt.Sprintf("block.%d", i) }
func groupDeepstack(i int) string { return fmt.Sprintf("deepstack.%d", i) }
func groupLayer(i int) string     { return fmt.Sprintf("layer.%d", i) }

// groups declares every parameter of the model. The keys are transformers' own.
func (s Spec) groups() []group {
	v, t := s.Vision, s.Text
	all := []group{
		{groupPatch, "model.visual.", patchParams(v)},
		{groupMerger, "model.visual.merger.", mergerParams(v, v.Hidden)},
		{groupEmbedding, "model.language_model.", []param{one(matrix, "embed_tokens.weight", t.VocabSize, t.Hidden)}},
		{groupHead, "", s.headParams()},
	}
	for i := range v.Depth {
		all = append(all, group{groupBlock(i), fmt.Sprintf("model.visual.blocks.%d.", i), blockParams(v)})
	}
	for i := range v.Deepstack {
		all = append(all, group{groupDeepstack(i), fmt.Sprintf("model.visual.deepstack_merger_list.%d.", i), mergerParams(v, v.MergedDim())})
	}
	for i := range t.Layers {
		all = append(all, group{groupLayer(i), fmt.Sprintf("model.language_model.layers.%d.", i), layerParams(t)})
	}
	return all
}

func patchParams(v VisionSpec) []param {
	return []param{
		one(matrix, "patch_embed.proj.weight", v.Hidden, 3, v.TemporalPatchSize, v.PatchSize, v.PatchSize),
		one(vector, "patch_embed.proj.bias", v.Hidden),
		one(matrix, "pos_embed.weight", v.PositionSide*v.PositionSide, v.Hidden),
	}
}

func blockParams(v VisionSpec) []param {
	return concat(
		layerNorm("norm1", v.Hidden), linear("attn.qkv", 3*v.Hidden, v.Hidden), linear("attn.proj", v.Hidden, v.Hidden),
		layerNorm("norm2", v.Hidden), linear("mlp.linear_fc1", v.Intermediate, v.Hidden), linear("mlp.linear_fc2", v.Hidden, v.Intermediate))
}

// mergerParams declares a Qwen3VLVisionPatchMerger; the last one normalizes before the patches are laid end to end, those
// of deepstack after it, which is why the width of the norm differs.
func mergerParams(v VisionSpec, norm int) []param {
	return concat(layerNorm("norm", norm), linear("linear_fc1", v.MergedDim(), v.MergedDim()), linear("linear_fc2", v.OutHidden, v.MergedDim()))
}

func layerParams(t TextSpec) []param {
	q, kv := t.Heads*t.HeadDim, t.KVHeads*t.HeadDim
	return []param{
		one(vector, "input_layernorm.weight", t.Hidden),
		{"qkv", matrix, []source{
			{"self_attn.q_proj.weight", []int{q, t.Hidden}},
			{"self_attn.k_proj.weight", []int{kv, t.Hidden}},
			{"self_attn.v_proj.weight", []int{kv, t.Hidden}},
		}},
		one(vector, "self_attn.q_norm.weight", t.HeadDim),
		one(vector, "self_attn.k_norm.weight", t.HeadDim),
		one(matrix, "self_attn.o_proj.weight", t.Hidden, q),
		one(vector, "post_attention_layernorm.weight", t.Hidden),
		{"gate_up", matrix, []source{
			{"mlp.gate_proj.weight", []int{t.Intermediate, t.Hidden}},
			{"mlp.up_proj.weight", []int{t.Intermediate, t.Hidden}},
		}},
		one(matrix, "mlp.down_proj.weight", t.Hidden, t.Intermediate),
	}
}

// headParams declares the last norm and, where the output matrix is not the embedding itself, that matrix.
func (s Spec) headParams() []param {
	params := []param{one(vector, "model.language_model.norm.weight", s.Text.Hidden)}
	if !s.Text.Tied {
		params = append(params, one(matrix, "lm_head.weight", s.Text.VocabSize, s.Text.Hidden))
	}
	return params
}
