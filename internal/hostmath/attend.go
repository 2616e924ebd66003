package hostmath

import "math"

// Softmax turns scores into weights that add up to 1, in place.
func Softmax(x []float32) {
	top := float32(math.Inf(-1))
	for _, v := range x {
		top = max(top, v)
	}
	scale := 1 / expSum(x, top)
	for i := range x {
		x[i] *= scale
	}
}

// Attend is the attention of one query q [dim] against the first length of the rows of its sequence: keys [capacity, dim], and values
// on their side, [dim, capacity]. The query is scaled already. It goes into out [dim]; scores is room for length numbers.
func Attend(out, q, keys, values, scores []float32, length int) {
	dim := len(q)
	scores = scores[:length]
	dotRows(scores, keys, dim, q)
	Softmax(scores)
	dotRows(out, values, len(values)/dim, scores)
}

// RMSNorm normalizes each row of x, as wide as weight, to a root mean square of one and scales it by weight, into out.
func RMSNorm(out, x, weight []float32, eps float64) {
	n := len(weight)
	for ; len(x) > 0; out, x = out[n:], x[n:] {
		var sum [1]float32
		dotRows(sum[:], x, n, x[:n])
		inv := float32(1 / math.Sqrt(float64(sum[0])/float64(n)+eps))
		for i, w := range weight {
			out[i] = x[i] * inv * w
		}
	}
}

// Rotate applies a rotary embedding to each of the heads of a row, as wide as dim, in the half-split form, in place, with the cosines
// and sines of its angles [n]: the first 2·n of the dim are turned.
func Rotate(row []float32, dim int, cos, sin []float32) {
	half := len(cos)
	for ; len(row) > 0; row = row[dim:] {
		first, second := row[:half], row[half:2*half]
		for i, c := range cos {
			a, b := first[i], second[i]
			first[i], second[i] = a*c-b*sin[i], b*c+a*sin[i]
		}
	}
}

// Sigmoid is 1/(1+e^-x).
func Sigmoid(x float32) float32 { return 1 / (1 + Exp(-x)) }

// SwiGLU is silu(gate)·value for a row of gates and then as many values, into out.
func SwiGLU(out, row []float32) {
	gate, value := row[:len(out)], row[len(out):]
	for i, g := range gate {
		out[i] = g * Sigmoid(g) * value[i]
	}
}
