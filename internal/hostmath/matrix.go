// Package hostmath holds the loops that the host runs itself where host and device are one: products of a matrix with a few
// rows, and the attention of a single query. A backend that runs graphs an operation at a time, as GoMLX's pure-Go one does,
// spends more on passing small arrays between its operations than on the numbers, and multiplies a single row on one core.
//
// All sums are float32, each of one row and one column of its own: what a row gives does not depend on the others.
package hostmath

// Part is a run of rows of a matrix [n, in], as float32, or as the bits of bfloat16, or as int8 with a scale [n] for each row.
type Part struct {
	Floats []float32
	Halves []uint16
	Ints   []int8
	Scale  []float32
}

// Matrix is the weight W [out, in] of a dense layer in parts whose rows follow each other.
type Matrix struct {
	Parts []Part
	In    int
}

// rows counts the rows of a part.
func (p Part) rows(in int) int { return max(len(p.Floats), len(p.Halves), len(p.Ints)) / in }

// Out counts the rows of the matrix, which are the columns of a product.
func (m Matrix) Out() int {
	n := 0
	for _, p := range m.Parts {
		n += p.rows(m.In)
	}
	return n
}

// block is how many rows of a matrix the kernels take at once.
const block = 4

// Mul is x·Wᵀ, with x [rows, in], into out [rows, out], on all cores.
func (m Matrix) Mul(out, x []float32, rows int) {
	width, first := m.Out(), 0
	for _, p := range m.Parts {
		n := p.rows(m.In)
		Parallel((n+block-1)/block, block*m.In*rows, func(from, to int) {
			p.mul(out[first:], x, m.In, rows, width, from*block, min(n, to*block))
		})
		first += n
	}
}

// mul writes the columns from up to to of the product with a part.
func (p Part) mul(out, x []float32, in, rows, width, from, to int) {
	if p.Floats != nil && rows == 1 {
		dotRows(out[from:to], p.Floats[from*in:], in, x[:in])
		return
	}
	var scratch []float32
	if p.Floats == nil {
		scratch = make([]float32, block*in)
	}
	for ; from < to; from += block { // some rows of the matrix at a time, which stay in the cache for all rows of x
		end := min(to, from+block)
		w := scratch
		switch {
		case p.Floats != nil:
			w = p.Floats[from*in : end*in]
		case p.Halves != nil:
			w = w[:(end-from)*in]
			widenHalves(w, p.Halves[from*in:end*in])
		default:
			w = w[:(end-from)*in]
			widenInts(w, p.Ints[from*in:end*in])
		}
		for row := range rows {
			y := out[row*width+from : row*width+end]
			dotRows(y, w, in, x[row*in:(row+1)*in])
			if p.Scale != nil {
				for i := range y {
					y[i] *= p.Scale[from+i]
				}
			}
		}
	}
}
