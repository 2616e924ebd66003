package hostmath

import (
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

func TestExp(t *testing.T) { eachWay(t, testExp) }

func testExp(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var x []float32
	for range 1003 {
		x = append(x, float32(r.Float64()*200-100))
	}
	x = append(x, 0, -0.5, 1e-9, -1e30, float32(math.Inf(-1)), -87.3, -87.2)
	got := append([]float32{}, x...)
	sum, want := expSum(got, 100), 0.0
	for i := range x {
		v := math.Exp(float64(x[i] - 100))
		want += v
		require.InDelta(t, v, got[i], 3e-7*v+1.2e-38, "exp(%v)", x[i]-100)
	}
	require.InDelta(t, want, sum, 1e-5*want)
	for _, v := range x {
		if v < 88 {
			require.InDelta(t, math.Exp(float64(v)), Exp(v), 3e-7*math.Exp(float64(v))+1.2e-38, "exp(%v)", v)
		}
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

func TestGreedy(t *testing.T) { eachWay(t, testGreedy) }

func testGreedy(t *testing.T) {
	logits := make([]float32, 1001)
	logits[600], logits[700], logits[3] = 8, 8, 7
	token, logProb := Greedy(logits)
	require.Equal(t, 600, token)
	require.InDelta(t, -math.Log(2+math.Exp(-1)+998*math.Exp(-8)), logProb, 1e-5)
}

func TestAttend(t *testing.T) { eachWay(t, testAttend) }

func testAttend(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const dim, capacity, few = 48, 112, 5
	for _, length := range []int{1, 2, 9, 17, 64, 112} {
		q, keys, values := random(r, few*dim), random(r, dim*capacity), random(r, dim*capacity)
		halfKeys, halfValues := bfloat16.FromFloat32s(keys...), bfloat16.FromFloat32s(values...)
		for i := range keys {
			keys[i], values[i] = halfKeys[i].Float32(), halfValues[i].Float32()
		}
		want := make([]float32, few*dim)
		for row := range few {
			weights, total := make([]float64, length), 0.0
			for i := range weights {
				for d := range dim {
					weights[i] += float64(q[row*dim+d]) * float64(keys[i*dim+d])
				}
				weights[i] = math.Exp(weights[i])
				total += weights[i]
			}
			for d := range dim {
				for i, w := range weights {
					want[row*dim+d] += float32(w / total * float64(values[d*capacity+i]))
				}
			}
		}
		for i := length * dim; i < len(keys); i++ { // what is behind is not read
			keys[i], halfKeys[i] = float32(math.NaN()), bfloat16.FromFloat32(float32(math.NaN()))
		}
		for i := range values {
			if i%capacity >= length {
				values[i], halfValues[i] = float32(math.NaN()), bfloat16.FromFloat32(float32(math.NaN()))
			}
		}
		got, sideways, upright := make([]float32, few*dim), make([]float32, len(keys)), make([]float32, len(values))
		for i := range capacity {
			for d := range dim {
				sideways[d*capacity+i], upright[i*dim+d] = keys[i*dim+d], values[d*capacity+i]
			}
		}
		AttendColumns(got, dim, q, sideways, upright, make([]float32, few*capacity), dim, length, nil)
		near(t, want, got)
		Attend(got, q, keys, values, make([]float32, few*capacity), dim, length)
		near(t, want, got)
		Attend(got, q, halfKeys, halfValues, make([]float32, few*capacity), dim, length)
		near(t, want, got)
	}
}

func TestRMSNorm(t *testing.T) { eachWay(t, testRMSNorm) }

func testRMSNorm(t *testing.T) {
	out := make([]float32, 4)
	RMSNorm(out, []float32{3, 4, 0, 2}, []float32{1, 2}, 0.5)
	near(t, []float32{3 / 3.605551, 8 / 3.605551, 0, 4 / 1.5811388}, out)
}

func TestRotate(t *testing.T) {
	x := []float32{1, 2, 3, 4, 5, 10, 20, 30, 40, 50}
	Rotate(x, 5, []float32{0, 1}, []float32{1, 0})
	near(t, []float32{-3, 2, 1, 4, 5, -30, 20, 10, 40, 50}, x)
}

func TestSwiGLU(t *testing.T) { eachWay(t, testSwiGLU) }

func testSwiGLU(t *testing.T) {
	out := make([]float32, 3)
	SwiGLU(out, []float32{0, 1, -200, 5, 2, 7})
	near(t, []float32{0, 2 * 0.7310586, 0}, out)

	row, long := make([]float32, 2*203), make([]float32, 203)
	for i := range long {
		row[i], row[203+i] = float32(i-100)*0.9, float32(i%5)
	}
	SwiGLU(long, row)
	for i, got := range long {
		g := float64(row[i])
		require.InDelta(t, g/(1+math.Exp(-g))*float64(row[203+i]), got, 1e-5*(1+math.Abs(g)), "gate %v", g)
	}
}

func TestActivations(t *testing.T) { eachWay(t, testActivations) }

func testActivations(t *testing.T) {
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	for name, c := range map[string]struct {
		act  Activation
		want func(x float64) float64
	}{
		"quick_gelu":        {QuickGELU, func(x float64) float64 { return x * sigmoid(1.702*x) }},
		"silu":              {SiLU, func(x float64) float64 { return x * sigmoid(x) }},
		"gelu_pytorch_tanh": {GELUTanh, func(x float64) float64 { return x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))) / 2 }},
		"gelu":              {GELU, func(x float64) float64 { return x * (1 + math.Erf(x/math.Sqrt2)) / 2 }},
	} {
		var x []float32
		for v := -120.0; v < 120; v += 0.0917 {
			x = append(x, float32(v))
		}
		x = append(x, 0, float32(math.NaN()))
		got := append([]float32{}, x...)
		c.act(got)
		for i, v := range x[:len(x)-1] {
			require.InDelta(t, c.want(float64(v)), got[i], 1e-6*(1+math.Abs(float64(v))), "%s(%v)", name, v)
		}
		require.True(t, math.IsNaN(float64(got[len(got)-1])), name)
	}
}

