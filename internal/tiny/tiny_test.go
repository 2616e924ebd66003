package tiny

import (
	"encoding/binary"
	"encoding/json"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFSHoldsACheckpoint(t *testing.T) {
	var total int64
	for _, name := range []string{
		"config.json", "generation_config.json", "preprocessor_config.json",
		"tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "model.safetensors",
	} {
		info, err := fs.Stat(FS(), name)
		require.NoError(t, err)
		total += info.Size()
	}
	require.Less(t, total, int64(8_000_000), "every user's binary may carry the checkpoint")

	var config struct {
		ModelType    string `json:"model_type"`
		VisionConfig struct {
			PatchSize int `json:"patch_size"`
			MergeSize int `json:"spatial_merge_size"`
		} `json:"vision_config"`
		TextConfig struct {
			HiddenSize int `json:"hidden_size"`
			Layers     int `json:"num_hidden_layers"`
			Vocab      int `json:"vocab_size"`
		} `json:"text_config"`
	}
	raw, err := fs.ReadFile(FS(), "config.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &config))
	require.Equal(t, "qwen3_vl", config.ModelType)
	require.Equal(t, 16, config.VisionConfig.PatchSize)
	require.Equal(t, 2, config.VisionConfig.MergeSize)

	weights, err := fs.ReadFile(FS(), "model.safetensors")
	require.NoError(t, err)
	n := binary.LittleEndian.Uint64(weights)
	var header map[string]struct {
		DType string `json:"dtype"`
		Shape []int  `json:"shape"`
		Ends  [2]int `json:"data_offsets"`
	}
	require.NoError(t, json.Unmarshal(weights[8:8+n], &header))
	emb := header["model.language_model.embed_tokens.weight"]
	require.Equal(t, "BF16", emb.DType)
	require.Equal(t, []int{config.TextConfig.Vocab, config.TextConfig.HiddenSize}, emb.Shape)
	end := 0
	for _, w := range header {
		end = max(end, w.Ends[1])
	}
	require.Equal(t, len(weights), 8+int(n)+end, "the file is whole")
}
