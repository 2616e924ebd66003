package qwen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/gomlx/compute/dtypes"

	"github.com/omnidocs/omnidocs/internal/checkpoint"
)

// Planner tells how much of a device's memory a model takes: its weights, its cache, and what a page needs on its way. It knows the
// checkpoint's configuration and the shapes of its tensors; no tensor is read, and nothing is put on a device.
//
// Weights, caches and states are told to the byte. What programs need while they run is XLA's, or the pure-Go backend's, to decide:
// see [PagePlan].
type Planner struct {
	m    *Model
	fsys fs.FS // nil where the model is loaded
}

// NewPlanner reads a checkpoint folder for a planner: its configuration, tokenizer, processor, chat template and the headers of its
// weights, which are held to the configuration as [Load] does. A runtime for this needs no Backend. The dtype is that of
// [LoadOptions].
func NewPlanner(fsys fs.FS, runtime Runtime, dtype dtypes.DType) (*Planner, error) {
	spec, err := ReadSpec(fsys)
	if err != nil {
		return nil, fmt.Errorf("qwen: plan: %w", err)
	}
	m, err := open(runtime, fsys, spec, dtype)
	if err != nil {
		return nil, fmt.Errorf("qwen: plan: %w", err)
	}
	file, err := checkpoint.Open(fsys)
	if err != nil {
		return nil, fmt.Errorf("qwen: plan: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	m.Spec = tie(m.Spec, file)
	if err := checkWeights(m.Spec, file); err != nil {
		return nil, fmt.Errorf("qwen: plan: %w", err)
	}
	return &Planner{m, fsys}, nil
}

// Planner is the planner of a model that is loaded.
func (m *Model) Planner() *Planner { return &Planner{m: m} }

// Load reads the weights onto the device of the planner's runtime, as the function [Load] does; the dtype is the planner's. A planner
// loads once, and is then that of the model.
func (p *Planner) Load(ctx context.Context, opts LoadOptions) (*Model, error) {
	if p.fsys == nil {
		return nil, errors.New("qwen: load: this is the planner of a model that is loaded")
	}
	fsys := p.fsys
	p.fsys = nil
	return p.m.load(ctx, fsys, opts)
}

// Spec says what the checkpoint is, Processor how it scales pages.
func (p *Planner) Spec() Spec { return p.m.Spec }

// Processor is the checkpoint's own.
func (p *Planner) Processor() *Processor { return p.m.Processor }

// Devices is how many devices the model is divided among. All bytes are those of one of them.
func (p *Planner) Devices() int { return p.m.mesh.Size() }

// round is what the backend takes for a buffer.
func (p *Planner) round(bytes int64) int64 {
	if p.m.runtime.Round == nil {
		return bytes
	}
	return p.m.runtime.Round(bytes)
}

// floats is what the backend takes for float32 numbers.
func (p *Planner) floats(dims ...int) int64 {
	n := int64(4)
	for _, d := range dims {
		n *= int64(d)
	}
	return p.round(n)
}

// WeightsPlan is what the weights take.
type WeightsPlan struct {
	// Bytes is what they take on the device, scales and all, or on each of several that the model is divided among; Parameters counts
	// those of the whole model.
	Bytes      int64 `json:"bytes"`
	Parameters int64 `json:"parameters"`
	// Parts are the bytes of the parts that the model has: "vision", "text", "embedding", "head".
	Parts map[string]int64 `json:"parts"`
	// Largest is the largest buffer. Where host and device do not share their memory, the host holds so much while it is loaded.
	Largest int64 `json:"largest_buffer"`
}

// Weights tells what [Load] puts on the device, to the byte.
func (p *Planner) Weights() WeightsPlan {
	w := WeightsPlan{Parts: map[string]int64{}}
	for _, g := range p.m.Spec.groups() {
		for _, param := range g.params {
			w.Parameters += int64(elements(param.dims()))
			for _, parts := range param.buffers(p.m.matrixElements()) {
				shape := param.share(param.shape(parts, p.m.dtype), p.m.mesh.Size())
				n := p.round(shape.ByteSize())
				if shape.DType == dtypes.Int8 {
					n += p.floats(shape.Dim(0))
				}
				w.Bytes += n
				w.Parts[g.part()] += n
				w.Largest = max(w.Largest, n)
			}
		}
	}
	return w
}

// CachePlan is what a cache takes.
type CachePlan struct {
	// Slots is how many sequences it is for, Tokens how many each of them has room for, Capacity that in the steps that a cache
	// grows in.
	Slots    int `json:"slots"`
	Tokens   int `json:"tokens"`
	Capacity int `json:"capacity"`
	// KeysAndValues are the bytes of the layers with attention, which grow with the tokens; States those of the recurrent layers,
	// which do not. Bytes is both.
	KeysAndValues int64 `json:"key_value_bytes"`
	States        int64 `json:"state_bytes"`
	Bytes         int64 `json:"bytes"`
	// Growing is what it takes beside Bytes while it is made as large as that from a smaller one: a layer is in memory twice, or, where the
	// host writes it, a slot's part of one.
	Growing int64 `json:"growing_bytes"`
	// Stepping is what it takes to write a token into each slot.
	Stepping int64 `json:"stepping_bytes"`
}

// Cache tells what a cache of so many slots takes whose longest sequence has so many tokens.
func (p *Planner) Cache(slots, tokens int) CachePlan {
	t := p.m.local.Text
	c := CachePlan{Slots: slots, Tokens: tokens, Capacity: roundCapacity(max(1, tokens))}
	together, apart := slots, 1 // how many slots share a buffer, and how many buffers there are
	if p.m.runtime.HostCache {
		together, apart = 1, slots
	}
	rows := 2 * p.round(int64(together*t.KVHeads*c.Capacity*t.HeadDim)*int64(p.m.cacheType().Size()))
	layer := int64(apart) * rows
	for i := range t.Layers {
		if t.LinearAt(i) {
			for _, dims := range t.Delta.stateDims() {
				c.States += p.floats(append([]int{slots}, dims...)...)
			}
			continue
		}
		c.KeysAndValues += layer
		c.Growing = rows
	}
	c.Bytes = c.KeysAndValues + c.States
	c.Stepping = p.stepping(slots, layer/2)
	return c
}

// Ahead is how many tokens more than it has a sequence needs room for in the cache while it is written on.
func (p *Planner) Ahead() int { return p.m.runtime.LoopTokens + 1 }

// Tokens is the largest number of tokens in a sequence, up to limit, for which a cache of so many slots takes no more than so many
// bytes with all that it needs to grow to it and to step; 0 if there is none.
func (p *Planner) Tokens(slots, limit int, bytes int64) int {
	fits := func(tokens int) bool { return p.Cache(slots, tokens).Most() <= bytes }
	if fits(limit) {
		return limit
	}
	tokens := 0
	for step := capacityStep; step <= limit; step = roundCapacity(step + 1) {
		if !fits(step) {
			break
		}
		tokens = step
	}
	return tokens
}

// Most is the most that the cache takes at one time, as large as it is.
func (c CachePlan) Most() int64 { return c.Bytes + max(c.Growing, c.Stepping) }

// stateDims are the shapes of what a layer with a recurrent state keeps of one sequence.
func (d DeltaSpec) stateDims() [2][]int {
	return [2][]int{{d.Kernel - 1, d.Channels()}, {d.ValueHeads, d.KeyDim, d.ValueDim}}
}
