package qwen_test

import (
	"errors"
	"os"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/qwen"
)

// BenchmarkPage is an image through the vision tower, and a prompt with it through the text tower: alone, and behind one about the same
// image. OMNIDOCS_BENCH_MODEL names a folder with a
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
			const before, after = 4, 20 // tokens around the image
			all := before + tokens + after
			l := qwen.Layout{IDs: make([]int32, all), Next: int32(all), Images: []qwen.Span{{Start: before, Count: tokens}}}
			for axis := range l.Positions {
				l.Positions[axis] = make([]int32, all)
				for i := range all {
					l.Positions[axis][i] = int32(i)
				}
			}
			prompt := func(o qwen.PromptOptions) *qwen.Prefix {
				prompted, err := m.PromptWith(ctx, &l, []*qwen.Visual{visual}, o)
				require.NoError(b, err)
				kept := prompted.Prefix
				prompted.Prefix = nil
				require.NoError(b, prompted.Close())
				return kept
			}
			kept := prompt(qwen.PromptOptions{Keep: true})
			behind := qwen.PromptOptions{Behind: kept, Tokens: kept.Behind(&l, func(int) bool { return true })}
			prompt(behind)
			b.Run("encode", func(b *testing.B) {
				for b.Loop() {
					require.NoError(b, visual.Close())
					encode()
				}
			})
			b.Run("prompt", func(b *testing.B) {
				for b.Loop() {
					prompt(qwen.PromptOptions{})
				}
			})
			b.Run("kept", func(b *testing.B) {
				for b.Loop() {
					require.NoError(b, prompt(qwen.PromptOptions{Keep: true}).Close())
				}
			})
			b.Run("behind", func(b *testing.B) {
				for b.Loop() {
					prompt(behind)
				}
			})
			require.NoError(b, errors.Join(visual.Close(), kept.Close()))
		})
	}
}
