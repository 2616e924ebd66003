package hub

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// isolate gives the test an environment without a cache, a token or a hub, and
// returns what is HF_HOME in it.
func isolate(t *testing.T) string {
	t.Helper()
	for _, name := range []string{
		"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "OMNIDOCS_MODELS_DIR", "OMNIDOCS_MODEL_CACHE",
		"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE",
	} {
		t.Setenv(name, "")
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("HF_HOME", filepath.Join(home, "hf"))
	t.Setenv("HF_ENDPOINT", "http://127.0.0.1:1") // nothing answers there
	old := firstPause
	firstPause = time.Millisecond
	t.Cleanup(func() { firstPause = old })
	return filepath.Join(home, "hf")
}

// single and sharded are the files of two models.
func single() map[string]string {
	return map[string]string{
		".gitattributes": "x", "README.md": "readme", "config.json": `{"model_type":"qwen3_vl"}`, "generation_config.json": "{}",
		"preprocessor_config.json": "{}", "tokenizer.json": strings.Repeat("t", 5000), "tokenizer_config.json": "{}",
		"chat_template.jinja": "{{ x }}", "model.safetensors": strings.Repeat("weights!", 1000),
		"pytorch_model.bin": "pickle", "onnx/model.safetensors": "another", "adapter.safetensors": "more",
	}
}

func sharded() map[string]string {
	files := single()
	delete(files, "model.safetensors")
	files["model.safetensors.index.json"] = `{"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors","c":"model-1.safetensors"}}`
	files["model-1.safetensors"] = strings.Repeat("1", 3000)
	files["model-2.safetensors"] = strings.Repeat("2", 4000)
	return files
}

// list returns the names in a folder.
func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// pythonCache makes a cache as huggingface_hub leaves it.
func pythonCache(t *testing.T, root string, files map[string]string) string {
	t.Helper()
	repo := filepath.Join(root, "models--org--model")
	snapshot := filepath.Join(repo, "snapshots", commit)
	for _, dir := range []string{"refs", "blobs", "snapshots/" + commit} {
		require.NoError(t, os.MkdirAll(filepath.Join(repo, dir), 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(repo, "refs/main"), []byte(commit), 0o600))
	for name, data := range files {
		if strings.Contains(name, "/") {
			continue
		}
		blob := gitHash(data)
		if isLarge(name) {
			blob = sha256Of(data)
		}
		require.NoError(t, os.WriteFile(filepath.Join(repo, "blobs", blob), []byte(data), 0o600))
		require.NoError(t, os.Symlink(filepath.Join("../../blobs", blob), filepath.Join(snapshot, name)))
	}
	return snapshot
}

func TestLocalFolder(t *testing.T) {
	isolate(t)
	home, err := os.UserHomeDir()
	require.NoError(t, err)
	dir := filepath.Join(home, "models", "mine")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), nil, 0o600))
	t.Chdir(home)
	for model, want := range map[string]string{dir: dir, "~/models/mine": dir, "./models/mine": "./models/mine", "models/mine": "models/mine"} {
		got, err := Resolve(t.Context(), Source{Model: model})
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for model, want := range map[string]string{
		"":                                 "no model is named",
		"/no/such/folder":                  "the folder /no/such/folder is not there",
		"./gone":                           "the folder ./gone is not there",
		"~/gone":                           "the folder " + home + "/gone is not there",
		"models/mine/gone":                 "the folder models/mine/gone is not there",
		"gone/":                            "the folder gone/ is not there",
		`C:\models\gone`:                   "is not there",
		"gone":                             `"gone" is neither a folder that exists nor a hub id`,
		"org/a--b":                         "is neither a folder",
		"org/a..b":                         "is neither a folder",
		"org/-b":                           "is neither a folder",
		"org/" + strings.Repeat("x", 100):  "is neither a folder",
		filepath.Join(dir, "config.json"):  "is a file; give the folder",
		"org/model@../../../../etc/passwd": "cannot be the name of a revision",
		"org/model@..":                     `".." cannot be the name of a revision`,
		"org/model@":                       `"" cannot be the name of a revision`,
		"org/model@a?b":                    `"a?b" cannot be the name of a revision`,
	} {
		_, err := Resolve(t.Context(), Source{Model: model})
		require.ErrorContains(t, err, want, model)
	}
	_, err = Resolve(t.Context(), Source{Model: "/no/such/folder"})
	require.ErrorIs(t, err, ErrNotFound)
	_, err = Resolve(t.Context(), Source{Model: "org/model@a", Revision: "b"})
	require.ErrorContains(t, err, `two revisions are given, "a" and "b"`)
}

