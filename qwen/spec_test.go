package qwen_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/qwen"
)

// goldenDir is the case that the tests of variants use: two deepstack layers, an output matrix of its own.
var goldenDir = filepath.Join("testdata", "golden", "qwen3_vl")

// specFields says how each field of the spec is changed in config.json. Every change must be seen: as an error of Load, or
// as a stage that differs from the golden one.
var specFields = map[string]map[string]any{
	"ModelType":                {"model_type": "qwen2_vl"},
	"ImageToken":               {"image_token_id": 511},
	"EOS":                      {"generation:eos_token_id": []int{507, 371}},
	"Text.VocabSize":           {"text_config.vocab_size": 513},
	"Text.Hidden":              {"text_config.hidden_size": 64, "vision_config.out_hidden_size": 64},
	"Text.Intermediate":        {"text_config.intermediate_size": 24},
	"Text.Layers":              {"text_config.num_hidden_layers": 2},
	"Text.Heads":               {"text_config.num_attention_heads": 2, "text_config.num_key_value_heads": 1},
	"Text.KVHeads":             {"text_config.num_key_value_heads": 4},
	"Text.HeadDim":             {"text_config.head_dim": 8, "text_config.rope_parameters": map[string]any{"rope_theta": 10000, "mrope_section": []int{2, 1, 1}}},
	"Text.MaxPositions":        {"text_config.max_position_embeddings": 40},
	"Text.NormEps":             {"text_config.rms_norm_eps": 1e-2},
	"Text.RopeTheta":           {"text_config.rope_parameters": map[string]any{"rope_theta": 500, "mrope_section": []int{4, 2, 2}}},
	"Text.MRopeSection":        {"text_config.rope_parameters": map[string]any{"rope_theta": 10000, "mrope_section": []int{6, 1, 1}}},
	"Text.Tied":                {"tie_word_embeddings": true},
	"Vision.Depth":             {"vision_config.depth": 3},
	"Vision.Hidden":            {"vision_config.hidden_size": 64},
	"Vision.Intermediate":      {"vision_config.intermediate_size": 24},
	"Vision.Heads":             {"vision_config.num_heads": 4},
	"Vision.OutHidden":         {"vision_config.out_hidden_size": 64},
	"Vision.PatchSize":         {"vision_config.patch_size": 14},
	"Vision.TemporalPatchSize": {"vision_config.temporal_patch_size": 1},
	"Vision.MergeSize":         {"vision_config.spatial_merge_size": 1},
	"Vision.PositionSide":      {"vision_config.num_position_embeddings": 49},
	"Vision.RopeTheta":         {"vision_config.rope_parameters": map[string]any{"rope_theta": 500}},
	"Vision.Deepstack":         {"vision_config.deepstack_visual_indexes": []int{0, 2}},
}

// specExempt are fields that no stage can show.
var specExempt = map[string]string{
	"Quantization": "it says how weights are stored, which the tests of FP8 checkpoints change",
	"DType":        "it says how the file was written, which the choice of a default in package backend looks at and nothing else",
}

func TestSpecFieldsCount(t *testing.T) {
	var fields []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[qwen.Spec]()) {
		if f.Type.Kind() != reflect.Struct {
			fields = append(fields, f.Name)
			continue
		}
		for _, inner := range reflect.VisibleFields(f.Type) {
			fields = append(fields, f.Name+"."+inner.Name)
		}
	}
	for _, f := range fields {
		if specExempt[f] == "" {
			require.Contains(t, specFields, f, "a field of the spec that no test flips")
		}
	}
	require.Len(t, fields, len(specFields)+len(specExempt))

	device := openDevice(t)
	for field, changes := range specFields {
		t.Run(field, func(t *testing.T) {
			fsys := withConfig(t, os.DirFS(goldenDir), changes)
			m, err := qwen.Load(t.Context(), device.Runtime(), fsys, qwen.LoadOptions{})
			if err != nil {
				t.Logf("refused: %v", err)
				return
			}
			defer func() { require.NoError(t, m.Close()) }()
			want := readExpected(t, fsys)
			got, err := computeCase(t.Context(), m, readImages(t, fsys), want.prompt(), len(want.ints["generated"]))
			if err != nil {
				t.Logf("refused: %v", err)
				return
			}
			require.Positive(t, got.failures(want), "the change made no difference")
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
		"vision activation":  {map[string]any{"vision_config.hidden_act": "quick_gelu"}, []string{"vision_config", "hidden_act", "quick_gelu"}},
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
