package qwen

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
)

// This file is the only one that knows the keys of config.json.

type rawConfig struct {
	ModelType     string          `json:"model_type"`
	DType         string          `json:"dtype"`
	TorchDType    string          `json:"torch_dtype"`
	Tied          *bool           `json:"tie_word_embeddings"`
	ImageTokenID  *int32          `json:"image_token_id"`
	EOSTokenID    json.RawMessage `json:"eos_token_id"`
	TextConfig    *rawText        `json:"text_config"`
	VisionConfig  *rawVision      `json:"vision_config"`
	Quantization  json.RawMessage `json:"quantization_config"`
	Architectures []string        `json:"architectures"`
}

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
	SlidingWindow    bool            `json:"use_sliding_window"`
	Tied             *bool           `json:"tie_word_embeddings"`
	EOSTokenID       json.RawMessage `json:"eos_token_id"`
	RopeTheta        *float64        `json:"rope_theta"`
	RopeScaling      *rawRope        `json:"rope_scaling"`
	RopeParameters   *rawRope        `json:"rope_parameters"`
}

// rawRope is rope_parameters of transformers 5, and rope_scaling of 4 (which has rope_theta beside it, not in it).
type rawRope struct {
	RopeType    string   `json:"rope_type"`
	Type        string   `json:"type"`
	Theta       *float64 `json:"rope_theta"`
	Section     []int    `json:"mrope_section"`
	Interleaved *bool    `json:"mrope_interleaved"`
}

type rawVision struct {
	Depth             int      `json:"depth"`
	HiddenSize        int      `json:"hidden_size"`
	HiddenAct         string   `json:"hidden_act"`
	IntermediateSize  int      `json:"intermediate_size"`
	Heads             int      `json:"num_heads"`
	Channels          *int     `json:"in_channels"`
	PatchSize         int      `json:"patch_size"`
	MergeSize         *int     `json:"spatial_merge_size"`
	TemporalPatchSize *int     `json:"temporal_patch_size"`
	OutHiddenSize     int      `json:"out_hidden_size"`
	Positions         int      `json:"num_position_embeddings"`
	Deepstack         []int    `json:"deepstack_visual_indexes"`
	RopeParameters    *rawRope `json:"rope_parameters"`
}

// ReadSpec reads config.json, and generation_config.json where there is one, of a checkpoint folder.
//
// A configuration that this package does not run is an error that wraps [ErrUnsupported] and names the key and its value.
func ReadSpec(fsys fs.FS) (Spec, error) {
	data, err := fs.ReadFile(fsys, "config.json")
	if err != nil {
		return Spec{}, fmt.Errorf("read config.json: %w (a checkpoint is a folder with config.json, tokenizer.json and *.safetensors)", err)
	}
	s, err := parseSpec(data)
	if err != nil {
		return Spec{}, fmt.Errorf("config.json: %w", err)
	}
	generation, err := fs.ReadFile(fsys, "generation_config.json")
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return Spec{}, fmt.Errorf("read generation_config.json: %w", err)
	}
	var raw struct {
		EOSTokenID json.RawMessage `json:"eos_token_id"`
	}
	if err := json.Unmarshal(generation, &raw); err != nil {
		return Spec{}, fmt.Errorf("generation_config.json: %w", err)
	}
	eos, err := tokenIDs(raw.EOSTokenID)
	if err != nil {
		return Spec{}, fmt.Errorf("generation_config.json: eos_token_id: %w", err)
	}
	if len(eos) > 0 {
		s.EOS = eos
	}
	return s, nil
}

func parseSpec(data []byte) (Spec, error) {
	var raw rawConfig
	if err := json.Unmarshal(data, &raw); err != nil {
		return Spec{}, err
	}
	if raw.ModelType != "qwen3_vl" {
		return Spec{}, fmt.Errorf("model_type %q: %w (supported: \"qwen3_vl\")", raw.ModelType, ErrUnsupported)
	}
	quantization, err := parseQuantization(raw.Quantization)
	if err != nil {
		return Spec{}, err
	}
	if raw.TextConfig == nil {
		return Spec{}, errors.New("text_config is missing")
	}
	if raw.VisionConfig == nil {
		return Spec{}, errors.New("vision_config is missing: this is not a vision-language checkpoint")
	}
	s := Spec{ModelType: raw.ModelType, DType: firstNonEmpty(raw.DType, raw.TorchDType, raw.TextConfig.DType), ImageToken: 151655}
	s.Quantization = quantization
	if raw.ImageTokenID != nil {
		s.ImageToken = *raw.ImageTokenID
	}
	if s.Text, err = raw.TextConfig.spec(); err != nil {
		return Spec{}, fmt.Errorf("text_config: %w", err)
	}
	if s.Vision, err = raw.VisionConfig.spec(); err != nil {
		return Spec{}, fmt.Errorf("vision_config: %w", err)
	}
	for _, tied := range []*bool{raw.TextConfig.Tied, raw.Tied} { // the top level wins
		if tied != nil {
			s.Text.Tied = *tied
		}
	}
	for _, key := range []json.RawMessage{raw.EOSTokenID, raw.TextConfig.EOSTokenID} {
		if len(s.EOS) > 0 {
			break
		}
		if s.EOS, err = tokenIDs(key); err != nil {
			return Spec{}, fmt.Errorf("eos_token_id: %w", err)
		}
	}
	return s, s.validate()
}

