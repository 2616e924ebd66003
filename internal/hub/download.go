package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	hfhub "github.com/gomlx/go-huggingface/hub"
)

// errUnreachable says that no answer came from the hub, good or bad.
var errUnreachable = errors.New("the hub cannot be reached")

// parallelFiles is how many files arrive at a time: a hub's servers limit the
// speed of one connection.
const parallelFiles = 4

// download fetches the files of a revision into the first cache folder and
// returns the snapshot's folder.
func download(ctx context.Context, env environ, id, revision string, progress func(Progress)) (string, error) {
	info, err := describe(ctx, env, id, revision)
	if err != nil {
		return "", err
	}
	if !commitPattern.MatchString(info.CommitHash) {
		return "", fmt.Errorf("the hub at %s names no commit for revision %s, but %q", env.endpoint, revision, info.CommitHash)
	}
	repo := repoDir(env.roots[0], id)
	d := &downloader{
		fetcher: newFetcher(env),
		repo:    repo,
		locks:   filepath.Join(env.roots[0], ".locks", filepath.Base(repo)),
		dir:     filepath.Join(repo, "snapshots", info.CommitHash),
		base:    env.endpoint + "/" + id + "/resolve/" + info.CommitHash + "/",
		files:   map[string]*hfhub.FileInfo{},
		report:  &reporter{callback: progress},
	}
	for _, f := range info.Siblings {
		if f != nil {
			d.files[f.Name] = f
		}
	}
	if err := d.fetchAll(ctx, d.small()); err != nil {
		return "", err
	}
	weights, err := d.weights()
	if err != nil {
		return "", err
	}
	if err := d.fetchAll(ctx, weights); err != nil {
		return "", err
	}
	// Last, so that an interrupted download is not taken for a whole one.
	if err := writeRef(repo, revision, info.CommitHash); err != nil {
		return "", err
	}
	return d.dir, nil
}

// statusPattern finds the HTTP status in an error of go-huggingface, which has
// no type for it.
var statusPattern = regexp.MustCompile(`bad status code (\d{3})`)

// describe asks the hub for the commit and the files of a revision.
func describe(ctx context.Context, env environ, id, revision string) (*hfhub.RepoInfo, error) {
	temp, err := os.MkdirTemp("", "omnidocs-hub-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp) //nolint:errcheck // only a copy of an answer
	file := filepath.Join(temp, "info.json")
	// Repo.DownloadInfo takes no context; its download manager does.
	manager := hfhub.New(id).WithAuth(env.token).GetDownloadManager().WithUserAgent(userAgent)
	address := env.endpoint + "/api/models/" + id + "/revision/" + url.PathEscape(revision) + "?blobs=true"
	var data []byte
	err = retry(ctx, func() (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, idleTimeout)
		defer cancel()
		err := manager.Download(ctx, address, file, nil)
		if err == nil {
			// A connection that drops is no error to it, but leaves no file.
			data, err = os.ReadFile(file)
		}
		if err == nil {
			return false, nil
		}
		if match := statusPattern.FindStringSubmatch(err.Error()); match != nil {
			status, _ := strconv.Atoi(match[1]) //nolint:errcheck // three digits
			return false, statusError(status, env, id, "revision "+revision)
		}
		return false, fmt.Errorf("%w at %s: %w; check the network, or give a folder that holds the model", errUnreachable, env.endpoint, err)
	})
	if err != nil {
		return nil, err
	}
	info := &hfhub.RepoInfo{}
	if err := json.Unmarshal(data, info); err != nil {
		return nil, fmt.Errorf("the answer of %s is not that of a hub: %w", address, err)
	}
	return info, nil
}

// statusError explains an HTTP status. Those that may pass are temporary.
func statusError(status int, env environ, id, what string) error {
	page := env.endpoint + "/" + id
	switch {
	case status == http.StatusUnauthorized && env.token == "":
		return fmt.Errorf("%w: %s wants a token (401); if the model is gated or private, accept its license at %s and set HF_TOKEN, else check the name", ErrAccess, what, page)
	case status == http.StatusUnauthorized:
		return fmt.Errorf("%w: the token is not valid, or the model does not exist (401, %s); check HF_TOKEN and the name", ErrAccess, what)
	case status == http.StatusForbidden:
		return fmt.Errorf("%w: the token may not read %s (403); accept the license of the model at %s with the account of HF_TOKEN", ErrAccess, what, page)
	case status == http.StatusNotFound:
		return fmt.Errorf("%w: %s has no %s (404); check the name and the revision", ErrNotFound, page, what)
	case status == http.StatusTooManyRequests || status >= 500:
		return fmt.Errorf("%w: %s answers %d for %s; try again later", errUnreachable, env.endpoint, status, what)
	}
	return fmt.Errorf("%s answers %d for %s", env.endpoint, status, what)
}

