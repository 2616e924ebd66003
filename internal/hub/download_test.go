package hub

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

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
