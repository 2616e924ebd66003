// Offsets in operands, as kernels_amd64.h has them.
#define W 0
#define X 32
#define N 64
#define AHEAD 72
#define PACE 80
#define SUMS 88

// Instructions that Go's assembler does not know, on vectors of four floats or of four 32-bit integers: the numbers of the registers are those
// of the second factor, the first, and the result.
#define FADD(m, n, d) WORD $(0x4E20D400 | (m<<16) | (n<<5) | d)
#define FMUL(m, n, d) WORD $(0x6E20DC00 | (m<<16) | (n<<5) | d)
#define FDIV(m, n, d) WORD $(0x6E20FC00 | (m<<16) | (n<<5) | d)
#define FMAX(m, n, d) WORD $(0x4E20F400 | (m<<16) | (n<<5) | d)
#define FMIN(m, n, d) WORD $(0x4EA0F400 | (m<<16) | (n<<5) | d)
#define FSUB(m, n, d) WORD $(0x4EA0D400 | (m<<16) | (n<<5) | d)
#define FADDP(m, n, d) WORD $(0x6E20D400 | (m<<16) | (n<<5) | d)
#define FABS(n, d) WORD $(0x4EA0F800 | (n<<5) | d)
#define FMAXV(n, d) WORD $(0x6E30F800 | (n<<5) | d)
#define FCVTNS(n, d) WORD $(0x4E21A800 | (n<<5) | d) // to the nearest integers
#define SCVTF(n, d) WORD $(0x4E21D800 | (n<<5) | d)
#define SXTLB(n, d) WORD $(0x0F08A400 | (n<<5) | d) // eight bytes to 16 bits
#define SXTLH(n, d) WORD $(0x0F10A400 | (n<<5) | d) // the first four of 16 bits to 32
#define SXTLH2(n, d) WORD $(0x4F10A400 | (n<<5) | d) // and the last
#define SDOT(m, n, d) WORD $(0x4E809400 | (m<<16) | (n<<5) | d) // of four bytes each, added to the result

// BEGIN takes the operands apart. R11 is by how many bytes the place that is fetched goes on beside the rows of the matrix, whose
// vectors take size bytes.
#define BEGIN(size) \
	MOVD a+0(FP), R0 \
	MOVD (W+0)(R0), R1 \
	MOVD (W+8)(R0), R2 \
	MOVD (W+16)(R0), R3 \
	MOVD (W+24)(R0), R4 \
	MOVD (X+0)(R0), R5 \
	MOVD (X+8)(R0), R6 \
	MOVD (X+16)(R0), R7 \
	MOVD (X+24)(R0), R8 \
	MOVD N(R0), R9 \
	MOVD AHEAD(R0), R10 \
	MOVD PACE(R0), R11 \
	SUB $size, R11, R11 \
	VEOR V31.B16, V31.B16, V31.B16

#define CLEAR(v0, v1, v2, v3) \
	VEOR v0.B16, v0.B16, v0.B16 \
	VEOR v1.B16, v1.B16, v1.B16 \
	VEOR v2.B16, v2.B16, v2.B16 \
	VEOR v3.B16, v3.B16, v3.B16

#define FOUR(load) \
	load(R1, V16, V17, 16, 17) \
	load(R2, V18, V19, 18, 19) \
	load(R3, V20, V21, 20, 21) \
	load(R4, V22, V23, 22, 23)

// SOON fetches some of the rows that come later.
#define SOON \
	ADD R10, R1, R12 \
	PRFM (R12), PLDL1KEEP \
	ADD R10, R2, R12 \
	PRFM (R12), PLDL1KEEP \
	ADD R10, R3, R12 \
	PRFM (R12), PLDL1KEEP \
	ADD R10, R4, R12 \
	PRFM (R12), PLDL1KEEP \
	ADD R11, R10, R10
