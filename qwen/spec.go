package qwen

import (
	"errors"
	"slices"

	"github.com/omnidocs/omnidocs/internal/nn"
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

// TextSpec is the decoder (transformers' Qwen2VLTextConfig, Qwen3VLTextConfig, Qwen3_5TextConfig and their MoE forms).
type TextSpec struct {
	VocabSize, Hidden, Intermediate, Layers, Heads, KVHeads, HeadDim int
	// MaxPositions is the longest context, prompt and answer together, in tokens.
	MaxPositions int
	// NormEps is added to the variance in every RMSNorm.
	NormEps float64
	// NormOffset is what the weights of the norms are short of: 1 where they are stored around zero (Qwen3.5), else 0.
	NormOffset float32
	// QKVBias gives the projections to queries, keys and values a bias (Qwen2, Qwen2.5); QKNorm normalizes each head of
	// queries and keys (Qwen3 and after); OutputGate multiplies what a head reads by a sigmoid (Qwen3.5).
	QKVBias, QKNorm, OutputGate bool
	// RotaryDim is how much of HeadDim is turned by the rotary embedding, RopeTheta the base of its frequencies.
	RotaryDim int
	RopeTheta float64
	// MRopeSection says how many of the RotaryDim/2 frequencies turn with time, height and width; Interleaved deals them out
	// in turns (Qwen3), where before they stood in three runs.
	MRopeSection [3]int
	Interleaved  bool
	// Linear says which layers keep a recurrent state in place of keys and values (Qwen3.5), and Delta how. Nil is none.
	Linear []bool
	Delta  DeltaSpec
	// Sparse says which layers choose among experts, and MoE how. Nil is none.
	Sparse []bool
	MoE    MoESpec
	// Tied is true where the embedding is also the output matrix.
	Tied bool
}

// DeltaSpec is a layer of linear attention (transformers' Qwen3_5GatedDeltaNet).
type DeltaSpec struct {
	KeyHeads, ValueHeads, KeyDim, ValueDim int
	// Kernel is the width of the convolution before it, in tokens.
	Kernel int
}

// Channels is the width of queries, keys and values together.
func (d DeltaSpec) Channels() int { return 2*d.KeyHeads*d.KeyDim + d.ValueHeads*d.ValueDim }

// MoESpec is a mixture of experts (transformers' Qwen3VLMoeTextSparseMoeBlock, Qwen3_5MoeSparseMoeBlock).
type MoESpec struct {
	// Experts is how many there are, TopK how many a token goes to, Intermediate the inner width of one.
	Experts, TopK, Intermediate int
	// Shared is the inner width of the expert that all tokens go to; 0 is none.
	Shared int
}

// LinearAt says whether a layer keeps a recurrent state.
func (t TextSpec) LinearAt(layer int) bool { return t.Linear != nil && t.Linear[layer] }

// SparseAt says whether a layer chooses among experts.
func (t TextSpec) SparseAt(layer int) bool { return t.Sparse != nil && t.Sparse[layer] }

// VisionSpec is the vision tower (transformers' Qwen2VLVisionConfig, Qwen2_5_VLVisionConfig, Qwen3VLVisionConfig).
type VisionSpec struct {
	Depth, Hidden, Intermediate, Heads, OutHidden int
	// PatchSize and TemporalPatchSize are the size of a patch in pixels and frames; MergeSize patches in a row and column
	// become one visual token.
	PatchSize, TemporalPatchSize, MergeSize int
	// PatchBias gives the patch embedding a bias (Qwen3).
	PatchBias bool
	// PositionSide is the side of the square table of learned position embeddings; 0 where there is none (before Qwen3).
	PositionSide int
	// RopeTheta is the base of the rotary frequencies.
	RopeTheta float64
	// RMSNorm takes the place of LayerNorm, and Gated that of the plain feed-forward network (Qwen2.5).
	RMSNorm, Gated bool
	// Activation is that of the feed-forward network, as transformers names it.
	Activation string
	// Window is the side of a window of attention in visual tokens; 0 where all see all. FullBlocks are the blocks in which
	// all see all nonetheless (Qwen2.5).
	Window     int
	FullBlocks []int
	// Deepstack lists the blocks whose output also goes into the first text layers, in that order (Qwen3-VL).
	Deepstack []int
	// OldKeys is true where the tensors have the names of Qwen2 and Qwen2.5 (mlp.fc1, merger.mlp.0).
	OldKeys bool

	// devices is of how many devices this is the share of one; 0 is one.
	devices int
}

// each is one device's share of a size.
func (v VisionSpec) each(size int) int { return portion(size, max(1, v.devices)) }

// windowedAt says whether a block's attention keeps to windows.
func (v VisionSpec) windowedAt(block int) bool {
	return v.Window > 0 && !slices.Contains(v.FullBlocks, block)
}

// HeadDim is the size of an attention head.
func (v VisionSpec) HeadDim() int { return v.each(v.Hidden) / v.Heads }

// PatchDim is the number of values of a patch: channels × frames × height × width.
func (v VisionSpec) PatchDim() int { return 3 * v.TemporalPatchSize * v.PatchSize * v.PatchSize }

// MergedDim is the size of the patches of one visual token laid end to end.
func (v VisionSpec) MergedDim() int { return v.Hidden * v.MergeSize * v.MergeSize }

// Fixed parts of the architecture that no configuration carries.
const (
	visionNormEps      = 1e-6  // Qwen3VLVisionBlock, Qwen2_5_VLVisionBlock and the mergers
	defaultVisionTheta = 10000 // Qwen3VLVisionRotaryEmbedding
	defaultTextTheta   = 500000
)

// activations are those of the feed-forward networks of the vision towers, by their names in transformers.
var activations = map[string]nn.Activation{
	"quick_gelu": nn.QuickGELU, "gelu_pytorch_tanh": nn.GELUTanh, "gelu": nn.GELU, "silu": nn.SiLU,
}
