package qwen

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// QuantizedWeights says how the weights of a checkpoint are stored where they are not plain floats (quantization_config in
// config.json). They are multiplied with their scales while they are read, so that the model itself is one of floats; how
// the checkpoint wants activations to be quantized is not followed.
type QuantizedWeights struct {
	// Method is quant_method: "fp8" or "compressed-tensors".
	Method string `json:"method"`
	// Format is compressed-tensors' name for the layout, "float-quantized"; empty for other methods.
	Format string `json:"format,omitempty"`
	// Activations is "dynamic" or "static", as the checkpoint wants its activations quantized, or empty.
	Activations string `json:"activations,omitempty"`
	// Blocks are the pieces of a matrix that share a scale, as rows and columns; 0 is all of them. A checkpoint of several
	// kinds has several, and the shape of a weight's scale says which of them is meant.
	Blocks [][2]int `json:"blocks"`
	// NotConverted are the modules that the configuration names as not quantized. It is for reading: whether a weight is
	// quantized is told by the type that it is stored in.
	NotConverted []string `json:"not_converted,omitempty"`
	// KVCache is true where the checkpoint has scales for a quantized key-value cache, which are not used.
	KVCache bool `json:"kv_cache,omitempty"`
}

// The methods that are read.
const (
	methodFP8               = "fp8"
	methodCompressedTensors = "compressed-tensors"
)

// scaleSuffix is what follows the name of a weight in that of its scale. A linear layer's is X.weight and X.weight_scale_inv;
// fused experts are X.gate_up_proj and X.gate_up_proj_scale_inv.
func (q *QuantizedWeights) scaleSuffix() string {
	if q.Method == methodFP8 {
		return "_scale_inv"
	}
	return "_scale"
}

// useInstead ends the refusal of a format.
const useInstead = "use the float or the FP8 checkpoint of the model, which can be quantized while it is loaded"

// parseQuantization reads quantization_config; it is nil where there is none.
func parseQuantization(data json.RawMessage) (*QuantizedWeights, error) {
	if len(data) == 0 || string(data) == "null" {
		return nil, nil //nolint:nilnil // no quantization is the usual case
	}
	var raw struct {
		Method   string `json:"quant_method"`
		Format   string `json:"format"`
		Load4Bit bool   `json:"load_in_4bit"`
		Load8Bit bool   `json:"load_in_8bit"`
		Bits     int    `json:"bits"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("quantization_config: %w", err)
	}
	if raw.Method == "" && (raw.Load4Bit || raw.Load8Bit) { // as transformers names those of old checkpoints
		raw.Method = "bitsandbytes"
	}
	var q *QuantizedWeights
	var err error
	switch raw.Method {
	case methodFP8:
		q, err = parseFP8(data)
	case methodCompressedTensors:
		q, err = parseCompressedTensors(data)
	default:
		detail := ""
		if raw.Format != "" {
			detail = fmt.Sprintf(" and format %q", raw.Format)
		}
		if raw.Bits != 0 {
			detail += fmt.Sprintf(" of %d bits", raw.Bits)
		}
		return nil, fmt.Errorf("quantization_config with quant_method %q%s: %w (supported: %q, and %q with FP8 weights); %s",
			raw.Method, detail, ErrUnsupported, methodFP8, methodCompressedTensors, useInstead)
	}
	if err != nil {
		return nil, fmt.Errorf("quantization_config with quant_method %q: %w", raw.Method, err)
	}
	return q, nil
}

// parseFP8 reads transformers' FineGrainedFP8Config: blocks of weights share a scale.
func parseFP8(data []byte) (*QuantizedWeights, error) {
	raw := struct {
		Activations  string   `json:"activation_scheme"`
		Block        *[]int   `json:"weight_block_size"`
		NotConverted []string `json:"modules_to_not_convert"`
		Ignored      []string `json:"ignored_layers"`
		ExpertDType  string   `json:"expert_dtype"`
	}{Activations: "dynamic", Block: &[]int{128, 128}}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, err
	}
	if raw.ExpertDType != "" && raw.ExpertDType != "fp8" {
		return nil, fmt.Errorf("expert_dtype %q: %w (supported: \"fp8\"); %s", raw.ExpertDType, ErrUnsupported, useInstead)
	}
	q := &QuantizedWeights{Method: methodFP8, Activations: strings.ToLower(raw.Activations), NotConverted: raw.NotConverted}
	if q.NotConverted == nil {
		q.NotConverted = raw.Ignored
	}
	if raw.Block == nil { // null: a scale for the whole matrix
		q.Blocks = [][2]int{{}}
		return q, nil
	}
	block, err := blockSize("weight_block_size", *raw.Block)
	if err != nil {
		return nil, err
	}
	q.Blocks = [][2]int{block}
	return q, nil
}

// blockSize checks the sides of a block.
func blockSize(key string, sides []int) ([2]int, error) {
	const most = 1 << 20
	if len(sides) != 2 || min(sides[0], sides[1]) < 1 || max(sides[0], sides[1]) > most {
		return [2]int{}, fmt.Errorf("%s is %v, want two numbers from 1 to %d", key, sides, most)
	}
	return [2]int(sides), nil
}

// rawScheme is compressed-tensors' QuantizationScheme, one config group.
type rawScheme struct {
	Format  string         `json:"format"`
	Weights *rawSchemeArgs `json:"weights"`
	Inputs  *rawSchemeArgs `json:"input_activations"`
}

// rawSchemeArgs is its QuantizationArgs.
type rawSchemeArgs struct {
	Bits      int             `json:"num_bits"`
	Type      string          `json:"type"`
	Symmetric *bool           `json:"symmetric"`
	Strategy  string          `json:"strategy"`
	GroupSize int             `json:"group_size"`
	Block     json.RawMessage `json:"block_structure"`
	Dynamic   json.RawMessage `json:"dynamic"` // a bool, or "local"
}

// parseCompressedTensors reads compressed-tensors' QuantizationConfig as far as it stores weights as FP8.
func parseCompressedTensors(data []byte) (*QuantizedWeights, error) {
	var raw struct {
		Format    string                     `json:"format"`
		Groups    map[string]json.RawMessage `json:"config_groups"`
		Ignore    []string                   `json:"ignore"`
		KVCache   json.RawMessage            `json:"kv_cache_scheme"`
		Sparsity  map[string]any             `json:"sparsity_config"`
		Transform map[string]any             `json:"transform_config"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, err
	}
	q := &QuantizedWeights{Method: methodCompressedTensors, Format: raw.Format, NotConverted: raw.Ignore}
	q.KVCache = len(raw.KVCache) > 0 && string(raw.KVCache) != "null"
	if format := raw.Sparsity["format"]; format != nil && format != "dense" {
		return nil, fmt.Errorf("sparsity_config with format %q: %w; %s", format, ErrUnsupported, useInstead)
	}
	if len(raw.Transform) > 0 {
		return nil, fmt.Errorf("transform_config: %w; %s", ErrUnsupported, useInstead)
	}
	for _, name := range slices.Sorted(maps.Keys(raw.Groups)) {
		var group rawScheme
		if err := json.Unmarshal(raw.Groups[name], &group); err != nil {
			return nil, fmt.Errorf("config_groups.%s: %w", name, err)
		}
		if group.Weights == nil { // it quantizes activations only
			continue
		}
		block, err := group.block(firstNonEmpty(group.Format, raw.Format))
		if err != nil {
			return nil, fmt.Errorf("config_groups.%s: %w", name, err)
		}
		if !slices.Contains(q.Blocks, block) {
			q.Blocks = append(q.Blocks, block)
		}
		if group.Inputs != nil {
			q.Activations = "dynamic"
			if string(group.Inputs.Dynamic) != "true" {
				q.Activations = "static"
			}
		}
	}
	if len(q.Blocks) == 0 {
		return nil, fmt.Errorf("format %q without a config group that quantizes weights: %w; %s", raw.Format, ErrUnsupported, useInstead)
	}
	return q, nil
}

