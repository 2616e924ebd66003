package bpe

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

// splitter cuts text into the pieces that are merged on their own: it appends the end of each piece to ends.
type splitter interface {
	split(text string, ends []int32) ([]int32, error)
}

// The regular expressions of the families, as their tokenizer.json spells them.
const (
	// patternQwen2 is that of Qwen2, Qwen2.5 and Qwen3 and their VL models.
	patternQwen2 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	// patternQwen35 counts combining marks as letters (HF Qwen3_5Tokenizer, PRETOKENIZE_REGEX).
	patternQwen35 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	// patternGPT2 is what a ByteLevel pre-tokenizer with use_regex cuts by.
	patternGPT2 = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
)

// newSplitter returns the hand-written scanner for a pattern that has one, and a regular expression for any other.
func newSplitter(pattern string) (splitter, error) {
	switch pattern {
	case patternQwen2:
		return scanner{letter: classLetter}, nil
	case patternQwen35:
		return scanner{letter: classLetter | classMark}, nil
	}
	return newRegexpSplitter(pattern)
}

// whole leaves the text in one piece.
type whole struct{}

func (whole) split(text string, ends []int32) ([]int32, error) {
	return append(ends, int32(len(text))), nil
}

// scanner does by hand what the Qwen patterns say. Its cases are the alternatives of the pattern, in their order.
type scanner struct {
	letter class // what the pattern's runs of letters hold
}

func (sc scanner) split(text string, ends []int32) ([]int32, error) {
	for i := 0; i < len(text); {
		i = sc.next(text, i)
		ends = append(ends, int32(i))
	}
	return ends, nil
}

// next returns the end of the piece that starts at text[i].
func (sc scanner) next(text string, i int) int {
	c, after := classAt(text, i)
	switch {
	case text[i] == '\'':
		if end := contraction(text, i); end > 0 { // (?i:'s|'t|'re|'ve|'m|'ll|'d)
			return end
		}
	case c&sc.letter != 0: // [^\r\n\p{L}\p{N}]?\p{L}+, its first part empty
		return sc.letters(text, after)
	case c&classNumber != 0: // \p{N}
		return after
	}
	lineEnd := text[i] == '\r' || text[i] == '\n'
	if !lineEnd && after < len(text) { // [^\r\n\p{L}\p{N}]?\p{L}+
		if c2, after2 := classAt(text, after); c2&sc.letter != 0 {
			return sc.letters(text, after2)
		}
	}
	if c&classSpace == 0 { //  ?[^\s\p{L}\p{N}]+[\r\n]*
		return sc.symbols(text, after)
	}
	if text[i] == ' ' && after < len(text) {
		if c2, after2 := classAt(text, after); c2&(sc.letter|classNumber|classSpace) == 0 {
			return sc.symbols(text, after2)
		}
	}
	last, end := i, after // the last character of the run of white space, and its end
	newline := -1         // the end of its last line ending
	if lineEnd {
		newline = after
	}
	for end < len(text) {
		c, next := classAt(text, end)
		if c&classSpace == 0 {
			break
		}
		if text[end] == '\r' || text[end] == '\n' {
			newline = next
		}
		last, end = end, next
	}
	switch {
	case newline >= 0: // \s*[\r\n]+
		return newline
	case end < len(text) && last > i: // \s+(?!\S): the last one belongs to the word after it
		return last
	}
	return end // \s+
}

func (sc scanner) letters(text string, i int) int {
	for i < len(text) {
		c, next := classAt(text, i)
		if c&sc.letter == 0 {
			break
		}
		i = next
	}
	return i
}

func (sc scanner) symbols(text string, i int) int {
	for i < len(text) {
		c, next := classAt(text, i)
		if c&(sc.letter|classNumber|classSpace) != 0 {
			break
		}
		i = next
	}
	for i < len(text) && (text[i] == '\r' || text[i] == '\n') {
		i++
	}
	return i
}

// contraction returns the end of an English contraction that starts with the apostrophe at text[i], or 0.
func contraction(text string, i int) int {
	rest := text[i+1:]
	if rest == "" {
		return 0
	}
	switch rest[0] | 0x20 {
	case 's', 't', 'm', 'd':
		return i + 2
	}
	if strings.HasPrefix(rest, "ſ") { // the long s, which ignoring case makes an s
		return i + 1 + len("ſ")
	}
	if len(rest) < 2 {
		return 0
	}
	switch string([]byte{rest[0] | 0x20, rest[1] | 0x20}) {
	case "re", "ve", "ll":
		return i + 3
	}
	return 0
}

// regexpSplitter cuts by a regular expression with look-ahead. Both its matches and what lies between them are
// pieces (behavior "Isolated"). Its classes are Go's, which may be an edition of Unicode behind the reference's.
type regexpSplitter struct{ re *regexp2.Regexp }

func newRegexpSplitter(pattern string) (splitter, error) {
	// regexp2 ignores case letter by letter and does not know that the long s is one.
	re, err := regexp2.Compile(strings.ReplaceAll(pattern, `(?i:'s|`, `'ſ|(?i:'s|`), regexp2.None)
	if err != nil {
		return nil, err
	}
	re.MatchTimeout = 10 * time.Second
	return regexpSplitter{re}, nil
}

func (s regexpSplitter) split(text string, ends []int32) ([]int32, error) {
	runes := []rune(text)
	at, bytes := 0, 0 // the place of the last piece's end, in characters and in bytes
	advance := func(to int) {
		for ; at < to; at++ {
			bytes += utf8.RuneLen(runes[at])
		}
		ends = append(ends, int32(bytes))
	}
	m, err := s.re.FindRunesMatch(runes)
	for ; err == nil && m != nil; m, err = s.re.FindNextMatch(m) {
		if m.Index > at {
			advance(m.Index)
		}
		if m.Length > 0 {
			advance(m.Index + m.Length)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("bpe: splitting text by the tokenizer's regular expression: %w", err)
	}
	if at < len(runes) {
		advance(len(runes))
	}
	return ends, nil
}
