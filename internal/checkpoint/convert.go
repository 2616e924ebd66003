package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"
)

// converter returns the function that fills dst from len(dst) stored elements
// of type from, as elements of type to. T is float32 for F32, else uint16.
func converter[T uint16 | float32](from, to DType) (func(dst []T, src []byte), error) {
	type pair struct{ from, to DType }
	table := map[pair]any{
		{F32, F32}:   loadFloat32,
		{F16, F32}:   float16ToFloat32,
		{BF16, F32}:  bfloat16ToFloat32,
		{F32, BF16}:  float32ToBFloat16,
		{F16, BF16}:  float16ToBFloat16,
		{BF16, BF16}: loadUint16,
		{F32, F16}:   float32ToFloat16,
		{F16, F16}:   loadUint16,
		{BF16, F16}:  bfloat16ToFloat16,
	}
	if convert, ok := table[pair{from, to}].(func(dst []T, src []byte)); ok {
		return convert, nil
	}
	if convert := converter8[T](from, to); convert != nil {
		return convert, nil
	}
	return nil, fmt.Errorf("its type %s cannot be converted to %s: only F32, F16, BF16, F8_E4M3, F8_E5M2 and F8_E8M0 can", from, to)
}

// storer returns the function that rounds float32 to elements of type to.
func storer[T uint16 | float32](to DType) func(dst []T, src []float32) {
	table := map[DType]any{
		F32:  func(dst, src []float32) { copy(dst, src) },
		BF16: func(dst []uint16, src []float32) { roundAll(dst, src, roundBFloat16) },
		F16:  func(dst []uint16, src []float32) { roundAll(dst, src, roundHalf) },
	}
	store, _ := table[to].(func(dst []T, src []float32))
	return store
}

func roundAll(dst []uint16, src []float32, round func(uint32) uint16) {
	src = src[:len(dst)]
	for i, v := range src {
		dst[i] = round(math.Float32bits(v))
	}
}

// The loops below take four elements in one load and leave no index to be
// checked, which doubles their speed.

func loadFloat32(dst []float32, src []byte) {
	for ; len(dst) >= 2 && len(src) >= 8; dst, src = dst[2:], src[8:] {
		v := binary.LittleEndian.Uint64(src)
		dst[0] = math.Float32frombits(uint32(v))
		dst[1] = math.Float32frombits(uint32(v >> 32))
	}
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

func loadUint16(dst []uint16, src []byte) {
	for ; len(dst) >= 4 && len(src) >= 8; dst, src = dst[4:], src[8:] {
		v := binary.LittleEndian.Uint64(src)
		dst[0], dst[1], dst[2], dst[3] = uint16(v), uint16(v>>16), uint16(v>>32), uint16(v>>48)
	}
	for i := range dst {
		dst[i] = binary.LittleEndian.Uint16(src[2*i:])
	}
}

func bfloat16ToFloat32(dst []float32, src []byte) {
	for ; len(dst) >= 4 && len(src) >= 8; dst, src = dst[4:], src[8:] {
		v := binary.LittleEndian.Uint64(src)
		dst[0] = math.Float32frombits(uint32(v) << 16)
		dst[1] = math.Float32frombits(uint32(v) &^ 0xffff)
		dst[2] = math.Float32frombits(uint32(v>>32) << 16)
		dst[3] = math.Float32frombits(uint32(v>>32) &^ 0xffff)
	}
	for i := range dst {
		dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
	}
}

func float16ToFloat32(dst []float32, src []byte) {
	for ; len(dst) >= 4 && len(src) >= 8; dst, src = dst[4:], src[8:] {
		v := binary.LittleEndian.Uint64(src)
		dst[0] = math.Float32frombits(widenHalf(uint16(v)))
		dst[1] = math.Float32frombits(widenHalf(uint16(v >> 16)))
		dst[2] = math.Float32frombits(widenHalf(uint16(v >> 32)))
		dst[3] = math.Float32frombits(widenHalf(uint16(v >> 48)))
	}
	for i := range dst {
		dst[i] = math.Float32frombits(widenHalf(binary.LittleEndian.Uint16(src[2*i:])))
	}
}

func float32ToBFloat16(dst []uint16, src []byte) {
	for ; len(dst) >= 2 && len(src) >= 8; dst, src = dst[2:], src[8:] {
		v := binary.LittleEndian.Uint64(src)
		dst[0] = roundBFloat16(uint32(v))
		dst[1] = roundBFloat16(uint32(v >> 32))
	}
	for i := range dst {
		dst[i] = roundBFloat16(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

func float16ToBFloat16(dst []uint16, src []byte) {
	for ; len(dst) >= 4 && len(src) >= 8; dst, src = dst[4:], src[8:] {
		v := binary.LittleEndian.Uint64(src)
		dst[0] = roundBFloat16(widenHalf(uint16(v)))
		dst[1] = roundBFloat16(widenHalf(uint16(v >> 16)))
		dst[2] = roundBFloat16(widenHalf(uint16(v >> 32)))
		dst[3] = roundBFloat16(widenHalf(uint16(v >> 48)))
	}
	for i := range dst {
		dst[i] = roundBFloat16(widenHalf(binary.LittleEndian.Uint16(src[2*i:])))
	}
}

func float32ToFloat16(dst []uint16, src []byte) {
	src = src[:4*len(dst)]
	for i := range dst {
		dst[i] = roundHalf(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

func bfloat16ToFloat16(dst []uint16, src []byte) {
	src = src[:2*len(dst)]
	for i := range dst {
		dst[i] = roundHalf(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
	}
}

// roundBFloat16 rounds the bits of a float32 to bfloat16, to nearest even. A
// NaN is made quiet, so that dropping its low bits cannot make it infinite.
func roundBFloat16(b uint32) uint16 {
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// widenHalf returns the bits of the float32 that equals a half precision
// number.
func widenHalf(h uint16) uint32 {
	sign, b := uint32(h&0x8000)<<16, uint32(h&0x7fff)<<13
	switch h & 0x7c00 {
	case 0: // zero and subnormal: multiples of 2^-24
		return sign | math.Float32bits(float32(h&0x3ff)*0x1p-24)
	case 0x7c00: // infinite and NaN, whose payload is kept
		return sign | b | 0x7f800000
	}
	return sign | (b + (127-15)<<23)
}

// roundHalf rounds the bits of a float32 to half precision, to nearest even.
func roundHalf(b uint32) uint16 {
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000: // NaN: made quiet, as in roundBFloat16
		return sign | 0x7e00 | uint16(b>>13&0x3ff)
	case b >= 0x477ff000: // 65,520 and more round to infinity
		return sign | 0x7c00
	case b >= 0x38800000: // 2^-14 and more: a normal number, its bias 127-15 less
		return sign | uint16((b+0xfff+b>>13&1-112<<23)>>13)
	default:
		// Subnormal. Adding 0.5 makes the unit in the last place that of
		// half precision's subnormals, 2^-24, and the addition rounds.
		f := math.Float32frombits(b) + 0.5
		return sign | uint16(math.Float32bits(f)-math.Float32bits(0.5))
	}
}