func TestLayerNorm(t *testing.T) { eachWay(t, testLayerNorm) }

func testLayerNorm(t *testing.T) {
	out := make([]float32, 6)
	LayerNorm(out, []float32{1, 2, 6, 100, 100, 103}, []float32{1, 2, 1}, []float32{0, 0, 5}, 1)
	near(t, []float32{-2 / 2.380476, -2 / 2.380476, 5 + 3/2.380476, -1 / 1.7320508, -2 / 1.7320508, 5 + 2/1.7320508}, out)
}

// The rule as its paper has it, and a few tokens after each other.
func TestGatedDelta(t *testing.T) { eachWay(t, testGatedDelta) }

func testGatedDelta(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	const keyDim, valueDim = 24, 48
	state, want := random(r, keyDim*valueDim), make([]float64, keyDim*valueDim)
	for i, v := range state {
		want[i] = float64(v)
	}
	var room DeltaRoom
	for range 3 {
		q, k, v, decay, rate := random(r, keyDim), random(r, keyDim), random(r, valueDim), 0.8, 0.05
		for i := range want {
			want[i] *= decay
		}
		read := make([]float32, valueDim)
		for j := range valueDim {
			var known float64
			for i := range keyDim {
				known += float64(k[i]) * want[i*valueDim+j]
			}
			for i := range keyDim {
				want[i*valueDim+j] += float64(k[i]) * rate * (float64(v[j]) - known)
				read[j] += q[i] * float32(want[i*valueDim+j])
			}
		}
		got := make([]float32, valueDim)
		GatedDelta(got, state, q, k, v, float32(decay), float32(rate), &room)
		near(t, read, got)
		for i := range want {
			require.InDelta(t, want[i], state[i], 1e-4)
		}
	}
}

// Parallel covers each index once.
func TestParallel(t *testing.T) {
	for _, n := range []int{0, 1, 2, 7, 1000} {
		seen := make([]int32, n)
		Parallel(n, forkCost, func(from, to int) {
			for i := from; i < to; i++ {
				seen[i]++
			}
		})
		for _, count := range seen {
			require.EqualValues(t, 1, count)
		}
	}
}

// BenchmarkMul is a row against matrices of a small and of a large model.
func BenchmarkMul(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name    string
		out, in int
	}{{"1024x192", 1024, 192}, {"192x512", 192, 512}, {"6144x2048", 6144, 2048}, {"150000x2048", 150000, 2048}} {
		m := Matrix{In: c.in, Parts: []Part{{Floats: random(r, c.out*c.in)}}}
		ints := Matrix{In: c.in, Parts: []Part{{Ints: make([]int8, c.out*c.in), Scale: random(r, c.out)}}}
		halves := Matrix{In: c.in, Parts: []Part{{Halves: make([]bfloat16.BFloat16, c.out*c.in)}}}
		for i := range c.out * c.in { // what was never written is not in memory
			ints.Parts[0].Ints[i], halves.Parts[0].Halves[i] = int8(i), bfloat16.BFloat16(0x3f80|i&0x7f)
		}
		x, out := random(r, c.in), make([]float32, c.out)
		for kind, m := range map[string]Matrix{"float32": m, "int8": ints, "bfloat16": halves} {
			b.Run(c.name+"/"+kind, func(b *testing.B) {
				for b.Loop() {
					m.Mul(out, x, 1)
				}
				b.ReportMetric(float64(c.out*c.in)*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gmul/s")
			})
		}
	}
}
