package hostmath

import "math"

// Attend is the attention of some queries q [few, dim] against the first length of the rows of their sequence: keys [capacity, dim], and
// values on their side, [dim, capacity]. The queries are scaled already. It goes into out [few, dim]; scores is room for few·length
// numbers.
func Attend[T number](out, q []float32, keys, values []T, scores []float32, dim, length int) {
	few := len(q) / dim
	products(rows[float32]{scores, length}, rows[T]{keys, dim}, length, rows[float32]{q, dim}, few, dim)
	totals := softmaxed(scores, few, length)
	products(rows[float32]{out, dim}, rows[T]{values, len(values) / dim}, dim, rows[float32]{scores, length}, few, length)
	divide(rows[float32]{out, dim}, totals, dim)
}

// AttendRows is [Attend] with values as they came, [capacity, dim], where dim is a multiple of [ColumnMultiple].
func AttendRows(out, q, keys, values, scores []float32, dim, length int) {
	few := len(q) / dim
	products(rows[float32]{scores, length}, rows[float32]{keys, dim}, length, rows[float32]{q, dim}, few, dim)
	totals := softmaxed(scores, few, length)
	columnProducts(rows[float32]{out, dim}, rows[float32]{values, dim}, rows[float32]{scores, length}, few, length, dim)
	divide(rows[float32]{out, dim}, totals, dim)
}

// softmaxed makes of rows of scores what softmax makes of them but for a factor, and returns what they are to be divided by.
func softmaxed(scores []float32, few, length int) []float32 {
	totals := make([]float32, few)
	for i := range few {
		row := scores[i*length:][:length]
		totals[i] = expSum(row, most(row))
	}
	return totals
}

// divide divides rows of what was read by softmax's totals: they are fewer numbers than the weights.
func divide(read rows[float32], totals []float32, dim int) {
	for i, total := range totals {
		row, inverse := read.at(i, dim), 1/total
		for d := range row {
			row[d] *= inverse
		}
	}
}

// Rotate applies a rotary embedding to each of the heads of a row, as wide as dim, in the half-split form, in place, with the cosines
// and sines of its angles [n]: the first 2·n of the dim are turned.
func Rotate(row []float32, dim int, cos, sin []float32) {
	half := len(cos)
	for ; len(row) > 0; row = row[dim:] {
		first, second := row[:half], row[half:2*half]
		for i, c := range cos {
			a, b := first[i], second[i]
			first[i], second[i] = a*c-b*sin[i], b*c+a*sin[i]
		}
	}
}

// Sigmoid is 1/(1+e^-x).
func Sigmoid(x float32) float32 { return 1 / (1 + Exp(-x)) }

// Greedy is the first of the largest of a row of logits, and the natural logarithm of what softmax makes of it. It leaves nothing of the logits.
func Greedy(logits []float32) (token int, logProb float32) {
	for i, v := range logits {
		if v > logits[token] {
			token = i
		}
	}
	return token, -float32(math.Log(float64(expSum(logits, logits[token]))))
}
