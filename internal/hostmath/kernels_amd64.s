#include "textflag.h"
#include "kernels_amd64.h"

#define ONE512(name, load) \
TEXT name, NOSPLIT, $0-8 \
	BEGIN \
	ALL \
	MOVQ PACE(DI), AX \
	CLEAR512(Z0, Z1, Z2, Z3) \
loop: \
	REST \
	FOUR(load) \
	SOON \
	VMOVUPS.Z (R12)(DX*4), K1, Z20 \
	MULADD(Z20, Z16, Z17, Z18, Z19, Z0, Z1, Z2, Z3) \
	NEXT(16) \
	JGT loop \
	FOLD512(Z0, Z1, Z2, Z3, Y0, Y1, Y2, Y3, X0, X1, 0) \
	VZEROUPPER \
	RET

#define TWO512(name, load) \
TEXT name, NOSPLIT, $0-8 \
	BEGIN \
	ALL \
	MOVQ PACE(DI), AX \
	CLEAR512(Z0, Z1, Z2, Z3) \
	CLEAR512(Z4, Z5, Z6, Z7) \
loop: \
	REST \
	FOUR(load) \
	SOON \
	VMOVUPS.Z (R12)(DX*4), K1, Z20 \
	VMOVUPS.Z (R13)(DX*4), K1, Z21 \
	MULADD(Z20, Z16, Z17, Z18, Z19, Z0, Z1, Z2, Z3) \
	MULADD(Z21, Z16, Z17, Z18, Z19, Z4, Z5, Z6, Z7) \
	NEXT(16) \
	JGT loop \
	FOLD512(Z0, Z1, Z2, Z3, Y0, Y1, Y2, Y3, X0, X1, 0) \
	FOLD512(Z4, Z5, Z6, Z7, Y4, Y5, Y6, Y7, X4, X5, 16) \
	VZEROUPPER \
	RET

#define FOUR512(name, load) \
TEXT name, NOSPLIT, $0-8 \
	BEGIN \
	ALL \
	MOVQ PACE(DI), AX \
	CLEAR512(Z0, Z1, Z2, Z3) \
	CLEAR512(Z4, Z5, Z6, Z7) \
	CLEAR512(Z8, Z9, Z10, Z11) \
	CLEAR512(Z12, Z13, Z14, Z15) \
loop: \
	REST \
	FOUR(load) \
	SOON \
	VMOVUPS.Z (R12)(DX*4), K1, Z20 \
	VMOVUPS.Z (R13)(DX*4), K1, Z21 \
	VMOVUPS.Z (BX)(DX*4), K1, Z22 \
	VMOVUPS.Z (SI)(DX*4), K1, Z23 \
	MULADD(Z20, Z16, Z17, Z18, Z19, Z0, Z1, Z2, Z3) \
	MULADD(Z21, Z16, Z17, Z18, Z19, Z4, Z5, Z6, Z7) \
	MULADD(Z22, Z16, Z17, Z18, Z19, Z8, Z9, Z10, Z11) \
	MULADD(Z23, Z16, Z17, Z18, Z19, Z12, Z13, Z14, Z15) \
	NEXT(16) \
	JGT loop \
	FOLD512(Z0, Z1, Z2, Z3, Y0, Y1, Y2, Y3, X0, X1, 0) \
	FOLD512(Z4, Z5, Z6, Z7, Y4, Y5, Y6, Y7, X4, X5, 16) \
	FOLD512(Z8, Z9, Z10, Z11, Y8, Y9, Y10, Y11, X8, X9, 32) \
	FOLD512(Z12, Z13, Z14, Z15, Y12, Y13, Y14, Y15, X12, X13, 48) \
	VZEROUPPER \
	RET

#define FOUR256(load) \
	load(R8, Y8) \
	load(R9, Y9) \
	load(R10, Y10) \
	load(R11, Y11)

// The AVX2 forms take whole vectors of eight, and at most two rows of x: there are sixteen registers.
#define ONE256(name, load) \
TEXT name, NOSPLIT, $0-8 \
	BEGIN \
	MOVQ PACE(DI), AX \
	CLEAR256(Y0, Y1, Y2, Y3) \
loop: \
	FOUR256(load) \
	SOON \
	VMOVUPS (R12)(DX*4), Y12 \
	MULADD(Y12, Y8, Y9, Y10, Y11, Y0, Y1, Y2, Y3) \
	NEXT(8) \
	JGT loop \
	FOLD256(Y0, Y1, Y2, Y3, X0, X1, 0) \
	VZEROUPPER \
	RET

