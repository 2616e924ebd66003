// Command randommodel writes a Qwen3-VL checkpoint with random bfloat16 weights in the shape of a real one, for measuring speed and
// memory where no weights can be had: what it writes is noise.
//
//	go run ./internal/gpu/randommodel -shape 2b -out DIR [-golden qwen/testdata/golden/qwen3_vl]
//
// Tokenizer, processor and chat template are those of the golden case, whose tokens are the first 512 of the vocabulary.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// shape has the sizes in which the models of the family differ.
type shape struct {
	hidden, intermediate, layers, heads, kvHeads, headDim, vocab int
	tied                                                         bool
	visionHidden, visionIntermediate, depth, visionHeads         int
	deepstack                                                    []int
}

var shapes = map[string]shape{
	"tiny":       {64, 128, 2, 4, 2, 32, 512, true, 64, 128, 3, 2, []int{0, 1}},
	"quarter-2b": {2048, 6144, 7, 16, 8, 128, 151936, true, 1024, 4096, 6, 16, []int{1, 2, 4}},
	"2b":         {2048, 6144, 28, 16, 8, 128, 151936, true, 1024, 4096, 24, 16, []int{5, 11, 17}},
	"4b":         {2560, 9728, 36, 32, 8, 128, 151936, true, 1024, 4096, 24, 16, []int{5, 11, 17}},
	"8b":         {4096, 12288, 36, 32, 8, 128, 151936, false, 1152, 4304, 27, 16, []int{8, 16, 24}},
}

func main() {
	name := flag.String("shape", "2b", "tiny, quarter-2b, 2b, 4b or 8b")
	out := flag.String("out", "", "folder to write to")
	golden := flag.String("golden", filepath.Join("qwen", "testdata", "golden", "qwen3_vl"), "folder of the golden case")
	flag.Parse()
	if err := write(*name, *out, *golden); err != nil {
		slog.Error("randommodel", "error", err)
		os.Exit(1)
	}
}

