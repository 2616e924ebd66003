//go:build goexperiment.simd && amd64

package hostmath

import (
	"simd/archsimd"
	"unsafe"
)

// hasVectors says whether the processor has what the kernels below use.
var hasVectors = archsimd.X86.AVX2() && archsimd.X86.FMA()

const lanes = 8

func load(p *float32, i int) archsimd.Float32x8 {
	return archsimd.LoadFloat32x8((*[lanes]float32)(unsafe.Add(unsafe.Pointer(p), i*4)))
}

// Go's scalar float32 instructions are those of SSE, which wait while the upper halves of the vector registers are in use: with four of them in
// a block of rows these kernels took longer than the plain ones. So none is between a kernel's first vector and ClearAVXUpperBits, and the loops are in
// functions of their own, in which the compiler has no float32 to keep.

// dotRows is the product of x [n] with each of the rows of w that go into out. They begin stride numbers from each other.
func dotRows(out, w []float32, stride int, x []float32) {
	n := len(x)
	if !hasVectors || n < lanes || len(out) == 0 {
		plainDotRows(out, w, stride, x)
		return
	}
	_ = w[:(len(out)-1)*stride+n]
	whole := n &^ (lanes - 1)
	dotVectors(out, w, stride, x[:whole])
	if whole == n {
		return
	}
	for i := range out {
		sum := out[i]
		row := w[i*stride:][:n]
		for j := whole; j < n; j++ {
			sum += row[j] * x[j]
		}
		out[i] = sum
	}
}

// dotVectors is dotRows for an x of whole vectors.
func dotVectors(out, w []float32, stride int, x []float32) {
	n, px := len(x), unsafe.SliceData(x)
	for i := 0; i < len(out); i += block {
		// A block at the end goes over its last row again, so that every sum is added up in one order.
		row := func(j int) *float32 { return unsafe.SliceData(w[min(i+j, len(out)-1)*stride:]) }
		pa, pb, pc, pd := row(0), row(1), row(2), row(3)
		var a0, a1, b0, b1, c0, c1, d0, d1 archsimd.Float32x8
		j := 0
		for ; j+2*lanes <= n; j += 2 * lanes {
			x0, x1 := load(px, j), load(px, j+lanes)
			a0, a1 = load(pa, j).MulAdd(x0, a0), load(pa, j+lanes).MulAdd(x1, a1)
			b0, b1 = load(pb, j).MulAdd(x0, b0), load(pb, j+lanes).MulAdd(x1, b1)
			c0, c1 = load(pc, j).MulAdd(x0, c0), load(pc, j+lanes).MulAdd(x1, c1)
			d0, d1 = load(pd, j).MulAdd(x0, d0), load(pd, j+lanes).MulAdd(x1, d1)
		}
		if j < n {
			x0 := load(px, j)
			a0, b0, c0, d0 = load(pa, j).MulAdd(x0, a0), load(pb, j).MulAdd(x0, b0), load(pc, j).MulAdd(x0, c0), load(pd, j).MulAdd(x0, d0)
		}
		ab := a0.Add(a1).AddPairsGrouped(b0.Add(b1))
		cd := c0.Add(c1).AddPairsGrouped(d0.Add(d1))
		all := ab.AddPairsGrouped(cd)
		sums := all.GetLo().Add(all.GetHi())
		if i+block <= len(out) {
			sums.Store((*[block]float32)(out[i:]))
		} else {
			var last [block]float32
			sums.Store(&last)
			copy(out[i:], last[:])
		}
	}
	archsimd.ClearAVXUpperBits()
}

func widenHalves(out []float32, in []uint16) {
	i := 0
	if in = in[:len(out)]; hasVectors {
		for ; i+lanes <= len(out); i += lanes {
			archsimd.LoadUint16x8Slice(in[i:]).ExtendToUint32().ShiftAllLeft(16).AsFloat32x8().StoreSlice(out[i:])
		}
		archsimd.ClearAVXUpperBits()
	}
	plainWidenHalves(out[i:], in[i:])
}

func widenInts(out []float32, in []int8) {
	i := 0
	if in = in[:len(out)]; hasVectors {
		for ; i+2*lanes <= len(out); i += lanes { // it loads sixteen and uses eight
			archsimd.LoadInt8x16Slice(in[i:]).ExtendLo8ToInt32().ConvertToFloat32().StoreSlice(out[i:])
		}
		archsimd.ClearAVXUpperBits()
	}
	plainWidenInts(out[i:], in[i:])
}

// expSum puts exp(x-top) in the place of each x and returns their sum. See Exp.
func expSum(x []float32, top float32) float32 {
	if !hasVectors {
		return plainExpSum(x, top)
	}
	whole := len(x) &^ (lanes - 1)
	var parts [lanes]float32
	expVectors(x[:whole], &top, &parts)
	total := plainExpSum(x[whole:], top)
	for _, p := range parts {
		total += p
	}
	return total
}

// expVectors is expSum for whole vectors, with a sum for each lane.
//
//go:noinline
func expVectors(x []float32, top *float32, parts *[lanes]float32) {
	c := archsimd.BroadcastFloat32x8
	shift, least, log, high, low, one := c(*top), c(leastExp), c(log2E), c(-ln2High), c(-ln2Low), c(1)
	e7, e6, e5, e4, e3, e2 := c(exp7), c(exp6), c(exp5), c(exp4), c(exp3), c(exp2)
	bias := archsimd.BroadcastInt32x8(127)
	var sum archsimd.Float32x8
	for i := 0; i+lanes <= len(x); i += lanes {
		v := archsimd.LoadFloat32x8Slice(x[i:]).Sub(shift)
		real := v.GreaterEqual(least)
		v = v.Max(least)
		n := v.Mul(log).RoundToEven()
		v = n.MulAdd(low, n.MulAdd(high, v))
		y := e7.MulAdd(v, e6).MulAdd(v, e5).MulAdd(v, e4).MulAdd(v, e3).MulAdd(v, e2).MulAdd(v.Mul(v), v).Add(one)
		y = y.Mul(n.ConvertToInt32().Add(bias).ShiftAllLeft(23).AsFloat32x8()).Masked(real)
		y.StoreSlice(x[i:])
		sum = sum.Add(y)
	}
	sum.Store(parts)
	archsimd.ClearAVXUpperBits()
}
