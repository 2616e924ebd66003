package qwen

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute"

	"github.com/omnidocs/omnidocs/internal/program"
)

// Turn says what is to be written into the slots of a cache.
type Turn struct {
	// Tokens are the last of each slot, Active says which slots write.
	Tokens []int32
	Active []bool
	// Limit bounds the tokens of a slot, 1 or more; nil bounds none.
	Limit []int
	// Stops are tokens that end a slot's sequence beside the model's own ([Spec.EOS]): nothing is written behind them. Nil is none.
	Stops [][]int32
	// Draw says how the first of them are chosen; for the next ones Step counts on, and what is barred no longer is. Nil is greedy.
	Draw *Draw
}

// Decode writes tokens into the active slots of a cache: one each, or, on devices where the runtime has it so ([Runtime.LoopTokens]),
// several in one call to the device. A token that ends a sequence is the last of its slot. The first of Tokens goes into the cache,
// of what is chosen all but the last. The context is obeyed before each call.
func (m *Model) Decode(ctx context.Context, cache *Cache, turn Turn) ([]Chosen, error) {
	if m.loops() {
		out, err := m.decodeLoop(ctx, cache, turn)
		if !errors.Is(err, program.ErrNoLoop) {
			if err != nil {
				return nil, fmt.Errorf("qwen: decode: %w", err)
			}
			return out, nil
		}
		m.noLoop.Store(true)
	}
	h, err := m.Step(ctx, cache, turn.Tokens, turn.Active)
	if err != nil {
		return nil, err
	}
	next, err := m.Choose(ctx, h, turn.Draw)
	if err := errors.Join(err, h.Close()); err != nil {
		return nil, err
	}
	out := make([]Chosen, cache.slots)
	for slot, on := range turn.Active {
		if on {
			out[slot] = Chosen{Tokens: next.Tokens[slot : slot+1], LogProbs: next.LogProbs[slot : slot+1]}
		}
	}
	return out, nil
}

// loops says whether several tokens can be written in one call. Experts are chosen by the host, between the layers.
func (m *Model) loops() bool {
	return m.runtime.LoopTokens > 1 && !m.runtime.HostCache && m.mesh.Size() == 1 && m.local.Text.Sparse == nil && !m.noLoop.Load()
}

func (m *Model) decodeLoop(ctx context.Context, cache *Cache, turn Turn) (_ []Chosen, err error) {
	if len(turn.Tokens) != cache.slots || len(turn.Active) != cache.slots {
		return nil, fmt.Errorf("%d tokens and %d active for %d slots", len(turn.Tokens), len(turn.Active), cache.slots)
	}
	left, count, err := m.loopRoom(ctx, cache, turn)
	if err != nil {
		return nil, err
	}
	stops, width := m.loopStops(turn.Stops, cache.slots)
	shape := loopShape{cache.slots, cache.capacity, m.runtime.LoopTokens, width, !turn.Draw.greedy()}
	p, err := m.programs.Get(shape.String(), m.loopGraph(shape))
	if err != nil {
		return nil, err
	}
	var scratch buffers
	defer func() { err = errors.Join(err, scratch.free()) }()
	t := m.Spec.Text
	next := make([]int32, 0, shape.rounds*cache.slots)
	for round := range shape.rounds {
		for slot := range cache.slots {
			next = append(next, cache.next[slot]+int32(round))
		}
	}
	angles := textAngles(t, [3][]int32{next, next, next}, len(next))
	half := t.RotaryDim / 2
	for _, in := range []struct {
		flat any
		dims []int
	}{
		{turn.Tokens, []int{cache.slots}}, {cache.length, []int{cache.slots}}, {left, []int{cache.slots}}, {[]int32{count}, nil},
		{angles.cos, []int{shape.rounds, cache.slots, half}}, {angles.sin, []int{shape.rounds, cache.slots, half}},
		{stops, []int{cache.slots, width}},
	} {
		if _, err := scratch.keep(m, in.flat, in.dims...); err != nil {
			return nil, err
		}
	}
	if shape.draws {
		if err := m.keepDraw(&scratch, turn.Draw, cache.slots); err != nil {
			return nil, err
		}
	}
	out, err := m.runLoop(ctx, p, cache, scratch)
	if err != nil {
		return nil, err
	}
	packed := make([]int32, 2*shape.rounds*cache.slots)
	if err := errors.Join(out.ToFlatData(packed), out.Finalize()); err != nil {
		return nil, err
	}
	return cache.advance(packed, shape.rounds), nil
}

