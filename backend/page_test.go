package backend

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/bpe"
)

// Tokens begin in the text where their first character does, whole or in part.
func TestDecodeOffsets(t *testing.T) {
	data, err := os.ReadFile("../qwen/testdata/golden/qwen3_vl/tokenizer.json")
	require.NoError(t, err)
	tokenizer, err := bpe.Load(data)
	require.NoError(t, err)
	const written = "x € 語\n\U0001F600 y"
	ids, err := tokenizer.Encode(written)
	require.NoError(t, err)
	end, ok := tokenizer.ID("<|im_end|>")
	require.True(t, ok)
	ids = append(ids[:1:1], append([]int32{end}, ids[1:]...)...) // a token that is not in the text
	text, offsets := decode(tokenizer.Stream(true), ids)
	require.Equal(t, written, text)
	require.Equal(t, tokenizer.Decode(ids, true), text)
	require.Equal(t, []int{0, 1, 1}, offsets[:3])
	parts := 0
	for i := range ids {
		require.True(t, offsets[i] == len(tokenizer.Decode(ids[:i], true)) || offsets[i] == offsets[i-1], "token %d", i)
		if i > 1 && offsets[i] == offsets[i-1] {
			parts++
		}
	}
	require.Positive(t, parts, "some characters are of several tokens")
}
