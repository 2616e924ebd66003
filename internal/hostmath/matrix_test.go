package hostmath

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute/dtypes/bfloat16"
	"github.com/stretchr/testify/require"
)

// eachWay runs a test with each kind of instructions that this processor has, and with none.
func eachWay(t *testing.T, test func(t *testing.T)) {
	for _, v := range append([]*instructions{nil}, supported...) {
		name := "plain"
		if v != nil {
			name = v.name
		}
		t.Run(name, func(t *testing.T) {
			defer func(before *instructions) { vectors = before }(vectors)
			vectors = v
			test(t)
		})
	}
}

func random(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// near allows what rounding makes of sums of up to some thousand numbers around 1 in another order.
func near(t *testing.T, want, got []float32) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		require.InDelta(t, want[i], got[i], 1e-3, "number %d", i)
	}
}

// A product is what three loops make of it, whatever the type of the matrix, its parts and its odd ends; and each row's is what it
// is alone, bit for bit.
func TestMul(t *testing.T) { eachWay(t, testMul) }

func testMul(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, in := range []int{1, 7, 8, 15, 16, 24, 33, 64, 192, 1030} {
		for _, outs := range [][]int{{1}, {3}, {4}, {64, 5}, {100, 107}} {
			for _, kind := range []string{"float32", "bfloat16", "int8"} {
				m, w := Matrix{In: in}, []float32{}
				for _, n := range outs {
					var p Part
					floats := random(r, n*in)
					for i := range floats {
						switch kind {
						case "float32":
							p.Floats = floats
						case "bfloat16":
							bits := math.Float32bits(floats[i]) >> 16
							p.Halves = append(p.Halves, bfloat16.BFloat16(bits))
							floats[i] = math.Float32frombits(bits << 16)
						case "int8":
							p.Ints = append(p.Ints, int8(floats[i]*40))
							if i%in == 0 {
								p.Scale = append(p.Scale, 0.01+float32(i/in%7)/100)
							}
							floats[i] = float32(p.Ints[i]) * p.Scale[i/in]
						}
					}
					m.Parts, w = append(m.Parts, p), append(w, floats...)
				}
				const rows = 11
				x, out := random(r, rows*in), m.Out()
				got, alone := make([]float32, rows*out), make([]float32, out)
				m.Mul(got, x, rows)
				for row := range rows {
					x := x[row*in:][:in]
					for i := range out {
						var sum, size, weight, peak float64
						for j, v := range w[i*in:][:in] {
							sum += float64(x[j]) * float64(v)
							size += math.Abs(float64(x[j]) * float64(v))
							weight, peak = weight+math.Abs(float64(v)), max(peak, math.Abs(float64(x[j])))
						}
						// Tiles see the first 16 digits of a number beside bfloat16; bytes see half of 1/65,278 of the largest of a row, at worst.
						allowed := 3e-5 * size
						if kind == "int8" {
							allowed += peak * weight / mostSplit / 2
						}
						require.InDelta(t, sum, got[row*out+i], allowed, "%s %v·%d, row %d, column %d", kind, outs, in, row, i)
					}
				}
				for row := range rows {
					m.Mul(alone, x[row*in:(row+1)*in], 1)
					require.Equal(t, alone, got[row*out:(row+1)*out])
				}
			}
		}
	}
}

// Products of the largest bytes, as many as are multiplied so, do not overflow.
func TestMulLargest(t *testing.T) { eachWay(t, testMulLargest) }

func testMulLargest(t *testing.T) {
	for _, in := range []int{mostBytes, mostBytes &^ (tileBytes - 1), mostBytes + 1} {
		m := Matrix{In: in, Parts: []Part{{Ints: make([]int8, tileRows*in), Scale: []float32{0: 1, tileRows - 1: 1}}}}
		x, out := make([]float32, in), make([]float32, tileRows)
		for i := range x {
			// The lower bytes of the second half are -128.
			m.Parts[0].Ints[i], m.Parts[0].Ints[(tileRows-1)*in+i], x[i] = -128, 127, mostSplit
			if i > in/2 {
				x[i] -= 255
			}
		}
		sum := 0.0
		for _, v := range x {
			sum += float64(v)
		}
		m.Mul(out, x, 1)
		require.InEpsilon(t, -128*sum, out[0], 1e-4)
		require.InEpsilon(t, 127*sum, out[tileRows-1], 1e-4)
	}
}

// What is no number is not hidden by a vector's largest and smallest.
func TestNaN(t *testing.T) { eachWay(t, testNaN) }

func testNaN(t *testing.T) {
	x := make([]float32, 37)
	x[20] = float32(math.NaN())
	require.True(t, math.IsNaN(float64(expSum(x, 0))))
	require.True(t, math.IsNaN(float64(x[20])))
	for _, odd := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
		w := make([]float32, 16*64)
		m := Matrix{In: 64, Parts: []Part{{Ints: make([]int8, len(w)), Scale: make([]float32, 16)}}}
		for _, m := range []Matrix{m, {In: 64, Parts: []Part{{Halves: bfloat16.FromFloat32s(w...)}}}, {In: 64, Parts: []Part{{Floats: w}}}} {
			row, out := make([]float32, 64), make([]float32, 16)
			row[7] = odd
			m.Mul(out, row, 1)
			for i := range out {
				require.True(t, math.IsNaN(float64(out[i])))
			}
		}
	}
	_, logProb := Greedy([]float32{1, float32(math.NaN()), 2})
	require.True(t, math.IsNaN(float64(logProb)))
}

// BenchmarkMul is one row, and eight, against matrices of a small and of a large model.
func BenchmarkMul(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name    string
		out, in int
	}{{"1024x192", 1024, 192}, {"192x512", 192, 512}, {"6144x2048", 6144, 2048}, {"150000x2048", 150000, 2048}} {
		floats := Matrix{In: c.in, Parts: []Part{{Floats: random(r, c.out*c.in)}}}
		ints := Matrix{In: c.in, Parts: []Part{{Ints: make([]int8, c.out*c.in), Scale: random(r, c.out)}}}
		halves := Matrix{In: c.in, Parts: []Part{{Halves: bfloat16.FromFloat32s(floats.Parts[0].Floats...)}}}
		for i := range ints.Parts[0].Ints { // what was never written is not in memory
			ints.Parts[0].Ints[i] = int8(i)
		}
		for kind, m := range map[string]Matrix{"float32": floats, "int8": ints, "bfloat16": halves} {
			for _, rows := range []int{1, 8} {
				x, out := random(r, rows*c.in), make([]float32, rows*c.out)
				b.Run(fmt.Sprintf("%s/%s/%d", c.name, kind, rows), func(b *testing.B) {
					for b.Loop() {
						m.Mul(out, x, rows)
					}
					b.ReportMetric(float64(rows*c.out*c.in)*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gmul/s")
				})
			}
		}
	}
}
