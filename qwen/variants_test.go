package qwen_test

import (
	"os"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/qwen"
)

// However the graph is written for a backend, and however its shapes are padded, the golden stages are the same.
func TestRuntimeVariants(t *testing.T) {
	device := openDevice(t)
	variants := map[string]func(r *qwen.Runtime){
		"padded shapes":      func(r *qwen.Runtime) { r.ExactShapes = false },
		"exact shapes":       func(r *qwen.Runtime) { r.ExactShapes = true },
		"matrices in parts":  func(r *qwen.Runtime) { r.MatrixElements = 512 },
		"multiply, reduce":   func(r *qwen.Runtime) { r.Traits.MulReduce = true },
		"matrix products":    func(r *qwen.Runtime) { r.Traits.MulReduce = false },
		"swapped products":   func(r *qwen.Runtime) { r.Traits.SwapRows = 64 },
		"stripes":            func(r *qwen.Runtime) { r.StripeLimit, r.StripeRows = 8, 16 },
		"uneven stripes":     func(r *qwen.Runtime) { r.StripeLimit, r.StripeRows, r.ExactShapes = 8, 28, true },
		"stripes at once":    func(r *qwen.Runtime) { r.StripeLimit, r.StripeRows, r.Workers = 8, 16, 3 },
		"one token a stripe": func(r *qwen.Runtime) { r.StripeLimit, r.StripeRows, r.ExactShapes = 1, 1, true },
		"blocks of queries":  func(r *qwen.Runtime) { r.Traits.BlockBytes = 1 },
	}
	if device.IsXLA() { // the pure-Go backend cannot write a part of a tensor
		variants["cache on the device"] = func(r *qwen.Runtime) { r.HostCache = false }
	}
	for name, change := range variants {
		t.Run(name, func(t *testing.T) {
			r := device.Runtime()
			change(&r)
			fsys := os.DirFS(goldenDir)
			m := loadModel(t, r, fsys)
			requireGolden(t, m, fsys)
		})
	}
}

// Half-precision weights change each stage by what rounding the inputs of each product costs, and no more. The golden weights are
// stored in bfloat16, so nothing is lost in loading them; 8 bits of mantissa give products an error of 2^-9 each.
func TestHalfPrecision(t *testing.T) {
	device := openDevice(t)
	// About three times what was seen on both backends, for logits with a standard deviation of 2.7. The default tolerances are wider,
	// for models with experts.
	for dtype, allowed := range map[dtypes.DType]qwen.Tolerance{dtypes.BFloat16: {Max: 0.3, Mean: 0.04}, dtypes.Float16: {Max: 0.04, Mean: 0.005}} {
		t.Run(dtype.String(), func(t *testing.T) {
			fsys := os.DirFS(goldenDir)
			m, err := qwen.Load(t.Context(), device.Runtime(), fsys, qwen.LoadOptions{DType: dtype})
			require.NoError(t, err)
			defer func() { require.NoError(t, m.Close()) }()
			reports, err := qwen.Verify(t.Context(), m, []qwen.Case{readCase(t, fsys)}, qwen.VerifyOptions{
				Tolerances: map[string]qwen.Tolerance{"logits": allowed},
			})
			require.NoError(t, err)
			for _, s := range reports[0].Stages {
				t.Logf("%s: max error %.3g, mean %.3g (allowed %.3g, %.3g) %s", s.Name, s.Max, s.Mean, s.Tolerance.Max, s.Tolerance.Mean, s.Detail)
				require.True(t, s.OK, "%s: %s", s.Name, s.Detail)
				if s.Name == "logits" {
					require.Positive(t, s.Mean)
				}
			}
		})
	}
}

// More than one slot: a sequence does not see its neighbors, and an empty slot does no harm.
func TestSlotsAreApart(t *testing.T) {
	device := openDevice(t)
	runtimes := map[string]qwen.Runtime{"as it is": device.Runtime()}
	if device.IsXLA() {
		r := device.Runtime()
		r.HostCache = false
		runtimes["cache on the device"] = r
	}
	for name, r := range runtimes {
		t.Run(name, func(t *testing.T) { slotsAreApart(t, device, r) })
	}
}

func slotsAreApart(t *testing.T, _ *backend.Device, r qwen.Runtime) {
	ctx := t.Context()
	fsys := os.DirFS(goldenDir)
	m := loadModel(t, r, fsys)
	want := readCase(t, fsys)
	p, err := m.Processor.Process(ctx, want.Images[0], qwen.Bounds{})
	require.NoError(t, err)
	v, err := m.Encode(ctx, p)
	require.NoError(t, err)
	defer func() { require.NoError(t, v.Close()) }()
	l, err := m.Layout(want.Prompt, []qwen.Grid{{Height: p.GridH, Width: p.GridW}})
	require.NoError(t, err)

	// Slot 2 begins four tokens after slot 0; slot 1 stays empty.
	cache := m.NewCache(3, 512)
	defer func() { require.NoError(t, cache.Close()) }()
	active := []bool{false, false, false}
	tokens := make([]int32, 3)
	written := make([][]int32, 3)
	begin := func(slot int) {
		h, err := m.Prefill(ctx, l, []*qwen.Visual{v}, cache, slot)
		require.NoError(t, err)
		first, err := m.Choose(ctx, h, nil)
		require.NoError(t, err)
		require.NoError(t, h.Close())
		active[slot], tokens[slot], written[slot] = true, first[0], first
	}
	begin(0)
	for step := range 23 {
		if step == 4 {
			begin(2)
		}
		h, err := m.Step(ctx, cache, tokens, active)
		require.NoError(t, err)
		next, err := m.Choose(ctx, h, nil)
		require.NoError(t, err)
		require.NoError(t, h.Close())
		for slot := range tokens {
			if active[slot] {
				tokens[slot] = next[slot]
				written[slot] = append(written[slot], next[slot])
			}
		}
	}
	require.Equal(t, want.Expected.Generated, written[0])
	require.Equal(t, want.Expected.Generated[:20], written[2])
	require.Equal(t, len(l.IDs)+23, cache.Length(0))
}
