// Package hostmath holds the loops that the host runs itself where host and device are one: products of a matrix with some
// rows, attention, norms and activations. A backend that runs graphs an operation at a time, as GoMLX's pure-Go one does,
// spends more on passing small arrays between its operations than on the numbers, multiplies a single row on one core, and many rows
// without vector instructions. XLA's CPU code packs a matrix anew for every product, or reads it at a fraction of what memory gives.
//
// On amd64 the loops are in assembly, for AVX-512, with VNNI and AMX where they are, and for AVX2 with FMA; on arm64 for NEON, with
// dot products of bytes where they are: it needs no experiment of the compiler and no C. Elsewhere, and as what the tests compare with, they are
// in plain Go.
//
// Sums are float32, each of one row and one column of its own, and added up in one order: what a row gives does not depend on the others. Rows
// that are multiplied with int8 by VNNI, AMX or NEON's dot products are rounded to 16 bits, and the sums are of integers, exact; beside bfloat16
// on AMX the first 16 digits of a number count.
package hostmath

import (
	"fmt"

	"github.com/gomlx/compute/dtypes/bfloat16"
)

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

// rowsAtOnce is how many rows of n floats a product takes at once: those that stay in a core's second cache while a matrix passes by.
func rowsAtOnce(n int) int { return max(16, 1<<19/(4*n)&^7) }

// Row puts a row of the matrix into out [in].
func (m Matrix) Row(out []float32, i int) {
	for _, p := range m.Parts {
		n := p.rows(m.In)
		if i >= n {
			i -= n
			continue
		}
		at, to := i*m.In, (i+1)*m.In
		switch {
		case p.Floats != nil:
			copy(out, p.Floats[at:to])
		case p.Halves != nil:
			widen(out, p.Halves[at:to])
		default:
			widen(out, p.Ints[at:to])
			for j := range out {
				out[j] *= p.Scale[i]
			}
		}
		return
	}
	panic(fmt.Sprintf("hostmath: row %d of a matrix of %d rows", i, m.Out()))
}

// Mul is x·Wᵀ, with x [rows, in], into out [rows, out], on all cores.
func (m Matrix) Mul(out, x []float32, rows int) {
	if most := rowsAtOnce(m.In); rows > most {
		for ; rows > 0; rows -= most {
			n := min(rows, most)
			m.Mul(out[:n*m.Out()], x[:n*m.In], n)
			out, x = out[n*m.Out():], x[n*m.In:]
		}
		return
	}
	width, first, f := m.Out(), 0, m.factor(x, rows)
	defer f.free()
	unit := block
	if f.packed != nil {
		unit = tileRows
	}
	for _, p := range m.Parts {
		n := p.rows(m.In)
		Parallel((n+unit-1)/unit, unit*m.In*rows, func(from, to int) {
			p.mul(out[first:], f, width, from*unit, min(n, to*unit))
		})
		first += n
	}
}

// mul writes the columns from up to to of the product with a part, into rows that begin width from each other.
func (p Part) mul(out []float32, f *factor, width, from, to int) {
	y, x := rows[float32]{out[from:], width}, rows[float32]{f.x, f.n}
	switch {
	case p.Floats != nil:
		products(y, rows[float32]{p.Floats[from*f.n:], f.n}, to-from, x, f.few, f.n)
	case p.Halves != nil && f.packed != nil:
		tileProducts(p.Halves, from, to, f.packed, f.few, f.n, vectors.tileHalves, func(i, row int, upper, lower []float32) {
			for j := range upper {
				out[(row+j)*width+i] = upper[j] + lower[j]
			}
		})
	case p.Halves != nil:
		products(y, rows[bfloat16.BFloat16]{p.Halves[from*f.n:], f.n}, to-from, x, f.few, f.n)
	case f.packed != nil:
		tileProducts(p.Ints, from, to, f.packed, f.few, f.n, vectors.tileInts, func(i, row int, upper, lower []int32) {
			for j := range upper {
				out[(row+j)*width+i] = (256*float32(upper[j]) + float32(lower[j])) * (p.Scale[i] * f.split[row+j].scale)
			}
		})
	case f.split != nil:
		splitProducts(y, rows[int8]{p.Ints[from*f.n:], f.n}, to-from, f.split, f.n)
		for row, s := range f.split {
			for i, scale := range p.Scale[from:to] {
				out[row*width+from+i] *= scale * s.scale
			}
		}
	default:
		products(y, rows[int8]{p.Ints[from*f.n:], f.n}, to-from, x, f.few, f.n)
		for row := range f.few {
			for i, scale := range p.Scale[from:to] {
				out[row*width+from+i] *= scale
			}
		}
	}
}
