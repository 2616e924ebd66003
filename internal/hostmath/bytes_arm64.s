#include "textflag.h"
#include "kernels_arm64.h"

// Products of a matrix of int8 with rows of x that are two rows of int8 each, with the dot products of Armv8.2 (FEAT_DotProd). The first row
// of x is at R5 and R6, its upper and its lower bytes, and the second at R7 and R8.

#define LOADBYTES(p, va, vb, a, b) VLD1.P 16(p), [va.B16]

// DOT adds the products of sixteen bytes of x with the four rows of the matrix to four sums.
#define DOT(x, s0, s1, s2, s3) \
	SDOT(x, 16, s0) \
	SDOT(x, 18, s1) \
	SDOT(x, 20, s2) \
	SDOT(x, 22, s3)

#define WEIGHT256 \
	MOVW $0x43800000, R12 \
	VDUP R12, V30.S4

// ADDUP leaves the four sums of four vectors in the first, as floats.
#define ADDUP(v0, v1, v2, v3, n0) \
	VADDP v1.S4, v0.S4, v0.S4 \
	VADDP v3.S4, v2.S4, v2.S4 \
	VADDP v2.S4, v0.S4, v0.S4 \
	SCVTF(n0, n0)

// BOTH is 256 of the upper sums and the lower ones.
#define BOTH(upper, lower, to) \
	VFMLA V30.S4, upper.S4, lower.S4 \
	ADD $(SUMS+to), R0, R12 \
	VST1 [lower.S4], (R12)

// func oneBytesNEON(a *operands)
TEXT ·oneBytesNEON(SB), NOSPLIT, $0-8
	BEGIN(16)
	WEIGHT256
	CLEAR(V0, V1, V2, V3)
	CLEAR(V4, V5, V6, V7)
loop:
	FOUR(LOADBYTES)
	SOON
	VLD1.P 16(R5), [V24.B16]
	VLD1.P 16(R6), [V25.B16]
	DOT(24, 0, 1, 2, 3)
	DOT(25, 4, 5, 6, 7)
	SUBS $16, R9, R9
	BGT loop
	ADDUP(V0, V1, V2, V3, 0)
	ADDUP(V4, V5, V6, V7, 4)
	BOTH(V0, V4, 0)
	RET

// func twoBytesNEON(a *operands)
TEXT ·twoBytesNEON(SB), NOSPLIT, $0-8
	BEGIN(16)
	WEIGHT256
	CLEAR(V0, V1, V2, V3)
	CLEAR(V4, V5, V6, V7)
	CLEAR(V8, V9, V10, V11)
	CLEAR(V12, V13, V14, V15)
loop:
	FOUR(LOADBYTES)
	SOON
	VLD1.P 16(R5), [V24.B16]
	VLD1.P 16(R6), [V25.B16]
	VLD1.P 16(R7), [V26.B16]
	VLD1.P 16(R8), [V27.B16]
	DOT(24, 0, 1, 2, 3)
	DOT(25, 4, 5, 6, 7)
	DOT(26, 8, 9, 10, 11)
	DOT(27, 12, 13, 14, 15)
	SUBS $16, R9, R9
	BGT loop
	ADDUP(V0, V1, V2, V3, 0)
	ADDUP(V4, V5, V6, V7, 4)
	ADDUP(V8, V9, V10, V11, 8)
	ADDUP(V12, V13, V14, V15, 12)
	BOTH(V0, V4, 0)
	BOTH(V8, V12, 16)
	RET

// func peakNEON(x *float32, n int) float32
TEXT ·peakNEON(SB), NOSPLIT, $0-20
	MOVD x+0(FP), R0
	MOVD n+8(FP), R1
	VEOR V0.B16, V0.B16, V0.B16
loop:
	VLD1.P 16(R0), [V1.S4]
	FABS(1, 1)
	FMAX(1, 0, 0)
	SUBS $4, R1, R1
	BGT loop
	FMAXV(0, 0)
	FMOVS F0, ret+16(FP)
	RET

// func splitNEON(upper, lower *int8, x *float32, n int, by float32) (uppers, lowers int32)
TEXT ·splitNEON(SB), NOSPLIT, $0-48
	MOVD upper+0(FP), R0
	MOVD lower+8(FP), R1
	MOVD x+16(FP), R2
	MOVD n+24(FP), R3
	MOVD $by+32(FP), R4
	VLD1R (R4), [V16.S4]
	MOVW $128, R5
	VDUP R5, V17.H8
loop:
	VLD1.P 64(R2), [V0.S4, V1.S4, V2.S4, V3.S4]
	FMUL(16, 0, 0)
	FMUL(16, 1, 1)
	FMUL(16, 2, 2)
	FMUL(16, 3, 3)
	FCVTNS(0, 0)
	FCVTNS(1, 1)
	FCVTNS(2, 2)
	FCVTNS(3, 3)
	VUZP1 V1.H8, V0.H8, V4.H8
	VUZP1 V3.H8, V2.H8, V5.H8
	VUZP1 V5.B16, V4.B16, V6.B16 // the lower bytes, from -128 to 127
	VADD V17.H8, V4.H8, V4.H8
	VADD V17.H8, V5.H8, V5.H8
	VUZP2 V5.B16, V4.B16, V7.B16
	VST1.P [V7.B16], 16(R0)
	VST1.P [V6.B16], 16(R1)
	SUBS $16, R3, R3
	BGT loop
	MOVW ZR, uppers+40(FP) // both factors of a product have signs
	MOVW ZR, lowers+44(FP)
	RET
