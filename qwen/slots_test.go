package qwen_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/qwen"
)

// writer writes greedily into the slots of one cache.
type writer struct {
	t       *testing.T
	m       *qwen.Model
	layout  *qwen.Layout
	visuals []*qwen.Visual
	cache   *qwen.Cache
	active  []bool
	tokens  []int32   // the last of each slot
	written [][]int32 // all of each slot
	want    []int32   // what a slot writes when it is alone
}

// newWriter makes a writer for a golden case.
func newWriter(t *testing.T, r qwen.Runtime, golden string, slots int) *writer {
	ctx := t.Context()
	fsys := os.DirFS(filepath.Join("testdata", "golden", golden))
	w := &writer{t: t, m: loadModel(t, r, fsys), active: make([]bool, slots), tokens: make([]int32, slots), written: make([][]int32, slots)}
	want := readCase(t, fsys)
	w.want = want.Expected.Generated
	var grids []qwen.Grid
	for _, img := range want.Images {
		p, err := w.m.Processor.Process(ctx, img, qwen.Bounds{})
		require.NoError(t, err)
		v, err := w.m.Encode(ctx, p)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, v.Close()) })
		w.visuals, grids = append(w.visuals, v), append(grids, qwen.Grid{Height: p.GridH, Width: p.GridW})
	}
	var err error
	w.layout, err = w.m.Layout(want.Prompt, grids)
	require.NoError(t, err)
	w.cache = w.m.NewCache(slots, 1024)
	t.Cleanup(func() { require.NoError(t, w.cache.Close()) })
	return w
}

// begin gives a slot the prompt and chooses its first token.
func (w *writer) begin(slot int) {
	h, err := w.m.Prefill(w.t.Context(), w.layout, w.visuals, w.cache, slot)
	require.NoError(w.t, err)
	first, err := w.m.Choose(w.t.Context(), h, nil)
	require.NoError(w.t, err)
	require.NoError(w.t, h.Close())
	w.active[slot], w.tokens[slot], w.written[slot] = true, first.Tokens[0], first.Tokens
}

// step writes one token in each active slot.
func (w *writer) step() {
	h, err := w.m.Step(w.t.Context(), w.cache, w.tokens, w.active)
	require.NoError(w.t, err)
	next, err := w.m.Choose(w.t.Context(), h, nil)
	require.NoError(w.t, err)
	require.NoError(w.t, h.Close())
	for slot := range w.tokens {
		if w.active[slot] {
			w.tokens[slot] = next.Tokens[slot]
			w.written[slot] = append(w.written[slot], next.Tokens[slot])
		}
	}
}

// eachRuntime runs a test for every generation, with the cache where the device has it and, where it can, on the device.
func eachRuntime(t *testing.T, test func(t *testing.T, r qwen.Runtime, golden string)) {
	device := openDevice(t)
	for golden := range goldens {
		t.Run(golden, func(t *testing.T) { test(t, device.Runtime(), golden) })
		if device.IsXLA() {
			r := device.Runtime()
			r.HostCache = false
			t.Run(golden+", cache on the device", func(t *testing.T) { test(t, r, golden) })
		}
	}
}

// More than one slot: a sequence does not see its neighbors, and an empty slot does no harm.
func TestSlotsAreApart(t *testing.T) {
	eachRuntime(t, func(t *testing.T, r qwen.Runtime, golden string) {
		w := newWriter(t, r, golden, 3)
		w.begin(0)
		for step := range len(w.want) - 1 {
			if step == 4 { // slot 1 stays empty
				w.begin(2)
			}
			w.step()
		}
		require.Equal(t, w.want, w.written[0])
		require.Equal(t, w.want[:len(w.want)-4], w.written[2])
		require.Equal(t, len(w.layout.IDs)+len(w.want)-1, w.cache.Length(0))
		// A slot is as new after its sequence has ended.
		w.active[0] = false
		w.step()
		w.begin(0)
		for range len(w.want) - 1 {
			w.step()
		}
		require.Equal(t, w.want, w.written[0])
	})
}

