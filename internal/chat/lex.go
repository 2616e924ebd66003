package chat

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// kind is what a token is.
type kind uint8

const (
	kindEOF    kind = iota
	kindData        // text between tags
	kindBlock       // {%
	kindOutput      // {{
	kindEnd         // %} or }}
	kindName
	kindString
	kindInt
	kindFloat
	kindOperator
)

type token struct {
	kind kind
	text string // of a string its value, of data what is left after trimming
	line int
}

// lexer cuts a template into tokens. White space around tags is dropped as Jinja does it with trim_blocks and
// lstrip_blocks, the settings that transformers renders with: {%- and -%} eat all of it, a block or comment alone on
// its line takes the line with it, {{ }} never does.
type lexer struct {
	src    string
	pos    int
	tokens []token
	line   int
	lineAt int // where line was last counted
}

func lex(src string) []token {
	src = strings.ReplaceAll(strings.ReplaceAll(src, "\r\n", "\n"), "\r", "\n")
	l := &lexer{src: strings.TrimSuffix(src, "\n"), line: 1}
	for l.data() {
	}
	l.emit(kindEOF, "")
	return l.tokens
}

func (l *lexer) emit(k kind, text string) {
	l.tokens = append(l.tokens, token{k, text, l.lineNow()})
}

func (l *lexer) lineNow() int {
	if l.pos > l.lineAt {
		l.line += strings.Count(l.src[l.lineAt:l.pos], "\n")
		l.lineAt = l.pos
	}
	return l.line
}

func (l *lexer) fail(format string, args ...any) {
	fail(l.lineNow(), format, args...)
}

// data takes the text up to the next tag, and the tag; false at the end.
func (l *lexer) data() bool {
	start := l.pos
	begin := len(l.src)
	for i := l.pos; i+1 < len(l.src); i++ {
		if l.src[i] == '{' && strings.IndexByte("%{#", l.src[i+1]) >= 0 {
			begin = i
			break
		}
	}
	if begin == len(l.src) {
		if start < begin {
			l.emit(kindData, l.src[start:])
		}
		l.pos = begin
		return false
	}
	open := l.src[begin+1]
	l.pos = begin + 2
	sign := l.sign()
	text := l.trimmed(start, begin, sign, open != '{')
	if text != "" {
		l.emit(kindData, text)
	}
	switch {
	case open == '#':
		l.comment()
	case open == '%' && l.raw():
	case open == '%':
		l.emit(kindBlock, "{%")
		l.expression("%}")
	default:
		l.emit(kindOutput, "{{")
		l.expression("}}")
	}
	return true
}

// sign takes the - or + after the opening of a tag.
func (l *lexer) sign() byte {
	if l.pos < len(l.src) && (l.src[l.pos] == '-' || l.src[l.pos] == '+') {
		l.pos++
		return l.src[l.pos-1]
	}
	return 0
}

// trimmed is the text before a tag without the white space that the tag takes; block is false for {{.
func (l *lexer) trimmed(start, end int, sign byte, block bool) string {
	text := l.src[start:end]
	switch {
	case sign == '-':
		return strings.TrimRightFunc(text, isSpace)
	case sign == '+' || !block:
		return text
	}
	lineStart := strings.LastIndexByte(text, '\n') + 1
	atStart := start == 0 || l.src[start-1] == '\n'
	if (lineStart > 0 || atStart) && strings.TrimLeftFunc(text[lineStart:], isSpace) == "" {
		return text[:lineStart]
	}
	return text
}

// close takes the end of a tag and what it trims: all white space after a -, else the line's end if the tag is a
// block or a comment (newline).
func (l *lexer) close(end string, newline bool) bool {
	rest := l.src[l.pos:]
	switch {
	case strings.HasPrefix(rest, "-"+end):
		rest = strings.TrimLeftFunc(rest[1+len(end):], isSpace)
		l.pos = len(l.src) - len(rest)
	case newline && strings.HasPrefix(rest, "+"+end):
		l.pos += 1 + len(end)
	case strings.HasPrefix(rest, end):
		l.pos += len(end)
		if newline && strings.HasPrefix(l.src[l.pos:], "\n") {
			l.pos++
		}
	default:
		return false
	}
	return true
}

func (l *lexer) comment() {
	end := strings.Index(l.src[l.pos:], "#}")
	if end < 0 {
		l.fail("a comment {# without #}")
	}
	from := l.pos
	l.pos += end
	if l.pos > from && (l.src[l.pos-1] == '-' || l.src[l.pos-1] == '+') {
		l.pos--
	}
	l.close("#}", true)
}

