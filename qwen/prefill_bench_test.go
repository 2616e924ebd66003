package qwen_test

import (
	"os"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/qwen"
)

// BenchmarkPage is an image through the vision tower, and a prompt with it through the text tower. OMNIDOCS_BENCH_MODEL names a folder with a
// checkpoint.
func BenchmarkPage(b *testing.B) {
	dir := os.Getenv("OMNIDOCS_BENCH_MODEL")
	if dir == "" {
		b.Skip("OMNIDOCS_BENCH_MODEL names no checkpoint")
	}
	for _, dtype := range []dtypes.DType{dtypes.Int8, dtypes.BFloat16, dtypes.Float32} {
		b.Run(dtype.String(), func(b *testing.B) {
			ctx, device := b.Context(), openDevice(b)
			m, err := qwen.Load(ctx, device.Runtime(), os.DirFS(dir), qwen.LoadOptions{DType: dtype})
			require.NoError(b, err)
			defer func() { require.NoError(b, m.Close()) }()
			v := m.Spec.Vision
			p := &qwen.Patches{GridH: 44, GridW: 32}
			p.Pixels = make([]float32, p.GridH*p.GridW*v.PatchDim())
			for i := range p.Pixels {
				p.Pixels[i] = float32(i%255)/127 - 1
			}
			tokens := p.GridH * p.GridW / (v.MergeSize * v.MergeSize)
			var visual *qwen.Visual
			encode := func() {
				var err error
				visual, err = m.Encode(ctx, p)
				require.NoError(b, err)
			}
			encode()
			l := qwen.Layout{IDs: make([]int32, tokens), Next: int32(tokens), Images: []qwen.Span{{Count: tokens}}}
			for axis := range l.Positions {
				l.Positions[axis] = make([]int32, tokens)
				for i := range tokens {
					l.Positions[axis][i] = int32(i)
				}
			}
			prompt := func() {
				prompted, err := m.Prompt(ctx, &l, []*qwen.Visual{visual})
				require.NoError(b, err)
				require.NoError(b, prompted.Close())
			}
			prompt()
			b.Run("encode", func(b *testing.B) {
				for b.Loop() {
					require.NoError(b, visual.Close())
					encode()
				}
			})
			b.Run("prompt", func(b *testing.B) {
				for b.Loop() {
					prompt()
				}
			})
			require.NoError(b, visual.Close())
		})
	}
}
