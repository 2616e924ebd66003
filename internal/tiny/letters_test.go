package tiny

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSampleLetter(t *testing.T) {
	seen := map[string]bool{}
	for n := range 100 {
		letter := SampleLetter(n)
		require.False(t, seen[letter])
		seen[letter] = true
		p, err := DrawPage(PageOptions{Markdown: letter})
		require.NoError(t, err)
		require.True(t, p.Complete)
		require.Equal(t, letter, p.Markdown)
	}
}
