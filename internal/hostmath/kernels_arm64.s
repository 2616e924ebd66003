#include "textflag.h"
#include "kernels_arm64.h"

// LOAD reads eight numbers of the matrix and makes floats of them in two registers, a and b: float32, bfloat16 or int8.
#define LOADFLOAT(p, va, vb, a, b) VLD1.P 32(p), [va.S4, vb.S4]
#define LOADHALF(p, va, vb, a, b) \
	VLD1.P 16(p), [vb.H8] \
	VZIP1 vb.H8, V31.H8, va.H8 \
	VZIP2 vb.H8, V31.H8, vb.H8
#define LOADINT(p, va, vb, a, b) \
	VLD1.P 8(p), [va.B8] \
	SXTLB(a, a) \
	SXTLH2(a, b) \
	SXTLH(a, a) \
	SCVTF(a, a) \
	SCVTF(b, b)

// MULADD adds the products of eight numbers of a row of x with the four rows of the matrix to four sums.
#define MULADD(p, s0, s1, s2, s3) \
	VLD1.P 32(p), [V24.S4, V25.S4] \
	VFMLA V24.S4, V16.S4, s0.S4 \
	VFMLA V24.S4, V18.S4, s1.S4 \
	VFMLA V24.S4, V20.S4, s2.S4 \
	VFMLA V24.S4, V22.S4, s3.S4 \
	VFMLA V25.S4, V17.S4, s0.S4 \
	VFMLA V25.S4, V19.S4, s1.S4 \
	VFMLA V25.S4, V21.S4, s2.S4 \
	VFMLA V25.S4, V23.S4, s3.S4

// FOLD adds up four vectors of sums and writes the four numbers.
#define FOLD(v0, n0, n1, n2, n3, to) \
	FADDP(n1, n0, n0) \
	FADDP(n3, n2, n2) \
	FADDP(n2, n0, n0) \
	ADD $(SUMS+to), R0, R12 \
	VST1 [v0.S4], (R12)

#define ONEROW(name, load, size) \
TEXT name, NOSPLIT, $0-8 \
	BEGIN(size) \
	CLEAR(V0, V1, V2, V3) \
loop: \
	FOUR(load) \
	SOON \
	MULADD(R5, V0, V1, V2, V3) \
	SUBS $8, R9, R9 \
	BGT loop \
	FOLD(V0, 0, 1, 2, 3, 0) \
	RET

#define TWOROWS(name, load, size) \
TEXT name, NOSPLIT, $0-8 \
	BEGIN(size) \
	CLEAR(V0, V1, V2, V3) \
	CLEAR(V4, V5, V6, V7) \
loop: \
	FOUR(load) \
	SOON \
	MULADD(R5, V0, V1, V2, V3) \
	MULADD(R6, V4, V5, V6, V7) \
	SUBS $8, R9, R9 \
	BGT loop \
	FOLD(V0, 0, 1, 2, 3, 0) \
	FOLD(V4, 4, 5, 6, 7, 16) \
	RET

#define FOURROWS(name, load, size) \
TEXT name, NOSPLIT, $0-8 \
	BEGIN(size) \
	CLEAR(V0, V1, V2, V3) \
	CLEAR(V4, V5, V6, V7) \
	CLEAR(V8, V9, V10, V11) \
	CLEAR(V12, V13, V14, V15) \
loop: \
	FOUR(load) \
	SOON \
	MULADD(R5, V0, V1, V2, V3) \
	MULADD(R6, V4, V5, V6, V7) \
	MULADD(R7, V8, V9, V10, V11) \
	MULADD(R8, V12, V13, V14, V15) \
	SUBS $8, R9, R9 \
	BGT loop \
	FOLD(V0, 0, 1, 2, 3, 0) \
	FOLD(V4, 4, 5, 6, 7, 16) \
	FOLD(V8, 8, 9, 10, 11, 32) \
	FOLD(V12, 12, 13, 14, 15, 48) \
	RET

ONEROW(·oneFloat(SB), LOADFLOAT, 32)
TWOROWS(·twoFloat(SB), LOADFLOAT, 32)
FOURROWS(·fourFloat(SB), LOADFLOAT, 32)

