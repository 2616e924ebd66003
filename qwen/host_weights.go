package qwen

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/dtypes/bfloat16"

	"github.com/omnidocs/omnidocs/internal/hostmath"
)

// This file is how the host sees the parameters where it computes with them itself: the buffers of the device, without a copy.

// hostParams are the parameters of a group, by their declared names.
type hostParams map[string]hostmath.Matrix

// vector is a parameter that is in one part, or nil where there is none.
func (p hostParams) vector(name string) []float32 {
	if len(p[name].Parts) == 0 {
		return nil
	}
	return p[name].Parts[0].Floats
}

// hostElements is up to how many elements the largest matrix of a layer may have in floats, for the host to be faster than the programs
// without vector instructions: larger ones take either as long as their reading takes. In int8, which the programs turn into floats first, it
// always is.
const hostElements = 4 << 20

// hostComputes says whether the host runs a layer's steps itself. Without vector instructions recurrent states and experts are
// left to the programs.
func (m *Model) hostComputes(kind layerKind) bool {
	switch {
	case !m.runtime.HostStep || !m.runtime.HostCache || m.mesh.Size() > 1 || m.dtype == dtypes.Float16:
		return false
	case hostmath.HasVectors():
		return !kind.linear || m.hostKind(kind)
	case kind.linear || kind.sparse:
		return false
	case m.dtype == dtypes.Int8:
		return true
	}
	return 2*m.Spec.Text.Hidden*m.Spec.Text.Intermediate <= hostElements
}

// hostLayerWeights are the parameters of a layer, and of its experts, where it has any.
type hostLayerWeights struct {
	params  hostParams
	experts []hostParams
	delta   *hostDelta // of a layer with a recurrent state
}

// hostWeights are the parameters that the host computes with.
type hostWeights struct {
	layers    []hostLayerWeights // of the layers that the host computes
	head      hostParams
	table     hostmath.Matrix // the output matrix, [vocab, hidden]
	embedding hostmath.Matrix // of the tokens, [vocab, hidden], where the host computes with it
	// Of the vision tower, where the host computes it.
	patch, merger     hostParams
	blocks, deepstack []hostParams
}

// viewWeights is what the host sees of the weights. Model.onHost calls it once.
func (m *Model) viewWeights() (w hostWeights, err error) {
	t, v := m.Spec.Text, m.Spec.Vision
	view := func(group string, declared []param) hostParams {
		if err != nil {
			return nil
		}
		var p hostParams
		p, err = m.hostGroup(group, declared)
		return p
	}
	w.layers = make([]hostLayerWeights, t.Layers)
	for i := range w.layers {
		if kind := t.kindAt(i); m.hostComputes(kind) || m.hostPrompts(kind) {
			w.layers[i].params = view(groupLayer(i), layerParams(t, kind))
			if kind.linear && err == nil {
				w.layers[i].delta = newHostDelta(w.layers[i].params, t.Delta)
			}
			for e := 0; kind.sparse && e < t.MoE.Experts; e++ {
				w.layers[i].experts = append(w.layers[i].experts, view(groupExpert(i, e), expertParams(t, e)))
			}
		}
	}
	w.head = view(groupHead, m.Spec.headParams())
	w.table = w.head["lm_head.weight"]
	if t.Tied || m.hostTower() {
		w.embedding = view(groupEmbedding, embeddingParams(t))["embed_tokens.weight"]
	}
	if t.Tied {
		w.table = w.embedding
	}
	if m.hostTower() {
		w.patch, w.merger = view(groupPatch, patchParams(v)), view(groupMerger, mergerParams(v, false))
		for i := range v.Depth {
			w.blocks = append(w.blocks, view(groupBlock(i), blockParams(v)))
		}
		for i := range v.Deepstack {
			w.deepstack = append(w.deepstack, view(groupDeepstack(i), mergerParams(v, true)))
		}
	}
	if err != nil {
		return hostWeights{}, fmt.Errorf("weights on the host: %w", err)
	}
	return w, nil
}

// hostGroup is a group's parameters as the host sees them, in the order of declareAs.
func (m *Model) hostGroup(name string, declared []param) (hostParams, error) {
	p, left := hostParams{}, m.weights[name]
	take := func() compute.Buffer {
		b := left[0]
		left = left[1:]
		return b
	}
	for _, d := range declared {
		w := hostmath.Matrix{In: 1}
		if dims := d.dims(); len(dims) == 2 {
			w.In = dims[1]
		}
		for range d.buffers(m.matrixElements()) {
			part, err := hostPart(take())
			if err != nil {
				return nil, err
			}
			if part.Ints != nil {
				if part.Scale, err = hostView[float32](take()); err != nil {
					return nil, err
				}
			}
			w.Parts = append(w.Parts, part)
		}
		p[d.name] = w
	}
	return p, nil
}

func hostPart(b compute.Buffer) (hostmath.Part, error) {
	data, err := b.Data()
	if err != nil {
		return hostmath.Part{}, err
	}
	switch flat := data.(type) {
	case []float32:
		return hostmath.Part{Floats: flat}, nil
	case []bfloat16.BFloat16:
		return hostmath.Part{Halves: flat}, nil
	case []int8:
		return hostmath.Part{Ints: flat}, nil
	default:
		return hostmath.Part{}, fmt.Errorf("a weight is seen as %T", data)
	}
}
