package qwen_test

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/qwen"
)

// goldenDir is the case that the tests of variants use: two deepstack layers, an output matrix of its own.
var goldenDir = filepath.Join("testdata", "golden", "qwen3_vl")

// flip changes one field of the spec: by config.json, or, where no key of it has that field alone, on the spec itself.
type flip struct {
	golden  string // the case that shows it; empty is qwen3_vl
	changes map[string]any
	spec    func(s *qwen.Spec)
}

func rope(theta float64, section ...int) map[string]any {
	return map[string]any{"rope_theta": theta, "mrope_section": section}
}

// specFields says how each field of the spec is changed. Every change must be seen: as an error of Load, or as a stage that
// differs from the golden one.
var specFields = map[string]flip{
	"ModelType":                {changes: map[string]any{"model_type": "qwen2_vl"}},
	"ImageToken":               {changes: map[string]any{"image_token_id": 511}},
	"EOS":                      {changes: map[string]any{"generation:eos_token_id": []int{507, 371}}},
	"Text.VocabSize":           {changes: map[string]any{"text_config.vocab_size": 513}},
	"Text.Hidden":              {changes: map[string]any{"text_config.hidden_size": 64, "vision_config.out_hidden_size": 64}},
	"Text.Intermediate":        {changes: map[string]any{"text_config.intermediate_size": 24}},
	"Text.Layers":              {changes: map[string]any{"text_config.num_hidden_layers": 2}},
	"Text.Heads":               {changes: map[string]any{"text_config.num_attention_heads": 2, "text_config.num_key_value_heads": 1}},
	"Text.KVHeads":             {changes: map[string]any{"text_config.num_key_value_heads": 4}},
	"Text.HeadDim":             {changes: map[string]any{"text_config.head_dim": 8, "text_config.rope_parameters": rope(10000, 2, 1, 1)}},
	"Text.MaxPositions":        {changes: map[string]any{"text_config.max_position_embeddings": 40}},
	"Text.NormEps":             {changes: map[string]any{"text_config.rms_norm_eps": 1e-2}},
	"Text.NormOffset":          {golden: "qwen3_5_long", spec: func(s *qwen.Spec) { s.Text.NormOffset = 0 }},
	"Text.QKVBias":             {golden: "qwen2_vl", spec: func(s *qwen.Spec) { s.Text.QKVBias = false }},
	"Text.QKNorm":              {spec: func(s *qwen.Spec) { s.Text.QKNorm = false }},
	"Text.OutputGate":          {golden: "qwen3_5_long", spec: func(s *qwen.Spec) { s.Text.OutputGate = false }},
	"Text.RotaryDim":           {golden: "qwen3_5_long", spec: func(s *qwen.Spec) { s.Text.RotaryDim = 16 }},
	"Text.RopeTheta":           {changes: map[string]any{"text_config.rope_parameters": rope(500, 4, 2, 2)}},
	"Text.MRopeSection":        {changes: map[string]any{"text_config.rope_parameters": rope(10000, 6, 1, 1)}},
	"Text.Interleaved":         {spec: func(s *qwen.Spec) { s.Text.Interleaved = false }},
	"Text.Linear":              {golden: "qwen3_5_long", spec: func(s *qwen.Spec) { s.Text.Linear = nil }},
	"Text.Delta.KeyHeads":      {golden: "qwen3_5_long", spec: func(s *qwen.Spec) { s.Text.Delta.KeyHeads, s.Text.Delta.KeyDim = 1, 32 }},
	"Text.Delta.ValueHeads":    {golden: "qwen3_5_long", changes: map[string]any{"text_config.linear_num_value_heads": 2}},
	"Text.Delta.KeyDim":        {golden: "qwen3_5_long", changes: map[string]any{"text_config.linear_key_head_dim": 8}},
	"Text.Delta.ValueDim":      {golden: "qwen3_5_long", changes: map[string]any{"text_config.linear_value_head_dim": 8}},
	"Text.Delta.Kernel":        {golden: "qwen3_5_long", changes: map[string]any{"text_config.linear_conv_kernel_dim": 3}},
	"Text.Sparse":              {golden: "qwen3_vl_moe", changes: map[string]any{"text_config.mlp_only_layers": []int{}}},
	"Text.MoE.Experts":         {golden: "qwen3_vl_moe", changes: map[string]any{"text_config.num_local_experts": 5}},
	"Text.MoE.TopK":            {golden: "qwen3_vl_moe", changes: map[string]any{"text_config.num_experts_per_tok": 3}},
	"Text.MoE.Intermediate":    {golden: "qwen3_vl_moe", changes: map[string]any{"text_config.moe_intermediate_size": 12}},
	"Text.MoE.Shared":          {golden: "qwen3_5_moe", changes: map[string]any{"text_config.shared_expert_intermediate_size": 0}},
	"Text.Tied":                {changes: map[string]any{"tie_word_embeddings": true}},
	"Vision.Depth":             {changes: map[string]any{"vision_config.depth": 3}},
	"Vision.Hidden":            {changes: map[string]any{"vision_config.hidden_size": 64}},
	"Vision.Intermediate":      {changes: map[string]any{"vision_config.intermediate_size": 24}},
	"Vision.Heads":             {changes: map[string]any{"vision_config.num_heads": 4}},
	"Vision.OutHidden":         {changes: map[string]any{"vision_config.out_hidden_size": 64}},
	"Vision.PatchSize":         {changes: map[string]any{"vision_config.patch_size": 14}},
	"Vision.TemporalPatchSize": {changes: map[string]any{"vision_config.temporal_patch_size": 1}},
	"Vision.MergeSize":         {changes: map[string]any{"vision_config.spatial_merge_size": 1}},
	"Vision.PatchBias":         {spec: func(s *qwen.Spec) { s.Vision.PatchBias = false }},
	"Vision.PositionSide":      {changes: map[string]any{"vision_config.num_position_embeddings": 49}},
	"Vision.RopeTheta":         {changes: map[string]any{"vision_config.rope_parameters": map[string]any{"rope_theta": 500}}},
	"Vision.RMSNorm":           {golden: "qwen2_5_vl_ragged", spec: func(s *qwen.Spec) { s.Vision.RMSNorm = false }},
	"Vision.Gated":             {golden: "qwen2_5_vl_ragged", spec: func(s *qwen.Spec) { s.Vision.Gated = false }},
	"Vision.Activation":        {changes: map[string]any{"vision_config.hidden_act": "quick_gelu"}},
	"Vision.Window":            {golden: "qwen2_5_vl_ragged", changes: map[string]any{"vision_config.window_size": 56}},
	"Vision.FullBlocks":        {golden: "qwen2_5_vl_ragged", changes: map[string]any{"vision_config.fullatt_block_indexes": []int{0, 3}}},
	"Vision.Deepstack":         {changes: map[string]any{"vision_config.deepstack_visual_indexes": []int{0, 2}}},
	"Vision.OldKeys":           {golden: "qwen2_vl", spec: func(s *qwen.Spec) { s.Vision.OldKeys = false }},
}

