package textextraction

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// validate returns every fault of a preset, as one error that matches [ErrConfig] and names the preset.
func (p Preset) validate() error {
	var f faults
	p.check(&f, "")
	return f.err(fmt.Sprintf("Preset %q", p.Name))
}

// check adds the faults of a preset, its fields named with a prefix.
func (p Preset) check(f *faults, prefix string) {
	var own faults
	own.check(p.Name != "", "Name", p.Name, "is empty")
	for _, pattern := range p.Models {
		_, err := path.Match(pattern, "")
		own.check(err == nil && pattern != "", "Models", pattern, "is no id and no pattern of path.Match")
	}
	own.check(!slices.Contains(p.ModelTypes, ""), "ModelTypes", "", "is no model type")
	own.check(len(p.writes()) > 0, "Prompts", "", "has no prompt for any format")
	p.PageSize.check(&own)
	checkPixels(&own, p.MinPixels, p.MaxPixels)
	own.check(p.MaxNewTokens == 0 || p.MaxNewTokens >= minConfigNewTokens && p.MaxNewTokens <= maxNewTokens, "MaxNewTokens",
		p.MaxNewTokens, fmt.Sprintf("is outside %d to %d (0 means %d)", minConfigNewTokens, maxNewTokens, defaultNewTokens))
	checkSampling(&own, p.sampling())
	own.check(!slices.Contains(p.Stops, ""), "Stops", "", "is no token")
	_, known := boxSpaces[p.Boxes]
	own.check(known, "Boxes", string(p.Boxes), "is not one of "+list(boxSpaces))
	parser, known := parsers[p.Parser]
	own.check(known, "Parser", string(p.Parser), "is not one of "+list(parsers))
	own.check(!known || !parser.boxes || boxSpaces[p.Boxes] > 0, "Boxes", string(p.Boxes),
		fmt.Sprintf("is not a space that parser %q can scale; %q and %q are", p.Parser, Boxes1000, Boxes1024))
	for _, err := range own {
		*f = append(*f, fmt.Errorf("%s%w", prefix, err))
	}
}

// list names the keys of a table, the empty one as "" in quotes.
func list[K ~string, V any](table map[K]V) string {
	var names []string
	for _, k := range slices.Sorted(maps.Keys(table)) {
		names = append(names, fmt.Sprintf("%q", string(k)))
	}
	return strings.Join(names, ", ")
}

// checkPreset adds what is wrong with a config's choice of preset.
func checkPreset(f *faults, name string, custom *Preset) {
	if custom != nil {
		f.check(name == "", "Preset", name, "is set beside CustomPreset: leave one of them empty")
		custom.check(f, "CustomPreset.")
		return
	}
	if name != "" {
		_, err := LookupPreset(name)
		f.check(err == nil, "Preset", name, "is not one of "+strings.Join(presetNames(), ", ")+"; CustomPreset takes your own")
	}
}

// choosePreset returns the preset of a config, or nil for the base models' own, which adds nothing to a call.
func choosePreset(model, name string, custom *Preset) *Preset {
	chosen := PresetFor(model)
	switch {
	case custom != nil:
		chosen = custom.clone()
	case name != "":
		var err error
		if chosen, err = LookupPreset(name); err != nil {
			return nil // checkPreset tells
		}
	}
	if custom == nil && chosen.Name == basePreset {
		return nil
	}
	return &chosen
}
