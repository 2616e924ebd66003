package hostmath

import (
	"unsafe"

	"github.com/gomlx/compute/dtypes/bfloat16"
)

// Products with matrix tiles, in one instruction each: 16 rows of a matrix times 16 columns, over 64 bytes of each row. Every row of x takes two of
// the columns: its bytes as [splitRows] has them, or, beside bfloat16, two halves whose sum has twice the digits of one.

// tileKernel multiplies blocks of tileRows rows of a matrix, which begin stride bytes from each other and are so many parts of tileBytes
// long, with packed rows of x, into sums [blocks, tileRows, tileRows]. Meanwhile it fetches what is ahead by so many bytes.
type tileKernel func(w unsafe.Pointer, stride int, x unsafe.Pointer, parts, blocks int, sums unsafe.Pointer, ahead int)

const (
	// tileRows is how many rows a tile has, and how many numbers of 32 bits are in one.
	tileRows = 16
	// tileBytes is how long they are.
	tileBytes = 4 * tileRows
	// tileInputs is how many rows of x fit into a tile.
	tileInputs = tileRows / 2
)

// tileConfig is the configuration of tile registers: palette 1, and three of them with all their rows and bytes (Intel's SDM, volume 1, 18.2).
//
//nolint:unused // The assembly reads it.
var tileConfig = [64]byte{0: 1, 16: tileBytes, 18: tileBytes, 20: tileBytes, 48: tileRows, 49: tileRows, 50: tileRows}

// tileWords is how many numbers of 32 bits are packed of so many rows of x, each of so many bytes.
func tileWords(few, bytes int) int {
	return (few + tileInputs - 1) / tileInputs * tileRows * bytes / 4
}

// pack puts a row of words, the upper ones or the lower ones of the row-th of x, where a tile of x has them: a column.
func pack(packed []int32, row, lower int, words []int32) {
	to := packed[row/tileInputs*tileRows*len(words):][row%tileInputs+lower*tileInputs:]
	for i, v := range words {
		to[i*tileRows] = v
	}
}

// words are numbers as runs of 32 bits.
func words[T int8 | bfloat16.BFloat16](x []T) []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(x))), len(x)*int(unsafe.Sizeof(x[0]))/4)
}

// tileSums are room for what a tileKernel writes, int32 or float32.
var tileSums pool[[tileBlocks * tileRows * tileRows]uint32]

// tileProducts puts the products of the rows from up to to of w, [many, n], with few rows of x that are packed into what give makes of the sums
// of a row of w and of some rows of x: upper ones and lower ones.
func tileProducts[T int8 | bfloat16.BFloat16, S int32 | float32](w []T, from, to int, packed []int32, few, n int, kernel tileKernel, give func(i, row int, upper, lower []S)) {
	stride := n * int(unsafe.Sizeof(w[0]))
	room := tileSums.get()
	defer tileSums.put(room)
	sums := unsafe.Slice((*S)(unsafe.Pointer(room)), len(room))
	for first := from; first < to; {
		blocks, at := min(tileBlocks, (to-first)/tileRows), first
		if blocks == 0 { // the last rows, with some from before
			blocks, at = 1, to-tileRows
		}
		for row := 0; row < few; row += tileInputs {
			kernel(unsafe.Pointer(&w[at*n]), stride, unsafe.Pointer(&packed[row/tileInputs*tileRows*stride/4]), stride/tileBytes, blocks, unsafe.Pointer(room), tileRows*stride)
			taken := min(tileInputs, few-row)
			for i := first; i < at+blocks*tileRows; i++ {
				s := sums[(i-at)*tileRows:][:tileRows]
				give(i, row, s[:taken], s[tileInputs:][:taken])
			}
		}
		first = at + blocks*tileRows
	}
}