// specExempt are fields that no stage can show.
var specExempt = map[string]string{
	"Quantization": "it says how weights are stored, which the tests of FP8 checkpoints change",
	"DType":        "it says how the file was written, which the choice of a default in package backend looks at and nothing else",
}

// fieldNames lists the fields of a struct and of the structs in it.
func fieldNames(prefix string, of reflect.Type) []string {
	var names []string
	for _, f := range reflect.VisibleFields(of) {
		if f.Type.Kind() == reflect.Struct {
			names = append(names, fieldNames(prefix+f.Name+".", f.Type)...)
		} else if f.IsExported() { // others are not of the configuration: see Spec.share
			names = append(names, prefix+f.Name)
		}
	}
	return names
}

func TestSpecFieldsCount(t *testing.T) {
	fields := fieldNames("", reflect.TypeFor[qwen.Spec]())
	for _, f := range fields {
		if specExempt[f] == "" {
			require.Contains(t, slices.Collect(maps.Keys(specFields)), f, "a field of the spec that no test flips")
		}
	}
	require.Len(t, fields, len(specFields)+len(specExempt))

	device := openDevice(t)
	for field, flip := range specFields {
		t.Run(field, func(t *testing.T) {
			if flip.golden == "" {
				flip.golden = "qwen3_vl"
			}
			fsys := withConfig(t, os.DirFS(filepath.Join("testdata", "golden", flip.golden)), flip.changes)
			spec, err := qwen.ReadSpec(fsys)
			if err != nil {
				t.Logf("refused: %v", err)
				return
			}
			if flip.spec != nil {
				flip.spec(&spec)
			}
			m, err := qwen.LoadSpec(t.Context(), device.Runtime(), fsys, spec, qwen.LoadOptions{})
			if err != nil {
				t.Logf("refused: %v", err)
				return
			}
			defer func() { require.NoError(t, m.Close()) }()
			changed, err := departures(t, m, fsys)
			if err != nil {
				t.Logf("refused: %v", err)
				return
			}
			require.NotEmpty(t, changed, "the change made no difference")
		})
	}
}

