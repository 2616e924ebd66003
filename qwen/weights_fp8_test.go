package qwen_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/checkpoint"
	"github.com/omnidocs/omnidocs/qwen"
)

// The cases of FP8 checkpoints: blocks of 128×128 with ragged last ones, and scales of rows and of whole matrices.
const (
	blocksDir     = "testdata/golden/qwen3_vl_fp8"
	compressedDir = "testdata/golden/qwen3_vl_ct"
)

// changeTensors returns a checkpoint with its tensors changed; a change that returns false leaves the tensor out.
func changeTensors(t *testing.T, dir string, config map[string]any, change func(d *checkpoint.Data) bool, more ...checkpoint.Data) fstest.MapFS {
	t.Helper()
	files := withConfig(t, os.DirFS(dir), config).(fstest.MapFS)
	var kept []checkpoint.Data
	for _, d := range readTensors(t, files, checkpoint.BF16) {
		if change == nil || change(&d) {
			kept = append(kept, d)
		}
	}
	writeShards(t, files, append(kept, more...), 1)
	return files
}

// Scales are held to the weights both ways, like the weights themselves to the configuration.
func TestScalesBothWays(t *testing.T) {
	const (
		gate  = "model.language_model.layers.1.mlp.gate_proj.weight"
		fc1   = "model.visual.blocks.1.mlp.linear_fc1.weight"
		plain = "model.visual.blocks.0.mlp.linear_fc1.weight" // not converted in the case of blocks
	)
	without := func(name string) func(d *checkpoint.Data) bool {
		return func(d *checkpoint.Data) bool { return d.Name != name }
	}
	reshape := func(name string, shape ...int) func(d *checkpoint.Data) bool {
		return func(d *checkpoint.Data) bool {
			if d.Name == name {
				*d = checkpoint.Float32(name, make([]float32, product(shape)), shape...)
			}
			return true
		}
	}
	for name, test := range map[string]struct {
		dir                               string
		config                            map[string]any
		change                            func(d *checkpoint.Data) bool
		more                              []checkpoint.Data
		missing, unexpected, shape, typed string
	}{
		"missing, blocks":     {dir: blocksDir, change: without(gate + "_scale_inv"), missing: gate + "_scale_inv"},
		"missing, rows":       {dir: compressedDir, change: without(gate + "_scale"), missing: gate + "_scale"},
		"beside a plain one":  {dir: blocksDir, more: []checkpoint.Data{checkpoint.Float32(plain+"_scale_inv", []float32{1, 1}, 2, 1)}, unexpected: plain + "_scale_inv"},
		"of the other method": {dir: blocksDir, more: []checkpoint.Data{checkpoint.Float32(gate+"_scale", []float32{1}, 1)}, unexpected: gate + "_scale"},
		"activations of a plain one": {dir: blocksDir, more: []checkpoint.Data{checkpoint.Float32(strings.TrimSuffix(plain, "weight")+"input_scale", []float32{1}, 1)},
			unexpected: strings.TrimSuffix(plain, "weight") + "input_scale"},
		"cache":            {dir: blocksDir, more: []checkpoint.Data{checkpoint.Float32("model.language_model.layers.0.self_attn.k_scale", []float32{1}, 1)}, unexpected: "model.language_model.layers.0.self_attn.k_scale"},
		"a block too many": {dir: blocksDir, change: reshape(gate+"_scale_inv", 2, 3), shape: gate + "_scale_inv is [2 3], want [2 2] for " + gate + " of [144 160]"},
		"one for all":      {dir: blocksDir, change: reshape(gate+"_scale_inv", 1), shape: gate + "_scale_inv is [1], want [2 2]"},
		"rows":             {dir: compressedDir, change: reshape(gate+"_scale", 143, 1), shape: gate + "_scale is [143 1], want [144 1] or [1 1]"},
		"other blocks": {dir: blocksDir, config: map[string]any{"quantization_config.weight_block_size": []int{64, 64}},
			shape: fc1 + "_scale_inv is [2 1], want [3 1]"},
		"a scale of FP8": {dir: compressedDir, change: func(d *checkpoint.Data) bool {
			if d.Name == fc1+"_scale" {
				*d = checkpoint.Data{Name: d.Name, DType: checkpoint.F8E4M3, Shape: d.Shape, Bytes: []byte{1}}
			}
			return true
		}, typed: fc1 + "_scale is F8_E4M3"},
		"an integer weight": {dir: compressedDir, change: func(d *checkpoint.Data) bool {
			if d.Name == fc1 {
				d.DType = "I8"
			}
			return d.Name != fc1+"_scale" && d.Name != strings.TrimSuffix(fc1, "weight")+"input_scale"
		}, typed: fc1 + " is I8"},
		"no quantization_config": {dir: blocksDir, config: map[string]any{"quantization_config": nil}, typed: gate + " is F8_E4M3 without quantization_config"},
	} {
		t.Run(name, func(t *testing.T) {
			files := changeTensors(t, test.dir, test.config, test.change, test.more...)
			_, err := qwen.Load(t.Context(), openDevice(t).Runtime(), files, qwen.LoadOptions{})
			var weights *qwen.WeightsError
			require.ErrorAs(t, err, &weights)
			for want, lines := range map[string][]string{
				test.missing: weights.Missing, test.unexpected: weights.Unexpected, test.shape: weights.Shape, test.typed: weights.Type,
			} {
				if want != "" {
					require.Contains(t, strings.Join(lines, "\n"), want)
					require.ErrorContains(t, err, want)
				}
			}
			if test.config == nil { // one fault, one line
				require.Equal(t, 1, len(weights.Missing)+len(weights.Unexpected)+len(weights.Shape)+len(weights.Type))
			}
		})
	}
}

