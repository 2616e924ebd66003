//go:build !goexperiment.simd || !amd64

package hostmath

func dotRows(out, w []float32, stride int, x []float32) { plainDotRows(out, w, stride, x) }
func widenHalves(out []float32, in []uint16)            { plainWidenHalves(out, in) }
func widenInts(out []float32, in []int8)                { plainWidenInts(out, in) }
func expSum(x []float32, top float32) float32           { return plainExpSum(x, top) }
