package hostmath

import (
	"math"

	"github.com/gomlx/compute/dtypes/bfloat16"
)

// These are the kernels in plain Go, which every build has.

// plainProducts is products in plain Go.
func plainProducts[T number](out rows[float32], w rows[T], many int, x rows[float32], few, n int) {
	floats, ok := any(w).(rows[float32])
	if ok && few == 1 {
		dotRows(out.at(0, many), floats, x.at(0, n))
		return
	}
	var scratch []float32
	if !ok {
		scratch = make([]float32, block*n)
	}
	for i := 0; i < many; i += block { // some rows of the matrix at a time, which stay in the cache for all rows of x
		end := min(many, i+block)
		some := rows[float32]{scratch, n}
		if ok {
			some = rows[float32]{floats.flat[i*w.stride:], w.stride}
		} else {
			for j := i; j < end; j++ {
				widen(scratch[(j-i)*n:][:n], w.at(j, n))
			}
		}
		for row := range few {
			dotRows(out.at(row, many)[i:end], some, x.at(row, n))
		}
	}
}

// dotRows is the product of x with as many of the rows w as out has room for.
func dotRows(out []float32, w rows[float32], x []float32) {
	n, i := len(x), 0
	for ; i+block <= len(out); i += block {
		a, b, c, d := w.at(i, n), w.at(i+1, n), w.at(i+2, n), w.at(i+3, n)
		var a0, a1, b0, b1, c0, c1, d0, d1 float32 // two sums a row, so that an addition need not wait for the one before
		for j := 1; j < n; j += 2 {
			x0, x1 := x[j-1], x[j]
			a0 += a[j-1] * x0
			b0 += b[j-1] * x0
			c0 += c[j-1] * x0
			d0 += d[j-1] * x0
			a1 += a[j] * x1
			b1 += b[j] * x1
			c1 += c[j] * x1
			d1 += d[j] * x1
		}
		if n%2 == 1 {
			a0, b0, c0, d0 = a0+a[n-1]*x[n-1], b0+b[n-1]*x[n-1], c0+c[n-1]*x[n-1], d0+d[n-1]*x[n-1]
		}
		out[i], out[i+1], out[i+2], out[i+3] = a0+a1, b0+b1, c0+c1, d0+d1
	}
	for ; i < len(out); i++ {
		out[i] = dot(w.at(i, n), x)
	}
}

// dot adds in the order of dotRows, so that a sum does not depend on its place in a block.
func dot(w, x []float32) float32 {
	w = w[:len(x)]
	var a0, a1 float32
	for j := 1; j < len(x); j += 2 {
		a0 += w[j-1] * x[j-1]
		a1 += w[j] * x[j]
	}
	if n := len(x); n%2 == 1 {
		a0 += w[n-1] * x[n-1]
	}
	return a0 + a1
}

// addProducts adds the product of x with each of the rows w to a number of out. It is for the few numbers that fill no vector.
func addProducts[T number](out []float32, w rows[T], x []float32) {
	var scratch [64]float32
	for i := range out {
		row := scratch[:len(x)]
		widen(row, w.at(i, len(x)))
		out[i] += dot(row, x)
	}
}

// widen makes float32 of numbers.
func widen[T number](out []float32, in []T) {
	switch in := any(in).(type) {
	case []float32:
		copy(out, in)
	case []bfloat16.BFloat16:
		in = in[:len(out)]
		for i := range out {
			out[i] = math.Float32frombits(uint32(in[i]) << 16)
		}
	case []int8:
		in = in[:len(out)]
		for i := range out {
			out[i] = float32(in[i])
		}
	}
}

// Numbers of the exponential function: Cephes's expf (Stephen L. Moshier), whose relative error is below 2e-7 here.
const (
	leastExp = -87.3 // below it the result is no normal number, and 0 is given
	mostExp  = 88.3
	log2E    = 1.44269504088896341
	ln2High  = 0.693359375 // with ln2Low, the logarithm of 2 in two pieces
	ln2Low   = -2.12194440e-4
	exp7     = 1.9875691500e-4
	exp6     = 1.3981999507e-3
	exp5     = 8.3334519073e-3
	exp4     = 4.1665795894e-2
	exp3     = 1.6666665459e-1
	exp2     = 5.0000001201e-1
	round    = 3 << 22 // adding it and taking it away again rounds a float32 to an integer
)

// Exp is the exponential function; below -87.3 it is 0, and above 88.3 what it is there.
func Exp(x float32) float32 {
	if x < leastExp {
		return 0
	}
	x = min(x, mostExp)
	n := float32(x*log2E+round) - round
	x = x - n*ln2High - n*ln2Low
	y := (((((exp7*x+exp6)*x+exp5)*x+exp4)*x+exp3)*x+exp2)*(x*x) + x + 1
	return y * math.Float32frombits(uint32(int32(n)+127)<<23)
}
