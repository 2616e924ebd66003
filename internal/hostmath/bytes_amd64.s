#include "textflag.h"
#include "kernels_amd64.h"

// Products of a matrix of int8 with rows of x that are two rows of int8 each, with the dot products of AVX-512's VNNI. The first row of
// x is at R12 and R13, its upper and its lower bytes, and the second at BX and SI.

// LOADBYTES reads 64 numbers of the matrix, or as many as K1 says, and adds 128 to each: VPDPBUSD multiplies bytes without a sign with bytes
// that have one. Z24 holds what adds 128 to a byte.
#define LOADBYTES(p, z) VMOVDQU8.Z (p)(DX*1), K1, z; VPXORD Z24, z, z

// RESTBYTES leaves in K1 what there is of a last vector.
#define RESTBYTES \
	CMPQ CX, $64 \
	JGE 5(PC) \
	MOVL $1, AX \
	SHLQ CX, AX \
	DECQ AX \
	KMOVQ AX, K1

#define DOT(x, w0, w1, w2, w3, s0, s1, s2, s3) \
	VPDPBUSD x, w0, s0 \
	VPDPBUSD x, w1, s1 \
	VPDPBUSD x, w2, s2 \
	VPDPBUSD x, w3, s3

// BEGINBYTES is for all kernels here: all lanes, and the 128.
#define BEGINBYTES \
	BEGIN \
	MOVQ $-1, AX \
	KMOVQ AX, K1 \
	MOVL $0x80808080, AX \
	VPBROADCASTD AX, Z24

// FROM begins four sums with a number, in one lane of them.
#define FROM(start, x0, z0, z1, z2, z3) \
	VMOVD (START+start)(DI), x0 \
	VMOVDQA64 z0, z1 \
	VMOVDQA64 z0, z2 \
	VMOVDQA64 z0, z3

// ADDUP leaves four numbers in x0 of four vectors of sums.
#define ADDUP(z0, z1, z2, z3, y0, y1, y2, y3, x0) \
	VEXTRACTI64X4 $1, z0, Y16 \
	VEXTRACTI64X4 $1, z1, Y17 \
	VEXTRACTI64X4 $1, z2, Y18 \
	VEXTRACTI64X4 $1, z3, Y19 \
	VPADDD Y16, y0, y0 \
	VPADDD Y17, y1, y1 \
	VPADDD Y18, y2, y2 \
	VPADDD Y19, y3, y3 \
	VPHADDD y1, y0, y0 \
	VPHADDD y3, y2, y2 \
	VPHADDD y2, y0, y0 \
	VEXTRACTI32X4 $1, y0, X16 \
	VPADDD X16, x0, x0 \
	VCVTDQ2PS x0, x0

// BOTH is 256 of the upper sums and the lower ones.
#define BOTH(upper, lower, to) \
	VFMADD132PS X25, lower, upper \
	VMOVUPS upper, (SUMS+to)(DI)

#define WEIGHT256 \
	MOVL $0x43800000, AX \
	VPBROADCASTD AX, X25

// func oneBytes512(a *operands)
TEXT ·oneBytes512(SB), NOSPLIT, $0-8
	BEGINBYTES
	WEIGHT256
	FROM(0, X0, Z0, Z1, Z2, Z3)
	FROM(4, X4, Z4, Z5, Z6, Z7)
	MOVQ PACE(DI), AX
loop:
	RESTBYTES
	FOUR(LOADBYTES)
	SOON
	VMOVDQU8.Z (R12)(DX*1), K1, Z20
	VMOVDQU8.Z (R13)(DX*1), K1, Z21
	DOT(Z20, Z16, Z17, Z18, Z19, Z0, Z1, Z2, Z3)
	DOT(Z21, Z16, Z17, Z18, Z19, Z4, Z5, Z6, Z7)
	NEXT(64)
	JGT loop
	ADDUP(Z0, Z1, Z2, Z3, Y0, Y1, Y2, Y3, X0)
	ADDUP(Z4, Z5, Z6, Z7, Y4, Y5, Y6, Y7, X4)
	BOTH(X0, X4, 0)
	VZEROUPPER
	RET

// func twoBytes512(a *operands)
TEXT ·twoBytes512(SB), NOSPLIT, $0-8
	BEGINBYTES
	WEIGHT256
	FROM(0, X0, Z0, Z1, Z2, Z3)
	FROM(4, X4, Z4, Z5, Z6, Z7)
	FROM(8, X8, Z8, Z9, Z10, Z11)
	FROM(12, X12, Z12, Z13, Z14, Z15)
	MOVQ PACE(DI), AX
