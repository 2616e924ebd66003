package textextraction

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// maxCutTag is the longest unfinished tag that is dropped from the end of an answer, in bytes. Behind a longer one there
// is more likely a lone "<" in a text, which must not be lost.
const maxCutTag = 256

// markupKind says what begins at a "<".
type markupKind int

const (
	notMarkup  markupKind = iota // text, after all
	tagMarkup                    // a tag
	restMarkup                   // a comment, a declaration, a processing instruction
	cutMarkup                    // a tag that the end of the answer cut in two
)

// span is a piece of a string, from start up to end.
type span struct{ start, end int }

// markup is what a scanner found at a "<".
type markup struct {
	kind  markupKind
	end   int    // the index behind it; for notMarkup, up to where it was looked at
	boxes []span // its data-bbox attributes, with the white space before them
	pad   span   // the white space before its ">"
}

// htmlScanner finds the markup in a model's HTML. It never goes back, so that its time is linear: every "last" tells
// whether a search for a delimiter can succeed, before it is made.
type htmlScanner struct {
	s                                               string
	lastGreater, lastEnd, lastQuote, lastApostrophe int
}

func newHTMLScanner(s string) *htmlScanner {
	return &htmlScanner{
		s:              s,
		lastGreater:    strings.LastIndexByte(s, '>'),
		lastEnd:        strings.LastIndex(s, "-->"),
		lastQuote:      strings.LastIndexByte(s, '"'),
		lastApostrophe: strings.LastIndexByte(s, '\''),
	}
}

// cleanHTML is s without data-bbox attributes.
func cleanHTML(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	eachMarkup(s, func(text string) { b.WriteString(text) }, func(at int, m markup) {
		if m.kind == cutMarkup {
			return
		}
		for _, box := range m.boxes {
			b.WriteString(s[at:box.start])
			at = box.end
		}
		if m.kind == tagMarkup {
			b.WriteString(s[at:m.pad.start])
			at = m.pad.end
		}
		b.WriteString(s[at:m.end])
	})
	return b.String()
}

// htmlText is the text of s, each tag a space.
func htmlText(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	eachMarkup(s, func(text string) { b.WriteString(decodeEntities(text)) }, func(at int, m markup) {
		if m.kind == notMarkup {
			b.WriteString(decodeEntities(s[at:m.end]))
			return
		}
		b.WriteByte(' ')
	})
	return b.String()
}

// eachMarkup calls text and tag for the pieces of s in their order. What turns out not to be markup may come to either.
func eachMarkup(s string, text func(string), tag func(at int, m markup)) {
	sc := newHTMLScanner(s)
	for i := 0; i < len(s); {
		open := strings.IndexByte(s[i:], '<')
		if open < 0 {
			text(s[i:])
			return
		}
		open += i
		if open > i {
			text(s[i:open])
		}
		m := sc.scan(open)
		tag(open, m)
		i = m.end
	}
}

// scan looks at the "<" at index open.
func (sc *htmlScanner) scan(open int) markup {
	s := sc.s
	rest := s[open+1:]
	switch {
	case strings.HasPrefix(rest, "!--"):
		if sc.lastEnd >= open+2 { // "<!-->" is a comment, too
			return markup{kind: restMarkup, end: open + 2 + strings.Index(s[open+2:], "-->") + 3}
		}
		return markup{end: open + 4}
	case rest == "/":
		return markup{kind: cutMarkup, end: len(s)}
	case rest != "" && isLetter(rest[0]), len(rest) > 1 && rest[0] == '/' && isLetter(rest[1]):
		return sc.scanTag(open)
	case rest != "" && (rest[0] == '!' || rest[0] == '?' || rest[0] == '/') && sc.lastGreater > open:
		// A declaration, a processing instruction, or what HTML calls a bogus comment: up to the next ">".
		end := open + strings.IndexByte(s[open:], '>') + 1
		pad := strings.TrimRightFunc(s[open:end-1], isSpace)
		return markup{kind: tagMarkup, end: end, pad: span{open + len(pad), end - 1}}
	}
	return markup{end: open + 1}
}

