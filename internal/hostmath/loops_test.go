package hostmath

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute/dtypes/bfloat16"
	"github.com/stretchr/testify/require"
)

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
		AttendRows(got, q, keys, upright, make([]float32, few*capacity), dim, length)
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