func (r *rawText) spec() (TextSpec, error) {
	switch {
	case r.HiddenAct != "silu":
		return TextSpec{}, fmt.Errorf("hidden_act %q: %w (supported: \"silu\")", r.HiddenAct, ErrUnsupported)
	case r.AttentionBias:
		return TextSpec{}, fmt.Errorf("attention_bias true: %w", ErrUnsupported)
	case r.SlidingWindow:
		return TextSpec{}, fmt.Errorf("use_sliding_window true: %w", ErrUnsupported)
	}
	t := TextSpec{
		VocabSize: r.VocabSize, Hidden: r.HiddenSize, Intermediate: r.IntermediateSize, Layers: r.Layers, Heads: r.Heads,
		KVHeads: valueOr(r.KVHeads, r.Heads), HeadDim: valueOr(r.HeadDim, 128), MaxPositions: r.MaxPositions,
		NormEps: valueOr(r.NormEps, 1e-6), RopeTheta: defaultTextTheta, MRopeSection: [3]int{24, 20, 20},
	}
	rope := r.RopeParameters
	if rope == nil {
		rope = r.RopeScaling
	}
	if r.RopeTheta != nil {
		t.RopeTheta = *r.RopeTheta
	}
	if rope == nil {
		return t, nil
	}
	if kind := firstNonEmpty(rope.RopeType, rope.Type); kind != "" && kind != "default" && kind != "mrope" {
		return TextSpec{}, fmt.Errorf("rope_type %q: %w (supported: \"default\")", kind, ErrUnsupported)
	}
	if rope.Interleaved != nil && !*rope.Interleaved {
		return TextSpec{}, fmt.Errorf("mrope_interleaved false: %w", ErrUnsupported)
	}
	if rope.Theta != nil {
		t.RopeTheta = *rope.Theta
	}
	if rope.Section != nil {
		if len(rope.Section) != 3 {
			return TextSpec{}, fmt.Errorf("mrope_section is %v, want three numbers", rope.Section)
		}
		t.MRopeSection = [3]int(rope.Section)
	}
	return t, nil
}

func (r *rawVision) spec() (VisionSpec, error) {
	if r.HiddenAct != "gelu_pytorch_tanh" {
		return VisionSpec{}, fmt.Errorf("hidden_act %q: %w (supported: \"gelu_pytorch_tanh\")", r.HiddenAct, ErrUnsupported)
	}
	if c := valueOr(r.Channels, 3); c != 3 {
		return VisionSpec{}, fmt.Errorf("in_channels %d: %w (supported: 3)", c, ErrUnsupported)
	}
	side := int(math.Sqrt(float64(max(0, r.Positions))))
	if side*side != r.Positions {
		return VisionSpec{}, fmt.Errorf("num_position_embeddings is %d, want a square number", r.Positions)
	}
	v := VisionSpec{
		Depth: r.Depth, Hidden: r.HiddenSize, Intermediate: r.IntermediateSize, Heads: r.Heads, OutHidden: r.OutHiddenSize,
		PatchSize: r.PatchSize, TemporalPatchSize: valueOr(r.TemporalPatchSize, 2), MergeSize: valueOr(r.MergeSize, 2),
		PositionSide: side, RopeTheta: defaultVisionTheta, Deepstack: slices.Clone(r.Deepstack),
	}
	if rope := r.RopeParameters; rope != nil {
		if kind := firstNonEmpty(rope.RopeType, rope.Type); kind != "" && kind != "axial" && kind != "default" {
			return VisionSpec{}, fmt.Errorf("rope_type %q: %w (supported: \"axial\")", kind, ErrUnsupported)
		}
		if rope.Theta != nil {
			v.RopeTheta = *rope.Theta
		}
	}
	return v, nil
}

// tokenIDs reads a key that is a number, a list of numbers, null or missing.
func tokenIDs(raw json.RawMessage) ([]int32, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var one int32
	if err := json.Unmarshal(raw, &one); err == nil {
		return []int32{one}, nil
	}
	var many []int32
	if err := json.Unmarshal(raw, &many); err != nil {
		return nil, fmt.Errorf("%s is neither a token id nor a list of them", raw)
	}
	return many, nil
}

func firstNonEmpty(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func valueOr[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}
