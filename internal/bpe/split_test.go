package bpe

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"
)

// twins are the scanners and the regular expressions that they stand for.
func twins(t testing.TB) map[string][2]splitter {
	t.Helper()
	all := map[string][2]splitter{}
	for name, pattern := range map[string]string{"Qwen2": patternQwen2, "Qwen3.5": patternQwen35} {
		byHand, err := newSplitter(pattern)
		require.NoError(t, err)
		require.IsType(t, scanner{}, byHand)
		byPattern, err := newRegexpSplitter(pattern)
		require.NoError(t, err)
		all[name] = [2]splitter{byHand, byPattern}
	}
	return all
}

func requireTwins(t *testing.T, all map[string][2]splitter, text string) {
	t.Helper()
	for name, pair := range all {
		got, err := pair[0].split(text, nil)
		require.NoError(t, err)
		want, err := pair[1].split(text, nil)
		require.NoError(t, err)
		require.Equal(t, pieces(text, want), pieces(text, got), "%s: %q", name, text)
	}
}

func pieces(text string, ends []int32) []string {
	var all []string
	start := int32(0)
	for _, end := range ends {
		all = append(all, text[start:end])
		start = end
	}
	return append(all, "rest: "+text[start:])
}

// TestSplitRandom: the hand-written scanner cuts as the regular expression does.
func TestSplitRandom(t *testing.T) {
	alphabets := []string{
		"ab'stREvemldLſ ", " \t\r\n\u00a0\u3000\u2028\u0085ab1!'", "é\u0301\u0345ａ一あ1٣Ⅷ½ ", "!?-_=+*#|<>/\\\"'.,;:()[]{}@$%^&~` ab1\n",
		"\U0001f600\u200d\ufe0f\U00020000\U000e0100\U0010ffff\ufffd x", "aB1 !\n",
	}
	all := twins(t)
	random := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		letters := []rune(alphabets[random.IntN(len(alphabets))])
		text := make([]rune, 1+random.IntN(40))
		for i := range text {
			text[i] = letters[random.IntN(len(letters))]
		}
		requireTwins(t, all, string(text))
	}
}

// TestSplitEveryCharacter puts each character between others that show its class.
func TestSplitEveryCharacter(t *testing.T) {
	all := twins(t)
	var b strings.Builder
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if utf8.ValidRune(r) && !isNew(r) {
			b.WriteString("a")
			b.WriteRune(r)
			b.WriteString("b!")
			b.WriteRune(r)
			b.WriteString("1 ")
			b.WriteRune(r)
		}
		if b.Len() > 1<<12 || r == unicode.MaxRune {
			requireTwins(t, all, b.String())
			b.Reset()
		}
		if r == 0x33ff { // in the ranges above nothing but letters, and rows.json has samples of them
			r = 0xa000
		}
		if r == 0xac00+0xff {
			r = 0xd700
		}
		if r == 0x20000+0xff {
			r = 0xe0000
		}
		if r == 0xe0fff {
			r = 0x10fff0
		}
	}
}

// isNew reports whether r is a character that this package knows to be newer than Go's tables.
func isNew(r rune) bool {
	for _, table := range [][][2]rune{newLetters, newNumbers, newMarks} {
		for _, e := range table {
			if r >= e[0] && r <= e[1] {
				return true
			}
		}
	}
	return false
}

// FuzzSplit: the hand-written scanner cuts any text as the regular expression does.
func FuzzSplit(f *testing.F) {
	for _, text := range []string{"", "I'm it'ſ 'LL", " \r\n \n x  y", "a\u0301b \u0301!\n\n", "12 ½x", "…—\u3000全角 \t\u00a0!"} {
		f.Add(text)
	}
	all := twins(f)
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || strings.ContainsFunc(text, isNew) {
			return
		}
		requireTwins(t, all, text)
	})
}

// TestNFC: composing by the definition, for text with long runs of marks, is what x/text does for any other.
func TestNFC(t *testing.T) {
	starters := []rune("aeoAK\u1100\u1161\u11a8\uac00\u0915\u0928\u30abあ\u1e9b\u03b1\u0344\u212b\u2126\u1fd3\u0dd9\U0001d157")
	var marks []rune
	for r := rune(0x300); r < 0x1e000; r++ {
		if p := norm.NFD.PropertiesString(string(r)); (p.CCC() != 0 || p.LeadCCC() != 0) && !isUnmoved(r) {
			marks = append(marks, r)
		}
	}
	require.Greater(t, len(marks), 600)
	random := rand.New(rand.NewPCG(3, 4))
	for range 20000 {
		var text []rune
		for range 1 + random.IntN(5) {
			text = append(text, starters[random.IntN(len(starters))])
			for range random.IntN(7) {
				if random.IntN(2) == 0 {
					text = append(text, marks[random.IntN(len(marks))])
				} else {
					text = append(text, []rune("\u0301\u0323\u0302\u0308\u0345\u3099\u031b\u0304\u0dcf\u0dca")[random.IntN(10)])
				}
			}
		}
		require.Equal(t, norm.NFC.String(string(text)), compose(decompose(string(text))), "%x", text)
	}
	long := "x" + strings.Repeat("\u0301\u0316", 100)
	require.Equal(t, "x"+strings.Repeat("\u0316", 100)+strings.Repeat("\u0301", 100), nfc(long))
	require.Equal(t, "é", nfc("e\u0301"))
	require.Equal(t, "e\u1ac0\u0301", nfc("e\u1ac0\u0301"), "U+1AC0 is newer than the reference's tables")
}

// FuzzEncode: no text makes Encode fail, and decoding gives the text back in normal form.
func FuzzEncode(f *testing.F) {
	tok := small(f)
	for _, text := range []string{"", "Hello, wörld!", "<|im_start|>user\n<|image_pad|>", "\xff\xe4\xbd", "e\u0301\u0316\u1ac0\u0301", " \u3000\r\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ids, err := tok.Encode(text)
		require.NoError(t, err)
		want := nfc(validUTF8(text))
		if !strings.Contains(text, "<|") {
			require.Equal(t, want, tok.Decode(ids, false))
		}
		var b strings.Builder
		s := tok.Stream(true)
		for _, id := range ids {
			b.WriteString(s.Next(id))
		}
		require.Equal(t, tok.Decode(ids, true), b.String()+s.Flush())
	})
}
