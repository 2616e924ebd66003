package hostmath

import "math"

// ColumnMultiple is what the number of columns of a matrix that lies on its side is a multiple of.
const ColumnMultiple = 16

// columnOperands are four rows of x, of n numbers each, and a matrix that lies on its side, whose rows begin stride bytes from each other, and
// of which so many columns are multiplied. columns_amd64.s knows where what is.
type columnOperands struct {
	x, out             [4]*float32
	w                  *float32
	stride, n, columns int
}

// columnProducts puts x·w into out, for few rows x of n numbers and w [n, columns]. Each sum is added up in the order of n.
func columnProducts(out, w, x rows[float32], few, n, columns int) {
	if vectors == nil {
		for i := range few {
			to := out.at(i, columns)
			clear(to)
			for j, v := range x.at(i, n) {
				for c, value := range w.at(j, columns) {
					to[c] += v * value
				}
			}
		}
		return
	}
	a := columnOperands{w: &w.flat[0], stride: 4 * w.stride, n: n, columns: columns}
	for i := 0; i < few; i += len(a.x) {
		for j := range a.x { // at the end, the last row is taken more than once
			row := min(i+j, few-1)
			a.x[j], a.out[j] = &x.at(row, n)[0], &out.at(row, columns)[0]
		}
		vectors.columns(&a)
	}
}

// AttendColumns is the attention of some queries q [few, dim], which are scaled already, against the first length of keys, on their side,
// [dim, capacity], and of values [capacity, dim]. It goes into rows of out, as wide as dim, that begin stride from each other. Dim and
// capacity are multiples of [ColumnMultiple]; scores is room for few·capacity numbers. A mask, if it is not nil, may change what the i-th
// query's scores are: a negative infinity hides a key.
func AttendColumns(out []float32, stride int, q, keys, values, scores []float32, dim, length int, mask func(i int, scores []float32)) {
	few, capacity := len(q)/dim, len(keys)/dim
	columns := (length + ColumnMultiple - 1) / ColumnMultiple * ColumnMultiple
	columnProducts(rows[float32]{scores, columns}, rows[float32]{keys, capacity}, rows[float32]{q, dim}, few, dim, columns)
	totals := make([]float32, few)
	for i := range few {
		row := scores[i*columns:][:columns]
		for j := length; j < columns; j++ { // so that the sum of the others is the same however many there are
			row[j] = float32(math.Inf(-1))
		}
		if mask != nil {
			mask(i, row[:length])
		}
		totals[i] = expSum(row, most(row))
	}
	read := rows[float32]{out, stride}
	columnProducts(read, rows[float32]{values, dim}, rows[float32]{scores, columns}, few, length, dim)
	divide(read, totals, dim)
}
