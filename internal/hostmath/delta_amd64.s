#include "textflag.h"

// Each row of s [rows, columns] is multiplied with decay, and a number of k times v added to it.

// func outer512(s *float32, rows, columns int, k, v *float32, decay float32)
TEXT ·outer512(SB), NOSPLIT, $0-44
	MOVQ s+0(FP), DI
	MOVQ rows+8(FP), CX
	MOVQ k+24(FP), R8
	MOVQ v+32(FP), R9
	VBROADCASTSS decay+40(FP), Z0
row:
	VBROADCASTSS (R8), Z1
	XORQ DX, DX
column:
	VMULPS (DI)(DX*4), Z0, Z2
	VFMADD231PS (R9)(DX*4), Z1, Z2
	VMOVUPS Z2, (DI)(DX*4)
	ADDQ $16, DX
	CMPQ DX, columns+16(FP)
	JLT column
	LEAQ (DI)(DX*4), DI
	ADDQ $4, R8
	DECQ CX
	JGT row
	VZEROUPPER
	RET

// func outer256(s *float32, rows, columns int, k, v *float32, decay float32)
TEXT ·outer256(SB), NOSPLIT, $0-44
	MOVQ s+0(FP), DI
	MOVQ rows+8(FP), CX
	MOVQ k+24(FP), R8
	MOVQ v+32(FP), R9
	VBROADCASTSS decay+40(FP), Y0
row:
	VBROADCASTSS (R8), Y1
	XORQ DX, DX
column:
	VMULPS (DI)(DX*4), Y0, Y2
	VFMADD231PS (R9)(DX*4), Y1, Y2
	VMOVUPS Y2, (DI)(DX*4)
	ADDQ $8, DX
	CMPQ DX, columns+16(FP)
	JLT column
	LEAQ (DI)(DX*4), DI
	ADDQ $4, R8
	DECQ CX
	JGT row
	VZEROUPPER
	RET
