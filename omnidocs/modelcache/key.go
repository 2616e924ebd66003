package modelcache

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/omnidocs/omnidocs/textextraction"
)

// perPage are the fields that say how a page is read, and not what is loaded. The first are Python's.
var perPage = []string{
	"max_tokens", "max_new_tokens", "temperature", "do_sample", "timeout", "max_retries",
	"top_p", "top_k", "seed", "min_pixels", "max_pixels", "system_prompt", "preset", "custom_preset", "repetition",
}

// loadDefaults are fields whose default may be written out or left out.
var loadDefaults = map[string]string{
	"model": textextraction.DefaultModel, "revision": "main", "torch_dtype": "auto", "device_map": "auto", "batch_size": "1",
	"tensor_parallel_size": "1", "gpu_memory_utilization": "0.85", "max_model_len": "32768",
	"trust_remote_code": "true", // it changes nothing
}

// tasks are the words that a config's type has in its middle, by which Python divides it.
var tasks = []string{"Text", "Layout", "OCR", "Table", "ReadingOrder", "Formula"}

// Key is the key of the model that a config names, such as "Qwen:PyTorchConfig:device=cuda,model=Qwen/Qwen3-VL-8B-Instruct".
// Configs that load the same model have the same key. It is "" for a config that loads none, since the model is behind a
// server.
func Key(cfg textextraction.Config) (string, error) {
	t := reflect.TypeOf(cfg)
	if t == nil {
		return "", fmt.Errorf("%w: the config is nil", textextraction.ErrConfig)
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch cfg.(type) {
	case textextraction.QwenTextAPIConfig, *textextraction.QwenTextAPIConfig:
		return "", nil
	}
	data, err := json.Marshal(cfg)
	if err != nil {
		return "", fmt.Errorf("modelcache: key of %s: %w", t.Name(), err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return "", fmt.Errorf("modelcache: key of %s: %w", t.Name(), err)
	}
	parts := []string{"model=" + textextraction.DefaultModel}
	for name, raw := range fields {
		value := string(raw)
		var text string
		if json.Unmarshal(raw, &text) == nil {
			value = text
		}
		switch {
		case name == "model":
			parts[0] = "model=" + value
		case slices.Contains(perPage, name), loadDefaults[name] == value:
		default:
			parts = append(parts, name+"="+value)
		}
	}
	slices.Sort(parts)
	return normalType(t.Name()) + ":" + strings.Join(parts, ","), nil
}

// normalType is Python's name for a type of configs: the task in its middle becomes a colon.
func normalType(name string) string {
	for _, task := range tasks {
		if before, after, ok := strings.Cut(name, task); ok && before != "" {
			return before + ":" + after
		}
	}
	return name
}
