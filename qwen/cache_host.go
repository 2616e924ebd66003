package qwen

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/dtypes/bfloat16"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/omnidocs/omnidocs/internal/nn"
	"github.com/omnidocs/omnidocs/internal/program"
)

// This file keeps keys and values where host and device share their memory. Each slot has buffers of its own, as large as its
// sequence needs: a token costs what its own sequence has and not what the longest one has, an empty slot costs nothing, and a
// sequence goes to another slot without a copy. The host writes the rows of a new token.

// hostRows are one slot's keys [kvHeads, capacity, headDim] and values [kvHeads, headDim, capacity] in one layer. Values stand on
// their side so that both products of the attention go along the memory.
type hostRows struct {
	kept     [2]compute.Buffer
	capacity int
}

func (r *hostRows) free() error {
	err := buffers(r.kept[:]).free()
	*r = hostRows{}
	return err
}

// reserveHost makes room for tokens in a slot.
func (c *Cache) reserveHost(ctx context.Context, slot, tokens int) error {
	capacity := roundCapacity(tokens)
	for i := range c.layers {
		var err error
		switch rows := &c.layers[i].rows[slot]; {
		case c.m.Spec.Text.LinearAt(i):
			err = c.makeStates(i)
		case rows.capacity >= tokens:
		case rows.capacity == 0:
			*rows, err = c.emptyRows(capacity)
		default:
			var out []compute.Buffer
			out, err = c.m.run(ctx, fmt.Sprintf("grow %d %d", rows.capacity, capacity), c.m.growRowsGraph(rows.capacity, capacity), rows.kept[:])
			if err == nil {
				err = rows.free()
				*rows = hostRows{[2]compute.Buffer(out), capacity}
			}
		}
		if err != nil {
			return fmt.Errorf("make room for %d tokens in slot %d: %w", capacity, slot, err)
		}
	}
	return nil
}

// emptyRows are rows of zeros: what is behind a sequence is masked, but a mask times a NaN that was in the memory is a NaN.
func (c *Cache) emptyRows(capacity int) (hostRows, error) {
	t, rows := c.m.Spec.Text, hostRows{capacity: capacity}
	for i, dims := range [][]int{{t.KVHeads, capacity, t.HeadDim}, {t.KVHeads, t.HeadDim, capacity}} {
		buffer, flats, err := c.m.mesh.Shared(shapes.Make(c.m.cacheType(), dims...))
		if err != nil {
			return hostRows{}, errors.Join(err, rows.free())
		}
		switch flat := flats[0].(type) {
		case []float32:
			clear(flat)
		case []bfloat16.BFloat16:
			clear(flat)
		}
		rows.kept[i] = buffer
	}
	return rows, nil
}

// storeHost puts a prompt's keys and values [kvHeads, rows, headDim] into a slot.
func (c *Cache) storeHost(ctx context.Context, layer, slot int, left []compute.Buffer, rows, tokens int) error {
	capacity := roundCapacity(tokens)
	out, err := c.m.run(ctx, fmt.Sprintf("rows %d %d", rows, capacity), c.m.rowsGraph(rows, capacity), left)
	if err != nil {
		return err
	}
	at := &c.layers[layer].rows[slot]
	err = at.free()
	*at = hostRows{[2]compute.Buffer(out), capacity}
	return err
}

// rowsGraph makes what the cache holds of a prompt's keys and values [kvHeads, rows, headDim]; see hostRows. Rows behind the prompt
// are padding, which may be cut off.
func (m *Model) rowsGraph(rows, capacity int) func(b *program.Builder) []*Node {
	t := m.Spec.Text
	return func(b *program.Builder) []*Node {
		fit := func(x *Node) *Node {
			if capacity < rows {
				x = Slice(x, AxisRange(), AxisRange(0, capacity))
			}
			return ConvertDType(GrowRight(x, 1, max(0, capacity-rows), 0), m.cacheType())
		}
		k := b.Input("k", dtypes.Float32, t.KVHeads, rows, t.HeadDim)
		v := b.Input("v", dtypes.Float32, t.KVHeads, rows, t.HeadDim)
		return []*Node{fit(k), Transpose(fit(v), 1, 2)}
	}
}

// growRowsGraph gives keys and values more room.
func (m *Model) growRowsGraph(from, to int) func(b *program.Builder) []*Node {
	t := m.Spec.Text
	return func(b *program.Builder) []*Node {
		k := b.Input("k", m.cacheType(), t.KVHeads, from, t.HeadDim)
		v := b.Input("v", m.cacheType(), t.KVHeads, t.HeadDim, from)
		return []*Node{GrowRight(k, 1, to-from, 0), GrowRight(v, 2, to-from, 0)}
	}
}

// append writes the new rows [slots, kvHeads, headDim] of a step behind the sequence of each active slot.
func (c *Cache) append(layer int, k, v compute.Buffer, active []bool) error {
	if c.m.cacheType() == dtypes.BFloat16 {
		return appendBuffers[bfloat16.BFloat16](c, layer, k, v, active)
	}
	return appendBuffers[float32](c, layer, k, v, active)
}