// loopRoom makes room in the cache, and tells how many tokens each slot may get and the most of these.
func (m *Model) loopRoom(ctx context.Context, cache *Cache, turn Turn) (left []int32, count int32, err error) {
	left = make([]int32, cache.slots)
	for slot, on := range turn.Active {
		if !on { // its row is computed all the same; it is kept at the start of the slot, where it does no harm
			cache.Clear(slot)
			continue
		}
		n := min(m.runtime.LoopTokens, max(1, cache.limit-int(cache.length[slot])))
		if turn.Limit != nil {
			n = max(1, min(n, turn.Limit[slot]))
		}
		if err := cache.reserve(ctx, slot, int(cache.length[slot])+n); err != nil {
			return nil, 0, err
		}
		left[slot] = int32(n)
		count = max(count, left[slot])
	}
	for slot := range left { // a slot that is done sooner than others goes on in the row behind its sequence
		if err := cache.room(ctx, int(cache.length[slot]+left[slot])+1); err != nil {
			return nil, 0, err
		}
	}
	return left, count, nil
}

// stopsStep is what the number of tokens that end a sequence is rounded up to.
const stopsStep = 8

// loopStops are the tokens that end each slot's sequence, as the program takes them: so many a slot, -1 for none.
func (m *Model) loopStops(stops [][]int32, slots int) (flat []int32, width int) {
	most := len(m.Spec.EOS)
	for _, s := range stops {
		most = max(most, len(m.Spec.EOS)+len(s))
	}
	width = (max(1, most) + stopsStep - 1) / stopsStep * stopsStep
	flat = slices.Repeat([]int32{-1}, slots*width)
	for slot := range slots {
		n := copy(flat[slot*width:], m.Spec.EOS)
		if slot < len(stops) {
			copy(flat[slot*width+n:], stops[slot])
		}
	}
	return flat, width
}

// runLoop runs the program on the inputs, the cache and the weights, and puts what it keeps back into the cache.
func (m *Model) runLoop(ctx context.Context, p *program.Program, cache *Cache, inputs []compute.Buffer) (compute.Buffer, error) {
	all := append([]compute.Buffer{}, inputs...)
	var donate []int
	for i := range cache.layers {
		donate = append(donate, len(all), len(all)+1)
		all = append(all, cache.layers[i].kept[:]...)
	}
	all = append(all, m.weights[groupEmbedding]...)
	all = append(all, m.weights[groupHead]...)
	for i := range cache.layers {
		all = append(all, m.weights[groupLayer(i)]...)
	}
	out, err := p.Run(ctx, all, donate...)
	if err != nil {
		if ctx.Err() == nil { // the call has taken them, whatever became of it
			for i := range cache.layers {
				cache.layers[i].kept = [2]compute.Buffer{}
			}
		}
		return nil, err
	}
	for i := range cache.layers {
		cache.layers[i].kept = [2]compute.Buffer(out[1+2*i:])
	}
	return out[0], nil
}

// advance takes down what a loop has written, int32 [2, rounds, slots].
func (c *Cache) advance(packed []int32, rounds int) []Chosen {
	out := make([]Chosen, c.slots)
	tokens, bits := packed[:rounds*c.slots], packed[rounds*c.slots:]
	for i, token := range tokens {
		if token < 0 {
			continue
		}
		slot := i % c.slots
		out[slot].Tokens = append(out[slot].Tokens, token)
		out[slot].LogProbs = append(out[slot].LogProbs, math.Float32frombits(uint32(bits[i])))
		c.length[slot]++
		c.next[slot]++
	}
	return out
}
