package imageproc

import "math"

// taps is a filter from one row (or column) of samples to another, as in PyTorch's
// _compute_index_ranges_int16_weights (aten/src/ATen/native/cpu/UpSampleKernel.cpp): output sample i is the sum over k
// of weights[i][k] * input[first[i]+k], rounded, in fixed point with shift fractional bits.
type taps struct {
	first   []int
	weights [][]int32
	shift   uint
	longest int
}

// kernel is a filter's shape, and how its weights are kept.
type kernel struct {
	halfWidth float64 // in samples of the coarser side
	at        func(x float64) float64
	bits      uint // of a weight with its sign: as many fractional bits as keep the largest within them
}

// torchCubic is torchvision's bicubic filter of 8-bit pictures.
var torchCubic = kernel{2, cubic, 16}

// newTaps returns the filter from in samples to out.
func newTaps(in, out int, kern kernel) taps {
	scale := float64(in) / float64(out)
	support, inverse := kern.halfWidth, 1.0
	if scale >= 1 { // antialias: the kernel is stretched to the output's pitch
		support, inverse = kern.halfWidth*scale, 1/scale
	}
	most := int(math.Ceil(support))*2 + 1
	float := make([]float64, out*most)
	t := taps{first: make([]int, out), weights: make([][]int32, out)}
	counts := make([]int, out)
	largest := 0.0
	for i := range out {
		center := scale * (float64(i) + 0.5)
		lo := max(int(center-support+0.5), 0)
		n := min(max(min(int(center+support+0.5), in)-lo, 0), most)
		w := float[i*most:][:n]
		sum := 0.0
		for k := range w {
			w[k] = kern.at((float64(k+lo) - center + 0.5) * inverse)
			sum += w[k]
		}
		for k := range w {
			if sum != 0 {
				w[k] /= sum
			}
			largest = max(largest, w[k])
		}
		t.first[i], counts[i] = lo, n
	}
	for t.shift < 22 && int(0.5+largest*float64(int(1)<<(t.shift+1))) < 1<<(kern.bits-1) {
		t.shift++
	}
	fixed := make([]int32, out*most)
	for i := range out {
		w := fixed[i*most:][:counts[i]]
		for k := range w {
			w[k] = int32(float[i*most+k]*float64(int(1)<<t.shift) + math.Copysign(0.5, float[i*most+k]))
		}
		t.weights[i] = w
		t.longest = max(t.longest, len(w))
	}
	return t
}

// cubic is Keys' kernel with a = -0.5, as Pillow and torch have it under antialias (OpenCV, and torch without
// antialias, use -0.75). The conversions keep each product rounded on machines that would fuse it with the addition.
func cubic(x float64) float64 {
	const a = -0.5
	x = math.Abs(x)
	switch {
	case x < 1:
		return float64(float64(float64((a+2)*x)-(a+3))*x)*x + 1
	case x < 2:
		return float64(float64(float64(float64(a*x)-5*a)*x+8*a)*x) - 4*a
	}
	return 0
}
