#include "textflag.h"
#include "kernels_amd64.h"

// Products with the tiles of AMX (Intel, Advanced Matrix Extensions), whose instructions Go's assembler does not know. A tile is sixteen
// rows of 64 bytes: T0 are the sums, T1 a part of sixteen rows of the matrix as they are in memory, and T2 the same part of x, as [packTiles]
// lays it out.

#define TILECONFIG BYTE $0xc4; BYTE $0xe2; BYTE $0x78; BYTE $0x49; BYTE $0x00 // LDTILECFG (AX)
#define TILERELEASE BYTE $0xc4; BYTE $0xe2; BYTE $0x78; BYTE $0x49; BYTE $0xc0
#define ZEROSUMS BYTE $0xc4; BYTE $0xe2; BYTE $0x7b; BYTE $0x49; BYTE $0xc0 // TILEZERO T0
#define LOADMATRIX BYTE $0xc4; BYTE $0x82; BYTE $0x7b; BYTE $0x4b; BYTE $0x0c; BYTE $0x08 // TILELOADD (R8)(R9*1), T1
#define LOADX BYTE $0xc4; BYTE $0x82; BYTE $0x7b; BYTE $0x4b; BYTE $0x14; BYTE $0x1a // TILELOADD (R10)(R11*1), T2
#define DOTINTS BYTE $0xc4; BYTE $0xe2; BYTE $0x6b; BYTE $0x5e; BYTE $0xc1 // TDPBSSD T2, T1, T0
#define DOTHALVES BYTE $0xc4; BYTE $0xe2; BYTE $0x6a; BYTE $0x5c; BYTE $0xc1 // TDPBF16PS T2, T1, T0
#define STORESUMS BYTE $0xc4; BYTE $0xa2; BYTE $0x7a; BYTE $0x4b; BYTE $0x04; BYTE $0x1f // TILESTORED T0, (DI)(R11*1)

// FETCH fetches a part of sixteen rows that come later, of which R12 is the first.
#define FETCHFOUR \
	PREFETCHT1 (R12) \
	PREFETCHT1 (R12)(R9*1) \
	PREFETCHT1 (R12)(R9*2) \
	PREFETCHT1 (R12)(R13*1) \
	LEAQ (R12)(R9*4), R12

#define FETCH \
	MOVQ R8, R12 \
	ADDQ R14, R12 \
	FETCHFOUR \
	FETCHFOUR \
	FETCHFOUR \
	FETCHFOUR

#define TILES(name, dot) \
TEXT name, NOSPLIT, $0-56 \
	LEAQ ·tileConfig(SB), AX \
	TILECONFIG \
	MOVQ stride+8(FP), R9 \
	LEAQ (R9)(R9*2), R13 \
	MOVQ $64, R11 \
	MOVQ blocks+32(FP), BX \
	MOVQ sums+40(FP), DI \
	MOVQ w+0(FP), SI \
	MOVQ ahead+48(FP), R14 \
block: \
	MOVQ SI, R8 \
	MOVQ x+16(FP), R10 \
	MOVQ parts+24(FP), CX \
	ZEROSUMS \
part: \
	LOADX \
	LOADMATRIX \
	FETCH \
	dot \
	ADDQ $64, R8 \
	ADDQ $1024, R10 \
	DECQ CX \
	JGT part \
	STORESUMS \
	ADDQ $1024, DI \
	MOVQ R9, DX \
	SHLQ $4, DX \
	ADDQ DX, SI \
	DECQ BX \
	JGT block \
	TILERELEASE \
	RET

// func tileInts(w unsafe.Pointer, stride int, x unsafe.Pointer, parts, blocks int, sums unsafe.Pointer, ahead int)
TILES(·tileInts(SB), DOTINTS)

// func tileHalves(w unsafe.Pointer, stride int, x unsafe.Pointer, parts, blocks int, sums unsafe.Pointer, ahead int)
TILES(·tileHalves(SB), DOTHALVES)

// func halve512(upper, lower *bfloat16.BFloat16, x *float32, n int)
TEXT ·halve512(SB), NOSPLIT, $0-32
	MOVQ upper+0(FP), R8
	MOVQ lower+8(FP), R9
	MOVQ x+16(FP), DI
	MOVQ n+24(FP), CX
	XORQ DX, DX
	ALL
	MOVL $0xffff0000, AX
	VPBROADCASTD AX, Z4
	MOVL $0x8000, AX
	VPBROADCASTD AX, Z5
loop:
	REST
	VMOVUPS.Z (DI)(DX*4), K1, Z0
	VPANDD Z4, Z0, Z1
	VSUBPS Z1, Z0, Z2 // exact
	VPADDD Z5, Z2, Z2
	VPSRLD $16, Z1, Z1
	VPSRLD $16, Z2, Z2
	VPMOVDW Z1, K1, (R8)(DX*2)
	VPMOVDW Z2, K1, (R9)(DX*2)
	NEXT(16)
	JGT loop
	VZEROUPPER
	RET

// func enabledStates() uint32
TEXT ·enabledStates(SB), NOSPLIT, $0-4
	XORL CX, CX
	XGETBV
	MOVL AX, ret+0(FP)
	RET