// What Python downloaded is used without the network, wherever it put it.
func TestPythonCache(t *testing.T) {
	for _, test := range []struct {
		name, root string // of the cache, within the home folder
		env        map[string]string
		source     Source
	}{
		{name: "HF_HOME", root: "hf/hub"},
		{name: "no variable", root: ".cache/huggingface/hub", env: map[string]string{"HF_HOME": ""}},
		{name: "XDG_CACHE_HOME", root: "xdg/huggingface/hub", env: map[string]string{"HF_HOME": "", "XDG_CACHE_HOME": "~/xdg"}},
		{name: "HF_HUB_CACHE", root: "cache", env: map[string]string{"HF_HUB_CACHE": "~/cache"}},
		{name: "HUGGINGFACE_HUB_CACHE", root: "cache", env: map[string]string{"HUGGINGFACE_HUB_CACHE": "~/cache"}},
		{name: "OMNIDOCS_MODELS_DIR", root: "omni/hub", env: map[string]string{"OMNIDOCS_MODELS_DIR": "~/omni"}},
		{name: "OMNIDOCS_MODELS_DIR as cache_dir", root: "omni", env: map[string]string{"OMNIDOCS_MODELS_DIR": "~/omni"}},
		{name: "OMNIDOCS_MODEL_CACHE", root: "omni/hub", env: map[string]string{"OMNIDOCS_MODEL_CACHE": "~/omni"}},
		{name: "beside OMNIDOCS_MODEL_CACHE", root: "hf/hub", env: map[string]string{"OMNIDOCS_MODEL_CACHE": "~/omni"}},
		{name: "CacheDir", root: "mine", source: Source{CacheDir: "~/mine"}},
		{name: "CacheDir as HF_HOME", root: "mine/hub", source: Source{CacheDir: "~/mine"}},
		{name: "commit", root: "hf/hub", source: Source{Revision: commit}},
	} {
		for kind, files := range map[string]map[string]string{"single": single(), "sharded": sharded()} {
			t.Run(test.name+"/"+kind, func(t *testing.T) {
				isolate(t)
				for name, value := range test.env {
					t.Setenv(name, value)
				}
				want := pythonCache(t, expandHome("~/"+test.root), files)
				test.source.Model = model
				for _, offline := range []string{"0", "1"} {
					t.Setenv("HF_HUB_OFFLINE", offline)
					got, err := Resolve(t.Context(), test.source)
					require.NoError(t, err)
					require.Equal(t, want, got)
				}
			})
		}
	}
}

func TestOffline(t *testing.T) {
	home := isolate(t)
	t.Setenv("HF_HUB_OFFLINE", "true")
	resolve := func() error {
		_, err := Resolve(t.Context(), Source{Model: model, Revision: "v1"})
		return err
	}
	err := resolve()
	require.ErrorIs(t, err, ErrOffline)
	require.ErrorContains(t, err, "it is not in the cache")
	require.ErrorContains(t, err, filepath.Join(home, "hub"))
	require.ErrorContains(t, err, "hf download org/model --revision v1")

	dir := pythonCache(t, filepath.Join(home, "hub"), sharded())
	refs := filepath.Join(home, "hub/models--org--model/refs")
	require.NoError(t, os.Rename(filepath.Join(refs, "main"), filepath.Join(refs, "v1")))
	require.NoError(t, resolve())
	require.NoError(t, os.Remove(filepath.Join(dir, "preprocessor_config.json")))
	require.NoError(t, resolve(), "the loader may do without")
	blob, err := filepath.EvalSymlinks(filepath.Join(dir, "model-2.safetensors"))
	require.NoError(t, err)
	require.NoError(t, os.Remove(blob))
	require.NoError(t, os.Remove(filepath.Join(dir, "config.json")))
	err = resolve()
	require.ErrorIs(t, err, ErrOffline)
	require.ErrorContains(t, err, "lacks config.json, model-2.safetensors")

	require.NoError(t, os.WriteFile(filepath.Join(refs, "v1"), []byte("../../.."), 0o600))
	require.ErrorContains(t, resolve(), "it is not in the cache")
}

func TestToken(t *testing.T) {
	home := isolate(t)
	require.Empty(t, newEnviron(Source{}).token)
	require.NoError(t, os.MkdirAll(home, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(home, "token"), []byte("file\n"), 0o600))
	require.Equal(t, "file", newEnviron(Source{}).token)
	path := filepath.Join(t.TempDir(), "elsewhere")
	require.NoError(t, os.WriteFile(path, []byte("path"), 0o600))
	t.Setenv("HF_TOKEN_PATH", path)
	require.Equal(t, "path", newEnviron(Source{}).token)
	t.Setenv("HF_TOKEN", "variable")
	require.Equal(t, "variable", newEnviron(Source{}).token)
	require.Equal(t, "source", newEnviron(Source{Token: "source"}).token)
}

// With OMNIDOCS_PYTHON set to a Python that has huggingface_hub, that finds
// offline what was downloaded here, and the other way round.
func TestWithPython(t *testing.T) {
	python := os.Getenv("OMNIDOCS_PYTHON")
	if python == "" {
		t.Skip("OMNIDOCS_PYTHON is not set to a Python that has huggingface_hub")
	}
	// Not snapshot_download, which asks for more than the fake hub answers.
	const script = `import os, sys, huggingface_hub as h
files = [h.hf_hub_download("org/model", name) for name in sys.argv[1:]]
print(os.path.dirname(files[0]))`
	run := func(offline string, files map[string]string) string {
		args := []string{"-c", script}
		for name := range files {
			if strings.HasSuffix(name, ".json") || strings.HasPrefix(name, "model") {
				args = append(args, name)
			}
		}
		cmd := exec.CommandContext(t.Context(), python, args...)
		empty := func(s string) bool { return strings.HasSuffix(s, "=") } // isolate's; not the same as unset to Python
		cmd.Env = append(slices.DeleteFunc(os.Environ(), empty), "HF_HUB_OFFLINE="+offline, "HF_HUB_DISABLE_XET=1")
		var problems strings.Builder
		cmd.Stderr = &problems
		out, err := cmd.Output()
		require.NoError(t, err, &problems)
		return strings.TrimSpace(string(out))
	}
	isolate(t)
	h := &fakeHub{files: sharded()}
	h.start(t)
	dir, err := Resolve(t.Context(), Source{Model: model})
	require.NoError(t, err)
	require.Equal(t, dir, run("1", sharded()))
	h.count("")
	require.Equal(t, dir, run("0", sharded()))
	require.Zero(t, h.count("GET /model-1.safetensors"), "Python fetched it again")

	isolate(t)
	h = &fakeHub{files: single()}
	h.start(t)
	dir = run("0", single())
	got, err := Resolve(t.Context(), Source{Model: model, Offline: true})
	require.NoError(t, err)
	require.Equal(t, dir, got)
}