#define TWO256(name, load) \
TEXT name, NOSPLIT, $0-8 \
	BEGIN \
	MOVQ PACE(DI), AX \
	CLEAR256(Y0, Y1, Y2, Y3) \
	CLEAR256(Y4, Y5, Y6, Y7) \
loop: \
	FOUR256(load) \
	SOON \
	VMOVUPS (R12)(DX*4), Y12 \
	VMOVUPS (R13)(DX*4), Y13 \
	MULADD(Y12, Y8, Y9, Y10, Y11, Y0, Y1, Y2, Y3) \
	MULADD(Y13, Y8, Y9, Y10, Y11, Y4, Y5, Y6, Y7) \
	NEXT(8) \
	JGT loop \
	FOLD256(Y0, Y1, Y2, Y3, X0, X1, 0) \
	FOLD256(Y4, Y5, Y6, Y7, X4, X5, 16) \
	VZEROUPPER \
	RET

ONE512(·oneFloat512(SB), LOADFLOAT512)
TWO512(·twoFloat512(SB), LOADFLOAT512)
FOUR512(·fourFloat512(SB), LOADFLOAT512)
ONE256(·oneFloat256(SB), LOADFLOAT256)
TWO256(·twoFloat256(SB), LOADFLOAT256)

ONE512(·oneHalf512(SB), LOADHALF512)
TWO512(·twoHalf512(SB), LOADHALF512)
FOUR512(·fourHalf512(SB), LOADHALF512)
ONE256(·oneHalf256(SB), LOADHALF256)
TWO256(·twoHalf256(SB), LOADHALF256)

ONE512(·oneInt512(SB), LOADINT512)
TWO512(·twoInt512(SB), LOADINT512)
FOUR512(·fourInt512(SB), LOADINT512)
ONE256(·oneInt256(SB), LOADINT256)
TWO256(·twoInt256(SB), LOADINT256)

// The rows of ·expTable, each a number sixteen times over.
#define LEAST ·expTable+0(SB)
#define MOST ·expTable+64(SB)
#define LOG2E ·expTable+128(SB)
#define ROUND ·expTable+192(SB)
#define LN2HIGH ·expTable+256(SB)
#define LN2LOW ·expTable+320(SB)
#define EXP7 ·expTable+384(SB)
#define EXP6 ·expTable+448(SB)
#define EXP5 ·expTable+512(SB)
#define EXP4 ·expTable+576(SB)
#define EXP3 ·expTable+640(SB)
#define EXP2 ·expTable+704(SB)
#define ONE ·expTable+768(SB)
#define MINUS ·expTable+832(SB)
#define BIAS ·expTable+896(SB)

// EXPV makes y the exponential function of v, of which nothing is left. See Exp in Go. What is no number stays that: of two
// such, the instructions for the larger and the smaller give the last.
#define EXPV(v, n, y) \
	VMOVUPS LEAST, n \
	VMOVUPS MOST, y \
	VMAXPS v, n, v \
	VMINPS v, y, v \
	VMOVUPS ROUND, n \
	VFMADD231PS LOG2E, v, n \
	VSUBPS ROUND, n, n \
	VFNMADD231PS LN2HIGH, n, v \
	VFNMADD231PS LN2LOW, n, v \
	VMOVUPS EXP7, y \
	VFMADD213PS EXP6, v, y \
	VFMADD213PS EXP5, v, y \
	VFMADD213PS EXP4, v, y \
	VFMADD213PS EXP3, v, y \
	VFMADD213PS EXP2, v, y \
	VCVTPS2DQ n, n \
	VPADDD BIAS, n, n \
	VPSLLD $23, n, n \
	VMULPS v, y, y \
	VFMADD213PS v, v, y \
	VADDPS ONE, y, y \
	VMULPS n, y, y

// func exp512(x *float32, n int, top float32) float32
TEXT ·exp512(SB), NOSPLIT, $0-28
	MOVQ x+0(FP), DI
	MOVQ n+8(FP), CX
	VBROADCASTSS top+16(FP), Z3
	VPXORD Z4, Z4, Z4
	XORQ DX, DX
	ALL
