package qwen

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/compute"
)

// This file makes sequences of nothing, so that what pages will need is compiled before they come, and costs no pass through the towers.

// Blank is a prompt whose layers have kept zeros, in place of what they would have kept of it, with [PromptOptions].Keep or without. It has no
// Hidden.
func (m *Model) Blank(l *Layout, keep bool) (prompted *Prompted, err error) {
	t, way := m.local.Text, prompt{m: m, layout: l}
	way.cut(keep)
	rows := way.rows
	p := &Prompted{length: len(l.IDs), next: l.Next, rows: rows, left: &leftovers{}}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("qwen: blank prompt: %w", err), p.Close())
		}
	}()
	for i := range t.Layers {
		dims := [2][]int{{t.KVHeads, rows, t.HeadDim}, {t.KVHeads, rows, t.HeadDim}}
		if t.LinearAt(i) {
			dims = t.Delta.stateDims()
		}
		left := make([]compute.Buffer, len(dims))
		p.left.layers = append(p.left.layers, left)
		for j, d := range dims {
			if left[j], err = m.upload(make([]float32, elements(d)), d...); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// Stretch makes the sequence in a slot so many tokens long, with whatever stands behind it: junk that is no text.
func (c *Cache) Stretch(ctx context.Context, slot, tokens int) error {
	if slot < 0 || slot >= c.slots {
		return fmt.Errorf("qwen: stretch: slot %d of %d", slot, c.slots)
	}
	if err := c.reserve(ctx, slot, tokens); err != nil {
		return fmt.Errorf("qwen: stretch: %w", err)
	}
	c.length[slot], c.next[slot] = int32(tokens), int32(tokens)
	return nil
}

// Apart says whether each slot has a capacity of its own: what a number of slots compiles is then the same for sequences of all lengths.
func (c *Cache) Apart() bool { return c.m.runtime.HostCache }

// Lengths are lengths of sequences, one for each capacity that a cache goes through while a sequence grows from one number of tokens to
// another, and a token can be written behind each without going on to the next capacity.
func (p *Planner) Lengths(from, to int) []int {
	var all []int
	for capacity := roundCapacity(max(1, from)); ; capacity = roundCapacity(capacity + 1) {
		all = append(all, max(1, min(capacity, to)-2))
		if capacity >= to {
			return all
		}
	}
}