// block is the piece of a matrix that shares a scale.
func (g rawScheme) block(format string) ([2]int, error) {
	// naive-quantized is the same layout by its generic name.
	if format != "float-quantized" && format != "naive-quantized" {
		return [2]int{}, fmt.Errorf("format %q: %w (supported: \"float-quantized\"); %s", format, ErrUnsupported, useInstead)
	}
	w := g.Weights
	switch {
	case w.Type != "float" || w.Bits != 8:
		return [2]int{}, fmt.Errorf("format %q with weights of type %q and num_bits %d: %w (supported: \"float\" of 8 bits); %s",
			format, w.Type, w.Bits, ErrUnsupported, useInstead)
	case w.Symmetric != nil && !*w.Symmetric:
		return [2]int{}, fmt.Errorf("weights.symmetric false: %w; %s", ErrUnsupported, useInstead)
	}
	switch strategy := w.strategy(); strategy {
	case "tensor":
		return [2]int{}, nil
	case "channel":
		return [2]int{1, 0}, nil
	case "group":
		return blockSize("weights.group_size", []int{1, w.GroupSize})
	case "block":
		var sides []int
		if err := json.Unmarshal(w.Block, &sides); err != nil {
			return [2]int{}, errors.New("weights.block_structure is missing, or no list of two numbers")
		}
		return blockSize("weights.block_structure", sides)
	default:
		return [2]int{}, fmt.Errorf("weights.strategy %q: %w (supported: \"tensor\", \"channel\", \"group\", \"block\"); %s",
			strategy, ErrUnsupported, useInstead)
	}
}

// strategy has compressed-tensors' default where none is named.
func (w rawSchemeArgs) strategy() string {
	switch {
	case w.Strategy != "":
		return w.Strategy
	case w.GroupSize > 0:
		return "group"
	case w.GroupSize == -1:
		return "channel"
	default:
		return "tensor"
	}
}
