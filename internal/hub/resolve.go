package hub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Errors that a caller can act on.
var (
	// ErrNotFound says that the folder, the model or the revision is not there.
	ErrNotFound = errors.New("model not found")
	// ErrAccess says that the hub wants a token, or another one.
	ErrAccess = errors.New("access to the model refused")
	// ErrOffline says that files are missing and the network may not be used.
	ErrOffline = errors.New("model not in the cache, and the network is off")
)

// Source says which model is wanted. Only Model is needed.
type Source struct {
	// Model is a folder, or a model on the hub as org/name or
	// org/name@revision. A folder that exists is preferred.
	Model string
	// Revision is a branch, a tag or a commit. Default: the one after the @ in
	// Model, else main.
	Revision string
	// CacheDir is the folder that holds the models--org--name folders, like
	// cache_dir in transformers; models in CacheDir/hub are found too. Default:
	// the folder hub in $OMNIDOCS_MODELS_DIR or $OMNIDOCS_MODEL_CACHE, else
	// $HF_HUB_CACHE, else the folder hub in $HF_HOME, else
	// ~/.cache/huggingface/hub.
	CacheDir string
	// Token is sent to the hub. Default: $HF_TOKEN, else the file that
	// `hf auth login` writes.
	Token string
	// Offline forbids the network, as HF_HUB_OFFLINE=1 does.
	Offline bool
	// Progress, if not nil, is called while files arrive: never twice at a
	// time, when a file begins and ends and at most every 100 ms between.
	Progress func(Progress)
}

// Progress is how far a download is.
type Progress struct {
	// File is the file that the last bytes belong to, FileDone and FileTotal
	// are its bytes.
	File                string
	FileDone, FileTotal int64
	// Done and Total are the bytes of all files that are downloaded. Total
	// grows once, when the small files have told which weights there are.
	Done, Total int64
}

// Resolve returns the folder that holds the files of the model, downloading
// those that are missing from the cache: configuration, tokenizer, chat
// template and safetensors weights. Canceling ctx stops a download; the next
// one goes on where it was.
func Resolve(ctx context.Context, src Source) (string, error) {
	dir, err := localDir(src.Model)
	if dir != "" || err != nil {
		return dir, err
	}
	id, revision, err := parseID(src)
	if err != nil {
		return "", err
	}
	env := newEnviron(src)
	have := env.find(id, revision)
	if have.dir != "" && len(have.wanted) == 0 {
		return have.dir, nil
	}
	if env.offline {
		if have.usable() {
			return have.dir, nil
		}
		return "", offlineError(id, revision, env, have)
	}
	dir, err = download(ctx, env, id, revision, src.Progress)
	if err != nil && ctx.Err() == nil && have.usable() && errors.Is(err, errUnreachable) {
		return have.dir, nil // it only lacks files that the model may not have at all
	}
	if err != nil {
		return "", fmt.Errorf("model %s: %w", id, err)
	}
	return dir, nil
}

// localDir returns the folder that model names, "" if it may be a hub id.
func localDir(model string) (string, error) {
	if model == "" {
		return "", fmt.Errorf("%w: no model is named; give a folder or a hub id such as Qwen/Qwen3-VL-2B-Instruct", ErrNotFound)
	}
	dir := expandHome(model)
	info, err := os.Stat(dir)
	switch {
	case err == nil && info.IsDir():
		return dir, nil
	case err == nil:
		return "", fmt.Errorf("model %s is a file; give the folder that holds config.json and the weights", model)
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("model %s: %w", model, err)
	case looksLikePath(model):
		return "", fmt.Errorf("%w: the folder %s is not there", ErrNotFound, dir)
	}
	return "", nil
}

func looksLikePath(model string) bool {
	return filepath.IsAbs(model) || strings.HasPrefix(model, ".") || strings.HasPrefix(model, "~") ||
		strings.ContainsAny(model, `\:`) || strings.HasSuffix(model, "/") || strings.Count(beforeRevision(model), "/") > 1
}

func beforeRevision(model string) string {
	id, _, _ := strings.Cut(model, "@")
	return id
}

// idPattern is org/name; huggingface_hub also refuses -- and .. in it.
var idPattern = regexp.MustCompile(`^\w[\w.-]*/\w[\w.-]*$`)

// parseID returns the org/name and the revision that src asks for.
func parseID(src Source) (id, revision string, err error) {
	id, at, found := strings.Cut(src.Model, "@")
	switch {
	case !idPattern.MatchString(id) || strings.Contains(id, "--") || strings.Contains(id, "..") || len(id) > 96:
		return "", "", fmt.Errorf("%w: %q is neither a folder that exists nor a hub id such as Qwen/Qwen3-VL-2B-Instruct", ErrNotFound, src.Model)
	case found && src.Revision != "" && src.Revision != at:
		return "", "", fmt.Errorf("model %s: two revisions are given, %q and %q", id, at, src.Revision)
	case src.Revision != "":
		revision = src.Revision
	case found:
		revision = at
	default:
		revision = "main"
	}
	// It becomes a part of paths and addresses.
	if !fs.ValidPath(revision) || revision == "." || strings.ContainsAny(revision, "\\:?#%") || len(revision) > 200 {
		return "", "", fmt.Errorf("model %s: %q cannot be the name of a revision", id, revision)
	}
	return id, revision, nil
}

func offlineError(id, revision string, env environ, have snapshot) error {
	what := "it is not in the cache"
	if have.dir != "" {
		what = have.dir + " lacks " + strings.Join(have.needed, ", ")
	}
	command := "hf download " + id
	if revision != "main" {
		command += " --revision " + revision
	}
	return fmt.Errorf("%w: %s: %s (looked in %s); unset HF_HUB_OFFLINE, or fetch it where there is a network: %s",
		ErrOffline, id, what, strings.Join(env.roots, ", "), command)
}
