package bpe_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/bpe"
)

// prose is ordinary English Markdown.
const prose = `# The harbor at dawn

It wasn't until the third morning that the fishermen noticed the change: the water, usually gray and restless, had turned
a pale shade of green. "We've seen nothing like it," said one of them, a man of about 60 who had worked here since 1987.

| Month    | Catch (kg) | Change  |
|:---------|-----------:|--------:|
| January  |    1,240.5 |  +3.2 % |
| February |      987.0 | -20.4 % |

1. The **northern quay** was closed for repairs; boats moored at the *old pier* instead.
2. See [the report](https://example.org/report?id=42) for details, or run ` + "`make report`" + `.

<table><tr><td data-bbox="12 34 560 78">Total</td><td>2,227.5</td></tr></table>

`

func words(n int) string { // words that hardly repeat, which the cache cannot help with
	var b strings.Builder
	seed := uint32(1)
	for range n {
		for k := range 3 + seed>>29 {
			seed = seed*1664525 + 1013904223
			b.WriteByte("etaoinshrdlucmfw"[seed>>28])
			_ = k
		}
		b.WriteByte(' ')
	}
	return b.String()
}

func BenchmarkEncode(b *testing.B) {
	tok := loadQwen3(b)
	for _, c := range []struct{ name, text string }{
		{"prose", strings.Repeat(prose, 100)}, {"rare words", words(20000)},
		{"Chinese", strings.Repeat("数学公式的推导过程如下所示，请参考第三章。", 2000)}, {"one word", strings.Repeat("lowerUPPER", 20000)},
		{"not normal", strings.Repeat("cafe\u0301 nai\u0308ve ", 5000)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.text)))
			b.ReportAllocs()
			for b.Loop() {
				_, err := tok.Encode(c.text)
				require.NoError(b, err)
			}
		})
	}
	b.Run("prose by regular expression", func(b *testing.B) {
		data, err := qwen3JSON(`(?:` + qwen2Pattern + `)`) // not the spelling that is known
		require.NoError(b, err)
		tok, err := bpe.Load(data)
		require.NoError(b, err)
		b.SetBytes(int64(10 * len(prose)))
		for b.Loop() {
			_, err := tok.Encode(strings.Repeat(prose, 10))
			require.NoError(b, err)
		}
	})
}

const qwen2Pattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`

func BenchmarkDecode(b *testing.B) {
	tok := loadQwen3(b)
	ids, err := tok.Encode(strings.Repeat(prose, 100))
	require.NoError(b, err)
	b.SetBytes(int64(100 * len(prose)))
	for b.Loop() {
		_ = tok.Decode(ids, true)
	}
}

func BenchmarkLoad(b *testing.B) {
	data, err := qwen3File()
	require.NoError(b, err)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		_, err := bpe.Load(data)
		require.NoError(b, err)
	}
	b.ReportMetric(float64(len(data))/1e6, "MB")
}