// However a checkpoint's scales are stored, and in whatever parts its matrices are read, it is the same model.
func TestScaleForms(t *testing.T) {
	device := openDevice(t)
	for name, test := range map[string]struct {
		dir    string
		config map[string]any
		change func(d *checkpoint.Data) bool
		more   []checkpoint.Data
		limit  int // of the elements of a buffer
	}{
		"blocks, in parts": {dir: blocksDir, limit: 500},
		"rows, in parts":   {dir: compressedDir, limit: 500},
		"without trailing dimensions": {dir: compressedDir, change: func(d *checkpoint.Data) bool {
			if strings.HasSuffix(d.Name, ".weight_scale") {
				d.Shape = d.Shape[:len(d.Shape)-1]
			}
			return true
		}},
		"scales of the cache": {dir: compressedDir, config: map[string]any{"quantization_config.kv_cache_scheme": map[string]any{"num_bits": 8}},
			more: []checkpoint.Data{checkpoint.Float32("model.language_model.layers.0.self_attn.k_scale", []float32{1}, 1)}},
		"a list under another key": {dir: blocksDir, config: map[string]any{"quantization_config.modules_to_not_convert": nil, "quantization_config.ignored_layers": []string{"lm_head"}}},
	} {
		t.Run(name, func(t *testing.T) {
			files := changeTensors(t, test.dir, test.config, test.change, test.more...)
			r := device.Runtime()
			r.MatrixElements = test.limit
			m := loadModel(t, r, files)
			requireGolden(t, m, files)
		})
	}
}

// A scale in the wrong place is seen by the golden stages.
func TestScalesMatter(t *testing.T) {
	device := openDevice(t)
	for _, dir := range []string{blocksDir, compressedDir} {
		files := changeTensors(t, dir, nil, func(d *checkpoint.Data) bool {
			if strings.Contains(d.Name, "layers.1.mlp.gate_proj.weight_scale") { // the first scale becomes the last
				width := d.DType.Bits() / 8
				d.Bytes = append(append([]byte{}, d.Bytes[width:]...), d.Bytes[:width]...)
			}
			return true
		})
		m := loadModel(t, device.Runtime(), files)
		names, err := departures(t, m, files)
		require.NoError(t, err)
		require.NotEmpty(t, names)
	}
}

