package qwen

import "fmt"

// This file declares the parameters of the text tower.

// layerKind is what a layer is made of: layers of one kind share their programs.
type layerKind struct {
	// linear is true where a recurrent state takes the place of keys and values, sparse where experts take that of one
	// feed-forward network.
	linear, sparse bool
}

func (t TextSpec) kindAt(layer int) layerKind { return layerKind{t.LinearAt(layer), t.SparseAt(layer)} }

// norm declares an RMSNorm of the text tower.
func (t TextSpec) norm(key string, n int) param {
	p := one(vector, key, n)
	p.offset = t.NormOffset
	return p
}

func layerParams(t TextSpec, kind layerKind) []param {
	params := []param{t.norm("input_layernorm.weight", t.Hidden)}
	if kind.linear {
		params = append(params, deltaParams(t)...)
	} else {
		params = append(params, attentionParams(t)...)
	}
	params = append(params, t.norm("post_attention_layernorm.weight", t.Hidden))
	switch {
	case !kind.sparse:
		return append(params, feedForward("mlp.", t.Hidden, t.Intermediate)...)
	case t.MoE.Shared > 0:
		params = append(params, feedForward("mlp.shared_expert.", t.Hidden, t.MoE.Shared)...)
		params = append(params, one(exact, "mlp.shared_expert_gate.weight", 1, t.Hidden))
	}
	return append(params, one(exact, "mlp.gate.weight", t.MoE.Experts, t.Hidden))
}

func attentionParams(t TextSpec) []param {
	q, kv := t.Heads*t.HeadDim, t.KVHeads*t.HeadDim
	if t.OutputGate { // each head's query is followed by its gate
		q *= 2
	}
	weights := []source{
		{key: "self_attn.q_proj.weight", shape: []int{q, t.Hidden}},
		{key: "self_attn.k_proj.weight", shape: []int{kv, t.Hidden}},
		{key: "self_attn.v_proj.weight", shape: []int{kv, t.Hidden}},
	}
	params := []param{joined("qkv", matrix, weights...).by(byRows)}
	if t.QKVBias {
		params = append(params, joined("qkv.bias", vector,
			source{key: "self_attn.q_proj.bias", shape: []int{q}},
			source{key: "self_attn.k_proj.bias", shape: []int{kv}},
			source{key: "self_attn.v_proj.bias", shape: []int{kv}}).by(byRows))
	}
	if t.QKNorm {
		params = append(params, t.norm("self_attn.q_norm.weight", t.HeadDim), t.norm("self_attn.k_norm.weight", t.HeadDim))
	}
	return append(params, one(matrix, "self_attn.o_proj.weight", t.Hidden, t.Heads*t.HeadDim).by(byColumns))
}

func deltaParams(t TextSpec) []param {
	d := t.Delta
	keys, inner := d.KeyHeads*d.KeyDim, d.ValueHeads*d.ValueDim
	return []param{
		joined("in", matrix,
			source{key: "linear_attn.in_proj_qkv.weight", shape: []int{d.Channels(), t.Hidden}, runs: []int{keys, keys, inner}},
			source{key: "linear_attn.in_proj_z.weight", shape: []int{inner, t.Hidden}}).by(byRows),
		joined("rates", exact,
			source{key: "linear_attn.in_proj_b.weight", shape: []int{d.ValueHeads, t.Hidden}},
			source{key: "linear_attn.in_proj_a.weight", shape: []int{d.ValueHeads, t.Hidden}}).by(byRows),
		one(exact, "linear_attn.conv1d.weight", d.Channels(), 1, d.Kernel).inRuns(keys, keys, inner).by(byRows),
		one(vector, "linear_attn.dt_bias", d.ValueHeads).by(byRows),
		one(vector, "linear_attn.A_log", d.ValueHeads).by(byRows),
		one(vector, "linear_attn.norm.weight", d.ValueDim),
		one(matrix, "linear_attn.out_proj.weight", t.Hidden, inner).by(byColumns),
	}
}

// feedForward declares a gated feed-forward network (transformers' Qwen3VLTextMLP).
func feedForward(prefix string, hidden, intermediate int) []param {
	return []param{
		joined("gate_up", matrix,
			source{key: prefix + "gate_proj.weight", shape: []int{intermediate, hidden}},
			source{key: prefix + "up_proj.weight", shape: []int{intermediate, hidden}}).by(byRows),
		joined("down", matrix, source{key: prefix + "down_proj.weight", shape: []int{hidden, intermediate}}).by(byColumns),
	}
}

// fused is where a tensor of one expert stands in a tensor of all, [experts, rows, in], or [experts, in, rows] in the files on
// the hub that have them transposed.
type fused struct {
	key                         string
	experts, expert, from, rows int
}

// expertParams declares one expert. Its tensors are found by themselves, or as parts of fused ones.
func expertParams(t TextSpec, expert int) []param {
	m := t.MoE
	params := feedForward(fmt.Sprintf("mlp.experts.%d.", expert), t.Hidden, m.Intermediate)
	gate, up, down := &params[0].sources[0], &params[0].sources[1], &params[1].sources[0]
	gate.fused = &fused{"mlp.experts.gate_up_proj", m.Experts, expert, 0, 2 * m.Intermediate}
	up.fused = &fused{"mlp.experts.gate_up_proj", m.Experts, expert, m.Intermediate, 2 * m.Intermediate}
	down.fused = &fused{"mlp.experts.down_proj", m.Experts, expert, 0, t.Hidden}
	return params
}

// headParams declares the last norm and, where the output matrix is not the embedding itself, that matrix.
func (s Spec) headParams() []param {
	params := []param{s.Text.norm("model.language_model.norm.weight", s.Text.Hidden)}
	if !s.Text.Tied {
		params = append(params, one(matrix, "lm_head.weight", s.Text.VocabSize, s.Text.Hidden).by(byRows))
	}
	return params
}

// embeddingParams declares the table of the tokens.
func embeddingParams(t TextSpec) []param {
	return []param{one(matrix, "embed_tokens.weight", t.VocabSize, t.Hidden).by(byRows)}
}
