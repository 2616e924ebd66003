package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const golden = "../../qwen/testdata/golden"

// copyCase copies a golden case, but for some files.
func copyCase(t *testing.T, name string, without ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join(golden, name))))
	for _, file := range without {
		require.NoError(t, os.Remove(filepath.Join(dir, file)))
	}
	return dir
}

func TestRun(t *testing.T) {
	weights := []string{"config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json", "chat_template.jinja"}
	apart := copyCase(t, "qwen3_vl", weights...)
	altered := copyCase(t, "qwen3_vl")
	path := filepath.Join(altered, "expected.json")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	data = []byte(strings.Replace(string(data), "qwenvl markdown", "qwenvl html", 1))
	require.NoError(t, os.WriteFile(path, data, 0o600))
	other := copyCase(t, "qwen3_vl")
	require.NoError(t, os.WriteFile(filepath.Join(other, "config.json"), []byte(`{"model_type": "llama"}`), 0o600))

	for name, test := range map[string]struct {
		flags     flags
		says, err string
	}{
		"its own checkpoint":  {flags{cases: filepath.Join(golden, "qwen3_vl")}, "qwen3_vl, on go in float32: equals the reference, transformers 5", ""},
		"another folder":      {flags{cases: apart, model: filepath.Join(golden, "qwen3_vl")}, "equals the reference", ""},
		"half precision":      {flags{cases: apart, model: filepath.Join(golden, "qwen3_vl"), dtype: "bfloat16"}, "on go in bfloat16: equals", ""},
		"no checkpoint":       {flags{cases: apart}, "", "-model"},
		"a wrong checkpoint":  {flags{cases: filepath.Join(golden, "qwen3_vl"), model: filepath.Join(golden, "qwen3_vl_tied")}, ", at vision\n", "1 of 1 cases: departs"},
		"another prompt":      {flags{cases: altered}, ", at input_ids\n", "1 of 1 cases: departs"},
		"not a Qwen-VL":       {flags{cases: other}, `skipped: qwen: load: config.json: model_type "llama"`, "no case was compared"},
		"no case":             {flags{cases: t.TempDir()}, "", "make_case.py"},
		"no flag":             {flags{}, "", "-cases is needed"},
		"a type that is none": {flags{cases: apart, dtype: "int3"}, "", "int3"},
	} {
		t.Run(name, func(t *testing.T) {
			f := test.flags
			f.device = "go"
			if f.dtype == "" {
				f.dtype = "float32"
			}
			var out bytes.Buffer
			err := run(t.Context(), f, &out)
			require.Contains(t, out.String(), test.says)
			if test.err == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.err)
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestJSON(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), flags{cases: filepath.Join(golden, "qwen3_vl"), device: "go", dtype: "float32", json: true}, &out))
	var r result
	require.NoError(t, json.Unmarshal(out.Bytes(), &r))
	require.Equal(t, "qwen3_vl", r.Case)
	require.True(t, r.OK)
	require.Equal(t, "go", r.Device)
	require.Len(t, r.Stages, 10)
	require.Equal(t, "pixel_values", r.Stages[0].Name)
}
