package hostmath

import "math"

// These are the kernels in plain Go, which every build has.

// plainDotRows is the product of x [n] with each of the rows of w that go into out. They begin stride numbers from each other.
func plainDotRows(out, w []float32, stride int, x []float32) {
	n, i := len(x), 0
	for ; i+block <= len(out); i += block {
		a, b, c, d := w[i*stride:][:n], w[(i+1)*stride:][:n], w[(i+2)*stride:][:n], w[(i+3)*stride:][:n]
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
		out[i] = plainDot(w[i*stride:][:n], x)
	}
}

// plainDot adds in the order of plainDotRows, so that a sum does not depend on its place in a block.
func plainDot(w, x []float32) float32 {
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

func plainWidenHalves(out []float32, in []uint16) {
	in = in[:len(out)]
	for i := range out {
		out[i] = math.Float32frombits(uint32(in[i]) << 16)
	}
}

func plainWidenInts(out []float32, in []int8) {
	in = in[:len(out)]
	for i := range out {
		out[i] = float32(in[i])
	}
}

// plainExpSum puts exp(x-top) in the place of each x and returns their sum.
func plainExpSum(x []float32, top float32) float32 {
	var sum float32
	for i := range x {
		x[i] = Exp(x[i] - top)
		sum += x[i]
	}
	return sum
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
