package textextraction

import (
	"regexp"
	"slices"
	"strings"
)

// boxComment is Python's expression for the places of tables and images, and the line break behind it.
var boxComment = regexp.MustCompile(`<!--` + spaceClass + `*(?:Table|Image)` + spaceClass + `*\([^)]+\)` + spaceClass +
	`*-->\n?`)

// cutComment is the start of such a comment, at the end of an answer.
var cutComment = regexp.MustCompile(`<!(?:-(?:-(?:` + spaceClass + `*(?:T(?:a(?:bl?)?)?|I(?:m(?:ag?)?)?|(?:Table|Image)` +
	spaceClass + `*(?:\([^)]*(?:\)` + spaceClass + `*-{0,2})?)?)?)?)?)?$`)

// maxCutComment is how far from the end of an answer such a start may be, in bytes.
const maxCutComment = 128

// cleanMarkdown is s without the places of tables and images.
func cleanMarkdown(s string) string {
	return dropCutComment(boxComment.ReplaceAllLiteralString(s, ""))
}

// dropCutComment is s without the start of a place at its end.
func dropCutComment(s string) string {
	if at := strings.LastIndex(s, "<!"); at >= 0 && len(s)-at <= maxCutComment && cutComment.MatchString(s[at:]) {
		return s[:at]
	}
	return s
}

// markdownText is the text of s, still with its white space.
func markdownText(s string) string {
	w := &textWriter{lines: strings.Split(dropComments(dropFences(dropCutComment(s))), "\n")}
	for i := range w.lines {
		w.line(i)
	}
	w.flush()
	return w.out.String()
}

// dropFences leaves fenced code blocks out. The text of one that is never closed stays.
func dropFences(s string) string {
	if !strings.Contains(s, "```") {
		return s
	}
	lines := strings.Split(s, "\n")
	// longest[i] is the longest fence that can close a block, in line i or a later one.
	longest := make([]int, len(lines)+1)
	for i, line := range slices.Backward(lines) {
		longest[i] = longest[i+1]
		if ticks, label := fence(line); label == "" {
			longest[i] = max(longest[i], ticks)
		}
	}
	kept := lines[:0]
	for i := 0; i < len(lines); i++ {
		ticks, _ := fence(lines[i])
		if ticks == 0 {
			kept = append(kept, lines[i])
			continue
		}
		if longest[i+1] < ticks {
			continue // only the line of the fence itself goes
		}
		for i++; ; i++ {
			if closing, label := fence(lines[i]); label == "" && closing >= ticks {
				break
			}
		}
		kept = append(kept, "") // the block divides what is before it from what is behind
	}
	return strings.Join(kept, "\n")
}

// dropComments leaves HTML comments out. One that is never closed stays.
func dropComments(s string) string {
	var b strings.Builder
	for {
		start := strings.Index(s, "<!--")
		if start < 0 {
			break
		}
		end := strings.Index(s[start+2:], "-->") // "<!-->" is a comment, too
		if end < 0 {
			break
		}
		b.WriteString(s[:start])
		s = s[start+2+end+3:]
	}
	b.WriteString(s)
	return b.String()
}

// textWriter turns lines of Markdown into text. Emphasis and code are matched within a block: a paragraph, a list item,
// a heading, a cell.
type textWriter struct {
	lines   []string
	inTable bool // behind the rule row of a table
	out     strings.Builder
	block   strings.Builder // lines not yet written
}

// flush writes the block out.
func (w *textWriter) flush() {
	if w.block.Len() > 0 {
		writeInline(&w.out, w.block.String())
		w.out.WriteByte('\n')
		w.block.Reset()
	}
}

// line takes line i.
func (w *textWriter) line(i int) {
	line := strings.TrimFunc(w.lines[i], isSpace)
	if !strings.Contains(line, "|") {
		w.inTable = false
	}
	switch {
	case line == "", isBreak(line):
		w.flush()
		return
	case w.isRule(i):
		w.flush()
		w.inTable = true
		return
	case line[0] == '|', w.inTable, strings.Contains(line, "|") && i+1 < len(w.lines) && w.isRule(i+1):
		w.flush()
		w.row(line)
		return
	}
	for {
		kept, rest, kind := cutPrefix(line)
		line = rest
		if kind == notBlock {
			break
		}
		w.flush()
		w.out.WriteString(kept)
		if kind == heading {
			writeInline(&w.out, trimHeading(line))
			w.out.WriteByte('\n')
			return
		}
	}
	w.block.WriteString(line)
	w.block.WriteByte('\n')
}

// row writes the cells of a table's row, with the bars between them.
func (w *textWriter) row(line string) {
	for {
		bar := 0
		for bar < len(line) && line[bar] != '|' {
			if line[bar] == '\\' {
				bar++
			}
			bar++
		}
		if bar >= len(line) {
			break
		}
		writeInline(&w.out, line[:bar])
		w.out.WriteByte('|')
		line = line[bar+1:]
	}
	writeInline(&w.out, line)
	w.out.WriteByte('\n')
}

// ruleRow is a row of dashes and colons; strictRule one that is hardly a row of data with a dash in every cell.
var (
	ruleRow    = regexp.MustCompile(`^\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?$`)
	strictRule = regexp.MustCompile(`---|:`)
)

// isRule tells whether line i is the row of dashes under the head of a table.
func (w *textWriter) isRule(i int) bool {
	line := strings.TrimFunc(w.lines[i], isSpace)
	if !strings.Contains(line, "|") || !ruleRow.MatchString(line) {
		return false
	}
	if strictRule.MatchString(line) {
		return true
	}
	// One or two dashes: a rule in the second row of a table, else empty cells.
	return !w.inTable && i > 0 && strings.Contains(w.lines[i-1], "|") && (i < 2 || !strings.Contains(w.lines[i-2], "|"))
}

// isBreak tells whether a line is a thematic break of stars or underscores. (One of dashes stays, as in Python.)
func isBreak(line string) bool {
	return strings.Trim(line, "* \t") == "" || strings.Trim(line, "_ \t") == ""
}

type prefixKind int

const (
	notBlock prefixKind = iota
	quote
	item
	heading
)

// cutPrefix cuts the mark of a quote, a list item or a heading off a line, and returns what of it stays in the text:
// like Python, bullets and numbers but stars and hashes.
func cutPrefix(line string) (kept, rest string, kind prefixKind) {
	word := line
	if end := strings.IndexFunc(line, isSpace); end >= 0 {
		word = line[:end]
	}
	rest = strings.TrimLeftFunc(line[len(word):], isSpace)
	switch {
	case word == "":
	case strings.Trim(word, "#") == "":
		return "", rest, heading
	case word == "*":
		return "", rest, item
	case word == "-" || word == "+" || isNumber(word):
		return word + " ", rest, item
	case word[0] == '>':
		rest = strings.TrimLeftFunc(line[1:], isSpace)
		return line[:len(line)-len(rest)], rest, quote
	}
	return "", line, notBlock
}

// isNumber tells whether a word numbers a list item: 1. or 1).
func isNumber(word string) bool {
	digits := strings.TrimLeft(word, "0123456789")
	return len(digits) < len(word) && len(word) <= 10 && (digits == "." || digits == ")")
}

// trimHeading cuts the hashes off that may close a heading.
func trimHeading(line string) string {
	short := strings.TrimRight(line, "#")
	if trimmed := strings.TrimRightFunc(short, isSpace); len(trimmed) < len(short) || short == "" {
		return trimmed
	}
	return line
}