ONEROW(·oneHalf(SB), LOADHALF, 16)
TWOROWS(·twoHalf(SB), LOADHALF, 16)
FOURROWS(·fourHalf(SB), LOADHALF, 16)

ONEROW(·oneInt(SB), LOADINT, 8)
TWOROWS(·twoInt(SB), LOADINT, 8)
FOURROWS(·fourInt(SB), LOADINT, 8)

// TIMES adds the products of a number of a row of x with sixteen columns to four sums.
#define TIMES(p, s0, s1, s2, s3) \
	VLD1R.P 4(p), [V20.S4] \
	VFMLA V20.S4, V16.S4, s0.S4 \
	VFMLA V20.S4, V17.S4, s1.S4 \
	VFMLA V20.S4, V18.S4, s2.S4 \
	VFMLA V20.S4, V19.S4, s3.S4

#define STORE(row, v0, v1, v2, v3) \
	MOVD (32+8*row)(R0), R12 \
	ADD R13, R12, R12 \
	VST1 [v0.S4, v1.S4, v2.S4, v3.S4], (R12)

// Products of four rows of x with a matrix that lies on its side: see columns_amd64.s.

// func columnsNEON(a *columnOperands)
TEXT ·columnsNEON(SB), NOSPLIT, $0-8
	MOVD a+0(FP), R0
	MOVD 64(R0), R1 // where columns of the matrix are
	MOVD 72(R0), R2 // the bytes from one of its rows to the next
	MOVD 88(R0), R3 // the columns that are left
	MOVD ZR, R13    // the bytes of a row of out that are done
next:
	CLEAR(V0, V1, V2, V3)
	CLEAR(V4, V5, V6, V7)
	CLEAR(V8, V9, V10, V11)
	CLEAR(V12, V13, V14, V15)
	MOVD 0(R0), R5
	MOVD 8(R0), R6
	MOVD 16(R0), R7
	MOVD 24(R0), R8
	MOVD 80(R0), R9
	MOVD R1, R4
loop:
	VLD1 (R4), [V16.S4, V17.S4, V18.S4, V19.S4]
	TIMES(R5, V0, V1, V2, V3)
	TIMES(R6, V4, V5, V6, V7)
	TIMES(R7, V8, V9, V10, V11)
	TIMES(R8, V12, V13, V14, V15)
	ADD R2, R4, R4
	SUBS $1, R9, R9
	BGT loop
	STORE(0, V0, V1, V2, V3)
	STORE(1, V4, V5, V6, V7)
	STORE(2, V8, V9, V10, V11)
	STORE(3, V12, V13, V14, V15)
	ADD $64, R1, R1
	ADD $64, R13, R13
	SUBS $16, R3, R3
	BGT next
	RET

// Each row of s [rows, columns] is multiplied with decay, and a number of k times v added to it.

// func outerNEON(s *float32, rows, columns int, k, v *float32, decay float32)
TEXT ·outerNEON(SB), NOSPLIT, $0-44
	MOVD s+0(FP), R0
	MOVD rows+8(FP), R1
	MOVD k+24(FP), R3
	MOVD $decay+40(FP), R5
	VLD1R (R5), [V0.S4]
row:
	VLD1R.P 4(R3), [V1.S4]
	MOVD v+32(FP), R4
	MOVD columns+16(FP), R2
column:
	VLD1 (R0), [V2.S4, V3.S4]
	VLD1.P 32(R4), [V4.S4, V5.S4]
	FMUL(0, 2, 2)
	FMUL(0, 3, 3)
	VFMLA V1.S4, V4.S4, V2.S4
	VFMLA V1.S4, V5.S4, V3.S4
	VST1.P [V2.S4, V3.S4], 32(R0)
	SUBS $8, R2, R2
	BGT column
	SUBS $1, R1, R1
	BGT row
	RET

// func mostNEON(x *float32, n int) float32
TEXT ·mostNEON(SB), NOSPLIT, $0-20
	MOVD x+0(FP), R0
	MOVD n+8(FP), R1
	VLD1 (R0), [V0.S4]
loop:
	VLD1.P 16(R0), [V1.S4]
	FMAX(1, 0, 0)
	SUBS $4, R1, R1
	BGT loop
	FMAXV(0, 0)
	FMOVS F0, ret+16(FP)
	RET