func write(name, out, golden string) error {
	s, ok := shapes[name]
	if !ok || out == "" {
		return errors.New("-out is needed, and -shape must be tiny, quarter-2b, 2b, 4b or 8b")
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, file := range []string{"tokenizer.json", "tokenizer_config.json", "preprocessor_config.json", "chat_template.jinja", "generation_config.json"} {
		data, err := os.ReadFile(filepath.Join(golden, file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(out, file), data, 0o644); err != nil {
			return err
		}
	}
	config, err := s.config(filepath.Join(golden, "config.json"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, "config.json"), config, 0o644); err != nil {
		return err
	}
	return writeWeights(filepath.Join(out, "model.safetensors"), s.tensors())
}

// config is the golden case's configuration with other sizes.
func (s shape) config(golden string) ([]byte, error) {
	data, err := os.ReadFile(golden)
	if err != nil {
		return nil, err
	}
	var c map[string]any
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("%s: %w", golden, err)
	}
	text, okText := c["text_config"].(map[string]any)
	vision, okVision := c["vision_config"].(map[string]any)
	if !okText || !okVision {
		return nil, fmt.Errorf("%s has no text_config or vision_config", golden)
	}
	set := func(m map[string]any, values map[string]any) {
		for key, value := range values {
			m[key] = value
		}
	}
	set(c, map[string]any{"tie_word_embeddings": s.tied})
	half := s.headDim / 2 // dealt out to time, height and width as in the models
	set(text, map[string]any{
		"hidden_size": s.hidden, "intermediate_size": s.intermediate, "num_hidden_layers": s.layers, "num_attention_heads": s.heads,
		"num_key_value_heads": s.kvHeads, "head_dim": s.headDim, "vocab_size": s.vocab, "max_position_embeddings": 32768,
		"tie_word_embeddings": s.tied,
		"rope_parameters": map[string]any{
			"rope_type": "default", "rope_theta": 5e6, "mrope_interleaved": true, "mrope_section": []int{half - 2*(half*5/16), half * 5 / 16, half * 5 / 16},
		},
	})
	set(vision, map[string]any{
		"hidden_size": s.visionHidden, "intermediate_size": s.visionIntermediate, "depth": s.depth, "num_heads": s.visionHeads,
		"out_hidden_size": s.hidden, "num_position_embeddings": 2304, "deepstack_visual_indexes": s.deepstack,
	})
	return json.MarshalIndent(c, "", "  ")
}

// tensor is one of the checkpoint's.
type tensor struct {
	name  string
	shape []int
}

// tensors are those of the shape, under transformers' names.
func (s shape) tensors() []tensor {
	var all []tensor
	add := func(name string, shape ...int) { all = append(all, tensor{name, shape}) }
	linear := func(name string, out, in int) {
		add(name+".weight", out, in)
		add(name+".bias", out)
	}
	norm := func(name string, n int) {
		add(name+".weight", n)
		add(name+".bias", n)
	}
	const visual, language = "model.visual.", "model.language_model."
	v, merged := s.visionHidden, 4*s.visionHidden
	add(visual+"patch_embed.proj.weight", v, 3, 2, 16, 16)
	add(visual+"patch_embed.proj.bias", v)
	add(visual+"pos_embed.weight", 2304, v)
	merger := func(name string, width int) {
		norm(name+"norm", width)
		linear(name+"linear_fc1", merged, merged)
		linear(name+"linear_fc2", s.hidden, merged)
	}
	merger(visual+"merger.", v)
	for i := range s.deepstack {
		merger(fmt.Sprintf("%sdeepstack_merger_list.%d.", visual, i), merged)
	}
	for i := range s.depth {
		block := fmt.Sprintf("%sblocks.%d.", visual, i)
		norm(block+"norm1", v)
		norm(block+"norm2", v)
		linear(block+"attn.qkv", 3*v, v)
		linear(block+"attn.proj", v, v)
		linear(block+"mlp.linear_fc1", s.visionIntermediate, v)
		linear(block+"mlp.linear_fc2", v, s.visionIntermediate)
	}
	add(language+"embed_tokens.weight", s.vocab, s.hidden)
	add(language+"norm.weight", s.hidden)
	if !s.tied {
		add("lm_head.weight", s.vocab, s.hidden)
	}
	for i := range s.layers {
		layer := fmt.Sprintf("%slayers.%d.", language, i)
		for _, name := range []string{"input_layernorm.weight", "post_attention_layernorm.weight"} {
			add(layer+name, s.hidden)
		}
		for _, name := range []string{"self_attn.q_norm.weight", "self_attn.k_norm.weight"} {
			add(layer+name, s.headDim)
		}
		for name, rows := range map[string]int{"q": s.heads, "k": s.kvHeads, "v": s.kvHeads} {
			add(layer+"self_attn."+name+"_proj.weight", rows*s.headDim, s.hidden)
		}
		add(layer+"self_attn.o_proj.weight", s.hidden, s.heads*s.headDim)
		add(layer+"mlp.gate_proj.weight", s.intermediate, s.hidden)
		add(layer+"mlp.up_proj.weight", s.intermediate, s.hidden)
		add(layer+"mlp.down_proj.weight", s.hidden, s.intermediate)
	}
	return all
}

// writeWeights writes a safetensors file of random numbers between -0.05 and 0.05.
func writeWeights(path string, tensors []tensor) (err error) {
	header := map[string]any{"__metadata__": map[string]string{"format": "pt"}}
	var size int64
	for _, t := range tensors {
		n := int64(2)
		for _, d := range t.shape {
			n *= int64(d)
		}
		header[t.name] = map[string]any{"dtype": "BF16", "shape": t.shape, "data_offsets": []int64{size, size + n}}
		size += n
	}
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	for len(text)%8 != 0 {
		text = append(text, ' ')
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := binary.Write(w, binary.LittleEndian, uint64(len(text))); err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	// A block of random numbers, again and again from another place of it: what matters is that they are neither zero nor all alike.
	r := rand.New(rand.NewPCG(1, 2))
	block := make([]byte, 1<<24)
	for i := 0; i < len(block); i += 2 {
		// Sign and fraction are random; the exponents are those of 2^-5 to 2^-8.
		bits := r.Uint32()
		binary.LittleEndian.PutUint16(block[i:], uint16(bits&0x8000)|uint16(119+bits>>16&3)<<7|uint16(bits&0x7f))
	}
	for size > 0 {
		from := 2 * r.IntN(len(block)/4)
		n := min(size, int64(len(block)-from))
		if _, err := w.Write(block[from : from+int(n)]); err != nil {
			return err
		}
		size -= n
	}
	return w.Flush()
}
