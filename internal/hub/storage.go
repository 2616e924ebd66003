package hub

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Dir is the folder that models and what belongs to them are kept in, as Python OmniDocs chooses it: custom, else
// $OMNIDOCS_MODELS_DIR, else $OMNIDOCS_MODEL_CACHE, else $HF_HOME, else ~/.cache/huggingface. The models are in its folder
// hub.
func Dir(custom string) string {
	dir := firstOf(custom, modelsDir())
	if dir == "" {
		return hfHome()
	}
	return expandHome(dir)
}

// Stored is a model in a cache.
type Stored struct {
	// Model is its id, such as "Qwen/Qwen3-VL-2B-Instruct".
	Model string
	// Dir is its folder.
	Dir string
	// Revisions are the commits that are there, sorted.
	Revisions []string
	// Bytes is what its files take; Incomplete the part of that which is of broken downloads.
	Bytes, Incomplete int64
}

// List lists the models in the folders that [Resolve] looks in, sorted by their ids.
func List(cacheDir string) ([]Stored, error) {
	var list []Stored
	for _, root := range cacheRoots(cacheDir, hfHome()) {
		repos, err := filepath.Glob(filepath.Join(root, "models--*"))
		if err != nil {
			return nil, err
		}
		for _, dir := range repos {
			s, err := stored(dir)
			if err != nil {
				return nil, fmt.Errorf("list models: %w", err)
			}
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b Stored) int { return strings.Compare(a.Model+"\x00"+a.Dir, b.Model+"\x00"+b.Dir) })
	return list, nil
}

func stored(dir string) (Stored, error) {
	name := strings.TrimPrefix(filepath.Base(dir), "models--")
	s := Stored{Model: strings.Replace(name, "--", "/", 1), Dir: dir}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if filepath.Base(filepath.Dir(path)) == "snapshots" {
				s.Revisions = append(s.Revisions, entry.Name())
			}
			return nil
		}
		if !entry.Type().IsRegular() { // a link into blobs, whose file is counted there
			return nil
		}
		info, err := entry.Info()
		if os.IsNotExist(err) {
			return nil // a download has just ended
		}
		if err != nil {
			return err
		}
		s.Bytes += info.Size()
		if strings.HasSuffix(entry.Name(), ".incomplete") {
			s.Incomplete += info.Size()
		}
		return nil
	})
	return s, err
}
