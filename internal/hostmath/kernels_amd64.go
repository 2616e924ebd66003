package hostmath

import (
	"slices"
	"unsafe"

	"github.com/gomlx/compute/dtypes/bfloat16"
	"golang.org/x/sys/cpu"
)

// native are the instructions that the processor has, best first.
func native() (all []*instructions) {
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL {
		all = append(all, &instructions{
			name: "AVX-512", lanes: 16,
			floats: [3]kernel{oneFloat512, twoFloat512, fourFloat512}, halves: [3]kernel{oneHalf512, twoHalf512, fourHalf512},
			ints: [3]kernel{oneInt512, twoInt512, fourInt512}, whole: 1, most: most512, columns: columns512, outer: outer512, exp: exp512, swiglu: swiglu512,
		})
		if cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VNNI {
			vnni := *all[0]
			vnni.name, vnni.bytes, vnni.peak, vnni.split = "AVX-512 VNNI", [3]kernel{oneBytes512, twoBytes512}, peak512, split512
			vnni.byteLanes, vnni.wholeBytes = 64, 1
			all = slices.Insert(all, 0, &vnni)
			if hasTiles() {
				amx := vnni
				amx.name, amx.tileInts, amx.tileHalves, amx.halve = "AMX", tileInts, tileHalves, halve512
				all = slices.Insert(all, 0, &amx)
			}
		}
	}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		all = append(all, &instructions{
			name: "AVX2", lanes: 8,
			floats: [3]kernel{oneFloat256, twoFloat256}, halves: [3]kernel{oneHalf256, twoHalf256},
			ints: [3]kernel{oneInt256, twoInt256}, whole: 8, most: most256, columns: columns256, outer: outer256, exp: exp256, swiglu: swiglu256,
		})
	}
	return all
}

//go:noescape
func oneFloat512(a *operands)

//go:noescape
func twoFloat512(a *operands)

//go:noescape
func fourFloat512(a *operands)

//go:noescape
func oneFloat256(a *operands)

//go:noescape
func twoFloat256(a *operands)

//go:noescape
func oneHalf512(a *operands)

//go:noescape
func twoHalf512(a *operands)

//go:noescape
func fourHalf512(a *operands)

//go:noescape
func oneHalf256(a *operands)

//go:noescape
func twoHalf256(a *operands)

//go:noescape
func oneInt512(a *operands)

//go:noescape
func twoInt512(a *operands)

//go:noescape
func fourInt512(a *operands)

//go:noescape
func oneInt256(a *operands)

//go:noescape
func twoInt256(a *operands)

//go:noescape
func oneBytes512(a *operands)

//go:noescape
func twoBytes512(a *operands)

//go:noescape
func peak512(x *float32, n int) float32

//go:noescape
func split512(upper, lower *int8, x *float32, n int, by float32) (uppers, lowers int32)

//go:noescape
func tileInts(w unsafe.Pointer, stride int, x unsafe.Pointer, parts, blocks int, sums unsafe.Pointer, ahead int)

//go:noescape
func tileHalves(w unsafe.Pointer, stride int, x unsafe.Pointer, parts, blocks int, sums unsafe.Pointer, ahead int)

//go:noescape
func halve512(upper, lower *bfloat16.BFloat16, x *float32, n int)

//go:noescape
func columns512(a *columnOperands)

//go:noescape
func columns256(a *columnOperands)

//go:noescape
func outer512(s *float32, rows, columns int, k, v *float32, decay float32)

//go:noescape
func outer256(s *float32, rows, columns int, k, v *float32, decay float32)

//go:noescape
func most512(x *float32, n int) float32

//go:noescape
func most256(x *float32, n int) float32

//go:noescape
func exp512(x *float32, n int, top float32) float32

//go:noescape
func swiglu512(out, gate, value *float32, n int)

//go:noescape
func exp256(x *float32, n int, top float32) float32

//go:noescape
func swiglu256(out, gate, value *float32, n int)
