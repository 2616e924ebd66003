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
			cache.Clear(slot)
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
	cos, err := scratch.keep(m, turn.cos, cache.slots, t.RotaryDim/2)
	if err != nil {
		return nil, err
	}
	sin, err := scratch.keep(m, turn.sin, cache.slots, t.RotaryDim/2)
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
	for i := range t.Layers {
		next, err := m.stepLayer(ctx, cache, i, x, []compute.Buffer{cos, sin, length}, active)
		if err = errors.Join(err, x.Finalize()); err != nil {
			return nil, errors.Join(err, buffers{next}.free())
		}
		x = next
	}
	for slot, on := range active {
		if on {
			cache.length[slot]++
			cache.next[slot]++
		}
	}
	return &Hidden{x, cache.slots}, nil
}

// stepLayer runs one layer on x [slots, hidden], which it leaves alone, and writes what it keeps into the cache.
func (m *Model) stepLayer(ctx context.Context, cache *Cache, i int, x compute.Buffer, turn []compute.Buffer, active []bool) (_ compute.Buffer, err error) {
	kind, layer := m.Spec.Text.kindAt(i), &cache.layers[i]
	name, build := fmt.Sprintf("step %d %d %v", cache.slots, cache.capacity, kind), m.stepGraph(cache.slots, cache.capacity, kind)
	in := append([]compute.Buffer{x}, turn...)
	if kind.linear {
		name, build, in = fmt.Sprintf("step %d %v", cache.slots, kind), m.deltaStepGraph(cache.slots, kind), in[:1]
	}
	p, err := m.programs.Get(name, build)
	if err != nil {
		return nil, err
	}
	var donate []int
	if !m.runtime.HostCache {
		donate = []int{len(in), len(in) + 1}
	}
	out, err := p.Run(ctx, append(append(in, layer.kept[:]...), m.weights[groupLayer(i)]...), donate...)
	if err != nil {
		if len(donate) > 0 && ctx.Err() == nil { // the call has taken them, whatever became of it
			layer.kept = [2]compute.Buffer{}
		}
		return nil, err
	}
	left := [2]compute.Buffer(out[len(out)-2:])
	switch {
	case !m.runtime.HostCache:
		layer.kept = left
	case kind.linear:
		err = buffers(layer.kept[:]).free()
		layer.kept = left
	default:
		err = errors.Join(cache.append(i, left[0], left[1]), buffers(left[:]).free())
	}
	if err != nil {
		return nil, errors.Join(err, buffers(out[:len(out)-2]).free())
	}
	if kind.sparse {
		return m.mix(ctx, i, out[0], out[1], out[2], cache.slots, active)
	}
	return out[0], nil
}
