package hostmath

import (
	"math"
	"unsafe"

	"github.com/gomlx/compute/dtypes/bfloat16"
)

// number is what a matrix is made of.
type number interface {
	float32 | bfloat16.BFloat16 | int8
}

// operands are what a kernel multiplies: block rows of a matrix with some rows of x, n numbers each. The sums of the first row of x come
// first. kernels_amd64.h knows where what is.
type operands struct {
	w [block]unsafe.Pointer
	x [4]unsafe.Pointer
	n int
	// ahead is how many bytes behind each of w what begins that is fetched from memory for later, and pace how many of it are for each
	// vector of a row.
	ahead, pace int
	sums        [4][block]float32
	// start is what the sums of each row of bytes begin with.
	start [4]int32
}

type kernel func(*operands)

var operandsPool pool[operands]

// instructions are the kernels for a kind of processor. Those for products take one, two, and, where there is such a kernel, four rows
// of x; and they, as exp and swiglu, take at least one number, and as many as whole divides.
type instructions struct {
	name                 string
	lanes                int // of a vector
	floats, halves, ints [3]kernel
	whole                int
	// bytes take rows of x that [splitRows] made of floats, where there is an instruction that multiplies int8 with int8; peak and split are
	// its parts. They take as many numbers as wholeBytes divides, byteLanes of them at a time.
	bytes                 [3]kernel
	byteLanes, wholeBytes int
	peak                  func(x *float32, n int) float32
	split                 func(upper, lower *int8, x *float32, n int, by float32) (uppers, lowers int32)
	// tileInts and tileHalves multiply with tiles, where there are such; halve makes two halves of a float.
	tileInts, tileHalves tileKernel
	halve                func(upper, lower *bfloat16.BFloat16, x *float32, n int)
	columns              func(*columnOperands)
	outer                func(s *float32, rows, columns int, k, v *float32, decay float32)
	most                 func(x *float32, n int) float32
	exp                  func(x *float32, n int, top float32) float32
	swiglu               func(out, gate, value *float32, n int)
}

// supported are the instructions of this processor, and vectors those in use, nil where there are none.
var (
	supported = native()
	vectors   = best(supported)
)

func best(all []*instructions) *instructions {
	if len(all) == 0 {
		return nil
	}
	return all[0]
}

// HasVectors says whether the loops of this package use vector instructions, with which they are as fast as memory lets them be.
func HasVectors() bool { return vectors != nil }

// Vectors names the vector instructions in use, and is empty where there are none.
func Vectors() string {
	if vectors == nil {
		return ""
	}
	return vectors.name
}

// of are the kernels for a kind of number.
func of[T number](v *instructions) [3]kernel {
	var zero T
	switch any(zero).(type) {
	case float32:
		return v.floats
	case int8:
		return v.ints
	default:
		return v.halves
	}
}

// choose is the kernel that takes most of so many rows of x, and how many that is.
func choose(kernels [3]kernel, left int) (kernel, int) {
	switch {
	case left >= 4 && kernels[2] != nil:
		return kernels[2], 4
	case left >= 2:
		return kernels[1], 2
	}
	return kernels[0], 1
}

// rows are numbers that begin stride from each other.
type rows[T any] struct {
	flat   []T
	stride int
}

func (r rows[T]) at(i, n int) []T { return r.flat[i*r.stride:][:n:n] }

// products puts x·wᵀ into out, [few, many], for few rows x of n numbers and many rows w. Each sum is added up in an order of its own.
func products[T number](out rows[float32], w rows[T], many int, x rows[float32], few, n int) {
	v := vectors
	if v == nil || n < v.whole {
		plainProducts(out, w, many, x, few, n)
		return
	}
	whole := n - n%v.whole
	tiled(out, w, many, few, whole, v.lanes, of[T](v), func(a *operands, j, row int) {
		a.x[j] = unsafe.Pointer(unsafe.SliceData(x.at(row, n)))
	})
	if whole < n {
		rest := rows[T]{w.flat[whole:], w.stride}
		for row := range few {
			addProducts(out.at(row, many), rest, x.at(row, n)[whole:])
		}
	}
}

// tileBlocks is how many blocks of rows of w the rows of x go through a few at a time, at most, and tileSize how many bytes of w, unless one
// block has more: with rows of 6,144 numbers in float32 and bfloat16 that is 3 to 12 % less time than four blocks always.
const (
	tileBlocks = 4
	tileSize   = 128 << 10
)

// tiled runs kernels for few rows of x and many rows w, of which n numbers count, and which they take so many lanes of at a time. Give
// makes a row of x the j-th that a kernel multiplies.
func tiled[T number](out rows[float32], w rows[T], many, few, n, lanes int, kernels [3]kernel, give func(a *operands, j, row int)) {
	passes := 0
	for row := 0; row < few; passes++ {
		_, taken := choose(kernels, few-row)
		row += taken
	}
	// The rows of x go through a tile of w a few at a time, so that these stay in a core's first cache, and w in its second. Meanwhile the
	// next tile is fetched, a part of its columns at a time.
	tile, size := block, int(unsafe.Sizeof(w.flat[0]))
	if passes > 1 {
		tile *= max(1, min(tileBlocks, tileSize/(block*n*size)))
	}
	a := operandsPool.get()
	defer operandsPool.put(a)
	a.n, a.pace = n, lanes*size/passes
	for first := 0; first < many; first += tile {
		last := min(many, first+tile)
		for row, pass := 0, 0; row < few; pass++ {
			kernel, taken := choose(kernels, few-row)
			a.ahead = size * (tile*w.stride + pass*n/passes)
			for j := range taken {
				give(a, j, row+j)
			}
			for i := first; i < last; i += block {
				for j := range a.w { // at the end, the last row is taken more than once
					a.w[j] = unsafe.Pointer(unsafe.SliceData(w.at(min(i+j, many-1), n)))
				}
				kernel(a)
				for j := range taken {
					to, sums := out.at(row+j, many)[i:], &a.sums[j]
					if len(to) < block {
						copy(to, sums[:])
						continue
					}
					*(*[block]float32)(to) = *sums
				}
			}
			row += taken
		}
	}
}

// most is the largest of some numbers.
func most(x []float32) float32 {
	v, whole, top := vectors, 0, float32(math.Inf(-1))
	if v != nil {
		whole = len(x) - len(x)%v.whole
	}
	if whole > 0 {
		top = v.most(unsafe.SliceData(x), whole)
	}
	for _, value := range x[whole:] {
		top = max(top, value)
	}
	return top
}

// expSum puts exp(x-top) in the place of each x and returns their sum. See [Exp].
func expSum(x []float32, top float32) float32 {
	v, whole, sum := vectors, 0, float32(0)
	if v != nil {
		whole = len(x) - len(x)%v.whole
	}
	if whole > 0 {
		sum = v.exp(unsafe.SliceData(x), whole, top)
	}
	for i := whole; i < len(x); i++ {
		x[i] = Exp(x[i] - top)
		sum += x[i]
	}
	return sum
}

// SwiGLU is silu(gate)·value for a row of gates and then as many values, into out.
func SwiGLU(out, row []float32) {
	n := len(out)
	gate, value := row[:n], row[n:2*n]
	v, whole := vectors, 0
	if v != nil {
		whole = n - n%v.whole
	}
	if whole > 0 {
		v.swiglu(unsafe.SliceData(out), unsafe.SliceData(gate), unsafe.SliceData(value), whole)
	}
	for i := whole; i < n; i++ {
		out[i] = gate[i] * Sigmoid(gate[i]) * value[i]
	}
}