// scanTag looks at the start or end tag that may begin at index open.
func (sc *htmlScanner) scanTag(open int) markup {
	s := sc.s
	m := markup{}
	i := sc.nameEnd(open + 2)
	quoted := true       // every attribute has a quoted value: what a model writes, and a text with a "<" does not
	valued, bare := 0, 0 // attributes with a value, and words that only a text would have there
	for {
		space := i
		i = skipSpace(s, i)
		if i == len(s) {
			break
		}
		switch s[i] {
		case '>':
			m.end, m.pad = i+1, span{space, i}
			if bare == 0 || valued > 0 {
				m.kind = tagMarkup
			}
			return m
		case '<':
			m.end = i
			return m
		case '/', '"', '\'', '=':
			i++
			continue
		}
		name := i
		i = sc.nameEnd(i)
		word := s[name:i]
		if i == len(s) {
			break // perhaps the half of a name
		}
		value := skipSpace(s, i)
		if value == len(s) || s[value] != '=' {
			quoted = false
			if !isBareAttribute(word) {
				bare++
			}
			continue
		}
		end, kind := sc.value(skipSpace(s, value+1))
		i = end
		valued++
		switch kind {
		case valueCut:
			i = len(s)
		case valuePlain:
			quoted = quoted && end == len(s)
		}
		if kind != valueCut && strings.EqualFold(word, "data-bbox") {
			m.boxes = append(m.boxes, span{space, end})
		}
	}
	m.end = len(s)
	if quoted && len(s)-open <= maxCutTag {
		m.kind = cutMarkup
	}
	return m
}

// nameEnd returns the end of the name of a tag or attribute that has begun before or at i.
func (sc *htmlScanner) nameEnd(i int) int {
	for i < len(sc.s) {
		r, size := utf8.DecodeRuneInString(sc.s[i:])
		if isSpace(r) || strings.ContainsRune(`/>=<"'`, r) {
			break
		}
		i += size
	}
	return i
}

type valueKind int

const (
	valueQuoted valueKind = iota
	valuePlain
	valueCut // in quotes that the end of the answer left open
)

// value returns the end of the attribute value that begins at i.
func (sc *htmlScanner) value(i int) (end int, kind valueKind) {
	s := sc.s
	if i < len(s) && (s[i] == '"' || s[i] == '\'') {
		last := sc.lastQuote
		if s[i] == '\'' {
			last = sc.lastApostrophe
		}
		if last > i {
			value := s[i+1:]
			value = value[:strings.IndexByte(value, s[i])]
			// With the end of one tag and the start of another in it, the closing quote has been forgotten.
			if greater := strings.IndexByte(value, '>'); greater >= 0 && strings.Contains(value[greater:], "<") {
				return i + 1 + greater, valuePlain
			}
			return i + len(value) + 2, valueQuoted
		}
		// There is no other such quote behind this one, so this is looked at once for each kind of quote.
		if !strings.ContainsAny(s[i:], "<>") {
			return i, valueCut
		}
	}
	for i < len(s) {
		r, size := utf8.DecodeRuneInString(s[i:])
		if isSpace(r) || r == '>' || r == '<' {
			break
		}
		i += size
	}
	return i, valuePlain
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// bareAttributes are attributes that need no value.
var bareAttributes = []string{
	"checked", "compact", "controls", "disabled", "hidden", "itemscope", "multiple", "noshade",
	"nowrap", "open", "readonly", "required", "reversed", "selected",
}

func isBareAttribute(name string) bool {
	name = strings.ToLower(name)
	return strings.HasPrefix(name, "data-") || strings.HasPrefix(name, "aria-") || slices.Contains(bareAttributes, name)
}
