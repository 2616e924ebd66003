package qwen_test

import (
	"encoding/json"
	"os"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/qwen"
)

// FuzzInspect: whatever config.json says, an inspection neither fails nor panics, and can be written as JSON.
func FuzzInspect(f *testing.F) {
	base := fstest.MapFS{}
	for _, name := range []string{"generation_config.json", "preprocessor_config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors"} {
		data, err := os.ReadFile(blocksDir + "/" + name)
		require.NoError(f, err)
		base[name] = &fstest.MapFile{Data: data}
	}
	for _, dir := range []string{goldenDir, blocksDir, compressedDir} {
		data, err := os.ReadFile(dir + "/config.json")
		require.NoError(f, err)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, config []byte) {
		files := fstest.MapFS{"config.json": &fstest.MapFile{Data: config}}
		for name, file := range base {
			files[name] = file
		}
		found, err := qwen.Inspect(files)
		require.NoError(t, err)
		_, err = json.Marshal(found)
		require.NoError(t, err)
		require.Contains(t, found.String(), "model ")
	})
}
