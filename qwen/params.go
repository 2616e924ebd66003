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
	// exact is a small matrix on which much hangs, always float32.
	exact
)

// cut says how a parameter is divided among the devices of a model that is on several.
type cut int

const (
	// undivided parameters are on every device.
	undivided cut = iota
	// byRows gives each device an equal run of the rows of each source: its share of the heads or of an inner width.
	byRows
	// byColumns gives each an equal run of the columns: what its share of the rows of the layer before goes into. The products of
	// the devices are then added up.
	byColumns
)

// param is one parameter of a group. Matrices that are multiplied with the same input are one parameter with several
// sources, whose rows stand one after the other: one product in place of three.
type param struct {
	name    string
	kind    paramKind
	cut     cut
	sources []source
	offset  float32 // added to the numbers of a vector
}

// by is the parameter divided so.
func (p param) by(c cut) param {
	p.cut = c
	return p
}

// source is a tensor of the checkpoint: its key, after the group's prefix, and its shape. A tensor of one expert may also be
// a part of a tensor of all. Where its rows are of several kinds, as queries, keys and values, runs counts those of each.
type source struct {
	key   string
	shape []int
	runs  []int
	fused *fused
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
	if p.kind != matrix || limit <= 0 || elements(dims) <= limit {
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
	switch p.kind {
	case vector:
		return shapes.Make(dtypes.Float32, rows)
	case exact:
		return shapes.Make(dtypes.Float32, rows, p.dims()[1])
	default:
		return shapes.Make(dtype, rows, p.dims()[1])
	}
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
	return param{name: key, kind: kind, sources: []source{{key: key, shape: shape}}}
}

// inRuns is the parameter with rows of several kinds.
func (p param) inRuns(runs ...int) param {
	p.sources[0].runs = runs
	return p
}

// joined declares tensors whose rows stand one after the other.
func joined(name string, kind paramKind, sources ...source) param {
	return param{name: name, kind: kind, sources: sources}
}

// linear declares a dense layer with a bias (torch.nn.Linear). The bias is added to the whole sum where the columns are divided.
func linear(key string, out, in int, c cut) []param {
	bias := one(vector, key+".bias", out)
	if c == byRows {
		bias.cut = byRows
	}
	return []param{one(matrix, key+".weight", out, in).by(c), bias}
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

func groupExpert(layer, i int) string { return fmt.Sprintf("layer.%d.expert.%d", layer, i) }

// groups declares every parameter of the model. The keys are transformers' own.
func (s Spec) groups() []group {
	v, t := s.Vision, s.Text
	all := []group{
		{groupPatch, "model.visual.", patchParams(v)},
		{groupMerger, "model.visual.merger.", mergerParams(v, false)},
		{groupEmbedding, "model.language_model.", embeddingParams(t)},
		{groupHead, "", s.headParams()},
	}
	for i := range v.Depth {
		all = append(all, group{groupBlock(i), fmt.Sprintf("model.visual.blocks.%d.", i), blockParams(v)})
	}
	for i := range v.Deepstack {
		all = append(all, group{groupDeepstack(i), fmt.Sprintf("model.visual.deepstack_merger_list.%d.", i), mergerParams(v, true)})
	}
	for i := range t.Layers {
		prefix := fmt.Sprintf("model.language_model.layers.%d.", i)
		all = append(all, group{groupLayer(i), prefix, layerParams(t, t.kindAt(i))})
		for e := 0; t.SparseAt(i) && e < t.MoE.Experts; e++ {
			all = append(all, group{groupExpert(i, e), prefix, expertParams(t, e)})
		}
	}
	return all
}

func patchParams(v VisionSpec) []param {
	params := []param{one(matrix, "patch_embed.proj.weight", v.patchShape()...).by(byColumns)}
	if v.PatchBias {
		params = append(params, one(vector, "patch_embed.proj.bias", v.Hidden))
	}
	if v.PositionSide > 0 {
		params = append(params, one(matrix, "pos_embed.weight", v.each(v.PositionSide*v.PositionSide), v.Hidden).by(byRows))
	}
	return params
}

// patchShape is the shape of the patch embedding, a convolution; a device that has a part of the numbers of each row has a matrix.
func (v VisionSpec) patchShape() []int {
	if v.devices > 1 {
		return []int{v.Hidden, v.each(v.PatchDim())}
	}
	return []int{v.Hidden, 3, v.TemporalPatchSize, v.PatchSize, v.PatchSize}
}

// visionNorm declares a norm of the vision tower.
func visionNorm(v VisionSpec, key string, n int) []param {
	if v.RMSNorm {
		return []param{one(vector, key+".weight", n)}
	}
	return layerNorm(key, n)
}

func blockParams(v VisionSpec) []param {
	inner := v.Heads * v.HeadDim()
	qkv := linear("attn.qkv", 3*inner, v.Hidden, byRows)
	for i := range qkv {
		qkv[i] = qkv[i].inRuns(inner, inner, inner)
	}
	params := concat(
		visionNorm(v, "norm1", v.Hidden), qkv, linear("attn.proj", v.Hidden, inner, byColumns), visionNorm(v, "norm2", v.Hidden))
	if v.Gated {
		var weights, biases []source
		for _, key := range []string{"mlp.gate_proj", "mlp.up_proj"} {
			weights = append(weights, source{key: key + ".weight", shape: []int{v.Intermediate, v.Hidden}})
			biases = append(biases, source{key: key + ".bias", shape: []int{v.Intermediate}})
		}
		params = append(params, joined("gate_up.weight", matrix, weights...).by(byRows), joined("gate_up.bias", vector, biases...).by(byRows))
		return append(params, linear("mlp.down_proj", v.Hidden, v.Intermediate, byColumns)...)
	}
	first, second := v.feedForwardKeys()
	return append(params, concat(linear(first, v.Intermediate, v.Hidden, byRows), linear(second, v.Hidden, v.Intermediate, byColumns))...)
}

// feedForwardKeys are the names of the two layers of a block's plain feed-forward network.
func (v VisionSpec) feedForwardKeys() (first, second string) {
	if v.OldKeys {
		return "mlp.fc1", "mlp.fc2"
	}
	return "mlp.linear_fc1", "mlp.linear_fc2"
}

// mergerKeys are the names of a merger's norm and its two layers.
func (v VisionSpec) mergerKeys() (norm, first, second string) {
	if v.OldKeys {
		return "ln_q", "mlp.0", "mlp.2"
	}
	return "norm", "linear_fc1", "linear_fc2"
}

// mergerParams declares a merger (transformers' Qwen3VLVisionPatchMerger). The last one normalizes before the patches are laid
// end to end, those of deepstack after it, which is why the width of the norm differs.
func mergerParams(v VisionSpec, deepstack bool) []param {
	norm, first, second := v.mergerKeys()
	width := v.Hidden
	if deepstack {
		width = v.MergedDim()
	}
	inner := v.each(v.MergedDim())
	return concat(visionNorm(v, norm, width), linear(first, inner, v.MergedDim(), byRows), linear(second, v.OutHidden, inner, byColumns))
}
