package qwen

import (
	"encoding/json"
	"fmt"
	"slices"
)

type rawText struct {
	DType            string          `json:"dtype"`
	VocabSize        int             `json:"vocab_size"`
	HiddenSize       int             `json:"hidden_size"`
	IntermediateSize int             `json:"intermediate_size"`
	Layers           int             `json:"num_hidden_layers"`
	Heads            int             `json:"num_attention_heads"`
	KVHeads          *int            `json:"num_key_value_heads"`
	HeadDim          *int            `json:"head_dim"`
	HiddenAct        string          `json:"hidden_act"`
	MaxPositions     int             `json:"max_position_embeddings"`
	NormEps          *float64        `json:"rms_norm_eps"`
	AttentionBias    bool            `json:"attention_bias"`
	OutputGate       *bool           `json:"attn_output_gate"`
	SlidingWindow    bool            `json:"use_sliding_window"`
	Tied             *bool           `json:"tie_word_embeddings"`
	EOSTokenID       json.RawMessage `json:"eos_token_id"`
	RopeTheta        *float64        `json:"rope_theta"`
	RopeScaling      *rawRope        `json:"rope_scaling"`
	RopeParameters   *rawRope        `json:"rope_parameters"`
	Rotary           *float64        `json:"partial_rotary_factor"`
	LayerTypes       []string        `json:"layer_types"`
	FullInterval     *int            `json:"full_attention_interval"`
	rawDelta
	rawMoE
}

// rawDelta are the keys of the layers with a recurrent state.
type rawDelta struct {
	Kernel     *int `json:"linear_conv_kernel_dim"`
	KeyDim     *int `json:"linear_key_head_dim"`
	ValueDim   *int `json:"linear_value_head_dim"`
	KeyHeads   *int `json:"linear_num_key_heads"`
	ValueHeads *int `json:"linear_num_value_heads"`
}

// rawMoE are the keys of the layers with experts.
type rawMoE struct {
	Experts      *int  `json:"num_experts"`
	LocalExperts *int  `json:"num_local_experts"`
	TopK         *int  `json:"num_experts_per_tok"`
	Intermediate *int  `json:"moe_intermediate_size"`
	Shared       *int  `json:"shared_expert_intermediate_size"`
	Step         *int  `json:"decoder_sparse_step"`
	DenseLayers  []int `json:"mlp_only_layers"`
	NormTopK     *bool `json:"norm_topk_prob"`
}

// rawRope is rope_parameters of transformers 5, and rope_scaling of 4 (which has rope_theta beside it, not in it).
type rawRope struct {
	RopeType    string   `json:"rope_type"`
	Type        string   `json:"type"`
	Theta       *float64 `json:"rope_theta"`
	Section     []int    `json:"mrope_section"`
	Interleaved *bool    `json:"mrope_interleaved"`
	Rotary      *float64 `json:"partial_rotary_factor"`
}

// spec fills in what the file says over what the generation has.
func (r *rawText) spec(t TextSpec) (TextSpec, error) {
	switch {
	case r.HiddenAct != "silu":
		return t, fmt.Errorf("hidden_act %q: %w (supported: \"silu\")", r.HiddenAct, ErrUnsupported)
	case r.AttentionBias:
		return t, fmt.Errorf("attention_bias true: %w", ErrUnsupported)
	case r.SlidingWindow:
		return t, fmt.Errorf("use_sliding_window true: %w", ErrUnsupported)
	case r.OutputGate != nil && *r.OutputGate != t.OutputGate:
		return t, fmt.Errorf("attn_output_gate %t: %w for this model_type", *r.OutputGate, ErrUnsupported)
	}
	t.VocabSize, t.Hidden, t.Intermediate, t.Layers, t.Heads = r.VocabSize, r.HiddenSize, r.IntermediateSize, r.Layers, r.Heads
	t.KVHeads, t.MaxPositions, t.NormEps = valueOr(r.KVHeads, r.Heads), r.MaxPositions, valueOr(r.NormEps, 1e-6)
	if t.HeadDim == 0 && r.Heads > 0 { // Qwen2 and Qwen2.5 have no key for it
		t.HeadDim = r.HiddenSize / r.Heads
	}
	t.HeadDim = valueOr(r.HeadDim, t.HeadDim)
	if err := r.rope(&t); err != nil {
		return t, err
	}
	if err := r.mixers(&t); err != nil {
		return t, err
	}
	return t, r.experts(&t)
}