// A sequence that is taken back to a mark goes on as it did, whatever was written in between, while its neighbor does not
// notice. A call that is canceled changes nothing that a rewind would not mend.
func TestRewind(t *testing.T) {
	eachRuntime(t, func(t *testing.T, r qwen.Runtime, golden string) {
		ctx := t.Context()
		w := newWriter(t, r, golden, 2)
		w.begin(0)
		w.begin(1)
		for range 5 {
			w.step()
		}
		mark, err := w.cache.Mark(ctx, 1)
		require.NoError(t, err)
		defer func() { require.NoError(t, mark.Close()) }()
		require.Equal(t, len(w.layout.IDs)+5, mark.Length())
		at := w.tokens[1]
		for round := range 2 {
			for i := range 4 { // another text than it would write
				w.tokens[1] = int32(20 + 3*i + round)
				w.step()
			}
			canceled, cancel := context.WithCancel(ctx)
			cancel()
			_, err := w.m.Step(canceled, w.cache, w.tokens, w.active)
			require.ErrorIs(t, err, context.Canceled)
			require.NoError(t, w.cache.Rewind(ctx, mark))
			w.tokens[1], w.written[1] = at, w.written[1][:6]
		}
		for len(w.written[1]) < len(w.want) {
			w.step()
		}
		require.Equal(t, w.want, w.written[1])
		require.Equal(t, w.want, w.written[0][:len(w.want)])
	})
}

// A sequence goes on in another slot of a cache with more slots, or fewer, and a mark finds it there.
func TestFit(t *testing.T) {
	eachRuntime(t, func(t *testing.T, r qwen.Runtime, golden string) {
		ctx := t.Context()
		w := newWriter(t, r, golden, 1)
		move := func(from ...int) {
			require.NoError(t, w.cache.Fit(ctx, from))
			require.Equal(t, len(from), w.cache.Slots())
			active, tokens, written := make([]bool, len(from)), make([]int32, len(from)), make([][]int32, len(from))
			for i, old := range from {
				if old >= 0 {
					active[i], tokens[i], written[i] = w.active[old], w.tokens[old], w.written[old]
				}
			}
			w.active, w.tokens, w.written = active, tokens, written
		}
		w.begin(0)
		w.step()
		w.step()
		move(-1, 0, -1)
		w.step()
		mark, err := w.cache.Mark(ctx, 1)
		require.NoError(t, err)
		defer func() { require.NoError(t, mark.Close()) }()
		at := w.tokens[1]
		w.begin(2)
		w.step()
		move(2, 1)
		w.step()
		require.NoError(t, w.cache.Rewind(ctx, mark))
		w.tokens[1], w.written[1] = at, w.written[1][:4]
		for len(w.written[1]) < len(w.want) {
			w.step()
		}
		require.Equal(t, w.want, w.written[1])
		require.Equal(t, w.want[:len(w.written[0])], w.written[0])
		move(1)
		require.ErrorContains(t, w.cache.Fit(ctx, []int{1}), "slot 1 of 1")
		require.NoError(t, w.cache.Fit(ctx, []int{-1, -1}))
		require.Zero(t, w.cache.Capacity())
		w.active, w.tokens, w.written = make([]bool, 2), make([]int32, 2), make([][]int32, 2)
		w.begin(1)
		for len(w.written[1]) < len(w.want) {
			w.step()
		}
		require.Equal(t, w.want, w.written[1])
	})
}

// A mark that no longer stands on anything is refused.
func TestRewindRefuses(t *testing.T) {
	ctx := t.Context()
	w := newWriter(t, openDevice(t).Runtime(), "qwen3_5_long", 1)
	mark := func() *qwen.Mark {
		k, err := w.cache.Mark(ctx, 0)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, k.Close()) })
		return k
	}
	w.begin(0)
	early := mark()
	w.step()
	late := mark()
	require.NoError(t, w.cache.Rewind(ctx, late))
	require.NoError(t, w.cache.Rewind(ctx, early))
	w.step()
	w.step()
	require.ErrorContains(t, w.cache.Rewind(ctx, late), "before the mark")
	require.NoError(t, w.cache.Rewind(ctx, early))
	w.begin(0)
	require.ErrorContains(t, w.cache.Rewind(ctx, early), "no longer holds")
	_, err := w.cache.Mark(ctx, 3)
	require.ErrorContains(t, err, "slot 3 of 1")
}
