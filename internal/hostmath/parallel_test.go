package hostmath

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Parallel covers each index once.
func TestParallel(t *testing.T) {
	for _, n := range []int{0, 1, 2, 7, 1000} {
		seen := make([]int32, n)
		Parallel(n, forkCost, func(from, to int) {
			for i := from; i < to; i++ {
				seen[i]++
			}
		})
		for _, count := range seen {
			require.EqualValues(t, 1, count)
		}
	}
}
