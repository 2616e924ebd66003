package qwen

import (
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

// Project and Attend are the halves of a layer over a prompt.
func (p Programs) Project(rows int) Build { return p.m.projectGraph(rows, layerKind{}) }

// Attend is the second half.
func (p Programs) Attend(rows int) Build { return p.m.attendGraph(rows, rows, rows, layerKind{}) }