loop:
	RESTBYTES
	FOUR(LOADBYTES)
	SOON
	VMOVDQU8.Z (R12)(DX*1), K1, Z20
	VMOVDQU8.Z (R13)(DX*1), K1, Z21
	VMOVDQU8.Z (BX)(DX*1), K1, Z22
	VMOVDQU8.Z (SI)(DX*1), K1, Z23
	DOT(Z20, Z16, Z17, Z18, Z19, Z0, Z1, Z2, Z3)
	DOT(Z21, Z16, Z17, Z18, Z19, Z4, Z5, Z6, Z7)
	DOT(Z22, Z16, Z17, Z18, Z19, Z8, Z9, Z10, Z11)
	DOT(Z23, Z16, Z17, Z18, Z19, Z12, Z13, Z14, Z15)
	NEXT(64)
	JGT loop
	ADDUP(Z0, Z1, Z2, Z3, Y0, Y1, Y2, Y3, X0)
	ADDUP(Z4, Z5, Z6, Z7, Y4, Y5, Y6, Y7, X4)
	ADDUP(Z8, Z9, Z10, Z11, Y8, Y9, Y10, Y11, X8)
	ADDUP(Z12, Z13, Z14, Z15, Y12, Y13, Y14, Y15, X12)
	BOTH(X0, X4, 0)
	BOTH(X8, X12, 16)
	VZEROUPPER
	RET

// func peak512(x *float32, n int) float32
TEXT ·peak512(SB), NOSPLIT, $0-20
	MOVQ x+0(FP), DI
	MOVQ n+8(FP), CX
	XORQ DX, DX
	ALL
	MOVL $0x7fffffff, AX
	VPBROADCASTD AX, Z2
	VPXORD Z0, Z0, Z0
loop:
	REST
	VMOVDQU32.Z (DI)(DX*4), K1, Z1
	VPANDD Z2, Z1, Z1
	VPMAXUD Z1, Z0, Z0
	NEXT(16)
	JGT loop
	VEXTRACTI64X4 $1, Z0, Y1
	VPMAXUD Y1, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VPMAXUD X1, X0, X0
	VPSHUFD $0x4e, X0, X1
	VPMAXUD X1, X0, X0
	VPSHUFD $0xb1, X0, X1
	VPMAXUD X1, X0, X0
	VZEROUPPER
	MOVSS X0, ret+16(FP)
	RET

// func split512(upper, lower *int8, x *float32, n int, by float32) (uppers, lowers int32)
TEXT ·split512(SB), NOSPLIT, $0-48
	MOVQ upper+0(FP), R8
	MOVQ lower+8(FP), R9
	MOVQ x+16(FP), DI
	MOVQ n+24(FP), CX
	VBROADCASTSS by+32(FP), Z4
	XORQ DX, DX
	ALL
	MOVL $128, AX
	VPBROADCASTD AX, Z5
	VPXORD Z6, Z6, Z6
	VPXORD Z7, Z7, Z7
loop:
	REST
	VMOVUPS.Z (DI)(DX*4), K1, Z0
	VMULPS Z4, Z0, Z0
	VCVTPS2DQ Z0, Z0
	VPADDD Z5, Z0, Z1
	VPSRAD $8, Z1, Z1 // the upper byte, so that the lower is from -128 to 127
	VPSLLD $8, Z1, Z2
	VPSUBD Z2, Z0, Z2
	VPADDD Z1, Z6, Z6
	VPADDD Z2, Z7, Z7
	VPMOVDB Z1, K1, (R8)(DX*1)
	VPMOVDB Z2, K1, (R9)(DX*1)
	NEXT(16)
	JGT loop
	VEXTRACTI64X4 $1, Z6, Y0
	VPADDD Y0, Y6, Y6
	VEXTRACTI64X4 $1, Z7, Y0
	VPADDD Y0, Y7, Y7
	VPHADDD Y7, Y6, Y6
	VEXTRACTI128 $1, Y6, X0
	VPADDD X0, X6, X6
	VPHADDD X6, X6, X6
	VMOVD X6, AX
	VPEXTRD $1, X6, BX
	VZEROUPPER
	MOVL AX, uppers+40(FP)
	MOVL BX, lowers+44(FP)
	RET
