package qwen

import (
	"errors"
	"fmt"
)

// ErrUnsupported is wrapped by the errors of checkpoints that this package cannot run: another family, or a variant of
// this one whose configuration has a key that is not built. The message names the key and its value.
var ErrUnsupported = errors.New("not supported")

// Spec is what a checkpoint is, as its config.json says. It is read once and never changed.
type Spec struct {
	// ModelType is transformers' model_type, for example "qwen3_vl".
	ModelType string
	// DType is the type of the stored weights as the configuration names it ("bfloat16"), or empty.
	DType string
	// Text and Vision are the two towers.
	Text   TextSpec
	Vision VisionSpec
	// ImageToken is the id of <|image_pad|>, which stands in the prompt once for each visual token.
	ImageToken int32
	// EOS are the ids that end an answer.
	EOS []int32
	// Quantization says how the weights are stored, nil where they are plain floats.
	Quantization *QuantizedWeights
}

// TextSpec is the decoder (transformers' Qwen3VLTextConfig).
type TextSpec struct {
	VocabSize, Hidden, Intermediate, Layers, Heads, KVHeads, HeadDim int
	// MaxPositions is the longest context, prompt and answer together, in tokens.
	MaxPositions int
	// NormEps is added to the variance in every RMSNorm.
	NormEps float64
	// RopeTheta is the base of the rotary frequencies.
	RopeTheta float64
	// MRopeSection says how many of the HeadDim/2 frequencies turn with time, height and width.
	MRopeSection [3]int
	// Tied is true where the embedding is also the output matrix.
	Tied bool
}

// VisionSpec is the vision tower (transformers' Qwen3VLVisionConfig).
type VisionSpec struct {
	Depth, Hidden, Intermediate, Heads, OutHidden int
	// PatchSize and TemporalPatchSize are the size of a patch in pixels and frames; MergeSize patches in a row and column
	// become one visual token.
	PatchSize, TemporalPatchSize, MergeSize int
	// PositionSide is the side of the square table of learned position embeddings.
	PositionSide int
	// RopeTheta is the base of the rotary frequencies.
	RopeTheta float64
	// Deepstack lists the blocks whose output also goes into the first text layers, in that order.
	Deepstack []int
}

// HeadDim is the size of an attention head.
func (v VisionSpec) HeadDim() int { return v.Hidden / v.Heads }

// PatchDim is the number of values of a patch: channels × frames × height × width.
func (v VisionSpec) PatchDim() int { return 3 * v.TemporalPatchSize * v.PatchSize * v.PatchSize }

// MergedDim is the size of the patches of one visual token laid end to end.
func (v VisionSpec) MergedDim() int { return v.Hidden * v.MergeSize * v.MergeSize }

// Fixed parts of the architecture that no configuration carries.
const (
	visionNormEps      = 1e-6  // Qwen3VLVisionBlock, Qwen3VLVisionPatchMerger
	defaultVisionTheta = 10000 // Qwen3VLVisionRotaryEmbedding
	defaultTextTheta   = 500000
)

// validate returns all that is wrong with the numbers of a Spec. The upper bounds are far above any model that exists:
// they keep an absurd file from asking for absurd memory.
func (s Spec) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	inRange := func(key string, value, low, high int) {
		if value < low || value > high {
			bad("%s is %d, want %d to %d", key, value, low, high)
		}
	}
	t, v := s.Text, s.Vision
	inRange("text_config.vocab_size", t.VocabSize, 1, 1<<22)
	inRange("text_config.hidden_size", t.Hidden, 1, 1<<17)
	inRange("text_config.intermediate_size", t.Intermediate, 1, 1<<18)
	inRange("text_config.num_hidden_layers", t.Layers, 1, 1024)
	inRange("text_config.num_attention_heads", t.Heads, 1, 1024)
	inRange("text_config.num_key_value_heads", t.KVHeads, 1, 1024)
	inRange("text_config.head_dim", t.HeadDim, 2, 4096)
	inRange("text_config.max_position_embeddings", t.MaxPositions, 1, 1<<26)
	inRange("vision_config.depth", v.Depth, 1, 1024)
	inRange("vision_config.hidden_size", v.Hidden, 1, 1<<17)
	inRange("vision_config.intermediate_size", v.Intermediate, 1, 1<<18)
	inRange("vision_config.num_heads", v.Heads, 1, 1024)
	inRange("vision_config.patch_size", v.PatchSize, 1, 256)
	inRange("vision_config.temporal_patch_size", v.TemporalPatchSize, 1, 16)
	inRange("vision_config.spatial_merge_size", v.MergeSize, 1, 16)
	inRange("sqrt(vision_config.num_position_embeddings)", v.PositionSide, 1, 4096)
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	if t.HeadDim%2 != 0 {
		bad("text_config.head_dim is %d, want an even number", t.HeadDim)
	}
	if t.Heads%t.KVHeads != 0 {
		bad("text_config.num_attention_heads is %d, want a multiple of num_key_value_heads, %d", t.Heads, t.KVHeads)
	}
	if v.Hidden%v.Heads != 0 || v.HeadDim()%4 != 0 {
		bad("vision_config.hidden_size is %d, want num_heads (%d) times a multiple of 4", v.Hidden, v.Heads)
	}
	if v.OutHidden != t.Hidden {
		bad("vision_config.out_hidden_size is %d, want text_config.hidden_size, %d", v.OutHidden, t.Hidden)
	}
	sum := 0
	for _, n := range t.MRopeSection {
		if n < 0 {
			bad("mrope_section is %v, want numbers from 0 up", t.MRopeSection)
		}
		sum += n
	}
	if sum != t.HeadDim/2 {
		bad("mrope_section is %v, want a sum of head_dim/2, %d", t.MRopeSection, t.HeadDim/2)
	}
	if len(v.Deepstack) > t.Layers {
		bad("vision_config.deepstack_visual_indexes has %d entries, more than there are text layers (%d)", len(v.Deepstack), t.Layers)
	}
	seen := map[int]bool{}
	for _, i := range v.Deepstack {
		if i < 0 || i >= v.Depth || seen[i] {
			bad("vision_config.deepstack_visual_indexes is %v, want different blocks from 0 to %d", v.Deepstack, v.Depth-1)
			break
		}
		seen[i] = true
	}
	if t.NormEps <= 0 {
		bad("text_config.rms_norm_eps is %g, want more than 0", t.NormEps)
	}
	if t.RopeTheta <= 0 || v.RopeTheta <= 0 {
		bad("rope_theta is %g (text) and %g (vision), want more than 0", t.RopeTheta, v.RopeTheta)
	}
	if s.ImageToken < 0 || int(s.ImageToken) >= t.VocabSize {
		bad("image_token_id is %d, want 0 to vocab_size-1, %d", s.ImageToken, t.VocabSize-1)
	}
	return errors.Join(errs...)
}