// withConfig is a checkpoint with keys of config.json changed; a key with the prefix generation: is one of generation_config.json.
func withConfig(t *testing.T, base fs.FS, changes map[string]any) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	names, err := fs.Glob(base, "*")
	require.NoError(t, err)
	for _, name := range names {
		data, err := fs.ReadFile(base, name)
		require.NoError(t, err)
		files[name] = &fstest.MapFile{Data: data}
	}
	for key, value := range changes {
		name := "config.json"
		if rest, ok := strings.CutPrefix(key, "generation:"); ok {
			name, key = "generation_config.json", rest
		}
		var config map[string]any
		require.NoError(t, json.Unmarshal(files[name].Data, &config))
		at := config
		for {
			head, rest, nested := strings.Cut(key, ".")
			if !nested {
				break
			}
			at, key = at[head].(map[string]any), rest
		}
		if value == nil {
			delete(at, key)
		} else {
			at[key] = value
		}
		data, err := json.Marshal(config)
		require.NoError(t, err)
		files[name] = &fstest.MapFile{Data: data}
	}
	return files
}

func TestReadSpecRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		changes map[string]any
		says    []string
	}{
		"unknown model_type": {map[string]any{"model_type": "llama"}, []string{"model_type", "llama"}},
		"unknown activation": {map[string]any{"text_config.hidden_act": "relu"}, []string{"hidden_act", "relu"}},
		"vision activation":  {map[string]any{"vision_config.hidden_act": "relu"}, []string{"vision_config", "hidden_act", "relu"}},
		"unknown rope":       {map[string]any{"text_config.rope_parameters": map[string]any{"rope_type": "yarn"}}, []string{"rope_type", "yarn"}},
		"chunked rope":       {map[string]any{"text_config.rope_parameters": map[string]any{"mrope_interleaved": false}}, []string{"mrope_interleaved"}},
		"attention bias":     {map[string]any{"text_config.attention_bias": true}, []string{"attention_bias"}},
		"quantized":          {map[string]any{"quantization_config": map[string]any{"quant_method": "awq"}}, []string{"quantization_config", "awq"}},
		"no vision":          {map[string]any{"vision_config": nil}, []string{"vision_config is missing"}},
		"no text":            {map[string]any{"text_config": nil}, []string{"text_config is missing"}},
		"absurd size":        {map[string]any{"text_config.vocab_size": 1 << 40}, []string{"vocab_size"}},
		"negative":           {map[string]any{"text_config.num_key_value_heads": -1}, []string{"num_key_value_heads", "-1"}},
		"zero heads":         {map[string]any{"vision_config.num_heads": 0}, []string{"num_heads"}},
		"positions":          {map[string]any{"vision_config.num_position_embeddings": 65}, []string{"num_position_embeddings", "65"}},
		"text only":          {map[string]any{"model_type": "qwen3"}, []string{"model_type", "\"qwen3\"", "qwen3_vl"}},
		"next generation":    {map[string]any{"model_type": "qwen4_exp"}, []string{"model_type", "qwen4_exp"}},
		"sliding layers":     {map[string]any{"text_config.layer_types": []string{"sliding_attention"}}, []string{"layer_types", "sliding_attention"}},
		"linear layers":      {map[string]any{"text_config.layer_types": []string{"linear_attention"}}, []string{"layer_types", "linear_attention"}},
		"eos":                {map[string]any{"generation:eos_token_id": "x"}, []string{"eos_token_id"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := qwen.ReadSpec(withConfig(t, os.DirFS(goldenDir), test.changes))
			require.Error(t, err)
			for _, s := range test.says {
				require.ErrorContains(t, err, s)
			}
		})
	}
	_, err := qwen.ReadSpec(fstest.MapFS{})
	require.ErrorContains(t, err, "config.json")
	_, err = qwen.ReadSpec(fstest.MapFS{"config.json": &fstest.MapFile{Data: []byte("{")}})
	require.ErrorContains(t, err, "config.json")
}

