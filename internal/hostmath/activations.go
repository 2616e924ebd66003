package hostmath

import "math"

// Activation is a function of each of some numbers, in place.
type Activation func(x []float32)

// activationRun is how many numbers go through an activation at a time.
const activationRun = 512

// sigmoids makes x·sigmoid(f(x)) of each x, where minus puts -f of some numbers into t.
func sigmoids(x []float32, minus func(t, x []float32)) {
	room := make([]float32, min(len(x), activationRun))
	for ; len(x) > 0; x = x[min(len(x), activationRun):] {
		run := x[:min(len(x), activationRun)]
		t := room[:len(run)]
		minus(t, run)
		expSum(t, 0)
		for i, e := range t {
			run[i] /= 1 + e
		}
	}
}

// QuickGELU is x·sigmoid(1.702·x) (transformers' "quick_gelu").
func QuickGELU(x []float32) {
	sigmoids(x, func(t, x []float32) {
		for i, v := range x {
			t[i] = -1.702 * v
		}
	})
}

// SiLU is x·sigmoid(x).
func SiLU(x []float32) {
	sigmoids(x, func(t, x []float32) {
		for i, v := range x {
			t[i] = -v
		}
	})
}

// GELUTanh is the approximation of GELU with a hyperbolic tangent (transformers' "gelu_pytorch_tanh"), which is a sigmoid of twice
// its argument.
func GELUTanh(x []float32) {
	const factor, cubic = -2 * 0.7978845608028654, 0.044715 // the square root of 2/π
	sigmoids(x, func(t, x []float32) {
		for i, v := range x {
			t[i] = factor * v * (1 + cubic*v*v)
		}
	})
}

// GELU is the exact form with the error function (torch.nn.GELU()).
func GELU(x []float32) {
	for i, v := range x {
		x[i] = float32(0.5 * float64(v) * (1 + math.Erf(float64(v)/math.Sqrt2)))
	}
}