// Formats that are not read are refused by name, with what to use instead, before any tensor is looked at.
func TestQuantizationRefused(t *testing.T) {
	group := func(changes map[string]any) map[string]any {
		weights := map[string]any{"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": true}
		c := map[string]any{"quant_method": "compressed-tensors", "format": "float-quantized",
			"config_groups": map[string]any{"group_0": map[string]any{"targets": []string{"Linear"}, "weights": weights}}}
		for key, value := range changes {
			if rest, ok := strings.CutPrefix(key, "weights."); ok {
				weights[rest] = value
			} else {
				c[key] = value
			}
		}
		return c
	}
	const instead = "use the float or the FP8 checkpoint"
	for name, test := range map[string]struct {
		config any
		says   []string
	}{
		"awq":                     {map[string]any{"quant_method": "awq", "bits": 4}, []string{`"awq"`, "4 bits", instead}},
		"gptq":                    {map[string]any{"quant_method": "gptq", "bits": 8}, []string{`"gptq"`, instead}},
		"bitsandbytes":            {map[string]any{"quant_method": "bitsandbytes", "load_in_4bit": true}, []string{`"bitsandbytes"`, instead}},
		"an old bitsandbytes":     {map[string]any{"load_in_8bit": true}, []string{`"bitsandbytes"`, instead}},
		"gguf":                    {map[string]any{"quant_method": "gguf"}, []string{`"gguf"`, instead}},
		"fbgemm":                  {map[string]any{"quant_method": "fbgemm_fp8"}, []string{`"fbgemm_fp8"`, instead}},
		"no method":               {map[string]any{}, []string{"quantization_config", instead}},
		"no object":               {"awq", []string{"quantization_config"}},
		"experts of 4 bits":       {map[string]any{"quant_method": "fp8", "expert_dtype": "fp4"}, []string{"expert_dtype", "fp4", instead}},
		"a block of one side":     {map[string]any{"quant_method": "fp8", "weight_block_size": []int{128}}, []string{"weight_block_size", "[128]"}},
		"an empty block":          {map[string]any{"quant_method": "fp8", "weight_block_size": []int{0, 128}}, []string{"weight_block_size", "[0 128]"}},
		"int-quantized":           {group(map[string]any{"format": "int-quantized", "weights.type": "int"}), []string{`"compressed-tensors"`, `"int-quantized"`, instead}},
		"pack-quantized":          {group(map[string]any{"format": "pack-quantized", "weights.num_bits": 4}), []string{`"pack-quantized"`, instead}},
		"nvfp4":                   {group(map[string]any{"format": "nvfp4-pack-quantized", "weights.num_bits": 4}), []string{`"nvfp4-pack-quantized"`, instead}},
		"integers":                {group(map[string]any{"format": "naive-quantized", "weights.type": "int"}), []string{`"int"`, instead}},
		"four bits":               {group(map[string]any{"weights.num_bits": 4}), []string{"num_bits 4", instead}},
		"not symmetric":           {group(map[string]any{"weights.symmetric": false}), []string{"symmetric", instead}},
		"a strategy":              {group(map[string]any{"weights.strategy": "tensor_group"}), []string{`"tensor_group"`, instead}},
		"a block without size":    {group(map[string]any{"weights.strategy": "block"}), []string{"block_structure"}},
		"groups without size":     {group(map[string]any{"weights.strategy": "group"}), []string{"group_size"}},
		"sparse":                  {group(map[string]any{"sparsity_config": map[string]any{"format": "sparse-24-bitmask"}}), []string{"sparse-24-bitmask", instead}},
		"rotated":                 {group(map[string]any{"transform_config": map[string]any{"config_groups": 1}}), []string{"transform_config", instead}},
		"no group":                {group(map[string]any{"config_groups": nil}), []string{"config group", instead}},
		"a group that is no dict": {group(map[string]any{"config_groups": map[string]any{"FP8": []string{"Linear"}}}), []string{"config_groups.FP8"}},
	} {
		t.Run(name, func(t *testing.T) {
			files := withConfig(t, os.DirFS(goldenDir), map[string]any{"quantization_config": test.config}).(fstest.MapFS)
			delete(files, "model.safetensors")
			_, err := qwen.ReadSpec(files)
			for _, part := range test.says {
				require.ErrorContains(t, err, part)
			}
			if strings.Contains(strings.Join(test.says, ""), instead) {
				require.ErrorIs(t, err, qwen.ErrUnsupported)
			}
		})
	}
}

// What is read of quantization_config.
func TestQuantizationRead(t *testing.T) {
	for name, test := range map[string]struct {
		config string
		want   qwen.QuantizedWeights
	}{
		"fp8, defaults": {`{"quant_method": "fp8"}`, qwen.QuantizedWeights{Method: "fp8", Activations: "dynamic", Blocks: [][2]int{{128, 128}}}},
		"fp8, one scale": {`{"quant_method": "fp8", "weight_block_size": null, "activation_scheme": "static", "modules_to_not_convert": ["lm_head"]}`,
			qwen.QuantizedWeights{Method: "fp8", Activations: "static", Blocks: [][2]int{{0, 0}}, NotConverted: []string{"lm_head"}}},
		"compressed-tensors": {`{"quant_method": "compressed-tensors", "format": "mixed-precision", "kv_cache_scheme": {"num_bits": 8}, "ignore": ["a"],
			"config_groups": {"a": {"format": "float-quantized", "weights": {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [128, 64]},
			"input_activations": {"dynamic": true}}, "b": {"format": "naive-quantized", "weights": {"num_bits": 8, "type": "float", "group_size": 32}},
			"c": {"format": "float-quantized", "weights": {"num_bits": 8, "type": "float", "group_size": -1}}, "d": {"input_activations": {"dynamic": true}},
			"e": {"format": "float-quantized", "weights": {"num_bits": 8, "type": "float"}}}}`,
			qwen.QuantizedWeights{Method: "compressed-tensors", Format: "mixed-precision", Activations: "dynamic", NotConverted: []string{"a"},
				KVCache: true, Blocks: [][2]int{{128, 64}, {1, 32}, {1, 0}, {0, 0}}}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := qwen.ReadSpec(withConfig(t, os.DirFS(goldenDir), map[string]any{"quantization_config": json.RawMessage(test.config)}))
			require.NoError(t, err)
			require.Equal(t, &test.want, s.Quantization)
		})
	}
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
