package hub

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	singleFile = "model.safetensors"
	indexFile  = "model.safetensors.index.json"
)

// commitPattern is huggingface_hub's REGEX_COMMIT_HASH.
var commitPattern = regexp.MustCompile(`^[0-9a-f]{40}$`)

// snapshot is what the cache has of a revision.
type snapshot struct {
	dir string // "" if there is none
	// needed are files without which the model cannot be loaded; wanted adds
	// those that nearly every model has.
	needed, wanted []string
}

func (s snapshot) usable() bool { return s.dir != "" && len(s.needed) == 0 }

// repoDir is the folder of a model in a cache.
func repoDir(root, id string) string {
	return filepath.Join(root, "models--"+strings.ReplaceAll(id, "/", "--"))
}

// find returns the snapshot of the revision that lacks least.
func (e environ) find(id, revision string) snapshot {
	var best snapshot
	for _, root := range e.roots {
		repo := repoDir(root, id)
		commit := revision
		if !commitPattern.MatchString(commit) {
			data, err := os.ReadFile(filepath.Join(repo, "refs", filepath.FromSlash(revision)))
			if err != nil {
				continue
			}
			commit = strings.TrimSpace(string(data))
		}
		dir := filepath.Join(repo, "snapshots", commit)
		if info, err := os.Stat(dir); err != nil || !info.IsDir() || !commitPattern.MatchString(commit) {
			continue
		}
		s := snapshot{dir: dir, needed: missing(dir)}
		s.wanted = slices.Clone(s.needed)
		for _, name := range []string{"tokenizer.json", "preprocessor_config.json"} {
			if !exists(dir, name) {
				s.wanted = append(s.wanted, name)
			}
		}
		if best.dir == "" || cmp.Or(cmp.Compare(len(s.needed), len(best.needed)), cmp.Compare(len(s.wanted), len(best.wanted))) < 0 {
			best = s
		}
	}
	return best
}

// missing lists the files that a model in dir cannot do without and that are
// not there, or are links to nothing.
func missing(dir string) []string {
	var list []string
	if !exists(dir, "config.json") {
		list = append(list, "config.json")
	}
	if exists(dir, singleFile) {
		return list
	}
	if !exists(dir, indexFile) {
		return append(list, singleFile)
	}
	shards, err := readShards(filepath.Join(dir, indexFile))
	if err != nil {
		return append(list, indexFile)
	}
	for _, name := range shards {
		if !exists(dir, name) {
			list = append(list, name)
		}
	}
	return list
}

func exists(dir, name string) bool {
	info, err := os.Stat(filepath.Join(dir, name))
	return err == nil && !info.IsDir()
}

// readShards lists the files that an index names.
func readShards(file string) ([]string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var shards []string
	for tensor, name := range index.WeightMap {
		if filepath.Base(name) != name || filepath.Ext(name) != ".safetensors" {
			return nil, fmt.Errorf("%s: tensor %q: %q is not the name of a .safetensors file", file, tensor, name)
		}
		shards = append(shards, name)
	}
	slices.Sort(shards)
	return slices.Compact(shards), nil
}

// link makes pointer, a file of a snapshot, a relative link to blob, in one
// step: others may be reading through it. Where the system allows no links the
// file itself moves there, as in huggingface_hub.
func link(blob, pointer string) error {
	dir := filepath.Dir(pointer)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	target, err := filepath.Rel(dir, blob)
	if err != nil {
		return err
	}
	temp, err := os.MkdirTemp(dir, ".link-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp) //nolint:errcheck // it is empty by then
	name := filepath.Join(temp, "link")
	if err := os.Symlink(target, name); err != nil {
		return os.Rename(blob, pointer)
	}
	return os.Rename(name, pointer)
}

// writeRef records that revision is commit, in one step.
func writeRef(repo, revision, commit string) error {
	if revision == commit {
		return nil
	}
	file := filepath.Join(repo, "refs", filepath.FromSlash(revision))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(file), ".ref-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) //nolint:errcheck // it is gone after the renaming
	_, err = temp.WriteString(commit)
	if closing := temp.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Chmod(temp.Name(), 0o644)
	}
	if err != nil {
		return err
	}
	return os.Rename(temp.Name(), file)
}
