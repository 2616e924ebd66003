package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

const (
	singleFile = "model.safetensors"
	indexFile  = "model.safetensors.index.json"
)

// Checkpoint is an open folder of safetensors files. It is safe for concurrent
// use; its files stay open until [Checkpoint.Close].
type Checkpoint struct {
	tensors []Tensor // sorted by name
	byName  map[string]int
	shards  map[string]*shard
}

// OpenDir opens the checkpoint in the folder dir.
func OpenDir(dir string) (*Checkpoint, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("open checkpoint: the folder %s is not there: %w", dir, fs.ErrNotExist)
	case err != nil:
		return nil, fmt.Errorf("open checkpoint: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("open checkpoint: %s is a file; give the folder that holds %s", dir, singleFile)
	}
	c, err := open(os.DirFS(dir))
	if err != nil {
		return nil, fmt.Errorf("open checkpoint in %s: %w", dir, err)
	}
	return c, nil
}

// Open opens the checkpoint at the root of fsys, which may be an [embed.FS].
// Files that implement [io.ReaderAt] are read in parallel, those that do not
// (of a zip archive, say) from front to back.
//
// As in transformers, model.safetensors is preferred to an index. Every tensor
// of every shard is listed, those that the index leaves out too, so that the
// caller can report what it does not expect.
func Open(fsys fs.FS) (*Checkpoint, error) {
	c, err := open(fsys)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint: %w", err)
	}
	return c, nil
}

func open(fsys fs.FS) (*Checkpoint, error) {
	c := &Checkpoint{byName: map[string]int{}, shards: map[string]*shard{}}
	if err := c.open(fsys); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Checkpoint) open(fsys fs.FS) error {
	err := c.addShard(fsys, singleFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := c.openIndex(fsys); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	slices.SortFunc(c.tensors, func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
	for i, t := range c.tensors {
		c.byName[t.Name] = i
	}
	return nil
}

// openIndex opens the shards that the index names and holds both against each
// other.
func (c *Checkpoint) openIndex(fsys fs.FS) error {
	weightMap, err := readIndex(fsys)
	if errors.Is(err, fs.ErrNotExist) {
		return noWeights(fsys)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", indexFile, err)
	}
	files := slices.Compact(slices.Sorted(maps.Values(weightMap)))
	var missing []string
	for _, file := range files {
		err := c.addShard(fsys, file)
		if errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, file)
		} else if err != nil {
			return err
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%d of the %d shards that %s names are not there: %s; download them again",
			len(missing), len(files), indexFile, strings.Join(missing, ", "))
	}
	found := make(map[string]string, len(c.tensors))
	for _, t := range c.tensors {
		if other, ok := found[t.Name]; ok {
			return fmt.Errorf("tensor %q is in two shards, %s and %s", t.Name, other, t.File)
		}
		found[t.Name] = t.File
	}
	for _, name := range slices.Sorted(maps.Keys(weightMap)) {
		switch found[name] {
		case weightMap[name]:
		case "":
			return fmt.Errorf("%s: tensor %q should be in %s, and is in no shard", indexFile, name, weightMap[name])
		default:
			return fmt.Errorf("%s: tensor %q should be in %s, and is in %s", indexFile, name, weightMap[name], found[name])
		}
	}
	return nil
}

// readIndex returns the weight_map of the index: tensor name to file name.
func readIndex(fsys fs.FS) (map[string]string, error) {
	f, err := fsys.Open(indexFile)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(io.LimitReader(f, maxHeader+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxHeader {
		return nil, fmt.Errorf("it has more than %d bytes", maxHeader)
	}
	var weightMap map[string]string
	dec := json.NewDecoder(bytes.NewReader(data))
	err = eachKey(dec, func(key string) error {
		if key != "weight_map" {
			var skipped json.RawMessage
			return dec.Decode(&skipped)
		}
		if weightMap != nil {
			return errors.New("weight_map is given twice")
		}
		weightMap = map[string]string{}
		return eachKey(dec, func(name string) error {
			token, err := dec.Token()
			if err != nil {
				return err
			}
			file, ok := token.(string)
			if !ok || !fs.ValidPath(file) || path.Ext(file) != ".safetensors" {
				return fmt.Errorf("tensor %q: %s is not the name of a .safetensors file in this folder", name, quoted(token))
			}
			if _, twice := weightMap[name]; twice {
				return fmt.Errorf("tensor %q is given twice", name)
			}
			weightMap[name] = file
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	if len(weightMap) == 0 {
		return nil, errors.New("it has no weight_map, or an empty one")
	}
	return weightMap, nil
}

// noWeights explains a folder without safetensors files by what is there.
func noWeights(fsys fs.FS) error {
	const want = "neither " + singleFile + " nor " + indexFile + " is there"
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return fmt.Errorf("%s: %w", want, err)
	}
	var other []string
	for _, e := range entries {
		switch path.Ext(e.Name()) {
		case ".bin", ".pt", ".pth", ".gguf", ".npz", ".safetensors":
			other = append(other, e.Name())
		}
	}
	if len(other) > 0 {
		return fmt.Errorf("%s: %w; there is %s, which has to be saved anew with save_pretrained of transformers",
			want, fs.ErrNotExist, strings.Join(other, ", "))
	}
	return fmt.Errorf("%s: %w", want, fs.ErrNotExist)
}

// addShard opens one file and appends its tensors.
func (c *Checkpoint) addShard(fsys fs.FS, file string) error {
	s, err := openShard(fsys, file)
	if err != nil {
		return err
	}
	c.shards[file] = s
	tensors, err := readHeader(file, s, s.size)
	if err != nil {
		return err
	}
	c.tensors = append(c.tensors, tensors...)
	return nil
}

// Tensors lists all tensors, sorted by name.
func (c *Checkpoint) Tensors() []Tensor { return slices.Clone(c.tensors) }

// Lookup finds a tensor by its name in the file.
func (c *Checkpoint) Lookup(name string) (Tensor, bool) {
	i, ok := c.byName[name]
	if !ok {
		return Tensor{}, false
	}
	return c.tensors[i], true
}

// Close closes the files. Reads that are under way may fail.
func (c *Checkpoint) Close() error {
	var errs []error
	for _, s := range c.shards {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
