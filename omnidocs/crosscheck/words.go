package crosscheck

import (
	"html"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// word is a word, or a number, of a text.
type word struct {
	text       string // as it is compared
	start, end int    // where it is
}

// What PDFium writes for a hyphen at the end of a line.
const (
	hyphenMark   = '\u0002'
	noncharacter = '\ufffe'
)

// What does not show within a word: of two and three bytes.
const (
	softHyphen = '\u00ad'
	wordJoiner = '\u2060'
)

var (
	// What of Markdown and HTML is no text: tags and comments, the targets of links, LaTeX's commands.
	noText = regexp.MustCompile(`<!--(?s:.*?)-->|</?[a-zA-Z][^<>]*>|\]\([^()\s]*\)|\\[a-zA-Z]+\*?(\{(tabular|array|table)\}(\{[^{}]*\})?)?`)
	entity = regexp.MustCompile(`&(#?[a-zA-Z0-9]+);`)
	// A number is one with the points and commas within it.
	number = regexp.MustCompile(`^\p{Nd}+([.,]\p{Nd}+)*`)
	// A word that is divided at the end of a line.
	divided = regexp.MustCompile(`^([-\x{ad}\x{2010}]?[\x02\x{fffe}]\s*|[-\x{ad}\x{2010}][ \t]*\r?\n\s*)`)
)

// words are the words of a text. Words that are written without spaces between them (Chinese, Japanese, Thai …) are single characters.
func words(text string, markup bool) (all []word) {
	if markup {
		text = blank(text)
	}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case unicode.IsDigit(r):
			end := i + len(number.FindString(text[i:]))
			all = append(all, word{norm.NFKC.String(text[i:end]), i, end})
			i = end
		case isLetter(r) && alone(r):
			all = append(all, word{norm.NFKC.String(text[i : i+size]), i, i + size})
			i += size
		case isLetter(r):
			w := letterWord(text, i)
			all = append(all, w)
			i = w.end
		default:
			i += size
		}
	}
	return all
}

// letterWord is the word of letters that begins at i. One that is divided between two lines is one.
func letterWord(text string, i int) word {
	var letters strings.Builder
	start := i
	for i < len(text) {
		r, size := utf8.DecodeRuneInString(text[i:])
		if isLetter(r) && !alone(r) {
			letters.WriteRune(r)
			i += size
			continue
		}
		if gap := divided.FindString(text[i:]); gap != "" {
			if next, _ := utf8.DecodeRuneInString(text[i+len(gap):]); unicode.IsLower(next) {
				i += len(gap)
				continue
			}
		}
		if r == softHyphen || r == wordJoiner {
			i += size
			continue
		}
		break
	}
	return word{strings.ToLower(norm.NFKC.String(letters.String())), start, i}
}

func isLetter(r rune) bool { return unicode.IsLetter(r) || unicode.IsMark(r) }

func alone(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// blank puts spaces in the place of markup, so that everything else stays where it is. An entity is a space too, unless it is a letter: then it is that letter,
// padded with what does not show.
func blank(text string) string {
	text = noText.ReplaceAllStringFunc(text, func(s string) string { return strings.Repeat(" ", len(s)) })
	return entity.ReplaceAllStringFunc(text, func(s string) string {
		r := html.UnescapeString(s)
		left := len(s) - len(r)
		if first, _ := utf8.DecodeRuneInString(r); r == s || !isLetter(first) || left < 0 || left == 1 {
			return strings.Repeat(" ", len(s))
		}
		if left%2 == 1 {
			r, left = r+string(wordJoiner), left-utf8.RuneLen(wordJoiner)
		}
		return r + strings.Repeat(string(softHyphen), left/2)
	})
}
