package qwen

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
)

// This file keeps the recurrent states of a cache, and takes a sequence back to where it was.

// stateDims are the shapes of what a layer with a recurrent state keeps of one sequence.
func (m *Model) stateDims() [2][]int {
	d := m.local.Text.Delta
	return [2][]int{{d.Kernel - 1, d.Channels()}, {d.ValueHeads, d.KeyDim, d.ValueDim}}
}

// makeStates makes a layer's states, all zero, if it has none.
func (c *Cache) makeStates(layer int) error {
	for i, dims := range c.m.stateDims() {
		if c.layers[layer].kept[i] != nil {
			continue
		}
		shape := shapes.Make(dtypes.Float32, append([]int{c.slots}, dims...)...)
		b, err := c.m.mesh.Upload(make([]float32, shape.Size()), shape)
		if err != nil {
			return err
		}
		c.layers[layer].kept[i] = b
	}
	return nil
}

// putState writes one slot's history or state.
func (c *Cache) putState(ctx context.Context, layer, i, slot int, fresh compute.Buffer) (err error) {
	all := &c.layers[layer].kept[i]
	if c.m.runtime.HostCache {
		from, err := hostView[float32](fresh)
		if err != nil {
			return err
		}
		to, err := hostView[float32](*all)
		if err != nil {
			return err
		}
		copy(to[slot*len(from):(slot+1)*len(from)], from)
		return nil
	}
	var scratch buffers
	defer func() { err = errors.Join(err, scratch.free()) }()
	at, err := scratch.keep(c.m, []int32{int32(slot)})
	if err != nil {
		return err
	}
	dims := c.m.stateDims()[i]
	p, err := c.m.programs.Get(fmt.Sprintf("put %d %v", c.slots, dims), c.m.putGraph(c.slots, dims))
	if err != nil {
		return err
	}
	out, err := p.Run(ctx, []compute.Buffer{*all, fresh, at}, 0)
	if err != nil {
		if ctx.Err() == nil {
			*all = nil // the call has taken it
		}
		return err
	}
	*all = out[0]
	return nil
}

// past is what a slot has gone through since its sequence began.
type past struct {
	sequence int     // its number
	cuts     []int32 // the lengths that it was taken back to
}

// Mark is a point that a sequence can be taken back to. It holds a copy of the recurrent states, where the model has any;
// keys and values need none, since what is behind the point is written over.
type Mark struct {
	sequence, cuts int
	length, next   int32
	states         map[int][2]compute.Buffer // by layer
}

// Length counts the tokens that the sequence had.
func (k *Mark) Length() int { return int(k.length) }

// Close frees the states.
func (k *Mark) Close() error {
	var errs []error
	for _, kept := range k.states {
		errs = append(errs, buffers(kept[:]).free())
	}
	k.states = nil
	return errors.Join(errs...)
}

// Mark takes down where a slot's sequence is, for [Cache.Rewind]. The caller closes it.
func (c *Cache) Mark(ctx context.Context, slot int) (mark *Mark, err error) {
	if slot < 0 || slot >= c.slots {
		return nil, fmt.Errorf("qwen: mark: slot %d of %d", slot, c.slots)
	}
	k := &Mark{
		sequence: c.past[slot].sequence, cuts: len(c.past[slot].cuts), length: c.length[slot], next: c.next[slot],
		states: map[int][2]compute.Buffer{},
	}
	var scratch buffers
	defer func() { err = errors.Join(err, scratch.free()) }()
	at, err := scratch.keep(c.m, []int32{int32(slot)}, 1)
	if err != nil {
		return nil, fmt.Errorf("qwen: mark: %w", err)
	}
	for layer := range c.layers {
		if !c.m.Spec.Text.LinearAt(layer) || c.layers[layer].kept[0] == nil {
			continue
		}
		var kept [2]compute.Buffer
		for i, dims := range c.m.stateDims() {
			name := fmt.Sprintf("take %d %v", c.slots, dims)
			out, err := c.m.run(ctx, name, c.m.takeGraph(c.slots, dims), []compute.Buffer{c.layers[layer].kept[i], at})
			if err != nil {
				return nil, errors.Join(fmt.Errorf("qwen: mark: %w", err), buffers(kept[:]).free(), k.Close())
			}
			kept[i] = out[0]
		}
		k.states[layer] = kept
	}
	return k, nil
}

// Rewind takes the sequence of a mark back to it, in whatever slot that is now. The mark can be used again. It is an error when
// the sequence has ended since, or was taken back to before the mark: what the mark stands on is then gone. After another error
// the slot must be cleared.
func (c *Cache) Rewind(ctx context.Context, k *Mark) error {
	slot := slices.IndexFunc(c.past, func(p past) bool { return p.sequence == k.sequence })
	if slot < 0 {
		return errors.New("qwen: rewind: the cache no longer holds the sequence that was marked")
	}
	p := &c.past[slot]
	for _, length := range p.cuts[k.cuts:] {
		if length < k.length {
			return fmt.Errorf("qwen: rewind: slot %d was taken back to %d tokens, before the mark at %d", slot, length, k.length)
		}
	}
	for layer, kept := range k.states {
		for i, b := range kept {
			if err := c.putState(ctx, layer, i, slot, b); err != nil {
				return fmt.Errorf("qwen: rewind: %w", err)
			}
		}
	}
	c.length[slot], c.next[slot] = k.length, k.next
	p.cuts = append(p.cuts, k.length)
	return nil
}

// Cut takes the sequence of a slot back to its first tokens, so many, at least those of its prompt. That needs no mark, and it costs
// nothing, where no layer has a recurrent state; else it is an error.
func (c *Cache) Cut(slot, length int) error {
	switch {
	case slot < 0 || slot >= c.slots:
		return fmt.Errorf("qwen: cut: slot %d of %d", slot, c.slots)
	case c.m.Spec.Text.Linear != nil:
		return errors.New("qwen: cut: the model has recurrent states, which only a mark brings back")
	case length < 1 || length > int(c.length[slot]):
		return fmt.Errorf("qwen: cut: slot %d has %d tokens, it cannot be taken back to %d", slot, c.length[slot], length)
	}
	c.next[slot] -= c.length[slot] - int32(length) // behind the prompt, a token is a position
	c.length[slot] = int32(length)
	c.past[slot].cuts = append(c.past[slot].cuts, int32(length))
	return nil
}