// Both spellings of the rotary parameters mean the same.
func TestReadSpecSpellings(t *testing.T) {
	want, err := qwen.ReadSpec(os.DirFS(goldenDir))
	require.NoError(t, err)
	got, err := qwen.ReadSpec(withConfig(t, os.DirFS(goldenDir), map[string]any{
		"text_config.rope_parameters": nil, "vision_config.rope_parameters": nil,
		"text_config.rope_theta":   10000.0,
		"text_config.rope_scaling": map[string]any{"rope_type": "default", "mrope_section": []int{4, 2, 2}, "mrope_interleaved": true},
		"dtype":                    nil, "torch_dtype": "bfloat16",
	}))
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// The files of Qwen2 and Qwen2.5 on the hub have the keys of the text tower at their top, and the older names.
func TestReadSpecFlat(t *testing.T) {
	for _, golden := range []string{"qwen2_vl", "qwen2_5_vl_ragged"} {
		base := os.DirFS(filepath.Join("testdata", "golden", golden))
		want, err := qwen.ReadSpec(base)
		require.NoError(t, err)
		data, err := fs.ReadFile(base, "config.json")
		require.NoError(t, err)
		var config map[string]any
		require.NoError(t, json.Unmarshal(data, &config))
		changes := map[string]any{"text_config": nil, "dtype": nil, "torch_dtype": "bfloat16"}
		for key, value := range config["text_config"].(map[string]any) {
			if key != "model_type" && key != "rope_parameters" && key != "layer_types" {
				changes[key] = value
			}
		}
		changes["rope_theta"] = 10000.0
		changes["rope_scaling"] = map[string]any{"type": "mrope", "mrope_section": []int{2, 3, 3}}
		changes["sliding_window"], changes["use_sliding_window"] = 32768, false
		changes["vision_config.in_channels"], changes["vision_config.in_chans"] = nil, 3
		changes["vision_config.rope_parameters"], changes["vision_config.spatial_patch_size"] = nil, 14
		if golden == "qwen2_vl" {
			changes["vision_config.hidden_act"] = nil
		}
		got, err := qwen.ReadSpec(withConfig(t, base, changes))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestWeightsErrorListsAll(t *testing.T) {
	fsys := withConfig(t, os.DirFS(goldenDir), map[string]any{
		"text_config.num_hidden_layers": 4, "vision_config.depth": 3, "text_config.vocab_size": 600,
	})
	_, err := qwen.Load(t.Context(), openDevice(t).Runtime(), fsys, qwen.LoadOptions{})
	var weights *qwen.WeightsError
	require.ErrorAs(t, err, &weights)
	require.Len(t, weights.Missing, 11)
	require.Contains(t, weights.Missing, "model.language_model.layers.3.self_attn.q_proj.weight")
	require.Len(t, weights.Unexpected, 12)
	require.Contains(t, weights.Unexpected, "model.visual.blocks.3.attn.qkv.weight")
	require.Len(t, weights.Shape, 2)
	require.ErrorContains(t, err, "lm_head.weight is [512 32], want [600 32]")
}