loop:
	REST
	VMOVUPS.Z (DI)(DX*4), K1, Z0
	VSUBPS Z3, Z0, Z0
	EXPV(Z0, Z1, Z2)
	VMOVUPS Z2, K1, (DI)(DX*4)
	VADDPS Z2, Z4, K1, Z4
	NEXT(16)
	JGT loop
	VEXTRACTF64X4 $1, Z4, Y0
	VADDPS Y0, Y4, Y4
	VEXTRACTF128 $1, Y4, X0
	VADDPS X0, X4, X4
	VHADDPS X4, X4, X4
	VHADDPS X4, X4, X4
	VZEROUPPER
	MOVSS X4, ret+24(FP)
	RET

// func exp256(x *float32, n int, top float32) float32
TEXT ·exp256(SB), NOSPLIT, $0-28
	MOVQ x+0(FP), DI
	MOVQ n+8(FP), CX
	VBROADCASTSS top+16(FP), Y3
	VXORPS Y4, Y4, Y4
	XORQ DX, DX
loop:
	VMOVUPS (DI)(DX*4), Y0
	VSUBPS Y3, Y0, Y0
	EXPV(Y0, Y1, Y2)
	VMOVUPS Y2, (DI)(DX*4)
	VADDPS Y2, Y4, Y4
	NEXT(8)
	JGT loop
	VEXTRACTF128 $1, Y4, X0
	VADDPS X0, X4, X4
	VHADDPS X4, X4, X4
	VHADDPS X4, X4, X4
	VZEROUPPER
	MOVSS X4, ret+24(FP)
	RET

// func most512(x *float32, n int) float32
TEXT ·most512(SB), NOSPLIT, $0-20
	MOVQ x+0(FP), DI
	MOVQ n+8(FP), CX
	XORQ DX, DX
	ALL
	VBROADCASTSS (DI), Z0
loop:
	REST
	VMAXPS (DI)(DX*4), Z0, K1, Z0
	NEXT(16)
	JGT loop
	VEXTRACTF64X4 $1, Z0, Y1
	VMAXPS Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VMAXPS X1, X0, X0
	VPSHUFD $0x4e, X0, X1
	VMAXPS X1, X0, X0
	VPSHUFD $0xb1, X0, X1
	VMAXPS X1, X0, X0
	VZEROUPPER
	MOVSS X0, ret+16(FP)
	RET

// func most256(x *float32, n int) float32
TEXT ·most256(SB), NOSPLIT, $0-20
	MOVQ x+0(FP), DI
	MOVQ n+8(FP), CX
	XORQ DX, DX
	VMOVUPS (DI), Y0
loop:
	VMAXPS (DI)(DX*4), Y0, Y0
	NEXT(8)
	JGT loop
	VEXTRACTF128 $1, Y0, X1
	VMAXPS X1, X0, X0
	VPSHUFD $0x4e, X0, X1
	VMAXPS X1, X0, X0
	VPSHUFD $0xb1, X0, X1
	VMAXPS X1, X0, X0
	VZEROUPPER
	MOVSS X0, ret+16(FP)
	RET

// SWIGLUV makes y of the gate g what Sigmoid(g)*g*value is.
#define SWIGLUV(g, v, n, y, t) \
	VMULPS MINUS, g, v \
	EXPV(v, n, y) \
	VADDPS ONE, y, y \
	VDIVPS y, g, y \
	VMULPS t, y, y

// func swiglu512(out, gate, value *float32, n int)
TEXT ·swiglu512(SB), NOSPLIT, $0-32
	MOVQ out+0(FP), DI
	MOVQ gate+8(FP), R8
	MOVQ value+16(FP), R9
	MOVQ n+24(FP), CX
	XORQ DX, DX
	ALL
loop:
	REST
	VMOVUPS.Z (R8)(DX*4), K1, Z3
	VMOVUPS.Z (R9)(DX*4), K1, Z4
	SWIGLUV(Z3, Z0, Z1, Z2, Z4)
	VMOVUPS Z2, K1, (DI)(DX*4)
	NEXT(16)
	JGT loop
	VZEROUPPER
	RET

// func swiglu256(out, gate, value *float32, n int)
TEXT ·swiglu256(SB), NOSPLIT, $0-32
	MOVQ out+0(FP), DI
	MOVQ gate+8(FP), R8
	MOVQ value+16(FP), R9
	MOVQ n+24(FP), CX
	XORQ DX, DX
loop:
	VMOVUPS (R8)(DX*4), Y3
	VMOVUPS (R9)(DX*4), Y4
	SWIGLUV(Y3, Y0, Y1, Y2, Y4)
	VMOVUPS Y2, (DI)(DX*4)
	NEXT(8)
	JGT loop
	VZEROUPPER
	RET