// downloader fetches the files of one snapshot.
type downloader struct {
	fetcher
	repo, locks, dir, base string
	files                  map[string]*hfhub.FileInfo
	report                 *reporter
}

// small lists the files besides the weights, and the index of the weights.
func (d *downloader) small() []string {
	var list []string
	for name := range d.files {
		switch {
		case strings.Contains(name, "/"): // other formats and variants live in folders
		case slices.Contains([]string{
			"config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json",
			"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
		}, name), strings.HasPrefix(name, "chat_template."):
			list = append(list, name)
		case name == indexFile && d.files[singleFile] == nil:
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// weights lists the files of weights: the one, or those that the index names.
func (d *downloader) weights() ([]string, error) {
	if d.files["config.json"] == nil {
		return nil, errors.New("it has no config.json: it is not a model for transformers")
	}
	if d.files[singleFile] != nil {
		return []string{singleFile}, nil
	}
	if d.files[indexFile] == nil {
		var other []string
		for name := range d.files {
			switch path.Ext(name) {
			case ".safetensors", ".bin", ".gguf", ".pt", ".pth", ".npz":
				other = append(other, name)
			}
		}
		slices.Sort(other)
		return nil, fmt.Errorf("it has no %s and no index of one, only %q; take a model with safetensors weights", singleFile, other)
	}
	shards, err := readShards(filepath.Join(d.dir, indexFile))
	if err != nil {
		return nil, err
	}
	for _, name := range shards {
		if d.files[name] == nil {
			return nil, fmt.Errorf("its %s names %s, which it does not have", indexFile, name)
		}
	}
	return shards, nil
}

// fetchAll makes sure that the files are in the snapshot.
func (d *downloader) fetchAll(ctx context.Context, names []string) error {
	var todo []string
	for _, name := range names {
		if !exists(d.dir, name) {
			todo = append(todo, name)
			d.report.total += size(d.files[name])
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	slots := make(chan struct{}, parallelFiles)
	for _, name := range todo {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := d.fetchOne(ctx, d.files[name]); err != nil {
				cancel(fmt.Errorf("download %s: %w", name, err)) // the first stops the others
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// fetchOne downloads one file to its blob and links the snapshot to it.
func (d *downloader) fetchOne(ctx context.Context, f *hfhub.FileInfo) error {
	pointer := filepath.Join(d.dir, f.Name)
	want := file{name: f.Name, url: d.base + url.PathEscape(f.Name), size: size(f), sha1: f.BlobID}
	name := f.BlobID // huggingface_hub names blobs by the ETag, which is this
	if f.LFS != nil {
		want.sha256, want.sha1, name = f.LFS.SHA256, "", f.LFS.SHA256
	}
	progress := func(done int64) { d.report.add(f.Name, done, want.size) }
	if !hashPattern.MatchString(name) {
		// A mirror that tells no hashes: straight into the snapshot.
		want.sha1, want.sha256 = "", ""
		return d.fetch(ctx, want, pointer, filepath.Join(d.locks, f.Name+".lock"), progress)
	}
	blob := filepath.Join(d.repo, "blobs", name)
	if err := d.fetch(ctx, want, blob, filepath.Join(d.locks, name+".lock"), progress); err != nil {
		return err
	}
	return link(blob, pointer)
}

var hashPattern = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// size is the size of a file, 0 if the hub does not say.
func size(f *hfhub.FileInfo) int64 {
	if f.LFS != nil && f.LFS.Size > 0 {
		return f.LFS.Size
	}
	return f.Size
}

// reporter adds the progress of all files up.
type reporter struct {
	callback func(Progress)
	total    int64

	mu   sync.Mutex
	done map[string]int64
	last time.Time
}

// add records that done bytes of a file are there.
func (r *reporter) add(name string, done, total int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done == nil {
		r.done = map[string]int64{}
	}
	_, known := r.done[name]
	r.done[name] = done
	if r.callback == nil || known && done < total && time.Since(r.last) < 100*time.Millisecond {
		return
	}
	r.last = time.Now()
	p := Progress{File: name, FileDone: done, FileTotal: total, Total: r.total}
	for _, n := range r.done {
		p.Done += n
	}
	r.callback(p)
}
