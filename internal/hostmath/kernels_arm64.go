package hostmath

import "golang.org/x/sys/cpu"

// native are NEON's instructions, which every such processor has, and first those with dot products of bytes, where it has them.
func native() []*instructions {
	neon := instructions{
		name: "NEON", lanes: 8,
		floats: [3]kernel{oneFloat, twoFloat, fourFloat}, halves: [3]kernel{oneHalf, twoHalf, fourHalf}, ints: [3]kernel{oneInt, twoInt, fourInt},
		whole: 8, columns: columnsNEON, outer: outerNEON, most: mostNEON, exp: expNEON, swiglu: swigluNEON,
	}
	if !cpu.ARM64.HasASIMDDP {
		return []*instructions{&neon}
	}
	dots := neon
	dots.name, dots.bytes, dots.peak, dots.split = "NEON with dot products", [3]kernel{oneBytesNEON, twoBytesNEON}, peakNEON, splitNEON
	dots.byteLanes, dots.wholeBytes = 16, 16
	return []*instructions{&dots, &neon}
}

//go:noescape
func oneBytesNEON(a *operands)

//go:noescape
func twoBytesNEON(a *operands)

//go:noescape
func peakNEON(x *float32, n int) float32

//go:noescape
func splitNEON(upper, lower *int8, x *float32, n int, by float32) (uppers, lowers int32)

//go:noescape
func oneFloat(a *operands)

//go:noescape
func twoFloat(a *operands)

//go:noescape
func fourFloat(a *operands)

//go:noescape
func oneHalf(a *operands)

//go:noescape
func twoHalf(a *operands)

//go:noescape
func fourHalf(a *operands)

//go:noescape
func oneInt(a *operands)

//go:noescape
func twoInt(a *operands)

//go:noescape
func fourInt(a *operands)

//go:noescape
func columnsNEON(a *columnOperands)

//go:noescape
func outerNEON(s *float32, rows, columns int, k, v *float32, decay float32)

//go:noescape
func mostNEON(x *float32, n int) float32

//go:noescape
func expNEON(x *float32, n int, top float32) float32

//go:noescape
func swigluNEON(out, gate, value *float32, n int)