func (r *rawText) rope(t *TextSpec) error {
	rope := r.RopeParameters
	if rope == nil {
		rope = r.RopeScaling
	}
	if rope == nil {
		rope = &rawRope{}
	}
	if kind := firstNonEmpty(rope.RopeType, rope.Type); kind != "" && kind != "default" && kind != "mrope" {
		return fmt.Errorf("rope_type %q: %w (supported: \"default\")", kind, ErrUnsupported)
	}
	if rope.Interleaved != nil && *rope.Interleaved != t.Interleaved {
		return fmt.Errorf("mrope_interleaved %t: %w for this model_type", *rope.Interleaved, ErrUnsupported)
	}
	t.RopeTheta = valueOr(rope.Theta, valueOr(r.RopeTheta, t.RopeTheta))
	if rope.Section != nil {
		if len(rope.Section) != 3 {
			return fmt.Errorf("mrope_section is %v, want three numbers", rope.Section)
		}
		t.MRopeSection = [3]int(rope.Section)
	}
	part := 1.0
	if t.RotaryDim > 0 { // a generation that turns a part says which
		part = 0.25
	}
	t.RotaryDim = int(float64(t.HeadDim) * valueOr(rope.Rotary, valueOr(r.Rotary, part)))
	return nil
}

// mixers says which layers keep a recurrent state.
func (r *rawText) mixers(t *TextSpec) error {
	types := r.LayerTypes
	if len(types) == 0 && t.Delta != (DeltaSpec{}) {
		every := valueOr(r.FullInterval, 4)
		if every < 1 {
			return fmt.Errorf("full_attention_interval is %d, want 1 or more", every)
		}
		for i := range min(max(0, t.Layers), maxLayers) {
			types = append(types, map[bool]string{true: fullAttention, false: linearAttention}[(i+1)%every == 0])
		}
	}
	for i, kind := range types {
		if kind != fullAttention && (kind != linearAttention || t.Delta == (DeltaSpec{})) {
			return fmt.Errorf("layer_types[%d] %q: %w for this model_type", i, kind, ErrUnsupported)
		}
	}
	if t.Delta == (DeltaSpec{}) {
		return nil
	}
	t.Linear = make([]bool, len(types))
	for i, kind := range types {
		t.Linear[i] = kind == linearAttention
	}
	d := t.Delta
	t.Delta = DeltaSpec{
		KeyHeads: valueOr(r.KeyHeads, d.KeyHeads), ValueHeads: valueOr(r.ValueHeads, d.ValueHeads),
		KeyDim: valueOr(r.KeyDim, d.KeyDim), ValueDim: valueOr(r.ValueDim, d.ValueDim), Kernel: valueOr(r.Kernel, d.Kernel),
	}
	return nil
}

// Kinds of layers, and a bound on their number.
const (
	fullAttention   = "full_attention"
	linearAttention = "linear_attention"
	maxLayers       = 1024
)

// experts says which layers choose among experts.
func (r *rawText) experts(t *TextSpec) error {
	if t.MoE == (MoESpec{}) {
		return nil
	}
	// Both generations divide the weights of the chosen experts by their sum, and transformers reads no key for it.
	if r.NormTopK != nil && !*r.NormTopK {
		return fmt.Errorf("norm_topk_prob false: %w", ErrUnsupported)
	}
	m := t.MoE
	t.MoE = MoESpec{
		Experts: valueOr(r.Experts, valueOr(r.LocalExperts, m.Experts)), TopK: valueOr(r.TopK, m.TopK),
		Intermediate: valueOr(r.rawMoE.Intermediate, m.Intermediate), Shared: valueOr(r.Shared, m.Shared),
	}
	if m.Shared == 0 {
		t.MoE.Shared = 0 // a generation without one has no such key
	}
	step := valueOr(r.Step, 1)
	if step < 1 {
		return fmt.Errorf("decoder_sparse_step is %d, want 1 or more", step)
	}
	for i := range min(max(0, t.Layers), maxLayers) {
		t.Sparse = append(t.Sparse, (i+1)%step == 0 && !slices.Contains(r.DenseLayers, i))
	}
	return nil
}
