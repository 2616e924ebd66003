// What the kernels for products have in common.

// Offsets in operands: where the rows of the matrix and of x begin, how long they are, how many bytes
// behind those of the matrix what is fetched for later begins and how many of it are for each vector, the sums, and
// what those of bytes begin with.
#define W 0
#define X 32
#define N 64
#define AHEAD 72
#define PACE 80
#define SUMS 88
#define START 152

// LOAD reads a vector of numbers of the matrix and makes floats of them: float32, bfloat16 or int8 at p, of which DX are done. So many
// of the numbers as K1 says are read by the AVX-512 forms, and the others are 0.
#define LOADFLOAT512(p, z) VMOVUPS.Z (p)(DX*4), K1, z
#define LOADHALF512(p, z) VPMOVZXWD.Z (p)(DX*2), K1, z; VPSLLD $16, z, z
#define LOADINT512(p, z) VPMOVSXBD.Z (p)(DX*1), K1, z; VCVTDQ2PS z, z
#define LOADFLOAT256(p, y) VMOVUPS (p)(DX*4), y
#define LOADHALF256(p, y) VPMOVZXWD (p)(DX*2), y; VPSLLD $16, y, y
#define LOADINT256(p, y) VPMOVSXBD (p)(DX*1), y; VCVTDQ2PS y, y

// BEGIN takes the operands apart.
#define BEGIN \
	MOVQ a+0(FP), DI \
	MOVQ (W+0)(DI), R8 \
	MOVQ (W+8)(DI), R9 \
	MOVQ (W+16)(DI), R10 \
	MOVQ (W+24)(DI), R11 \
	MOVQ (X+0)(DI), R12 \
	MOVQ (X+8)(DI), R13 \
	MOVQ (X+16)(DI), BX \
	MOVQ (X+24)(DI), SI \
	MOVQ N(DI), CX \
	MOVQ AHEAD(DI), R14 \
	XORQ DX, DX

// MULADD adds the products of the four vectors w with a vector of x to four sums.
#define MULADD(x, w0, w1, w2, w3, s0, s1, s2, s3) \
	VFMADD231PS w0, x, s0 \
	VFMADD231PS w1, x, s1 \
	VFMADD231PS w2, x, s2 \
	VFMADD231PS w3, x, s3

// FOLD512 and FOLD256 add up four vectors of sums and write the four numbers. Each is added in the same order.
#define FOLD512(z0, z1, z2, z3, y0, y1, y2, y3, x0, x1, to) \
	VEXTRACTF64X4 $1, z0, Y16 \
	VEXTRACTF64X4 $1, z1, Y17 \
	VEXTRACTF64X4 $1, z2, Y18 \
	VEXTRACTF64X4 $1, z3, Y19 \
	VADDPS Y16, y0, y0 \
	VADDPS Y17, y1, y1 \
	VADDPS Y18, y2, y2 \
	VADDPS Y19, y3, y3 \
	FOLD256(y0, y1, y2, y3, x0, x1, to)

#define FOLD256(y0, y1, y2, y3, x0, x1, to) \
	VHADDPS y1, y0, y0 \
	VHADDPS y3, y2, y2 \
	VHADDPS y2, y0, y0 \
	VEXTRACTF128 $1, y0, x1 \
	VADDPS x1, x0, x0 \
	VMOVUPS x0, (SUMS+to)(DI)

#define CLEAR512(z0, z1, z2, z3) \
	VPXORD z0, z0, z0 \
	VPXORD z1, z1, z1 \
	VPXORD z2, z2, z2 \
	VPXORD z3, z3, z3

#define CLEAR256(y0, y1, y2, y3) \
	VXORPS y0, y0, y0 \
	VXORPS y1, y1, y1 \
	VXORPS y2, y2, y2 \
	VXORPS y3, y3, y3

// ALL begins with all lanes.
#define ALL \
	MOVL $0xffff, AX \
	KMOVW AX, K1

// REST leaves in K1 what there is of a last vector.
#define REST \
	CMPQ CX, $16 \
	JGE 5(PC) \
	MOVL $1, AX \
	SHLL CX, AX \
	DECL AX \
	KMOVW AX, K1

// SOON fetches some of the rows that come later. No processor guesses that four short runs of memory are followed by four others, and waiting for
// memory at the beginning of each takes longer than all the rest.
#define SOON \
	PREFETCHT0 (R8)(R14*1) \
	PREFETCHT0 (R9)(R14*1) \
	PREFETCHT0 (R10)(R14*1) \
	PREFETCHT0 (R11)(R14*1) \
	ADDQ AX, R14

#define NEXT(lanes) \
	ADDQ $lanes, DX \
	SUBQ $lanes, CX

#define FOUR(load) \
	load(R8, Z16) \
	load(R9, Z17) \
	load(R10, Z18) \
	load(R11, Z19)

