package qwen_test

import (
	"os"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/qwen"
)

// BenchmarkStep is a token in each of a number of slots, on the checkpoint in $OMNIDOCS_BENCH_MODEL, in int8:
//
//	OMNIDOCS_BENCH_MODEL=DIR OMNIDOCS_DEVICE=xla:cpu go test ./qwen -run '^$' -bench Step -benchtime 20x
//
// The first four say what batches bring. "idle" has seven empty slots beside the one, "limit" room for more tokens than there are,
// "neighbor" a sequence eight times as long beside the one: a token should cost little more for any of them than what
// they read themselves.
func BenchmarkStep(b *testing.B) {
	dir := os.Getenv("OMNIDOCS_BENCH_MODEL")
	if dir == "" {
		b.Skip("OMNIDOCS_BENCH_MODEL names no checkpoint")
	}
	device := openDevice(b)
	m, err := qwen.Load(b.Context(), device.Runtime(), os.DirFS(dir), qwen.LoadOptions{DType: dtypes.Int8})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, m.Close()) })
	for _, c := range []struct {
		name    string
		limit   int
		lengths []int // of the sequences, 0 for an empty slot
	}{
		{"slots=1", 1024, []int{500}},
		{"slots=2", 1024, []int{500, 500}},
		{"slots=4", 1024, []int{500, 500, 500, 500}},
		{"slots=8", 1024, []int{500, 500, 500, 500, 500, 500, 500, 500}},
		{"idle", 1024, []int{500, 0, 0, 0, 0, 0, 0, 0}},
		{"limit", 4096, []int{500}},
		{"neighbor", 4096, []int{500, 4000}},
	} {
		b.Run(c.name, func(b *testing.B) { benchmarkStep(b, m, c.limit, c.lengths) })
	}
}

func benchmarkStep(b *testing.B, m *qwen.Model, limit int, lengths []int) {
	b.Helper()
	ctx := b.Context()
	cache := m.NewCache(len(lengths), limit)
	defer func() { require.NoError(b, cache.Close()) }()
	tokens, active, used := make([]int32, len(lengths)), make([]bool, len(lengths)), 0
	marks := make([]*qwen.Mark, len(lengths))
	for slot, n := range lengths {
		if n == 0 {
			continue
		}
		l := qwen.Layout{IDs: make([]int32, n), Next: int32(n)}
		for axis := range l.Positions {
			l.Positions[axis] = make([]int32, n)
			for i := range n {
				l.IDs[i], l.Positions[axis][i] = int32(1+i%100), int32(i)
			}
		}
		h, err := m.Prefill(ctx, &l, nil, cache, slot)
		require.NoError(b, err)
		require.NoError(b, h.Close())
		marks[slot], err = cache.Mark(ctx, slot)
		require.NoError(b, err)
		active[slot], used = true, used+1
	}
	step := func() {
		h, err := m.Step(ctx, cache, tokens, active)
		require.NoError(b, err)
		_, err = m.Choose(ctx, h, nil)
		require.NoError(b, err)
		require.NoError(b, h.Close())
		for _, mark := range marks { // so that all steps are of one length
			if mark != nil {
				require.NoError(b, cache.Rewind(ctx, mark))
			}
		}
	}
	step() // compiles
	for b.Loop() {
		step()
	}
	b.ReportMetric(float64(used*b.N)/b.Elapsed().Seconds(), "tokens/s")
	for _, mark := range marks {
		if mark != nil {
			require.NoError(b, mark.Close())
		}
	}
}
