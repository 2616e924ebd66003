package qwen

import (
	"reflect"

	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/omnidocs/omnidocs/internal/program"
)

// LoadSpec loads a checkpoint as if its configuration had said something else.
var LoadSpec = load

// Build builds a program.
type Build = func(b *program.Builder) []*graph.Node

// Programs are the programs of a model without weights, to look at.
type Programs struct{ m *Model }

// NewPrograms makes them for a spec.
func NewPrograms(spec Spec, runtime Runtime, dtype dtypes.DType) Programs {
	return Programs{&Model{Spec: spec, local: spec, mesh: program.NewMesh(runtime.Backend), runtime: runtime, dtype: dtype}}
}

// Block is one block of the vision tower.
func (p Programs) Block(rows int, padded bool) Build { return p.m.blockGraph(rows, false, padded) }

// Step is one layer for one new token a slot.
func (p Programs) Step(slots, capacity int) Build {
	return p.m.stepGraph(slots, capacity, layerKind{})
}

// Loop is the loop that writes tokens.
func (p Programs) Loop(slots, capacity, rounds int, draws bool) Build {
	return p.m.loopGraph(loopShape{slots, capacity, rounds, stopsStep, draws})
}

// Project and Attend are the halves of a layer over a prompt.
func (p Programs) Project(rows int) Build { return p.m.projectGraph(rows, layerKind{}) }

// Attend is the second half.
func (p Programs) Attend(rows int) Build { return p.m.attendGraph(rows, rows, rows, layerKind{}) }

// AttendLast is the last layer's second half, for one of so many rows.
func (p Programs) AttendLast(rows int) Build { return p.m.attendRowGraph(rows, 0, rows, layerKind{}) }

// AttendBehind is the second half for rows that begin behind others, and Behind puts the keys of the one behind the other's.
func (p Programs) AttendBehind(rows, before int) Build {
	return p.m.attendGraph(rows, before+rows, before+rows, layerKind{})
}

// Behind is for rows behind the first of a prefix of so many.
func (p Programs) Behind(rows, before, prefix int) Build {
	return p.m.behindGraph(before, prefix, []int{rows})
}

// WriteZeros writes bfloat16 weights, all zero, for the config.json in a folder. They take no room on the disk.
func WriteZeros(dir string) error {
	spec, err := ReadSpec(os.DirFS(dir))
	if err != nil {
		return err
	}
	type entry struct {
		DType   string   `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	header := map[string]entry{}
	var at int64
	for _, g := range spec.groups() {
		for _, p := range g.params {
			for _, s := range p.sources {
				n := 2 * int64(elements(s.shape))
				header[g.prefix+s.key] = entry{"BF16", s.shape, [2]int64{at, at + n}}
				at += n
			}
		}
	}
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	for len(text)%8 != 0 {
		text = append(text, ' ')
	}
	path := filepath.Join(dir, "model.safetensors")
	if err := os.WriteFile(path, append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), 0o600); err != nil {
		return err
	}
	return os.Truncate(path, 8+int64(len(text))+at)
}

// Floats are the numbers of a hidden state.
func (h *Hidden) Floats() ([]float32, error) {
	shape, err := h.x.Shape()
	if err != nil {
		return nil, err
	}
	flat := make([]float32, shape.Size())
	return flat, h.x.ToFlatData(flat)
}

// Common counts the first tokens that are the same in two prompts.
func (l *Layout) Common(o *Layout, sameImage func(i int) bool) int { return l.common(o, sameImage) }

// Places are where in the host's memory the cache of each layer is, for devices whose memory that is.
func (c *Cache) Places() (places []uintptr, err error) {
	for _, layer := range c.layers {
		for _, kept := range layer.kept {
			data, err := kept.Data()
			if err != nil {
				return nil, err
			}
			places = append(places, reflect.ValueOf(data).Pointer())
		}
	}
	return places, nil
}
