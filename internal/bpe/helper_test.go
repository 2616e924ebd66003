package bpe

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// small is the tokenizer of the golden models, of 512 ids.
func small(t testing.TB) *Tokenizer {
	t.Helper()
	data, err := os.ReadFile("testdata/golden/tokenizer.json")
	require.NoError(t, err)
	tok, err := Load(data)
	require.NoError(t, err)
	return tok
}
