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

// Attend is the attention of some queries q [few, dim] against the first length of the rows of their sequence: keys [capacity, dim], and
// values on their side, [dim, capacity]. The queries are scaled already. It goes into out [few, dim]; scores is room for few·length
// numbers.
func Attend[T number](out, q []float32, keys, values []T, scores []float32, dim, length int) {
	AttendMasked(out, dim, q, keys, values, scores, dim, length, nil)
}

// AttendMasked is [Attend] with the rows of out beginning stride from each other, and with a mask, if it is not nil, that may change
// what the i-th query's scores are: a negative infinity hides a key.
func AttendMasked[T number](out []float32, stride int, q []float32, keys, values []T, scores []float32, dim, length int, mask func(i int, scores []float32)) {
	few := len(q) / dim
	products(rows[float32]{scores, length}, rows[T]{keys, dim}, length, rows[float32]{q, dim}, few, dim)
	for i := range few {
		row := scores[i*length:][:length]
		if mask != nil {
			mask(i, row)
		}
		Softmax(row)
	}
	products(rows[float32]{out, stride}, rows[T]{values, len(values) / dim}, dim, rows[float32]{scores, length}, few, length)
}

// RMSNorm normalizes each row of x, as wide as weight, to a root mean square of one and scales it by weight, into out.
func RMSNorm(out, x, weight []float32, eps float64) {
	n := len(weight)
	for ; len(x) > 0; out, x = out[n:], x[n:] {
		var sum [1]float32
		products(rows[float32]{sum[:], 1}, rows[float32]{x, n}, 1, rows[float32]{x, n}, 1, n)
		inv := float32(1 / math.Sqrt(float64(sum[0])/float64(n)+eps))
		for i, w := range weight {
			out[i] = x[i] * inv * w
		}
	}
}

// LayerNorm normalizes each row of x, as wide as weight, to a mean of zero and a variance of one, scales it by weight and adds bias, into
// out.
func LayerNorm(out, x, weight, bias []float32, eps float64) {
	n := len(weight)
	ones := make([]float32, n)
	for i := range ones {
		ones[i] = 1
	}
	dot := func(a, b []float32) float64 {
		var sum [1]float32
		products(rows[float32]{sum[:], 1}, rows[float32]{a, n}, 1, rows[float32]{b, n}, 1, n)
		return float64(sum[0])
	}
	for ; len(x) > 0; out, x = out[n:], x[n:] {
		row, mean := out[:n], float32(dot(x, ones)/float64(n))
		for i := range row {
			row[i] = x[i] - mean
		}
		inv := float32(1 / math.Sqrt(dot(row, row)/float64(n)+eps))
		for i := range row {
			row[i] = row[i]*inv*weight[i] + bias[i]
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

// Greedy is the first of the largest of a row of logits, and the natural logarithm of what softmax makes of it. It leaves nothing of the logits.
func Greedy(logits []float32) (token int, logProb float32) {
	for i, v := range logits {
		if v > logits[token] {
			token = i
		}
	}
	return token, -float32(math.Log(float64(expSum(logits, logits[token]))))
}
