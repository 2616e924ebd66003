package qwen

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

type rawVision struct {
	Depth             int      `json:"depth"`
	HiddenSize        int      `json:"hidden_size"`
	EmbedDim          *int     `json:"embed_dim"` // Qwen2's name of the hidden size, where hidden_size is that of the output
	HiddenAct         *string  `json:"hidden_act"`
	IntermediateSize  int      `json:"intermediate_size"`
	MLPRatio          *float64 `json:"mlp_ratio"`
	Heads             int      `json:"num_heads"`
	Channels          *int     `json:"in_channels"`
	Chans             *int     `json:"in_chans"`
	PatchSize         int      `json:"patch_size"`
	MergeSize         *int     `json:"spatial_merge_size"`
	TemporalPatchSize *int     `json:"temporal_patch_size"`
	OutHiddenSize     int      `json:"out_hidden_size"`
	Positions         *int     `json:"num_position_embeddings"`
	Deepstack         []int    `json:"deepstack_visual_indexes"`
	WindowSize        *int     `json:"window_size"`
	FullBlocks        []int    `json:"fullatt_block_indexes"`
	RopeParameters    *rawRope `json:"rope_parameters"`
}

// spec fills in what the file says over what the generation has.
func (r *rawVision) spec(v VisionSpec) (VisionSpec, error) {
	v.Activation = valueOr(r.HiddenAct, v.Activation)
	if _, ok := activations[v.Activation]; !ok {
		return v, fmt.Errorf("hidden_act %q: %w (supported: %q)", v.Activation, ErrUnsupported, slices.Sorted(maps.Keys(activations)))
	}
	if c := valueOr(r.Channels, valueOr(r.Chans, 3)); c != 3 {
		return v, fmt.Errorf("in_channels %d: %w (supported: 3)", c, ErrUnsupported)
	}
	v.Depth, v.Hidden, v.Intermediate, v.Heads, v.OutHidden = r.Depth, r.HiddenSize, r.IntermediateSize, r.Heads, r.OutHiddenSize
	if r.EmbedDim != nil {
		v.Hidden, v.OutHidden = *r.EmbedDim, r.HiddenSize
		v.Intermediate = int(float64(*r.EmbedDim) * valueOr(r.MLPRatio, 4))
	}
	v.PatchSize, v.TemporalPatchSize, v.MergeSize = r.PatchSize, valueOr(r.TemporalPatchSize, 2), valueOr(r.MergeSize, 2)
	if v.PositionSide > 0 {
		n := valueOr(r.Positions, v.PositionSide*v.PositionSide)
		v.PositionSide = int(math.Sqrt(float64(max(0, n))))
		if v.PositionSide*v.PositionSide != n || n <= 0 {
			return v, fmt.Errorf("num_position_embeddings is %d, want a square number", n)
		}
	}
	if v.Window > 0 {
		size := valueOr(r.WindowSize, 112)
		if cell := v.PatchSize * v.MergeSize; cell > 0 {
			v.Window = size / cell
		}
		if v.Window < 1 {
			return v, fmt.Errorf("window_size is %d, less than a visual token of %d·%d pixels", size, v.PatchSize, v.MergeSize)
		}
		v.FullBlocks = slices.Clone(r.FullBlocks)
		if r.FullBlocks == nil {
			v.FullBlocks = []int{7, 15, 23, 31} // Qwen2_5_VLVisionConfig
		}
	}
	v.Deepstack = slices.Clone(r.Deepstack)
	v.RopeTheta = defaultVisionTheta
	if rope := r.RopeParameters; rope != nil {
		if kind := firstNonEmpty(rope.RopeType, rope.Type); kind != "" && kind != "axial" && kind != "default" {
			return v, fmt.Errorf("rope_type %q: %w (supported: \"axial\")", kind, ErrUnsupported)
		}
		v.RopeTheta = valueOr(rope.Theta, v.RopeTheta)
	}
	return v, nil
}
