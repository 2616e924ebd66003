package qwen

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/compute"
)

// Hidden is the last hidden state of one or more tokens on the device, [rows, hidden], before the last norm.
type Hidden struct {
	x    compute.Buffer
	rows int
}

// Close frees the state.
func (h *Hidden) Close() error { return h.x.Finalize() }

// Prefill runs a prompt through the text tower and leaves its keys and values in a slot of the cache, whose own length
// becomes the prompt's. It returns the state of the last token. The context is checked before each layer.
func (m *Model) Prefill(ctx context.Context, l *Layout, visual []*Visual, cache *Cache, slot int) (*Hidden, error) {
	if err := cache.reserve(ctx, slot, len(l.IDs)); err != nil {
		return nil, fmt.Errorf("qwen: prefill: %w", err)
	}
	store := func(layer int, left []compute.Buffer, rows int) error {
		return cache.store(ctx, layer, slot, left, rows)
	}
	x, rows, err := m.prompt(ctx, l, visual, store)
	if err != nil {
		return nil, fmt.Errorf("qwen: prefill: %w", err)
	}
	last, err := m.lastRow(ctx, x, rows, len(l.IDs)-1)
	if err != nil {
		return nil, fmt.Errorf("qwen: prefill: %w", errors.Join(err, x.Finalize()))
	}
	cache.begin(slot, int32(len(l.IDs)), l.Next)
	return &Hidden{last, 1}, x.Finalize()
}

// storeFunc takes what a layer keeps of a prompt: its keys and values [kvHeads, rows, headDim], or its history and state.
type storeFunc func(layer int, left []compute.Buffer, rows int) error

// prompt runs a prompt through all layers and returns the states of all its tokens, padded to rows.
func (m *Model) prompt(ctx context.Context, l *Layout, visual []*Visual, store storeFunc) (_ compute.Buffer, rows int, err error) {
	t := m.Spec.Text
	if len(visual) != len(l.Images) {
		return nil, 0, fmt.Errorf("%d images given, the prompt has %d", len(visual), len(l.Images))
	}
	rows = m.bucket(len(l.IDs))
	var scratch buffers
	defer func() { err = errors.Join(err, scratch.free()) }()
	ids := make([]int32, rows)
	copy(ids, l.IDs)
	in, err := scratch.keep(m, ids, rows)
	if err != nil {
		return nil, 0, err
	}
	index := make([]compute.Buffer, len(visual))
	for i, v := range visual {
		if v.tokens != l.Images[i].Count {
			return nil, 0, fmt.Errorf("image %d has %d visual tokens, its place in the prompt has %d", i, v.tokens, l.Images[i].Count)
		}
		if index[i], err = scratch.keep(m, v.index(l.Images[i], rows), rows); err != nil {
			return nil, 0, err
		}
	}
	turn := textAngles(t, l.Positions, rows)
	cos, err := scratch.keep(m, turn.cos, rows, t.RotaryDim/2)
	if err != nil {
		return nil, 0, err
	}
	sin, err := scratch.keep(m, turn.sin, rows, t.RotaryDim/2)
	if err != nil {
		return nil, 0, err
	}
	valid, err := scratch.keep(m, []int32{int32(len(l.IDs))})
	if err != nil {
		return nil, 0, err
	}
	live := make([]bool, rows)
	for i := range l.IDs {
		live[i] = true
	}

	out, err := m.run(ctx, fmt.Sprintf("embed %d", rows), m.embedGraph(rows), []compute.Buffer{in}, groupEmbedding)
	if err != nil {
		return nil, 0, err
	}
	x := out[0]
	// replace puts the next state in the place of x.
	replace := func(out []compute.Buffer, err error) error {
		if err != nil {
			return err
		}
		old := x
		x = out[0]
		return old.Finalize()
	}
	fail := func(err error) (compute.Buffer, int, error) { return nil, 0, errors.Join(err, x.Finalize()) }
	for i, v := range visual {
		if err := replace(m.addVisual(ctx, x, v.rows, index[i], rows, len(v.order), false)); err != nil {
			return fail(err)
		}
	}
	for i := range t.Layers {
		kind := t.kindAt(i)
		in := []compute.Buffer{x, cos, sin}
		if kind.linear {
			in = []compute.Buffer{x, valid}
		}
		out, err := m.run(ctx, fmt.Sprintf("layer %d %v", rows, kind), m.prefillGraph(rows, kind), in, groupLayer(i))
		if err != nil {
			return fail(err)
		}
		left := out[len(out)-2:]
		if kind.sparse {
			out[0], err = m.mix(ctx, i, out[0], out[1], out[2], rows, live)
			if err != nil {
				return fail(errors.Join(err, buffers(left).free()))
			}
		}
		if err := errors.Join(replace(out, nil), store(i, left, rows)); err != nil {
			return fail(err)
		}
		for j, v := range visual {
			if i < len(v.deepstack) {
				if err := replace(m.addVisual(ctx, x, v.deepstack[i], index[j], rows, len(v.order), true)); err != nil {
					return fail(err)
				}
			}
		}
	}
	return x, rows, nil
}

func (m *Model) addVisual(ctx context.Context, x, features, index compute.Buffer, rows, visual int, add bool) ([]compute.Buffer, error) {
	name := fmt.Sprintf("visual %d %d %t", rows, visual, add)
	return m.run(ctx, name, m.visualGraph(rows, visual, add), []compute.Buffer{x, features, index})
}

func (m *Model) lastRow(ctx context.Context, x compute.Buffer, rows, row int) (_ compute.Buffer, err error) {
	var scratch buffers
	defer func() { err = errors.Join(err, scratch.free()) }()
	at, err := scratch.keep(m, []int32{int32(row)}, 1)
	if err != nil {
		return nil, err
	}
	out, err := m.run(ctx, fmt.Sprintf("row %d", rows), m.rowGraph(rows), []compute.Buffer{x, at})
	if err != nil {
		return nil, err
	}
	return out[0], nil
}
