package textextraction

import (
	_ "embed" // the table
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
)

// basePreset is that of the base models, and of every model that no preset is known for.
const basePreset = "qwen3vl"

//go:embed presets.json
var presetJSON []byte

// presetTable is presets.json, in its order. The file is part of the library and is tested to be sound.
var presetTable = sync.OnceValue(func() []Preset {
	table, err := readPresets(presetJSON)
	if err != nil {
		panic(err)
	}
	return table
})

// readPresets reads a table of presets, strictly, and checks it.
func readPresets(data []byte) ([]Preset, error) {
	var table []Preset
	if err := unmarshalStrict(data, &table); err != nil {
		return nil, err
	}
	var errs []error
	seen := map[string]bool{}
	for _, p := range table {
		errs = append(errs, p.validate())
		if seen[p.Name] {
			errs = append(errs, fmt.Errorf("two presets are named %q", p.Name))
		}
		seen[p.Name] = true
	}
	return table, errors.Join(errs...)
}

// Presets returns the presets that come with the library. The caller may change them: each call makes copies.
func Presets() []Preset {
	var all []Preset
	for _, p := range presetTable() {
		all = append(all, p.clone())
	}
	return all
}

// LookupPreset returns the library's preset of that name. Its error matches [ErrConfig] and has all names.
func LookupPreset(name string) (Preset, error) {
	for _, p := range presetTable() {
		if p.Name == name {
			return p.clone(), nil
		}
	}
	return Preset{}, fmt.Errorf("%w: there is no preset %q; there are %s", ErrConfig, name, strings.Join(presetNames(), ", "))
}

func presetNames() (names []string) {
	for _, p := range presetTable() {
		names = append(names, p.Name)
	}
	return names
}

// PresetFor returns the preset for a model: an id on the hub, or a folder with a checkpoint. It goes by the id; by the name
// of the folder, also of one in the cache of the hub; by the _name_or_path, and last by the model_type, in the folder's
// config.json. Where nothing tells, it is the base models' preset, "qwen3vl".
func PresetFor(model string) Preset {
	if p, ok := presetByName(model); ok {
		return p.clone()
	}
	data, err := os.ReadFile(filepath.Join(model, "config.json"))
	if err == nil && model != "" {
		return PresetForConfig(data)
	}
	return mustPreset(basePreset)
}

// PresetForConfig is [PresetFor] for the config.json of a checkpoint. One that cannot be read tells nothing.
func PresetForConfig(config []byte) Preset {
	var c struct {
		NameOrPath string `json:"_name_or_path"`
		ModelType  string `json:"model_type"`
	}
	if err := json.Unmarshal(config, &c); err == nil {
		if p, ok := presetByName(c.NameOrPath); ok {
			return p.clone()
		}
		for _, p := range presetTable() {
			for _, t := range p.ModelTypes {
				if t == c.ModelType {
					return p.clone()
				}
			}
		}
	}
	return mustPreset(basePreset)
}

func mustPreset(name string) Preset {
	p, err := LookupPreset(name)
	if err != nil {
		panic(err) // of our own constants
	}
	return p
}

// presetByName finds the preset of a hub id, or of a folder that has a model's name.
func presetByName(model string) (Preset, bool) {
	id, folder := modelID(model)
	if id == "" {
		return Preset{}, false
	}
	for _, p := range presetTable() {
		for _, pattern := range p.Models {
			pattern = strings.ToLower(pattern)
			if folder {
				_, pattern, _ = strings.Cut(pattern, "/") // its organization is not in the folder's name
			}
			if ok, err := path.Match(pattern, id); ok && err == nil {
				return p, true
			}
		}
	}
	return Preset{}, false
}

// modelID returns the hub id in a model's name, in lower case: of "org/name@revision", and of a folder in the hub's cache
// (models--org--name/snapshots/commit). Of other paths it returns the last part, and that it is a folder.
func modelID(model string) (id string, folder bool) {
	model = strings.ToLower(strings.TrimRight(filepath.ToSlash(model), "/"))
	parts := strings.Split(model, "/")
	for _, part := range parts {
		if name, ok := strings.CutPrefix(part, "models--"); ok {
			return strings.Replace(name, "--", "/", 1), false
		}
	}
	if len(parts) == 2 && parts[0] != "" && parts[0] != "." && parts[0] != ".." {
		id, _, _ = strings.Cut(model, "@")
		return id, false
	}
	return parts[len(parts)-1], true
}
