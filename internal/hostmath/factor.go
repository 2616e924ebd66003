package hostmath

import (
	"slices"
	"unsafe"

	"github.com/gomlx/compute/dtypes/bfloat16"
)

// factor is what a matrix is multiplied with, few rows x of n numbers, in the form that the kernels for the matrix take it in beside floats.
type factor struct {
	x      []float32
	few, n int
	split  []splitRow // for products of bytes
	packed []int32    // for products with tiles
	room   *room
}

// room is where a factor's forms are.
type room struct {
	bytes  []int8
	halves []bfloat16.BFloat16
	words  []int32
}

var rooms pool[room]

// grown is room for n numbers, whatever they are.
func grown[T any](s []T, n int) []T { return slices.Grow(s[:0], n)[:n] }

// factor makes the form of x that suits the matrix. It is to be freed.
func (m Matrix) factor(x []float32, few int) *factor {
	f := &factor{x: x, few: few, n: m.In, room: rooms.get()}
	v, n := vectors, m.In
	if v == nil || len(m.Parts) == 0 {
		return f
	}
	bytes, tiles := n, true
	for _, p := range m.Parts {
		tiles = tiles && p.rows(n) >= tileRows
	}
	ints, halves := m.Parts[0].Ints != nil, m.Parts[0].Halves != nil
	switch {
	case ints && v.bytes[0] != nil && n <= mostBytes && n%v.wholeBytes == 0:
		f.room.bytes = grown(f.room.bytes, 2*len(x))
		f.split = splitRows(x, few, n, f.room.bytes)
		tiles = tiles && v.tileInts != nil
	case halves && v.tileHalves != nil:
		bytes *= 2
		f.room.halves = grown(f.room.halves, 2*len(x))
	default:
		return f
	}
	if !tiles || bytes%tileBytes != 0 {
		return f
	}
	f.room.words = grown(f.room.words, tileWords(few, bytes))
	f.packed = f.room.words
	Parallel(few, n, func(from, to int) {
		for row := from; row < to; row++ {
			if ints {
				pack(f.packed, row, 0, words(f.split[row].upper))
				pack(f.packed, row, 1, words(f.split[row].lower))
				continue
			}
			both := f.room.halves[2*row*n:][:2*n]
			v.halve(unsafe.SliceData(both[:n]), unsafe.SliceData(both[n:]), unsafe.SliceData(x[row*n:]), n)
			pack(f.packed, row, 0, words(both[:n]))
			pack(f.packed, row, 1, words(both[n:]))
		}
	})
	return f
}

func (f *factor) free() { rooms.put(f.room) }