// CONSTANTS loads the numbers of Exp, of which each row of expTable has one many times over: the least and the most, log2(e), the logarithm
// of 2 in two pieces, six coefficients, one, minus one, and the exponent of one.
#define CONSTANTS \
	MOVD $·expTable(SB), R12 \
	VLD1 (R12), [V16.S4] \
	ADD $64, R12, R12 \
	VLD1 (R12), [V17.S4] \
	ADD $64, R12, R12 \
	VLD1 (R12), [V18.S4] \
	ADD $128, R12, R12 \
	VLD1 (R12), [V19.S4] \
	ADD $64, R12, R12 \
	VLD1 (R12), [V20.S4] \
	ADD $64, R12, R12 \
	VLD1 (R12), [V21.S4] \
	ADD $64, R12, R12 \
	VLD1 (R12), [V22.S4] \
	ADD $64, R12, R12 \
	VLD1 (R12), [V23.S4] \
	ADD $64, R12, R12 \
	VLD1 (R12), [V24.S4] \
	ADD $64, R12, R12 \
	VLD1 (R12), [V25.S4] \
	ADD $64, R12, R12 \
	VLD1 (R12), [V26.S4] \
	ADD $64, R12, R12 \
	VLD1 (R12), [V27.S4] \
	ADD $64, R12, R12 \
	VLD1 (R12), [V28.S4] \
	ADD $64, R12, R12 \
	VLD1 (R12), [V29.S4]

// EXPV makes V1 the exponential function of V0, of which nothing is left, with V2 and V3. See Exp in Go.
#define EXPV \
	FMAX(16, 0, 0) \
	FMIN(17, 0, 0) \
	FMUL(18, 0, 3) \
	FCVTNS(3, 3) \
	SCVTF(3, 2) \
	VFMLS V2.S4, V19.S4, V0.S4 \
	VFMLS V2.S4, V20.S4, V0.S4 \
	VMOV V22.B16, V1.B16 \
	VFMLA V21.S4, V0.S4, V1.S4 \
	VMOV V23.B16, V2.B16 \
	VFMLA V1.S4, V0.S4, V2.S4 \
	VMOV V24.B16, V1.B16 \
	VFMLA V2.S4, V0.S4, V1.S4 \
	VMOV V25.B16, V2.B16 \
	VFMLA V1.S4, V0.S4, V2.S4 \
	VMOV V26.B16, V1.B16 \
	VFMLA V2.S4, V0.S4, V1.S4 \
	FMUL(0, 0, 2) \
	VFMLA V1.S4, V2.S4, V0.S4 \
	FADD(27, 0, 1) \
	VADD V29.S4, V3.S4, V3.S4 \
	VSHL $23, V3.S4, V3.S4 \
	FMUL(3, 1, 1)

// func expNEON(x *float32, n int, top float32) float32
TEXT ·expNEON(SB), NOSPLIT, $0-28
	MOVD x+0(FP), R0
	MOVD n+8(FP), R1
	MOVD $top+16(FP), R2
	VLD1R (R2), [V4.S4]
	CONSTANTS
	VEOR V5.B16, V5.B16, V5.B16
loop:
	VLD1 (R0), [V0.S4]
	FSUB(4, 0, 0)
	EXPV
	VST1.P [V1.S4], 16(R0)
	FADD(1, 5, 5)
	SUBS $4, R1, R1
	BGT loop
	FADDP(5, 5, 5)
	FADDP(5, 5, 5)
	FMOVS F5, ret+24(FP)
	RET

// func swigluNEON(out, gate, value *float32, n int)
TEXT ·swigluNEON(SB), NOSPLIT, $0-32
	MOVD out+0(FP), R0
	MOVD gate+8(FP), R1
	MOVD value+16(FP), R2
	MOVD n+24(FP), R3
	CONSTANTS
loop:
	VLD1.P 16(R1), [V4.S4]
	VLD1.P 16(R2), [V5.S4]
	FMUL(28, 4, 0)
	EXPV
	FADD(27, 1, 1)
	FDIV(1, 4, 1)
	FMUL(5, 1, 1)
	VST1.P [V1.S4], 16(R0)
	SUBS $4, R3, R3
	BGT loop
	RET
