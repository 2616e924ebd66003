package hostmath

import "math"

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
	dot := func(a, b []float32) float64 {
		var sum [1]float32
		products(rows[float32]{sum[:], 1}, rows[float32]{a, n}, 1, rows[float32]{b, n}, 1, n)
		return float64(sum[0])
	}
	for ; len(x) > 0; out, x = out[n:], x[n:] {
		row := out[:n]
		for i := range row {
			row[i] = 1
		}
		mean := float32(dot(x, row) / float64(n))
		for i := range row {
			row[i] = x[i] - mean
		}
		inv := float32(1 / math.Sqrt(dot(row, row)/float64(n)+eps))
		for i := range row {
			row[i] = row[i]*inv*weight[i] + bias[i]
		}
	}
}