func appendBuffers[T any](c *Cache, layer int, k, v compute.Buffer, active []bool) error {
	newKeys, err := hostView[T](k)
	if err != nil {
		return err
	}
	newValues, err := hostView[T](v)
	if err != nil {
		return err
	}
	slots := make([]int, len(active))
	for slot, on := range active {
		if slots[slot] = slot; !on {
			slots[slot] = -1
		}
	}
	return appendRows(c, layer, newKeys, newValues, slots)
}

// appendRows writes a row [kvHeads, headDim] for each of the slots, where it is not negative.
func appendRows[T any](c *Cache, layer int, newKeys, newValues []T, slots []int) error {
	t := c.m.Spec.Text
	for i, slot := range slots {
		if slot < 0 {
			continue
		}
		rows, at := c.layers[layer].rows[slot], int(c.length[slot])
		keys, err := hostView[T](rows.kept[0])
		if err != nil {
			return err
		}
		values, err := hostView[T](rows.kept[1])
		if err != nil {
			return err
		}
		for head := range t.KVHeads {
			from := (i*t.KVHeads + head) * t.HeadDim
			copy(keys[(head*rows.capacity+at)*t.HeadDim:][:t.HeadDim], newKeys[from:])
			to := values[head*t.HeadDim*rows.capacity+at:]
			for d, value := range newValues[from : from+t.HeadDim] {
				to[d*rows.capacity] = value
			}
		}
	}
	return nil
}

// hostView is a buffer as the host sees it, without a copy.
func hostView[T any](b compute.Buffer) ([]T, error) {
	data, err := b.Data()
	if err != nil {
		return nil, err
	}
	flat, ok := data.([]T)
	if !ok {
		return nil, fmt.Errorf("a buffer of %T is seen as %T", flat, data)
	}
	return flat, nil
}

// move gives the sequences of a layer their new slots, and leaves behind those that have none.
func (l *layerCache) move(from []int) layerCache {
	fresh := layerCache{rows: make([]hostRows, len(from))}
	for i, old := range from {
		if old >= 0 {
			fresh.rows[i], l.rows[old] = l.rows[old], hostRows{}
		}
	}
	return fresh
}

// stepProjectGraph is the first part of a layer for one new token a slot, x [slots, hidden]: each slot's query [heads, headDim],
// one output a slot, then the gate [slots, heads·headDim] where there is one, and all keys and values [slots, kvHeads, headDim].
func (m *Model) stepProjectGraph(slots int, kind layerKind) func(b *program.Builder) []*Node {
	t := m.Spec.Text
	return func(b *program.Builder) []*Node {
		x := b.Input("x", dtypes.Float32, slots, t.Hidden)
		cos := b.Input("cos", dtypes.Float32, slots, t.RotaryDim/2)
		sin := b.Input("sin", dtypes.Float32, slots, t.RotaryDim/2)
		q, k, v, gate := m.project(m.declare(b, layerParams(t, kind)), x, cos, sin)
		var out []*Node
		for slot := range slots {
			out = append(out, Reshape(Slice(q, AxisElem(slot)), t.Heads, t.HeadDim))
		}
		if gate != nil {
			out = append(out, gate)
		}
		return append(out, ConvertDType(k, m.cacheType()), ConvertDType(v, m.cacheType()))
	}
}

// stepReadGraph is the second part, for one slot: its query against its own rows, of which length (int32) are real → [1, heads·headDim].
func (m *Model) stepReadGraph(capacity int) func(b *program.Builder) []*Node {
	t := m.Spec.Text
	return func(b *program.Builder) []*Node {
		q := b.Input("q", dtypes.Float32, t.Heads, t.HeadDim)
		keys := b.Input("keys", m.cacheType(), t.KVHeads, capacity, t.HeadDim)
		values := b.Input("values", m.cacheType(), t.KVHeads, t.HeadDim, capacity)
		length := b.Input("length", dtypes.Int32)
		return []*Node{nn.RowAttention(m.runtime.Traits, q, keys, values, length)}
	}
}

// stepRestGraph is the last part: x [slots, hidden] and what each slot has read, [1, heads·headDim] each → x as feedForward
// returns it.
func (m *Model) stepRestGraph(slots int, kind layerKind) func(b *program.Builder) []*Node {
	t := m.Spec.Text
	return func(b *program.Builder) []*Node {
		x := b.Input("x", dtypes.Float32, slots, t.Hidden)
		var read []*Node
		for slot := range slots {
			read = append(read, b.Input(fmt.Sprintf("read%d", slot), dtypes.Float32, 1, t.Heads*t.HeadDim))
		}
		gate := optional(b, t.OutputGate, "gate", slots, t.Heads*t.HeadDim)
		p := m.declare(b, layerParams(t, kind))
		return m.feedForward(p, m.attended(p, x, Concatenate(read, 0), gate), kind)
	}
}
