package jetstream

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs/journal"
)

// TestPageSet adds the pages of many documents, some of them twice, in any order, and holds the set against a map. In the end it is one span.
func TestPageSet(t *testing.T) {
	const documents = 60
	random := rand.New(rand.NewPCG(1, 1))
	var s pageSet
	var all [][2]int
	for _, d := range random.Perm(documents) {
		require.True(t, s.open(d, d%20))
		require.False(t, s.open(d, 3))
		for page := range d % 20 {
			all = append(all, [2]int{d, page}, [2]int{d, page})
		}
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	seen := map[[2]int]bool{}
	for _, p := range all {
		require.Equal(t, !seen[p], s.add(p[0], p[1]), p)
		seen[p] = true
		for _, other := range all[:50] {
			require.Equal(t, seen[other], s.has(other[0], other[1]), other)
		}
	}
	require.False(t, s.add(7, 7), "there is no such page")
	require.Equal(t, []span{{0, documents - 1}}, s.Whole)
	require.Empty(t, s.Parts)
}

// TestBucket puts keys into a bucket, one of them twice, and lets those go whose results went.
func TestBucket(t *testing.T) {
	keys := make([]journal.Key, 20)
	var b bucket
	for i := range keys {
		keys[i] = journal.NewKey([]byte{byte(i)})
		require.Equal(t, nowhere, b.find(keys[i]))
		b = b.with(keys[i], position{uint64(i + 1), i % 16}, 0)
	}
	b = b.with(keys[3], position{100, 255}, 11)
	require.Len(t, b.entries, 11*entryBytes)
	for i, key := range keys {
		switch {
		case i == 3:
			require.Equal(t, position{100, 255}, b.find(key))
		case i < 10:
			require.Equal(t, nowhere, b.find(key))
		default:
			require.Equal(t, position{uint64(i + 1), i % 16}, b.find(key))
		}
	}
}
