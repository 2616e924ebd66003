#include "textflag.h"

// Products of four rows of x with a matrix that lies on its side, [n, columns]: a number of a row times a run of columns. See columnOperands.

#define X 0
#define OUT 32
#define W 64
#define STRIDE 72
#define N 80
#define COLUMNS 88

// ROWS begins with where the rows of x are. R8 is where columns of the matrix are, CX counts those that are left, and R9 is how many bytes
// are from one row of it to the next.
#define ROWS \
	MOVQ a+0(FP), DI \
	MOVQ (X+0)(DI), R10 \
	MOVQ (X+8)(DI), R11 \
	MOVQ (X+16)(DI), R12 \
	MOVQ (X+24)(DI), R13 \
	MOVQ W(DI), R8 \
	MOVQ STRIDE(DI), R9 \
	MOVQ COLUMNS(DI), CX \
	XORQ BX, BX

// STORE is for a row of sums: AX is where the row is, and BX how many bytes of it are done.
#define STORE512(row, z0, z1, z2, z3) \
	MOVQ (OUT+8*row)(DI), AX \
	VMOVUPS z0, (AX)(BX*1) \
	VMOVUPS z1, 64(AX)(BX*1) \
	VMOVUPS z2, 128(AX)(BX*1) \
	VMOVUPS z3, 192(AX)(BX*1)

#define FOURTIMES512(x, s0, s1, s2, s3) \
	VBROADCASTSS (x)(DX*4), Z20 \
	VFMADD231PS Z16, Z20, s0 \
	VFMADD231PS Z17, Z20, s1 \
	VFMADD231PS Z18, Z20, s2 \
	VFMADD231PS Z19, Z20, s3

#define CLEAR(z0, z1, z2, z3) \
	VPXORD z0, z0, z0 \
	VPXORD z1, z1, z1 \
	VPXORD z2, z2, z2 \
	VPXORD z3, z3, z3

// func columns512(a *columnOperands)
TEXT ·columns512(SB), NOSPLIT, $0-8
	ROWS
wide:
	CMPQ CX, $64
	JLT narrow
	CLEAR(Z0, Z1, Z2, Z3)
	CLEAR(Z4, Z5, Z6, Z7)
	CLEAR(Z8, Z9, Z10, Z11)
	CLEAR(Z12, Z13, Z14, Z15)
	XORQ DX, DX
	MOVQ R8, SI
wideloop:
	VMOVUPS (SI), Z16
	VMOVUPS 64(SI), Z17
	VMOVUPS 128(SI), Z18
	VMOVUPS 192(SI), Z19
	FOURTIMES512(R10, Z0, Z1, Z2, Z3)
	FOURTIMES512(R11, Z4, Z5, Z6, Z7)
	FOURTIMES512(R12, Z8, Z9, Z10, Z11)
	FOURTIMES512(R13, Z12, Z13, Z14, Z15)
	ADDQ R9, SI
	INCQ DX
	CMPQ DX, N(DI)
	JLT wideloop
	STORE512(0, Z0, Z1, Z2, Z3)
	STORE512(1, Z4, Z5, Z6, Z7)
	STORE512(2, Z8, Z9, Z10, Z11)
	STORE512(3, Z12, Z13, Z14, Z15)
	ADDQ $256, R8
	ADDQ $256, BX
	SUBQ $64, CX
	JMP wide
narrow:
	CMPQ CX, $0
	JLE done
	CLEAR(Z0, Z1, Z2, Z3)
	XORQ DX, DX
	MOVQ R8, SI
narrowloop:
	VMOVUPS (SI), Z16
	VFMADD231PS.BCST (R10)(DX*4), Z16, Z0
	VFMADD231PS.BCST (R11)(DX*4), Z16, Z1
	VFMADD231PS.BCST (R12)(DX*4), Z16, Z2
	VFMADD231PS.BCST (R13)(DX*4), Z16, Z3
	ADDQ R9, SI
	INCQ DX
	CMPQ DX, N(DI)
	JLT narrowloop
	MOVQ (OUT+0)(DI), AX
	VMOVUPS Z0, (AX)(BX*1)
	MOVQ (OUT+8)(DI), AX
	VMOVUPS Z1, (AX)(BX*1)
	MOVQ (OUT+16)(DI), AX
	VMOVUPS Z2, (AX)(BX*1)
	MOVQ (OUT+24)(DI), AX
	VMOVUPS Z3, (AX)(BX*1)
	ADDQ $64, R8
	ADDQ $64, BX
	SUBQ $16, CX
	JMP narrow
done:
	VZEROUPPER
	RET

#define TWICE256(x, s0, s1) \
	VBROADCASTSS (x)(DX*4), Y10 \
	VFMADD231PS Y8, Y10, s0 \
	VFMADD231PS Y9, Y10, s1

#define STORE256(row, y0, y1) \
	MOVQ (OUT+8*row)(DI), AX \
	VMOVUPS y0, (AX)(BX*1) \
	VMOVUPS y1, 32(AX)(BX*1)

// func columns256(a *columnOperands)
TEXT ·columns256(SB), NOSPLIT, $0-8
	ROWS
next:
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	VXORPS Y4, Y4, Y4
	VXORPS Y5, Y5, Y5
	VXORPS Y6, Y6, Y6
	VXORPS Y7, Y7, Y7
	XORQ DX, DX
	MOVQ R8, SI
loop:
	VMOVUPS (SI), Y8
	VMOVUPS 32(SI), Y9
	TWICE256(R10, Y0, Y1)
	TWICE256(R11, Y2, Y3)
	TWICE256(R12, Y4, Y5)
	TWICE256(R13, Y6, Y7)
	ADDQ R9, SI
	INCQ DX
	CMPQ DX, N(DI)
	JLT loop
	STORE256(0, Y0, Y1)
	STORE256(1, Y2, Y3)
	STORE256(2, Y4, Y5)
	STORE256(3, Y6, Y7)
	ADDQ $64, R8
	ADDQ $64, BX
	SUBQ $16, CX
	JGT next
	VZEROUPPER
	RET
