package qwen_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/checkpoint"
	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/qwen"
)

// The embedded model, as a folder on disk would be inspected with os.DirFS.
func ExampleInspect() {
	found, err := qwen.Inspect(tiny.FS())
	if err != nil {
		panic(err)
	}
	fmt.Println(found.ModelType, found.Loadable)
	for _, part := range found.Parts {
		fmt.Println(part.Name, part.Parameters)
	}
	for _, token := range found.Tokens {
		fmt.Println(token.Role, token.Text)
	}
	// Output:
	// qwen3_vl true
	// vision 1878272
	// text 2029760
	// embedding 50496
	// head 192
	// image <|image_pad|>
	// eos <|im_end|>
	// pad <|endoftext|>
}

func inspected(t *testing.T, files fstest.MapFS) *qwen.Inspection {
	t.Helper()
	found, err := qwen.Inspect(files)
	require.NoError(t, err)
	return found
}

// findings are those of a kind, one a line.
func findings(i *qwen.Inspection, kind string) string {
	var lines []string
	for _, f := range i.Findings {
		if f.Kind == kind {
			lines = append(lines, fmt.Sprintf("%s: %s %v", f.About, f.Text, f.Items))
		}
	}
	return strings.Join(lines, "\n")
}

func TestInspect(t *testing.T) {
	t.Run("plain", func(t *testing.T) {
		found, err := qwen.Inspect(os.DirFS(goldenDir))
		require.NoError(t, err)
		require.True(t, found.Loadable)
		require.Len(t, found.Findings, 2)
		require.Contains(t, findings(found, qwen.Note), "pages have at most 40 visual tokens")
		require.Contains(t, findings(found, qwen.Note), "not used [expected.safetensors]")
		require.Equal(t, "qwen3_vl", found.ModelType)
		require.Equal(t, []string{"Qwen3VLForConditionalGeneration"}, found.Architectures)
		require.Equal(t, 512, found.Architecture["text"]["vocab_size"])
		require.Equal(t, []int{1, 2}, found.Architecture["vision"]["deepstack"])
		require.Equal(t, []qwen.NamedToken{{Role: "image", ID: 510, Text: "<|image_pad|>"}, {Role: "eos", ID: 507, Text: "<|im_end|>"},
			{Role: "pad", ID: 505, Text: "<|endoftext|>"}}, found.Tokens)
		require.Equal(t, qwen.ProcessorLimits{PatchSize: 16, MergeSize: 2, TemporalPatchSize: 2, MinPixels: 4096, MaxPixels: 40960,
			DocumentMinPixels: 4096, DocumentMaxPixels: 40960}, *found.Processor)
		require.True(t, found.Template.Renders)
		require.Contains(t, found.Template.Prompt, "<|image_pad|>")
		require.InDelta(t, 507, found.GenerationConfig["eos_token_id"], 0)
		require.Equal(t, []qwen.ShardSize{{File: "model.safetensors", Tensors: found.DTypes[0].Tensors, Bytes: found.Bytes}}, found.Shards)
	})
	t.Run("the parts are the tensors", func(t *testing.T) {
		for _, dir := range []string{goldenDir, blocksDir, compressedDir, filepath.Join("testdata", "golden", "qwen3_vl_tied")} {
			found, err := qwen.Inspect(os.DirFS(dir))
			require.NoError(t, err)
			c, err := checkpoint.OpenDir(dir)
			require.NoError(t, err)
			want := map[string]int64{}
			var all, size int64
			for _, tensor := range c.Tensors() {
				name, n := tensor.Name, int64(tensor.Elements())
				size += tensor.Bytes
				if strings.HasSuffix(name, "_scale") || strings.HasSuffix(name, "_scale_inv") {
					continue
				}
				all += n
				switch {
				case strings.HasPrefix(name, "model.visual."):
					want["vision"] += n
				case strings.HasPrefix(name, "model.language_model.layers."):
					want["text"] += n
				case strings.HasPrefix(name, "model.language_model.embed"):
					want["embedding"] += n
				default:
					want["head"] += n
				}
			}
			require.NoError(t, c.Close())
			got := map[string]int64{}
			for _, p := range found.Parts {
				if p.Parameters > 0 {
					got[p.Name] = p.Parameters
				}
			}
			if dir == compressedDir { // the scales of activations are not used, and have a number each
				require.EqualValues(t, 10, got["unused"])
				delete(got, "unused")
			}
			require.Equal(t, want, got, dir)
			require.Equal(t, all, found.Parameters, dir)
			require.Equal(t, size, found.Bytes, dir)
		}
	})
	t.Run("FP8", func(t *testing.T) {
		found, err := qwen.Inspect(os.DirFS(blocksDir))
		require.NoError(t, err)
		require.True(t, found.Loadable)
		require.Equal(t, [][2]int{{128, 128}}, found.Quantization.Blocks)
		require.Contains(t, findings(found, qwen.Note), "FP8 (fp8; a scale for 128×128)")
		require.Equal(t, "scales", found.Parts[len(found.Parts)-1].Name)
		require.Contains(t, found.String(), "F8_E4M3")
	})
	t.Run("nothing there", func(t *testing.T) {
		_, err := qwen.Inspect(fstest.MapFS{"readme.md": &fstest.MapFile{}})
		require.ErrorIs(t, err, os.ErrNotExist)
		_, err = qwen.Inspect(os.DirFS(filepath.Join(t.TempDir(), "nowhere")))
		require.ErrorIs(t, err, os.ErrNotExist)
	})
}

