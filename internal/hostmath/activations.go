package hostmath

import "math"

// Activation is a function of each of some numbers, in place.
type Activation func(x []float32)

// activationRun is how many numbers go through an activation at a time.
const activationRun = 512

// activationRooms are room for as many numbers.
var activationRooms pool[[activationRun]float32]

// sigmoids makes x·sigmoid(f(x)) of each x, where minus puts -f of some numbers into t.
func sigmoids(x []float32, minus func(t, x []float32)) {
	room := activationRooms.get()
	defer activationRooms.put(room)
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

// GELU is the exact form with the error function (torch.nn.GELU()), which is off by at most 2e-7: Abramowitz and Stegun, Handbook of
// Mathematical Functions, 7.1.26.
func GELU(x []float32) {
	const p, a1, a2, a3, a4, a5 = 0.3275911, 0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429
	room := activationRooms.get()
	defer activationRooms.put(room)
	for ; len(x) > 0; x = x[min(len(x), activationRun):] {
		run := x[:min(len(x), activationRun)]
		e := room[:len(run)]
		for i, v := range run {
			e[i] = -0.5 * v * v
		}
		expSum(e, 0)
		for i, v := range run {
			t := 1 / (1 + p/math.Sqrt2*float32(math.Abs(float64(v))))
			// Half of the complement of the error function, which is what is left of a number below zero.
			rest := 0.5 * t * (a1 + t*(a2+t*(a3+t*(a4+t*a5)))) * e[i]
			if v > 0 {
				rest = 1 - rest
			}
			run[i] = v * rest
		}
	}
}