// raw takes {% raw %} to {% endraw %} as data, if the tag at hand is one.
func (l *lexer) raw() bool {
	from := l.pos
	l.space()
	if !l.word("raw") {
		l.pos = from
		return false
	}
	l.space()
	if !l.close("%}", false) {
		l.pos = from
		return false
	}
	start := l.pos
	for at := start; ; {
		i := strings.Index(l.src[at:], "{%")
		if i < 0 {
			l.fail("{%% raw %%} without {%% endraw %%}")
		}
		at += i
		l.pos = at + 2
		sign := l.sign()
		l.space()
		if l.word("endraw") {
			l.space()
			if l.close("%}", true) {
				if text := l.trimmed(start, at, sign, true); text != "" {
					l.emit(kindData, text)
				}
				return true
			}
		}
		at += 2
	}
}

func (l *lexer) space() {
	l.pos = len(l.src) - len(strings.TrimLeftFunc(l.src[l.pos:], isSpace))
}

func (l *lexer) word(w string) bool {
	if !strings.HasPrefix(l.src[l.pos:], w) {
		return false
	}
	if r, _ := utf8.DecodeRuneInString(l.src[l.pos+len(w):]); isWord(r) {
		return false
	}
	l.pos += len(w)
	return true
}

var operators = []string{"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ","}

// expression takes the tokens of one tag, its end included.
func (l *lexer) expression(end string) {
	var open []byte // brackets to be closed
	for {
		l.space()
		if l.pos >= len(l.src) {
			l.fail("a tag without %s", end)
		}
		if len(open) == 0 && l.close(end, end == "%}") {
			l.emit(kindEnd, end)
			return
		}
		c := l.src[l.pos]
		r, _ := utf8.DecodeRuneInString(l.src[l.pos:])
		switch {
		case c == '\'' || c == '"':
			l.quoted(c)
		case c >= '0' && c <= '9':
			l.number()
		case isWord(r):
			from := l.pos
			l.pos += wordLen(l.src[l.pos:])
			l.emit(kindName, l.src[from:l.pos])
		default:
			op := l.operator()
			switch op {
			case "(", "[", "{":
				open = append(open, "([{)]}"[strings.Index("([{", op)+3])
			case ")", "]", "}":
				if len(open) == 0 || open[len(open)-1] != op[0] {
					l.fail("unexpected %q", op)
				}
				open = open[:len(open)-1]
			}
			l.emit(kindOperator, op)
		}
	}
}

func (l *lexer) operator() string {
	for _, op := range operators {
		if strings.HasPrefix(l.src[l.pos:], op) {
			l.pos += len(op)
			return op
		}
	}
	l.fail("unexpected %.1q", l.src[l.pos:])
	return ""
}

func (l *lexer) quoted(quote byte) {
	for i := l.pos + 1; i < len(l.src); i++ {
		switch l.src[i] {
		case '\\':
			i++
		case quote:
			text := l.src[l.pos+1 : i]
			l.pos = i + 1
			value, err := unescape(text)
			if err != nil {
				l.fail("%v", err)
			}
			l.emit(kindString, value)
			return
		}
	}
	l.fail("a string without its closing %c", quote)
}

func (l *lexer) number() {
	digits := func(i int) int {
		for i < len(l.src) && (l.src[i] >= '0' && l.src[i] <= '9' || l.src[i] == '_') {
			i++
		}
		return i
	}
	isDigit := func(i int) bool { return i < len(l.src) && l.src[i] >= '0' && l.src[i] <= '9' }
	k, end := kindInt, digits(l.pos)
	if end < len(l.src) && l.src[end] == '.' && isDigit(end+1) {
		k, end = kindFloat, digits(end+1)
	}
	if end < len(l.src) && (l.src[end] == 'e' || l.src[end] == 'E') {
		exp := end + 1
		if exp < len(l.src) && (l.src[exp] == '+' || l.src[exp] == '-') {
			exp++
		}
		if isDigit(exp) {
			k, end = kindFloat, digits(exp)
		}
	}
	from := l.pos
	l.pos = end
	l.emit(k, strings.ReplaceAll(l.src[from:end], "_", ""))
}

// isSpace is Python's str.isspace.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

func wordLen(s string) int {
	if i := strings.IndexFunc(s, func(r rune) bool { return !isWord(r) }); i >= 0 {
		return i
	}
	return len(s)
}
