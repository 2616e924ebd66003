package qwen

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
)

// This file and its neighbors config_text.go and config_vision.go are the only ones that know the keys of config.json.

// generations are the model types that are built, each with what its configuration takes for granted.
var generations = func() map[string]Spec {
	qwen2 := Spec{
		ImageToken: 151655,
		Text:       TextSpec{QKVBias: true, MRopeSection: [3]int{16, 24, 24}, RopeTheta: 1e6},
		Vision:     VisionSpec{Activation: "quick_gelu", OldKeys: true},
	}
	qwen25 := qwen2
	qwen25.Vision = VisionSpec{Activation: "silu", OldKeys: true, RMSNorm: true, Gated: true, Window: 4}
	qwen3 := Spec{
		ImageToken: 151655,
		Text:       TextSpec{QKNorm: true, Interleaved: true, HeadDim: 128, MRopeSection: [3]int{24, 20, 20}, RopeTheta: defaultTextTheta},
		Vision:     VisionSpec{Activation: "gelu_pytorch_tanh", PatchBias: true, PositionSide: 48},
	}
	qwen35 := qwen3
	qwen35.ImageToken = 248056
	qwen35.Text = TextSpec{
		QKNorm: true, OutputGate: true, NormOffset: 1, Interleaved: true, HeadDim: 256, RotaryDim: 64,
		MRopeSection: [3]int{11, 11, 10}, RopeTheta: 1e7, Delta: DeltaSpec{16, 32, 128, 128, 4},
	}
	sparse := func(s Spec, experts, topK, intermediate, shared int) Spec {
		s.Text.MoE = MoESpec{Experts: experts, TopK: topK, Intermediate: intermediate, Shared: shared}
		return s
	}
	return map[string]Spec{
		"qwen2_vl": qwen2, "qwen2_5_vl": qwen25, "qwen3_vl": qwen3, "qwen3_vl_moe": sparse(qwen3, 60, 4, 1408, 0),
		"qwen3_5": qwen35, "qwen3_5_moe": sparse(qwen35, 256, 8, 512, 512),
	}
}()

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
	s, ok := generations[raw.ModelType]
	if !ok {
		return Spec{}, fmt.Errorf("model_type %q: %w (supported: %q)", raw.ModelType, ErrUnsupported, slices.Sorted(maps.Keys(generations)))
	}
	quantization, err := parseQuantization(raw.Quantization)
	if err != nil {
		return Spec{}, err
	}
	if raw.VisionConfig == nil {
		return Spec{}, errors.New("vision_config is missing: this is not a vision-language checkpoint")
	}
	if raw.TextConfig == nil {
		if !s.Vision.OldKeys {
			return Spec{}, errors.New("text_config is missing")
		}
		// Files of Qwen2 and Qwen2.5 have its keys beside vision_config.
		if err := json.Unmarshal(data, &raw.TextConfig); err != nil {
			return Spec{}, err
		}
	}
	s.Quantization = quantization
	s.ModelType, s.DType = raw.ModelType, firstNonEmpty(raw.DType, raw.TorchDType, raw.TextConfig.DType)
	if raw.ImageTokenID != nil {
		s.ImageToken = *raw.ImageTokenID
	}
	if s.Text, err = raw.TextConfig.spec(s.Text); err != nil {
		return Spec{}, fmt.Errorf("text_config: %w", err)
	}
	if s.Vision, err = raw.VisionConfig.spec(s.Vision); err != nil {
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
