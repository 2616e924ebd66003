package checkpoint

import (
	"math"
	"sync"
)

// The types of 8 bits have so few numbers that each conversion is a table, made of the definitions below once and by the
// same rounding as everything else.

// widen8 returns the bits of the float32 that equals a number of 8 bits, for each type that is read.
var widen8 = map[DType]func(code uint8) uint32{
	F8E4M3: widenE4M3,
	F8E5M2: widenE5M2,
	F8E8M0: widenE8M0,
}

// quietNaN is the bits of the NaN that every NaN of 8 bits becomes; the sign is added.
const quietNaN = 0x7fc00000

// widenE4M3 widens float8_e4m3fn: sign, 4 bits of exponent with a bias of 7, 3 of fraction. It has no infinities; only the
// largest code of either sign is NaN, and 448 is the largest number (Micikevicius et al., FP8 Formats for Deep Learning).
func widenE4M3(code uint8) uint32 {
	sign, exponent, fraction := uint32(code&0x80)<<24, uint32(code>>3&0xf), uint32(code&7)
	switch {
	case code&0x7f == 0x7f:
		return sign | quietNaN
	case exponent == 0: // zero and subnormal: multiples of 2^-9
		return sign | math.Float32bits(float32(fraction)*0x1p-9)
	}
	return sign | (exponent+127-7)<<23 | fraction<<20
}

// widenE5M2 widens float8_e5m2, which is half precision without its lower byte.
func widenE5M2(code uint8) uint32 {
	if code&0x7f > 0x7c {
		return uint32(code&0x80)<<24 | quietNaN
	}
	return widenHalf(uint16(code) << 8)
}

// widenE8M0 widens float8_e8m0fnu, the powers of two from 2^-127 to 2^127 that scale blocks in the OCP microscaling formats.
// It has no sign and no zero; the largest code is NaN.
func widenE8M0(code uint8) uint32 {
	switch code {
	case 0xff:
		return quietNaN
	case 0: // 2^-127, a subnormal of float32
		return 1 << 22
	}
	return uint32(code) << 23
}

// tables8 are the conversions of a type of 8 bits.
type tables8 struct {
	f32       [256]float32
	bf16, f16 [256]uint16
}

var allTables8 = sync.OnceValue(func() map[DType]*tables8 {
	all := map[DType]*tables8{}
	for dtype, widen := range widen8 {
		t := &tables8{}
		for code := range 256 {
			b := widen(uint8(code))
			t.f32[code], t.bf16[code], t.f16[code] = math.Float32frombits(b), roundBFloat16(b), roundHalf(b)
		}
		all[dtype] = t
	}
	return all
})

// converter8 returns the function that fills dst from stored elements of 8 bits, nil where there is none.
func converter8[T uint16 | float32](from, to DType) func(dst []T, src []byte) {
	t, ok := allTables8()[from]
	if !ok {
		return nil
	}
	table, ok := map[DType]any{F32: &t.f32, BF16: &t.bf16, F16: &t.f16}[to].(*[256]T)
	if !ok {
		return nil
	}
	return func(dst []T, src []byte) {
		src = src[:len(dst)]
		for i, code := range src {
			dst[i] = table[code]
		}
	}
}
