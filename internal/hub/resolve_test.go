package hub

import (
	"context"
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

func TestDownload(t *testing.T) {
	for kind, files := range map[string]map[string]string{"single": single(), "sharded": sharded()} {
		t.Run(kind, func(t *testing.T) {
			home := isolate(t)
			h := &fakeHub{files: files, token: "hf_secret"}
			h.start(t)
			t.Setenv("HF_TOKEN", " hf_secret\n")
			var last Progress
			dir, err := Resolve(t.Context(), Source{Model: model, Progress: func(p Progress) {
				require.GreaterOrEqual(t, p.Done, last.Done)
				require.LessOrEqual(t, p.Done, p.Total)
				require.LessOrEqual(t, p.FileDone, p.FileTotal)
				require.Len(t, files[p.File], int(p.FileTotal))
				last = p
			}})
			require.NoError(t, err)
			require.Equal(t, last.Total, last.Done)

			want := []string{"chat_template.jinja", "config.json", "generation_config.json"}
			if kind == "single" {
				want = append(want, "model.safetensors")
			} else {
				want = append(want, "model-1.safetensors", "model-2.safetensors", "model.safetensors.index.json")
			}
			require.Equal(t, append(want, "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"), list(t, dir))
			var bytes int64
			for _, name := range list(t, dir) {
				data, err := os.ReadFile(filepath.Join(dir, name))
				require.NoError(t, err)
				require.Equal(t, files[name], string(data))
				bytes += int64(len(data))
			}
			require.Equal(t, bytes, last.Total)
			h.count("")

			// The layout is Python's, and it is found again without the hub.
			repo := filepath.Join(home, "hub/models--org--model")
			require.Equal(t, filepath.Join(repo, "snapshots", commit), dir)
			ref, err := os.ReadFile(filepath.Join(repo, "refs/main"))
			require.NoError(t, err)
			require.Equal(t, commit, string(ref))
			target, err := os.Readlink(filepath.Join(dir, "config.json"))
			require.NoError(t, err)
			require.Equal(t, "../../blobs/"+gitHash(files["config.json"]), target)
			require.Contains(t, list(t, filepath.Join(repo, "blobs")), sha256Of(files[want[3]]))
			again, err := Resolve(t.Context(), Source{Model: model})
			require.NoError(t, err)
			require.Equal(t, dir, again)
			require.Zero(t, h.count(""))
		})
	}
}

// A download adds what Python's cache lacks, and only that.
func TestDownloadCompletes(t *testing.T) {
	home := isolate(t)
	h := &fakeHub{files: sharded()}
	h.start(t)
	dir := pythonCache(t, filepath.Join(home, "hub"), sharded())
	blob, err := filepath.EvalSymlinks(filepath.Join(dir, "model-2.safetensors"))
	require.NoError(t, err)
	// Python was interrupted here.
	require.NoError(t, os.Rename(blob, blob+".incomplete"))
	require.NoError(t, os.Truncate(blob+".incomplete", 1500))
	require.NoError(t, os.Remove(filepath.Join(dir, "tokenizer.json")))
	got, err := Resolve(t.Context(), Source{Model: model})
	require.NoError(t, err)
	require.Equal(t, dir, got)
	require.FileExists(t, filepath.Join(dir, "tokenizer.json"), "its blob was there, only the link was missing")
	require.Equal(t, 1, strings.Count(strings.Join(h.requests, "\n"), "/resolve/"))
	require.Equal(t, 1, h.count("GET /model-2.safetensors bytes=1500-"))
	data, err := os.ReadFile(filepath.Join(dir, "model-2.safetensors"))
	require.NoError(t, err)
	require.Equal(t, h.files["model-2.safetensors"], string(data))
}

func TestDownloadBadLines(t *testing.T) {
	resolve := func(t *testing.T, h *fakeHub) error {
		t.Helper()
		h.start(t)
		dir, err := Resolve(t.Context(), Source{Model: model, Revision: "refs/pr/1"})
		if err == nil {
			data, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
			require.NoError(t, err)
			require.Equal(t, h.files["model.safetensors"], string(data))
		}
		return err
	}
	t.Run("dropped and resumed", func(t *testing.T) {
		isolate(t)
		h := &fakeHub{files: single(), drop: map[string]int{"model.safetensors": 9, "tokenizer.json": 1}}
		require.NoError(t, resolve(t, h)) // each brought something, so that there are more than attempts
		require.Equal(t, 9, h.count("GET /model.safetensors bytes="))
	})
	t.Run("stalled", func(t *testing.T) {
		isolate(t)
		old := idleTimeout
		idleTimeout = time.Second
		t.Cleanup(func() { idleTimeout = old })
		h := &fakeHub{files: single(), stall: map[string]int{"model.safetensors": 1}}
		require.NoError(t, resolve(t, h))
		require.Equal(t, 1, h.count("GET /model.safetensors bytes="))
	})
	t.Run("dropped by a server without ranges", func(t *testing.T) {
		isolate(t)
		h := &fakeHub{files: single(), noRanges: true, drop: map[string]int{"model.safetensors": 2}}
		require.NoError(t, resolve(t, h))
	})
	t.Run("damaged", func(t *testing.T) {
		home := isolate(t)
		h := &fakeHub{files: single(), damage: 1}
		require.ErrorContains(t, resolve(t, h), "download model.safetensors: it arrived damaged")
		require.NoFileExists(t, filepath.Join(home, "hub/models--org--model/refs/refs/pr/1"))
		require.NoError(t, resolve(t, h))
	})
	t.Run("resumed after damage", func(t *testing.T) {
		isolate(t)
		h := &fakeHub{files: single(), damage: 1, drop: map[string]int{"model.safetensors": 1}}
		require.NoError(t, resolve(t, h))
	})
	t.Run("a mirror that tells no hashes", func(t *testing.T) {
		isolate(t)
		h := &fakeHub{files: single(), noHashes: true, drop: map[string]int{"model.safetensors": 1}}
		require.NoError(t, resolve(t, h))
	})
	t.Run("server error", func(t *testing.T) {
		isolate(t)
		h := &fakeHub{files: single(), status: 503}
		require.ErrorContains(t, resolve(t, h), "answers 503 for")
		require.GreaterOrEqual(t, h.count("resolve"), attempts)
	})
	t.Run("nothing answers", func(t *testing.T) {
		isolate(t)
		_, err := Resolve(t.Context(), Source{Model: model})
		require.ErrorContains(t, err, "the hub cannot be reached at http://127.0.0.1:1")
	})
	t.Run("nothing answers, and the cache has enough", func(t *testing.T) {
		home := isolate(t)
		dir := pythonCache(t, filepath.Join(home, "hub"), single())
		require.NoError(t, os.Remove(filepath.Join(dir, "preprocessor_config.json")))
		got, err := Resolve(t.Context(), Source{Model: model})
		require.NoError(t, err)
		require.Equal(t, dir, got)
	})
}

func TestDownloadRefused(t *testing.T) {
	without := func(names ...string) map[string]string {
		files := sharded()
		for _, name := range names {
			delete(files, name)
		}
		return files
	}
	for _, test := range []struct {
		name   string
		hub    *fakeHub
		source Source
		is     error
		want   []string
	}{
		{"no token", &fakeHub{token: "x"}, Source{}, ErrAccess, []string{"wants a token (401)", "accept its license at http://", "set HF_TOKEN"}},
		{"wrong token", &fakeHub{token: "x"}, Source{Token: "y"}, ErrAccess, []string{"the token is not valid"}},
		{"license not accepted", &fakeHub{status: 403}, Source{Token: "y"}, ErrAccess, []string{"may not read", "accept the license", "/org/model"}},
		{"no such model", &fakeHub{}, Source{Model: "org/typo"}, ErrNotFound, []string{"org/typo has no revision main (404)", "check the name and the revision"}},
		{"no such revision", &fakeHub{}, Source{Model: "org/model@v9"}, ErrNotFound, []string{"has no revision v9"}},
		{"file gone", &fakeHub{status: 404}, Source{}, ErrNotFound, []string{"download ", "(404)"}},
		{"only pickles", &fakeHub{files: without("model.safetensors.index.json", "model-1.safetensors", "model-2.safetensors")}, Source{}, nil,
			[]string{"no model.safetensors", "adapter.safetensors", "pytorch_model.bin"}},
		{"no config", &fakeHub{files: without("config.json")}, Source{}, nil, []string{"no config.json"}},
		{"shard missing", &fakeHub{files: without("model-2.safetensors")}, Source{}, nil, []string{"names model-2.safetensors, which it does not have"}},
		{"index escapes", &fakeHub{files: map[string]string{"config.json": "{}", "model.safetensors.index.json": `{"weight_map":{"a":"../x.safetensors"}}`}}, Source{}, nil,
			[]string{`"../x.safetensors" is not the name`}},
		{"commit escapes", &fakeHub{sha: "../../x"}, Source{}, nil, []string{`names no commit for revision main, but "../../x"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			isolate(t)
			if test.hub.files == nil {
				test.hub.files = single()
			}
			test.hub.start(t)
			if test.source.Model == "" {
				test.source.Model = model
			}
			_, err := Resolve(t.Context(), test.source)
			for _, want := range test.want {
				require.ErrorContains(t, err, want)
			}
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
		})
	}
}

// A canceled download ends at once, keeps what came, and is taken up again.
func TestCanceled(t *testing.T) {
	home := isolate(t)
	h := &fakeHub{files: single(), stall: map[string]int{"model.safetensors": 1}}
	h.start(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Resolve(ctx, Source{Model: model, Progress: func(p Progress) {
		if p.File == "model.safetensors" {
			cancel()
		}
	}})
	require.ErrorIs(t, err, context.Canceled)
	require.NoFileExists(t, filepath.Join(home, "hub/models--org--model/refs/main"))
	dir, err := Resolve(t.Context(), Source{Model: model})
	require.NoError(t, err)
	data, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	require.NoError(t, err)
	require.Equal(t, h.files["model.safetensors"], string(data))
	require.Equal(t, 1, h.count("GET /model.safetensors bytes="))

	_, err = Resolve(ctx, Source{Model: "org/other"})
	require.ErrorIs(t, err, context.Canceled)
}

// Two processes that want the same model fetch it once.
func TestConcurrent(t *testing.T) {
	isolate(t)
	h := &fakeHub{files: sharded()}
	h.start(t)
	errs := make(chan error)
	for range 4 {
		go func() {
			_, err := Resolve(t.Context(), Source{Model: model})
			errs <- err
		}()
	}
	for range 4 {
		require.NoError(t, <-errs)
	}
	require.Equal(t, 1, h.count("GET /model-1.safetensors"))
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
