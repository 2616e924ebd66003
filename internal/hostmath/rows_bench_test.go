package hostmath

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute/dtypes/bfloat16"
)

func BenchmarkRows(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range [][2]int{{128, 2048}, {128, 6144}, {150000, 2048}, {2048, 6144}} {
		ints := Matrix{In: c[1], Parts: []Part{{Ints: make([]int8, c[0]*c[1]), Scale: random(r, c[0])}}}
		for i := range c[0] * c[1] {
			ints.Parts[0].Ints[i] = int8(i)
		}
		halves := Matrix{In: c[1], Parts: []Part{{Halves: make([]bfloat16.BFloat16, c[0]*c[1])}}}
		for i := range c[0] * c[1] {
			halves.Parts[0].Halves[i] = bfloat16.BFloat16(0x3f80 | i&0x807f)
		}
		for _, rows := range []int{1, 2, 4, 8} {
			x, out := random(r, rows*c[1]), make([]float32, rows*c[0])
			b.Run(fmt.Sprintf("%dx%d/%d", c[0], c[1], rows), func(b *testing.B) {
				for b.Loop() {
					ints.Mul(out, x, rows)
				}
				b.ReportMetric(float64(c[0]*c[1])*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
			})
			b.Run(fmt.Sprintf("half-%dx%d/%d", c[0], c[1], rows), func(b *testing.B) {
				for b.Loop() {
					halves.Mul(out, x, rows)
				}
				b.ReportMetric(2*float64(c[0]*c[1])*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
			})
		}
	}
}
