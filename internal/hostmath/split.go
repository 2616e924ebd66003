package hostmath

import "unsafe"

// splitRow is a row of floats as 16-bit integers with a scale, (256·upper+lower)·scale, in two rows of bytes: two integer products of
// bytes are half the work of a product of floats, and exact. A number is off by at most 1/65,278 of the largest of its row.
type splitRow struct {
	upper, lower []int8
	scale        float32
	// start is what the integer products of each row of bytes begin with. VNNI's instruction wants one of its factors without a sign, so
	// that 128 is added to each number of the matrix, and what this adds to the sum is taken away from it before. With NEON it is 0.
	start [2]int32
}

const (
	// mostSplit is the largest of the integers: its upper byte is 127, as is its lower.
	mostSplit = 127*256 + 127
	// leastPeak is below what matters, and still has a reciprocal.
	leastPeak = 1e-30
	// mostBytes is how many products of two bytes always fit into 32 bits.
	mostBytes = 1<<31/(128*128) - 1
)

// splitRows splits each of few rows x of n numbers into room for twice as many bytes.
func splitRows(x []float32, few, n int, room []int8) []splitRow {
	v, split := vectors, make([]splitRow, few)
	Parallel(few, n, func(from, to int) {
		for i := from; i < to; i++ {
			row := x[i*n:][:n]
			s := splitRow{upper: room[2*i*n:][:n], lower: room[(2*i+1)*n:][:n]}
			s.scale = max(v.peak(unsafe.SliceData(row), n), leastPeak) / mostSplit
			upper, lower := v.split(unsafe.SliceData(s.upper), unsafe.SliceData(s.lower), unsafe.SliceData(row), n, 1/s.scale)
			s.start = [2]int32{-128 * upper, -128 * lower}
			split[i] = s
		}
	})
	return split
}

// splitProducts is products of int8 with rows that are split.
func splitProducts(out rows[float32], w rows[int8], many int, x []splitRow, n int) {
	v := vectors
	tiled(out, w, many, len(x), n, v.byteLanes, v.bytes, func(a *operands, j, row int) {
		a.x[2*j], a.x[2*j+1] = unsafe.Pointer(unsafe.SliceData(x[row].upper)), unsafe.Pointer(unsafe.SliceData(x[row].lower))
		copy(a.start[2*j:], x[row].start[:])
	})
}
