//go:build amd64 || arm64

package hostmath

import "math"

// expTable holds the numbers of Exp for the assembly, in its order, each for all lanes of a vector.
//
//nolint:unused // The assembly reads it.
var expTable = func() (table [15][16]float32) {
	// A vector's exponent is never below that of the least normal number.
	for i, v := range []float32{-87.33, mostExp, log2E, round, ln2High, ln2Low, exp7, exp6, exp5, exp4, exp3, exp2, 1, -1, math.Float32frombits(127)} {
		for j := range table[i] {
			table[i][j] = v
		}
	}
	return table
}()
