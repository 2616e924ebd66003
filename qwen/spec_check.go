package qwen

import (
	"errors"
	"fmt"
	"slices"
)

// validate returns all that is wrong with the numbers of a Spec. The upper bounds are far above any model that exists:
// they keep an absurd file from asking for absurd memory.
func (s Spec) validate() error {
	var c checks
	s.checkSizes(&c)
	if len(c.errs) == 0 { // what follows divides by them
		s.Text.check(&c)
		s.Vision.check(&c, s.Text)
		if s.ImageToken < 0 || int(s.ImageToken) >= s.Text.VocabSize {
			c.bad("image_token_id is %d, want 0 to vocab_size-1, %d", s.ImageToken, s.Text.VocabSize-1)
		}
	}
	return errors.Join(c.errs...)
}

// checks collects what is wrong.
type checks struct{ errs []error }

func (c *checks) bad(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

func (c *checks) inRange(key string, value, low, high int) {
	if value < low || value > high {
		c.bad("%s is %d, want %d to %d", key, value, low, high)
	}
}

func (s Spec) checkSizes(c *checks) {
	t, v := s.Text, s.Vision
	c.inRange("text_config.vocab_size", t.VocabSize, 1, 1<<22)
	c.inRange("text_config.hidden_size", t.Hidden, 1, 1<<17)
	if slices.Contains(t.Sparse, false) || t.Sparse == nil {
		c.inRange("text_config.intermediate_size", t.Intermediate, 1, 1<<18)
	}
	c.inRange("text_config.num_hidden_layers", t.Layers, 1, maxLayers)
	c.inRange("text_config.num_attention_heads", t.Heads, 1, 1024)
	c.inRange("text_config.num_key_value_heads", t.KVHeads, 1, 1024)
	c.inRange("text_config.head_dim", t.HeadDim, 2, 4096)
	c.inRange("text_config.max_position_embeddings", t.MaxPositions, 1, 1<<26)
	c.inRange("vision_config.depth", v.Depth, 1, 1024)
	c.inRange("vision_config.hidden_size", v.Hidden, 1, 1<<17)
	c.inRange("vision_config.intermediate_size", v.Intermediate, 1, 1<<18)
	c.inRange("vision_config.num_heads", v.Heads, 1, 1024)
	c.inRange("vision_config.patch_size", v.PatchSize, 1, 256)
	c.inRange("vision_config.temporal_patch_size", v.TemporalPatchSize, 1, 16)
	c.inRange("vision_config.spatial_merge_size", v.MergeSize, 1, 16)
	if v.PositionSide != 0 {
		c.inRange("sqrt(vision_config.num_position_embeddings)", v.PositionSide, 1, 4096)
	}
	if v.Window != 0 {
		c.inRange("vision_config.window_size in visual tokens", v.Window, 1, 256)
	}
	if t.Linear != nil {
		c.inRange("text_config.linear_num_key_heads", t.Delta.KeyHeads, 1, 1024)
		c.inRange("text_config.linear_num_value_heads", t.Delta.ValueHeads, 1, 1024)
		c.inRange("text_config.linear_key_head_dim", t.Delta.KeyDim, 1, 4096)
		c.inRange("text_config.linear_value_head_dim", t.Delta.ValueDim, 1, 4096)
		c.inRange("text_config.linear_conv_kernel_dim", t.Delta.Kernel, 2, 64)
	}
	if t.Sparse != nil {
		c.inRange("text_config.num_experts", t.MoE.Experts, 1, 4096)
		c.inRange("text_config.num_experts_per_tok", t.MoE.TopK, 1, max(1, t.MoE.Experts))
		c.inRange("text_config.moe_intermediate_size", t.MoE.Intermediate, 1, 1<<18)
		c.inRange("text_config.shared_expert_intermediate_size", t.MoE.Shared, 0, 1<<18)
	}
}

func (t TextSpec) check(c *checks) {
	if t.RotaryDim < 2 || t.RotaryDim%2 != 0 || t.RotaryDim > t.HeadDim {
		c.bad("text_config.head_dim is %d and partial_rotary_factor makes %d of it, want an even number up to head_dim", t.HeadDim, t.RotaryDim)
	}
	if t.Heads%t.KVHeads != 0 {
		c.bad("text_config.num_attention_heads is %d, want a multiple of num_key_value_heads, %d", t.Heads, t.KVHeads)
	}
	sum := 0
	for _, n := range t.MRopeSection {
		if n < 0 {
			c.bad("mrope_section is %v, want numbers from 0 up", t.MRopeSection)
		}
		sum += n
	}
	if sum != t.RotaryDim/2 {
		c.bad("mrope_section is %v, want a sum of half the rotary width, %d", t.MRopeSection, t.RotaryDim/2)
	}
	if t.NormEps <= 0 {
		c.bad("text_config.rms_norm_eps is %g, want more than 0", t.NormEps)
	}
	if t.RopeTheta <= 0 {
		c.bad("text_config's rope_theta is %g, want more than 0", t.RopeTheta)
	}
	for key, list := range map[string][]bool{"layer_types": t.Linear, "the list of sparse layers": t.Sparse} {
		if list != nil && len(list) != t.Layers {
			c.bad("text_config: %s has %d entries, want one for each of the %d layers", key, len(list), t.Layers)
		}
	}
	if t.Linear != nil && t.Delta.ValueHeads%t.Delta.KeyHeads != 0 {
		c.bad("text_config.linear_num_value_heads is %d, want a multiple of linear_num_key_heads, %d", t.Delta.ValueHeads, t.Delta.KeyHeads)
	}
}

func (v VisionSpec) check(c *checks, t TextSpec) {
	if v.Hidden%v.Heads != 0 || v.HeadDim()%4 != 0 {
		c.bad("vision_config.hidden_size is %d, want num_heads (%d) times a multiple of 4", v.Hidden, v.Heads)
	}
	if v.OutHidden != t.Hidden {
		c.bad("vision_config.out_hidden_size is %d, want text_config.hidden_size, %d", v.OutHidden, t.Hidden)
	}
	if len(v.Deepstack) > t.Layers {
		c.bad("vision_config.deepstack_visual_indexes has %d entries, more than there are text layers (%d)", len(v.Deepstack), t.Layers)
	}
	for key, blocks := range map[string][]int{"deepstack_visual_indexes": v.Deepstack, "fullatt_block_indexes": v.FullBlocks} {
		seen := map[int]bool{}
		for _, i := range blocks {
			if i < 0 || i >= v.Depth || seen[i] {
				c.bad("vision_config.%s is %v, want different blocks from 0 to %d", key, blocks, v.Depth-1)
				break
			}
			seen[i] = true
		}
	}
	if v.RopeTheta <= 0 {
		c.bad("vision_config's rope_theta is %g, want more than 0", v.RopeTheta)
	}
}