// What is wrong or unusual is found; and what is told to load loads, and the other way around.
func TestInspectFindings(t *testing.T) {
	device := openDevice(t)
	drop := func(name string) func(files fstest.MapFS) { return func(files fstest.MapFS) { delete(files, name) } }
	put := func(name, data string) func(files fstest.MapFS) {
		return func(files fstest.MapFS) { files[name] = &fstest.MapFile{Data: []byte(data)} }
	}
	for name, test := range map[string]struct {
		config map[string]any
		change func(files fstest.MapFS)
		refuse []string // parts of the findings that refuse
		note   []string
	}{
		"another model": {config: map[string]any{"model_type": "llava"}, refuse: []string{"config.json", `"llava"`}},
		"awq": {config: map[string]any{"quantization_config": map[string]any{"quant_method": "awq"}}, change: func(files fstest.MapFS) {
			var file bytes.Buffer
			require.NoError(t, checkpoint.Write(&file, checkpoint.Data{Name: "model.language_model.layers.0.mlp.gate_proj.qweight", DType: "I32", Shape: []int{2}, Bytes: make([]byte, 8)},
				checkpoint.Float32("model.visual.pos_embed.weight", []float32{1, 2}, 2)))
			files["model.safetensors"] = &fstest.MapFile{Data: file.Bytes()}
		}, refuse: []string{`quant_method "awq"`, "use the float"}, note: []string{"1 of the tensors are integers"}},
		"layers missing":     {config: map[string]any{"text_config.num_hidden_layers": 4}, refuse: []string{"weights: 11 missing", "layers.3.self_attn.q_proj.weight"}},
		"layers unexpected":  {config: map[string]any{"vision_config.depth": 3}, refuse: []string{"weights: 12 unexpected", "blocks.3.attn.qkv.weight"}},
		"shapes":             {config: map[string]any{"text_config.vocab_size": 600}, refuse: []string{"2 of another shape", "lm_head.weight is [512 32], want [600 32]"}},
		"untied, no head":    {config: map[string]any{"tie_word_embeddings": true}, note: []string{"lm_head.weight is stored, and not used"}},
		"no weights":         {change: drop("model.safetensors"), refuse: []string{"weights: open checkpoint"}},
		"cut weights":        {change: func(files fstest.MapFS) { f := files["model.safetensors"]; f.Data = f.Data[:len(f.Data)-10] }, refuse: []string{"truncated"}},
		"damaged weights":    {change: put("model.safetensors", "not a safetensors file"), refuse: []string{"weights", "model.safetensors"}},
		"no configuration":   {change: drop("config.json"), refuse: []string{"config.json"}},
		"no JSON":            {change: put("config.json", "{"), refuse: []string{"config.json"}},
		"no tokenizer":       {change: drop("tokenizer.json"), refuse: []string{"tokenizer.json"}},
		"no processor":       {change: drop("preprocessor_config.json"), refuse: []string{"preprocessor_config.json"}},
		"another processor":  {config: map[string]any{"vision_config.patch_size": 14}, refuse: []string{"patch_size 16", "1 of another shape"}},
		"no template":        {change: drop("chat_template.jinja"), refuse: []string{"chat template"}},
		"a template of text": {change: put("chat_template.jinja", "{{ messages[0].role }}"), note: []string{"chat template: no page can be asked about", "0 places"}},
		"a failing template": {change: put("chat_template.jinja", "{{ raise_exception('no images') }}"), note: []string{"no images"}},
		"no such image":      {config: map[string]any{"image_token_id": 600, "text_config.vocab_size": 700}, refuse: []string{"token 600", "of another shape"}},
		"other ends":         {config: map[string]any{"generation:eos_token_id": []int{505}}, note: []string{"<|im_end|> (507) is not among"}},
		"no ends":            {config: map[string]any{"generation:eos_token_id": nil, "text_config.eos_token_id": nil}, note: []string{"no eos_token_id"}},
		"an end too many":    {config: map[string]any{"generation:eos_token_id": []int{507, 511, 9999}}, note: []string{"no token 9999"}},
		"another type":       {config: map[string]any{"dtype": "float32"}, note: []string{"stored as bfloat16, config.json says float32"}},
		"other files": {change: func(files fstest.MapFS) {
			for _, name := range []string{"pytorch_model.bin", "other.safetensors", "modeling_x.py", "adapter_config.json"} {
				files[name] = &fstest.MapFile{}
			}
		}, note: []string{"not used [expected.safetensors other.safetensors pytorch_model.bin]", "[modeling_x.py]", "adapter"}},
	} {
		t.Run(name, func(t *testing.T) {
			files := withConfig(t, os.DirFS(goldenDir), test.config).(fstest.MapFS)
			if test.change != nil {
				test.change(files)
			}
			found := inspected(t, files)
			for _, part := range test.refuse {
				require.Contains(t, findings(found, qwen.Refused), part)
			}
			for _, part := range test.note {
				require.Contains(t, findings(found, qwen.Note), part)
			}
			require.Equal(t, len(test.refuse) == 0, found.Loadable)
			m, err := qwen.Load(t.Context(), device.Runtime(), files, qwen.LoadOptions{})
			if err == nil {
				require.NoError(t, m.Close())
			}
			require.Equal(t, err == nil, found.Loadable, "%v", err)
			data, err := json.Marshal(found)
			require.NoError(t, err)
			require.True(t, json.Valid(data))
			var text bytes.Buffer
			_, err = found.WriteTo(&text)
			require.NoError(t, err)
			require.Equal(t, found.String(), text.String())
			for _, f := range found.Findings {
				require.Contains(t, text.String(), f.Text)
			}
		})
	}
}

