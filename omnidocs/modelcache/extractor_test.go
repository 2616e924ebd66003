package modelcache_test

import (
	"image"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs/modelcache"
	"github.com/omnidocs/omnidocs/textextraction"
)

func TestKey(t *testing.T) {
	key := func(cfg textextraction.Config) string {
		key, err := modelcache.Key(cfg)
		require.NoError(t, err)
		return key
	}
	require.Equal(t, "Qwen:PyTorchConfig:model=Qwen/Qwen3-VL-8B-Instruct", key(textextraction.QwenTextPyTorchConfig{}))
	require.Equal(t, "Qwen:PyTorchConfig:device=cuda,model=m", key(&textextraction.QwenTextPyTorchConfig{
		Device: "cuda", Model: "m", MaxNewTokens: 300, Temperature: 0.5, SystemPrompt: "s", TorchDtype: "auto", BatchSize: 1,
	}))
	require.Equal(t, "Qwen:VLLMConfig:model=m,tensor_parallel_size=2", key(textextraction.QwenTextVLLMConfig{
		Model: "m", TensorParallelSize: 2, GPUMemoryUtilization: 0.85, MaxTokens: 4096,
	}))
	require.NotEqual(t, key(textextraction.QwenTextPyTorchConfig{Quantization: "int8"}), key(textextraction.QwenTextPyTorchConfig{}))
	require.Empty(t, key(textextraction.QwenTextAPIConfig{Model: "m"}))
	_, err := modelcache.Key(nil)
	require.ErrorIs(t, err, textextraction.ErrConfig)
}

// Two extractors of the embedded model share it, and each reads as its own config says.
func TestExtractor(t *testing.T) {
	c := modelcache.New(modelcache.Config{})
	cfg := textextraction.QwenTextPyTorchConfig{Model: textextraction.TinyModel, Device: "go", MaxNewTokens: 256}
	first, err := c.Extractor(t.Context(), cfg)
	require.NoError(t, err)
	sampled := cfg
	sampled.Temperature, sampled.Seed = 1.5, 3
	second, err := c.Extractor(t.Context(), sampled)
	require.NoError(t, err)
	require.Equal(t, 1, c.Info().NumEntries)
	page := image.NewGray(image.Rect(0, 0, 64, 64))
	opts := textextraction.Options{MaxNewTokens: 8, ReadBlankPages: true}
	a, err := first.ExtractWith(t.Context(), page, opts)
	require.NoError(t, err)
	b, err := second.ExtractWith(t.Context(), page, opts)
	require.NoError(t, err)
	require.NotEqual(t, a.RawOutput, b.RawOutput, "one is greedy, the other is not")

	require.NoError(t, first.Close())
	_, err = first.ExtractWith(t.Context(), page, opts)
	require.ErrorIs(t, err, textextraction.ErrClosed)
	again, err := second.ExtractWith(t.Context(), page, opts)
	require.NoError(t, err, "the other goes on")
	require.Equal(t, b.RawOutput, again.RawOutput)
	_, err = c.Clear()
	require.NoError(t, err)
	_, err = second.ExtractWith(t.Context(), page, opts)
	require.NoError(t, err, "and has the model even when it has left the cache")
	require.NoError(t, second.Close())
	require.NoError(t, second.Close())

	bad := cfg
	bad.MaxNewTokens = 1
	_, err = c.Extractor(t.Context(), bad)
	require.ErrorIs(t, err, textextraction.ErrConfig)
	require.Zero(t, c.Info().NumEntries)
}

func TestDir(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	for _, name := range []string{"OMNIDOCS_MODELS_DIR", "OMNIDOCS_MODEL_CACHE", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"} {
		t.Setenv(name, "")
	}
	want := func(custom, name string) {
		dir, err := modelcache.Dir(custom)
		require.NoError(t, err)
		require.Equal(t, filepath.Join(base, name), dir)
		require.DirExists(t, dir)
	}
	t.Setenv("HOME", base)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(base, "xdg"))
	want("", "xdg/huggingface")
	t.Setenv("HF_HOME", filepath.Join(base, "hf"))
	want("", "hf")
	t.Setenv("OMNIDOCS_MODEL_CACHE", filepath.Join(base, "guide"))
	want("", "guide")
	t.Setenv("OMNIDOCS_MODELS_DIR", "~/models")
	want("", "models")
	want(filepath.Join(base, "custom"), "custom")

	repo := filepath.Join(base, "models", "hub", "models--Qwen--Qwen3-VL-2B-Instruct")
	for name, size := range map[string]int{"blobs/abc": 1000, "blobs/def.incomplete": 50, "refs/main": 40} {
		path := filepath.Join(repo, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, make([]byte, size), 0o644))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(repo, "snapshots", "c0ffee"), 0o755))
	info, err := modelcache.Storage()
	require.NoError(t, err)
	require.Equal(t, filepath.Join(base, "models"), info.OmnidocsCache)
	require.Equal(t, "~/models", info.OmnidocsModelsDirEnv)
	require.Equal(t, filepath.Join(base, "hf"), info.HFHome)
	require.EqualValues(t, 1090, info.TotalBytes)
	require.Equal(t, []modelcache.StoredModel{{
		Model: "Qwen/Qwen3-VL-2B-Instruct", Dir: repo, Revisions: []string{"c0ffee"}, Bytes: 1090, IncompleteBytes: 50,
	}}, info.Models)
}
