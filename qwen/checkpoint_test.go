package qwen_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/checkpoint"
)

// A checkpoint may be in one file or in shards, in float32, float16 or bfloat16, with the keys of the class or of older files,
// with an output matrix that is a copy of the embedding or without one: it is the same model.
func TestCheckpointForms(t *testing.T) {
	device := openDevice(t)
	old := func(key string) string {
		if rest, ok := strings.CutPrefix(key, "model.language_model."); ok {
			return "model." + rest
		}
		return strings.TrimPrefix(key, "model.")
	}
	for name, form := range map[string]struct {
		golden string
		shards int
		rename func(key string) string
		dtype  checkpoint.DType
		extra  bool
	}{
		"shards":        {"qwen3_vl", 3, nil, checkpoint.BF16, false},
		"older keys":    {"qwen3_vl", 1, old, checkpoint.BF16, false},
		"float32":       {"qwen3_vl", 2, old, checkpoint.F32, false},
		"tied, a copy":  {"qwen3_vl_tied", 1, nil, checkpoint.BF16, true},
		"unused buffer": {"qwen3_vl", 1, nil, checkpoint.BF16, true},
	} {
		t.Run(name, func(t *testing.T) {
			base := os.DirFS("testdata/golden/" + form.golden)
			files := withConfig(t, base, nil).(fstest.MapFS)
			tensors := readTensors(t, files, form.dtype)
			for i := range tensors {
				if form.rename != nil {
					tensors[i].Name = form.rename(tensors[i].Name)
				}
				if form.extra && tensors[i].Name == "model.language_model.embed_tokens.weight" {
					copied := tensors[i]
					copied.Name = "lm_head.weight"
					if form.golden == "qwen3_vl" {
						copied.Name = "model.language_model.rotary_emb.inv_freq"
					}
					tensors = append(tensors, copied)
				}
			}
			delete(files, "model.safetensors")
			writeShards(t, files, tensors, form.shards)
			m := loadModel(t, device.Runtime(), files)
			requireGolden(t, m, files)
		})
	}
}

// The tensors of experts may be one for all, transposed or not, or one for each expert.
func TestExpertLayouts(t *testing.T) {
	device := openDevice(t)
	for name, form := range map[string]func(data checkpoint.Data) []checkpoint.Data{"transposed": transposeExperts, "apart": splitExperts} {
		t.Run(name, func(t *testing.T) {
			files := withConfig(t, os.DirFS("testdata/golden/qwen3_vl_moe"), nil).(fstest.MapFS)
			var tensors []checkpoint.Data
			changed := 0
			for _, d := range readTensors(t, files, checkpoint.BF16) {
				if !strings.Contains(d.Name, "mlp.experts.") {
					tensors = append(tensors, d)
					continue
				}
				tensors = append(tensors, form(d)...)
				changed++
			}
			require.NotZero(t, changed)
			delete(files, "model.safetensors")
			writeShards(t, files, tensors, 1)
			m := loadModel(t, device.Runtime(), files)
			requireGolden(t, m, files)
		})
	}
}

// transposeExperts exchanges the last two axes of a tensor of 16-bit numbers.
func transposeExperts(d checkpoint.Data) []checkpoint.Data {
	n, rows, cols := d.Shape[0], d.Shape[1], d.Shape[2]
	turned := make([]byte, len(d.Bytes))
	for e := range n {
		for i := range rows {
			for j := range cols {
				copy(turned[2*((e*cols+j)*rows+i):][:2], d.Bytes[2*((e*rows+i)*cols+j):])
			}
		}
	}
	return []checkpoint.Data{{Name: d.Name, DType: d.DType, Shape: []int{n, cols, rows}, Bytes: turned}}
}

// splitExperts makes a tensor for each expert, and two where gate and up are together.
func splitExperts(d checkpoint.Data) []checkpoint.Data {
	prefix, kind, _ := strings.Cut(d.Name, "experts.")
	names := []string{"down_proj"}
	if kind == "gate_up_proj" {
		names = []string{"gate_proj", "up_proj"}
	}
	rows, size := d.Shape[1]/len(names), len(d.Bytes)/d.Shape[0]/len(names)
	var all []checkpoint.Data
	for e := range d.Shape[0] {
		for i, name := range names {
			all = append(all, checkpoint.Data{
				Name: fmt.Sprintf("%sexperts.%d.%s.weight", prefix, e, name), DType: d.DType,
				Shape: []int{rows, d.Shape[2]}, Bytes: d.Bytes[(e*len(names)+i)*size:][:size],
			})
		}
	}
	return all
}

// readTensors reads all tensors of a checkpoint, as BF16 (as they are stored) or F32.
func readTensors(t *testing.T, files fstest.MapFS, dtype checkpoint.DType) []checkpoint.Data {
	t.Helper()
	c, err := checkpoint.Open(files)
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	var all []checkpoint.Data
	for _, tensor := range c.Tensors() {
		if dtype == checkpoint.F32 {
			values := make([]float32, tensor.Elements())
			require.NoError(t, c.ReadFloat32(t.Context(), tensor.Name, values, checkpoint.ReadOptions{}))
			all = append(all, checkpoint.Float32(tensor.Name, values, tensor.Shape...))
			continue
		}
		raw := make([]byte, tensor.Bytes)
		require.NoError(t, c.ReadInto(t.Context(), tensor.Name, raw))
		all = append(all, checkpoint.Data{Name: tensor.Name, DType: tensor.DType, Shape: tensor.Shape, Bytes: raw})
	}
	return all
}

// writeShards writes tensors into one file, or in turn into several with an index.
func writeShards(t *testing.T, files fstest.MapFS, tensors []checkpoint.Data, shards int) {
	t.Helper()
	index := map[string]string{}
	for i := range shards {
		name := "model.safetensors"
		if shards > 1 {
			name = fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, shards)
		}
		var part []checkpoint.Data
		for j, tensor := range tensors {
			if j%shards == i {
				part = append(part, tensor)
				index[tensor.Name] = name
			}
		}
		var file bytes.Buffer
		require.NoError(t, checkpoint.Write(&file, part...))
		files[name] = &fstest.MapFile{Data: file.Bytes()}
	}
	if shards > 1 {
		data, err := json.Marshal(map[string]any{"weight_map": index})
		require.NoError(t, err)
		files["model.safetensors.index.json"] = &fstest.MapFile{Data: data}
	}
}