// Of a checkpoint that is refused, all is told that can be.
func TestInspectRefused(t *testing.T) {
	found := inspected(t, withConfig(t, os.DirFS(goldenDir), map[string]any{"model_type": "llava"}).(fstest.MapFS))
	require.Nil(t, found.Spec)
	require.Equal(t, "llava", found.ModelType)
	require.Positive(t, found.Parameters)
	require.Len(t, found.Parts, 4)
	require.Len(t, found.Tokens, 3)
	require.True(t, found.Template.Renders)

	found = inspected(t, withConfig(t, os.DirFS(goldenDir), map[string]any{"quantization_config": map[string]any{"quant_method": "gptq"}}).(fstest.MapFS))
	require.Equal(t, 3, found.Spec.Text.Layers)
	require.Nil(t, found.Quantization)
	require.Positive(t, found.Parameters)
}

// The keys of the JSON form are a promise.
func TestInspectJSON(t *testing.T) {
	found, err := qwen.Inspect(os.DirFS(compressedDir))
	require.NoError(t, err)
	data, err := json.Marshal(found)
	require.NoError(t, err)
	var keys map[string]any
	require.NoError(t, json.Unmarshal(data, &keys))
	for _, key := range []string{"model_type", "architectures", "loadable", "architecture", "quantization", "parameters", "bytes", "parts",
		"dtypes", "shards", "tokens", "processor", "chat_template", "generation_config", "findings"} {
		require.Contains(t, keys, key)
	}
	require.InDelta(t, 16, keys["architecture"].(map[string]any)["text"].(map[string]any)["head_dim"], 0)
}
