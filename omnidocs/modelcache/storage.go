package modelcache

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/omnidocs/omnidocs/internal/hub"
)

// Dir returns the folder for downloaded models, absolute, and makes it if need be: custom, else that in the environment's
// OMNIDOCS_MODELS_DIR, OMNIDOCS_MODEL_CACHE or HF_HOME, else ~/.cache/huggingface. The models are in its folder hub, as
// Python's huggingface_hub has it, and are shared with Python.
func Dir(custom string) (string, error) {
	dir, err := filepath.Abs(hub.Dir(custom))
	if err != nil {
		return "", fmt.Errorf("modelcache: folder of models: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("modelcache: folder of models: %w", err)
	}
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dir = resolved
	}
	return dir, nil
}

// StorageInfo tells where models are kept, and what is there. In JSON it has Python's names.
type StorageInfo struct {
	// OmnidocsCache is what [Dir] returns for "".
	OmnidocsCache string `json:"omnidocs_cache"`
	// OmnidocsModelsDirEnv is the environment's OMNIDOCS_MODELS_DIR, OmnidocsModelCacheEnv its OMNIDOCS_MODEL_CACHE, HFHome its HF_HOME.
	OmnidocsModelsDirEnv  string `json:"omnidocs_models_dir_env"`
	OmnidocsModelCacheEnv string `json:"omnidocs_model_cache_env"`
	HFHome                string `json:"hf_home"`
	// Models are those found in the folders that models are looked for in.
	Models []StoredModel `json:"models"`
	// TotalBytes is what the models take on disk.
	TotalBytes int64 `json:"total_bytes"`
}

// StoredModel is a model on disk.
type StoredModel struct {
	// Model is its id, such as "Qwen/Qwen3-VL-2B-Instruct".
	Model string `json:"model"`
	// Dir is its folder; deleting it deletes the model.
	Dir string `json:"dir"`
	// Revisions are the commits that are there.
	Revisions []string `json:"revisions"`
	// Bytes is what it takes, IncompleteBytes the part of that which is of downloads that have not ended.
	Bytes           int64 `json:"bytes"`
	IncompleteBytes int64 `json:"incomplete_bytes"`
}

// Storage tells where models are kept, and what is there.
func Storage() (StorageInfo, error) {
	dir, err := Dir("")
	if err != nil {
		return StorageInfo{}, err
	}
	info := StorageInfo{
		OmnidocsCache:         dir,
		OmnidocsModelsDirEnv:  os.Getenv("OMNIDOCS_MODELS_DIR"),
		OmnidocsModelCacheEnv: os.Getenv("OMNIDOCS_MODEL_CACHE"),
		HFHome:                os.Getenv("HF_HOME"),
	}
	models, err := hub.List("")
	if err != nil {
		return info, fmt.Errorf("modelcache: %w", err)
	}
	for _, m := range models {
		info.Models = append(info.Models, StoredModel{m.Model, m.Dir, m.Revisions, m.Bytes, m.Incomplete})
		info.TotalBytes += m.Bytes
	}
	return info, nil
}
