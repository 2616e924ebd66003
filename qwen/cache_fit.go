package qwen

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/omnidocs/omnidocs/internal/program"
)

// Fit gives the cache as many slots as from has entries, and no more capacity than what is in them needs: the sequence of the
// old slot from[i] goes to slot i, and slot i is empty where from[i] is negative. No two slots get one sequence. A token costs by
// the number of slots and their capacity, so this is for when sequences have come or gone. It copies what it keeps, one layer at
// a time, but for rows that the host writes, which are only handed on.
func (c *Cache) Fit(ctx context.Context, from []int) error {
	fresh := &Cache{length: make([]int32, len(from)), next: make([]int32, len(from)), past: make([]past, len(from))}
	longest := 0
	for i, old := range from {
		if old >= c.slots {
			return fmt.Errorf("qwen: cache: slot %d of %d", old, c.slots)
		}
		if old >= 0 && slices.Contains(from[:i], old) {
			return fmt.Errorf("qwen: cache: slot %d for two slots", old)
		}
		if old >= 0 {
			fresh.length[i], fresh.next[i], fresh.past[i] = c.length[old], c.next[old], c.past[old]
			longest = max(longest, int(c.length[old]))
		}
	}
	capacity := 0
	if longest > 0 {
		capacity = roundCapacity(longest) // never more than it was: a token that needs more makes room for itself, as it does without this
	}
	for i := range c.layers {
		kept := layerCache{rows: make([]hostRows, len(from))}
		var err error
		switch {
		case capacity == 0: // nothing is kept
		case c.m.runtime.HostCache && !c.m.Spec.Text.LinearAt(i):
			kept = c.layers[i].move(from)
		case c.m.Spec.Text.LinearAt(i):
			kept.kept, err = c.fitStates(ctx, i, from)
		default:
			kept.kept, err = c.fitLayer(ctx, i, from, capacity)
		}
		if err == nil {
			err = c.layers[i].free()
		}
		if err != nil {
			return fmt.Errorf("qwen: cache: fit %d slots of %d tokens: %w", len(from), capacity, errors.Join(err, kept.free()))
		}
		c.layers[i] = kept
	}
	if c.m.runtime.HostCache {
		capacity = 0 // each slot has its own
	}
	c.slots, c.capacity = len(from), capacity
	c.length, c.next, c.past = fresh.length, fresh.next, fresh.past
	return nil
}

// fitLayer makes a layer's keys and values anew.
func (c *Cache) fitLayer(ctx context.Context, layer int, from []int, capacity int) (kept [2]compute.Buffer, err error) {
	old := c.layers[layer]
	for i := range kept {
		if old.kept[i] == nil {
			t := c.m.local.Text
			kept[i], err = c.m.zeros(ctx, shapes.Make(c.m.cacheType(), len(from), t.KVHeads, capacity, t.HeadDim))
		} else {
			name := fmt.Sprintf("fit %d %d %d %d", c.slots, len(from), c.capacity, capacity)
			kept[i], err = c.fitDevice(ctx, name, c.m.fitGraph(c.slots, len(from), c.capacity, capacity), old.kept[i], from)
		}
		if err != nil {
			return kept, err
		}
	}
	return kept, nil
}

// fitStates makes a layer's histories and states anew.
func (c *Cache) fitStates(ctx context.Context, layer int, from []int) (kept [2]compute.Buffer, err error) {
	for i, dims := range c.m.stateDims() {
		name := fmt.Sprintf("fit %d %d %v", c.slots, len(from), dims)
		kept[i], err = c.fitDevice(ctx, name, c.m.fitStatesGraph(c.slots, len(from), dims), c.layers[layer].kept[i], from)
		if err != nil {
			return kept, err
		}
	}
	return kept, nil
}

// fitDevice runs a program that picks slots. Empty ones get another's numbers, which nobody looks at.
func (c *Cache) fitDevice(ctx context.Context, name string, build func(b *program.Builder) []*Node, old compute.Buffer, from []int) (_ compute.Buffer, err error) {
	var scratch buffers
	defer func() { err = errors.Join(err, scratch.free()) }()
	index := make([]int32, len(from))
	for i, slot := range from {
		index[i] = int32(max(0, slot))
	}
	at, err := scratch.keep(c.m, index, len(from))
	if err != nil {
		return nil, err
	}
	out, err := c.m.run(ctx, name, build, []compute.Buffer{old, at})
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// fitGraph picks slots of keys or values and gives them another capacity.
func (m *Model) fitGraph(slots, fresh, from, to int) func(b *program.Builder) []*Node {
	t := m.local.Text
	return func(b *program.Builder) []*Node {
		all := b.Input("all", m.cacheType(), slots, t.KVHeads, from, t.HeadDim)
		index := b.Input("index", dtypes.Int32, fresh)
		if to < from {
			all = Slice(all, AxisRange(), AxisRange(), AxisRange(0, to))
		}
		all = Gather(all, ExpandAxes(index, -1))
		if to > from {
			all = GrowRight(all, 2, to-from, 0)
		}
		return []*Node{all}
	}
}

// fitStatesGraph picks slots of histories or states.
func (m *Model) fitStatesGraph(slots, fresh int, dims []int) func(b *program.Builder) []*Node {
	return func(b *program.Builder) []*Node {
		all := b.Input("all", dtypes.Float32, append([]int{slots}, dims...)...)
		index := b.Input("index", dtypes.Int32, fresh)
		return []*Node{Gather(all, ExpandAxes(index, -1))}
	}
}
