package textextraction

import (
	"regexp"
	"strings"
)

// cleaner is [Clean] for an answer that comes in pieces. It holds back what may still become part of a fence, a tag or a comment.
//
// There are answers whose beginning reads otherwise once their end is known: then what it gave is not what Clean gives for the whole,
// and whoever uses it puts that right in the end.
type cleaner struct {
	format Format
	raw    string // the answer so far
	marks  []cleanMark
}

// cleanMark is a point up to which the answer has been cleaned: outside of all markup, so that what follows is cleaned alone.
type cleanMark struct {
	raw, text int // bytes of the answer, and of what became of them
	fenced    bool
}

// next takes what follows the first bytes of the answer, so many, and returns what follows the first bytes of the cleaned text.
func (c *cleaner) next(from int, text string) (keep int, more string) {
	c.raw = c.raw[:from] + text
	at := cleanMark{}
	for n := len(c.marks); n > 0; n-- {
		if at = c.marks[n-1]; at.raw <= from {
			break
		}
		c.marks, at = c.marks[:n-1], cleanMark{}
	}
	keep = at.text
	if at.raw == 0 {
		start, fenced, known := c.begin()
		if !known {
			return keep, ""
		}
		at.raw, at.fenced = start, fenced
	}
	rest := c.raw[at.raw:]
	if at.fenced {
		rest = holdFence(rest)
	}
	if c.format == HTML {
		rest = holdTag(rest)
		more = cleanHTML(rest)
	} else {
		rest = holdComment(rest)
		more = boxComment.ReplaceAllLiteralString(rest, "")
	}
	if rest != "" {
		c.marks = append(c.marks, cleanMark{raw: at.raw + len(rest), text: at.text + len(more), fenced: at.fenced})
	}
	return keep, more
}

// begin looks for a fence at the beginning of the answer: where the text begins, and whether it is known.
func (c *cleaner) begin() (start int, fenced, known bool) {
	at := skipSpace(c.raw, 0)
	if at == len(c.raw) {
		return 0, false, false
	}
	if c.raw[at] != '`' {
		return 0, false, true
	}
	line, _, ok := strings.Cut(c.raw[at:], "\n")
	if !ok && len(line) < maxCutComment {
		return 0, false, false
	}
	labels := []string{"markdown", "md"}
	if c.format == HTML {
		labels = []string{"html", ""}
	}
	ticks, label := fence(line)
	for _, of := range labels {
		if ok && ticks > 0 && strings.EqualFold(label, of) {
			return at + len(line) + 1, true, true
		}
	}
	return 0, false, true
}

// holdFence is s without what may be the end of a fence around it, and the white space before that.
func holdFence(s string) string {
	s = strings.TrimRightFunc(s, isSpace)
	if short := strings.TrimRight(s, "`"); short != s {
		if line := strings.TrimRight(short, " \t"); line == "" || strings.HasSuffix(line, "\n") {
			s = strings.TrimRightFunc(short, isSpace)
		}
	}
	return s
}

// openComment is the beginning of a place of a table or an image, or the whole of one behind which a line break may still come.
var openComment = regexp.MustCompile(`^<(?:!(?:-(?:-(?:` + spaceClass + `*(?:T(?:a(?:bl?)?)?|I(?:m(?:ag?)?)?|(?:Table|Image)` +
	spaceClass + `*(?:\([^)]*(?:\)` + spaceClass + `*(?:-{0,2}|-->))?)?)?)?)?)?)?$`)

// maxHeld is how much may be held back, in bytes: what is longer is no tag.
const maxHeld = 1024

// holdComment is s without what may be part of a place at its end.
func holdComment(s string) string {
	at := strings.LastIndexByte(s, '<')
	if at >= 0 && len(s)-at <= maxHeld && openComment.MatchString(s[at:]) {
		return s[:at]
	}
	return s
}

// holdTag is s without a tag or comment that is not whole.
func holdTag(s string) string {
	for i := 0; i < len(s); {
		open := strings.IndexByte(s[i:], '<')
		if open < 0 {
			break
		}
		open += i
		if end := tagEnd(s[open:]); end > 0 {
			i = open + end
		} else if len(s)-open <= maxHeld {
			return s[:open]
		} else {
			i = open + 1
		}
	}
	return s
}

// tagEnd is the length of the tag or comment that s begins with, 0 where it is not whole, 1 where it is only a sign.
func tagEnd(s string) int {
	if len(s) < 2 {
		return 0
	}
	if strings.HasPrefix(s, "<!--") {
		if end := strings.Index(s[2:], "-->"); end >= 0 {
			return 2 + end + 3
		}
		return 0
	}
	if c := s[1]; c != '/' && c != '!' && c != '?' && !isLetter(c) {
		return 1
	}
	quote := byte(0)
	for i := 2; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case (c == '"' || c == '\'') && s[i-1] == '=':
			quote = c
		case c == '>':
			return i + 1
		}
	}
	return 0
}
