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
		if on || !m.runtime.HostCache {
			if err := cache.reserve(ctx, slot, int(cache.length[slot])+1); err != nil {
				return nil, err
			}
		}
	}
	var scratch buffers
	defer func() { err = errors.Join(err, scratch.free()) }()
	turn := textAngles(t, [3][]int32{cache.next, cache.next, cache.next}, cache.slots)
	x, err := m.embedTokens(ctx, tokens)
	if err != nil {
		return nil, err
	}
	var s *step // made when a layer needs it: what the host runs needs nothing on the device
	host := newHostStep(m, cache, active, turn)
	defer stepRooms.put(host.room)
	for i := range t.Layers {
		if m.hostComputes(t.kindAt(i)) {
			if err := host.layer(ctx, i, x); err != nil {
				return nil, errors.Join(err, x.Finalize())
			}
			continue
		}
		if s == nil {
			if s, err = newStep(m, cache, active, turn, &scratch); err != nil {
				return nil, errors.Join(err, x.Finalize())
			}
		}
		next, err := s.layer(ctx, i, x)
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
	return &Hidden{x: x, rows: cache.slots, active: host.slots}, nil
}

// step is a token of each slot on its way through the layers.
type step struct {
	m      *Model
	cache  *Cache
	active []bool
	turn   []compute.Buffer // cosines and sines of the positions
	// length are the tokens in each slot: in one buffer, without the new one; or, where the host writes the cache, in one a slot,
	// with it, nil where a slot is idle.
	length []compute.Buffer
	// idle stands for what an idle slot reads, where the host writes the cache.
	idle compute.Buffer
}

// newStep puts on the device what the programs of a step take beside the cache, into scratch.
func newStep(m *Model, cache *Cache, active []bool, turn angles, scratch *buffers) (s *step, err error) {
	s = &step{m: m, cache: cache, active: active}
	for _, flat := range [][]float32{turn.cos, turn.sin} {
		b, err := scratch.keep(m, flat, cache.slots, m.Spec.Text.RotaryDim/2)
		if err != nil {
			return nil, err
		}
		s.turn = append(s.turn, b)
	}
	s.length, err = s.lengths(scratch)
	return s, err
}

// lengths puts the lengths on the device.
func (s *step) lengths(scratch *buffers) (_ []compute.Buffer, err error) {
	if !s.m.runtime.HostCache {
		all, err := scratch.keep(s.m, s.cache.length, s.cache.slots)
		return []compute.Buffer{all}, err
	}
	t := s.m.Spec.Text
	all := make([]compute.Buffer, s.cache.slots)
	for slot, on := range s.active {
		switch {
		case on:
			all[slot], err = scratch.keep(s.m, []int32{s.cache.length[slot] + 1})
		case s.idle == nil:
			s.idle, err = scratch.keep(s.m, make([]float32, t.Heads*t.HeadDim), 1, t.Heads*t.HeadDim)
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// layer runs one layer on x [slots, hidden], which it leaves alone, and writes what it keeps into the cache.
func (s *step) layer(ctx context.Context, i int, x compute.Buffer) (compute.Buffer, error) {
	kind := s.m.Spec.Text.kindAt(i)
	run := s.whole
	if s.m.runtime.HostCache && !kind.linear {
		run = s.apart
	}
	out, err := run(ctx, i, x, kind)
	if err != nil {
		return nil, err
	}
	if kind.sparse {
		return s.m.mix(ctx, i, out[0], out[1], out[2], s.cache.slots, s.active)
	}
	return out[0], nil
}

// whole runs a layer that is one program, and returns what feedForward does.
func (s *step) whole(ctx context.Context, i int, x compute.Buffer, kind layerKind) ([]compute.Buffer, error) {
	m, cache, layer := s.m, s.cache, &s.cache.layers[i]
	name, build := fmt.Sprintf("step %d %d %v", cache.slots, cache.capacity, kind), m.stepGraph(cache.slots, cache.capacity, kind)
	in := append(append([]compute.Buffer{x}, s.turn...), s.length...)
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
	if len(donate) == 0 {
		err = buffers(layer.kept[:]).free()
	}
	n := len(out) - 2
	layer.kept = [2]compute.Buffer(out[n:])
	if err != nil {
		return nil, errors.Join(err, buffers(out[:n]).free())
	}
	return out[:n], nil
}

// apart runs a layer against rows that the host writes, and returns what feedForward does: one program for the slots together, one
// for each slot against its own rows, one for the slots together again. What a slot reads does not depend on the others.
func (s *step) apart(ctx context.Context, i int, x compute.Buffer, kind layerKind) (_ []compute.Buffer, err error) {
	m, slots := s.m, s.cache.slots
	in := append([]compute.Buffer{x}, s.turn...)
	out, err := m.run(ctx, fmt.Sprintf("step project %d %v", slots, kind), m.stepProjectGraph(slots, kind), in, groupLayer(i))
	if err != nil {
		return nil, err
	}
	scratch := buffers(out)
	defer func() { err = errors.Join(err, scratch.free()) }()
	queries, gate, rows := out[:slots], out[slots:len(out)-2], out[len(out)-2:]
	if err := s.cache.append(i, rows[0], rows[1], s.active); err != nil {
		return nil, err
	}
	in = []compute.Buffer{x}
	for slot, q := range queries {
		if !s.active[slot] {
			in = append(in, s.idle)
			continue
		}
		at := s.cache.layers[i].rows[slot]
		read, err := m.run(ctx, fmt.Sprintf("step read %d", at.capacity), m.stepReadGraph(at.capacity), []compute.Buffer{q, at.kept[0], at.kept[1], s.length[slot]})
		if err != nil {
			return nil, err
		}
		scratch, in = append(scratch, read[0]), append(in, read[0])
	}
	return m.run(ctx, fmt.Sprintf("step rest %d %v", slots, kind), m.stepRestGraph(slots, kind), append(in, gate...), groupLayer(i))
}
