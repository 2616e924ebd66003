package qwen

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/compute"
)

// Step writes one token into each active slot of a cache: it runs tokens[slot] through the text tower against the slot's
// cache, to which it is added, and returns the states [slots, hidden] that the next tokens are chosen from. The rows of
// slots that are not active are junk. The context is checked before each layer.
func (m *Model) Step(ctx context.Context, cache *Cache, tokens []int32, active []bool) (*Hidden, error) {
	h, err := m.step(ctx, cache, tokens, active)
	if err != nil {
		return nil, fmt.Errorf("qwen: step: %w", err)
	}
	return h, nil
}

func (m *Model) step(ctx context.Context, cache *Cache, tokens []int32, active []bool) (_ *Hidden, err error) {
	t := m.Spec.Text
	if len(tokens) != cache.slots || len(active) != cache.slots {
		return nil, fmt.Errorf("%d tokens and %d active for %d slots", len(tokens), len(active), cache.slots)
	}
	for slot, on := range active {
		if !on { // its row is computed all the same; it is kept at the start of the slot, where it does no harm
			cache.length[slot] = 0
		}
		if err := cache.reserve(ctx, slot, int(cache.length[slot])+1); err != nil {
			return nil, err
		}
	}
	var scratch buffers
	defer func() { err = errors.Join(err, scratch.free()) }()
	in, err := scratch.keep(m, tokens, cache.slots)
	if err != nil {
		return nil, err
	}
	turn := textAngles(t, [3][]int32{cache.next, cache.next, cache.next}, cache.slots)
	cos, err := scratch.keep(m, turn.cos, cache.slots, t.HeadDim/2)
	if err != nil {
		return nil, err
	}
	sin, err := scratch.keep(m, turn.sin, cache.slots, t.HeadDim/2)
	if err != nil {
		return nil, err
	}
	length, err := scratch.keep(m, cache.length, cache.slots)
	if err != nil {
		return nil, err
	}
	out, err := m.run(ctx, fmt.Sprintf("embed %d", cache.slots), m.embedGraph(cache.slots), []compute.Buffer{in}, groupEmbedding)
	if err != nil {
		return nil, err
	}
	x := out[0]
	p, err := m.programs.Get(fmt.Sprintf("step %d %d", cache.slots, cache.capacity), m.stepGraph(cache.slots, cache.capacity))
	if err != nil {
		return nil, errors.Join(err, x.Finalize())
	}
	for i := range t.Layers {
		layer := &cache.layers[i]
		args := append([]compute.Buffer{x, cos, sin, length, layer.keys, layer.values}, m.weights[groupLayer(i)]...)
		var donate []int
		if !m.runtime.HostCache {
			donate = []int{4, 5}
		}
		out, err := p.Run(ctx, args, donate...)
		if err != nil {
			if len(donate) > 0 && ctx.Err() == nil { // the call has taken them, whatever became of it
				layer.keys, layer.values = nil, nil
			}
			return nil, errors.Join(err, x.Finalize())
		}
		if m.runtime.HostCache {
			err = errors.Join(cache.append(i, out[1], out[2]), buffers(out[1:]).free())
		} else {
			layer.keys, layer.values = out[1], out[2]
		}
		if err = errors.Join(err, x.Finalize()); err != nil {
			return nil, errors.Join(err, out[0].Finalize())
		}
		x = out[0]
	}
	for slot, on := range active {
		if on {
			cache.length[slot]++
			cache.next[slot]++
		}
	}
	return &Hidden{x, cache.slots}, nil
}
