#include "textflag.h"

// OUTER multiplies each row of s [rows, columns] with decay and adds a number of k times v to it, so many lanes at a time.
#define OUTER(name, lanes, factor, key, sum) \
TEXT name, NOSPLIT, $0-44 \
	MOVQ s+0(FP), DI \
	MOVQ rows+8(FP), CX \
	MOVQ k+24(FP), R8 \
	MOVQ v+32(FP), R9 \
	VBROADCASTSS decay+40(FP), factor \
row: \
	VBROADCASTSS (R8), key \
	XORQ DX, DX \
column: \
	VMULPS (DI)(DX*4), factor, sum \
	VFMADD231PS (R9)(DX*4), key, sum \
	VMOVUPS sum, (DI)(DX*4) \
	ADDQ $lanes, DX \
	CMPQ DX, columns+16(FP) \
	JLT column \
	LEAQ (DI)(DX*4), DI \
	ADDQ $4, R8 \
	DECQ CX \
	JGT row \
	VZEROUPPER \
	RET

// func outer512(s *float32, rows, columns int, k, v *float32, decay float32)
OUTER(·outer512(SB), 16, Z0, Z1, Z2)

// func outer256(s *float32, rows, columns int, k, v *float32, decay float32)
OUTER(·outer256(SB), 8, Y0, Y1, Y2)
