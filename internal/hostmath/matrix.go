// Package hostmath holds the loops that the host runs itself where host and device are one: products of a matrix with a few
// rows, and the attention of some queries. A backend that runs graphs an operation at a time, as GoMLX's pure-Go one does,
// spends more on passing small arrays between its operations than on the numbers, and multiplies a single row on one core. XLA's CPU code
// packs a matrix anew for every product, or reads it at a fraction of what memory gives.
//
// On amd64 the loops are in assembly, for AVX-512 and for AVX2 with FMA: it needs no experiment of the compiler and no C. Elsewhere, and as what the
// tests compare with, they are in plain Go.
//
// All sums are float32, each of one row and one column of its own: what a row gives does not depend on the others.
package hostmath

import "github.com/gomlx/compute/dtypes/bfloat16"

// Part is a run of rows of a matrix [n, in], as float32, or bfloat16, or int8 with a scale [n] for each row.
type Part struct {
	Floats []float32
	Halves []bfloat16.BFloat16
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
func (p Part) mul(out, x []float32, in, few, width, from, to int) {
	y, rowsOfX := rows[float32]{out[from:], width}, rows[float32]{x, in}
	switch {
	case p.Floats != nil:
		products(y, rows[float32]{p.Floats[from*in:], in}, to-from, rowsOfX, few, in)
	case p.Halves != nil:
		products(y, rows[bfloat16.BFloat16]{p.Halves[from*in:], in}, to-from, rowsOfX, few, in)
	default:
		products(y, rows[int8]{p.Ints[from*in:], in}, to-from, rowsOfX, few, in)
		for row := range few {
			for i, scale := range p.Scale[from:to] {
				out[row*width+from+i] *= scale
			}
		}
	}
}
