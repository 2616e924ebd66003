package loop

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kind is what a repeated text was taken for. It decides how often it may be there.
type Kind string

// The kinds, in the order in which they are tried.
const (
	// Restart is an answer that begins again from its head: a loop when the head is there for the third time.
	Restart Kind = "restart"
	// Typed is a block with its place on the page: no page has two of one place.
	Typed Kind = "typed"
	// Rows are whole rows of a table, a loop when there are more than EqualRows of them; EmptyRows are those with nothing but zeros
	// and dashes, of which twice as many may be.
	Rows      Kind = "rows"
	EmptyRows Kind = "empty rows"
	// Cells are cells of a row that does not end: a loop at 64, or at three times the widest row before.
	Cells Kind = "cells"
	// Mask is a run of one character, as in numbers that are blacked out: a loop at 128 characters.
	Mask Kind = "mask"
	// Filler is dot leaders, rules, blanks: a loop when a line of it is 400 characters long, or at EqualRows lines, twice as many of empty
	// ones.
	Filler Kind = "filler"
	// Numbers are numbers with signs between them, as in data: a loop as Code.
	Numbers Kind = "numbers"
	// Form are lines with something to be filled in: a loop when there are more than EqualRows.
	Form Kind = "form"
	// Code is within a code block, with its drawings: a loop at 24 copies and 256 tokens. Math is within a formula: at 40 copies.
	Code Kind = "code"
	Math Kind = "math"
	// Prose is all else: a loop at 4 copies from 128 tokens on, at 6 from 32, at 8 from 8, at 10 and 48 tokens below; of one token, at 32.
	Prose Kind = "prose"
)

const (
	maxCells      = 64
	maxCellsTimes = 3
	maxMask       = 128
	maxFillerLine = 400
)

var (
	breaks    = strings.NewReplacer("&nbsp;", " ", "<br>", "\n", "<br/>", "\n", "\u00a0", " ")
	tags      = regexp.MustCompile(`<[^<>]*>|\\(?:hline|midrule|\\)`)
	emptyCell = regexp.MustCompile(`(?i)\bn/?a\b|[-–—0.,%$€|&\s]`)
	blanks    = regexp.MustCompile(`_{3}|\.{4}|…|\[ ?\]|[☐□◻]`)
	placed    = regexp.MustCompile(`data-bbox=|"bbox(?:_2d)?"|<\|box_start\|>|<!-- ?(?:Table|Image) ?\(`)
	// wholeTable is in what is more than rows of one table.
	wholeTable = regexp.MustCompile(`</?table|</?otsl|\\(?:begin|end)\{`)
	rowEnd     = regexp.MustCompile(`</tr>|<nl>|\\\\`)
	cellEnd    = regexp.MustCompile(`</t[dh]>|<[fe]cel>|\|`)
)

// judge says whether the text that repeats with a period from start on is a loop, and of what kind.
func (d *Detector) judge(tokens []int32, start, period int) (Kind, bool) {
	span := len(tokens) - start
	copies := span / period
	unit := breaks.Replace(d.text(tokens[start : start+period]))
	around := unit + unit // whatever the unit is cut in two by is whole in it
	count := func(of *regexp.Regexp) (n int) {
		for _, match := range of.FindAllStringIndex(around, -1) {
			if match[0] < len(unit) {
				n++
			}
		}
		return n
	}
	lines := strings.Count(unit, "\n")

	rows := 0
	if !wholeTable.MatchString(around) {
		rows = count(rowEnd)
	}
	if rows == 0 && lines > 0 && allRows(around) {
		rows = lines
	}
	switch {
	case placed.MatchString(around):
		return Typed, true
	case copies < 3: // two copies are a loop of placed blocks alone
		return "", false
	case rows > 0:
		if written := emptyCell.ReplaceAllLiteralString(tags.ReplaceAllLiteralString(unit, " "), ""); !hasWord(written) {
			return EmptyRows, copies*rows > 2*d.rules.EqualRows
		}
		return Rows, copies*rows > d.rules.EqualRows
	}
	if cells := count(cellEnd); lines == 0 && strings.Trim(unit, "| -:&") != "" {
		if cells == 0 && strings.Contains(unit, "&") && inside(d.text(tokens[:start])) == Math { // of LaTeX
			cells = strings.Count(unit, "&")
		}
		if cells > 0 {
			return Cells, copies*cells > max(maxCells, maxCellsTimes*widestRow(d.text(tokens[:start])))
		}
	}
	if first, size := utf8.DecodeRuneInString(unit); strings.ContainsRune("XxA0123456789█■?", first) &&
		strings.Count(unit, unit[:size])*size == len(unit) {
		return Mask, copies*len(unit)/size > maxMask
	}
	if strings.TrimFunc(unit, isFiller) == "" {
		if longest := longestLine(unit, lines, copies); longest > maxFillerLine {
			return Filler, true
		}
		if strings.TrimSpace(unit) == "" {
			return Filler, copies*lines > 2*d.rules.EqualRows
		}
		return Filler, copies*lines > d.rules.EqualRows
	}
	if lines > 0 && blanks.MatchString(unit) {
		return Form, copies*lines > d.rules.EqualRows
	}
	if !prose(period, copies, span) { // the others ask for more
		return "", false
	}
	if !strings.ContainsFunc(unit, unicode.IsLetter) && strings.ContainsFunc(unit, unicode.IsDigit) {
		return Numbers, longCode(copies, span)
	}
	switch inside(d.text(tokens[:start])) {
	case Code:
		return Code, longCode(copies, span)
	case Math:
		return Math, copies >= 40
	}
	return Prose, true
}

// allRows says whether all lines but the first and the last, which may be cut, are rows of a table in Markdown, and there are some.
func allRows(text string) bool {
	all := strings.Split(text, "\n")
	rows := 0
	for _, line := range all[1 : len(all)-1] {
		if strings.Contains(line, "|") {
			rows++
		} else if strings.TrimSpace(line) != "" {
			return false
		}
	}
	return rows > 0
}

func prose(period, copies, span int) bool {
	switch {
	case period == 1:
		return span >= 32
	case period < 8:
		return copies >= 10 && span >= 48
	case period < 32:
		return copies >= 8
	case period < 128:
		return copies >= 6
	}
	return copies >= 4
}

func longCode(copies, span int) bool { return copies >= 24 && span >= 256 }

// isFiller says whether a character is one of those that lines, leaders and blanks are drawn with.
func isFiller(r rune) bool {
	return strings.ContainsRune("`.·…_-–=~*#| \t\n", r) || r >= 0x2500 && r <= 0x257f // box drawings
}

func hasWord(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) })
}

// longestLine is the length of the longest line, in characters, of copies of a unit with so many line breaks.
func longestLine(unit string, breaks, copies int) int {
	if breaks == 0 {
		return copies * utf8.RuneCountInString(unit)
	}
	longest := 0
	for line := range strings.SplitSeq(unit+unit, "\n") {
		longest = max(longest, utf8.RuneCountInString(line))
	}
	return longest
}

// widestRow counts the cells of the widest row of a table in a text.
func widestRow(text string) (widest int) {
	for line := range strings.SplitSeq(text, "\n") {
		for _, row := range rowEnd.Split(line, -1) {
			widest = max(widest, len(cellEnd.FindAllStringIndex(row, -1)), strings.Count(row, " & "))
		}
	}
	return widest
}

var (
	fences = regexp.MustCompile("(?m)^[ \\t>]*```")
	maths  = regexp.MustCompile(`\$\$`)
	opened = []struct {
		kind        Kind
		open, close string
	}{
		{Code, "<pre", "</pre>"}, {Code, "<code", "</code>"},
		{Math, "<math", "</math>"}, {Math, `\[`, `\]`}, {Math, `\begin{`, `\end{`},
	}
)

// inside says what the end of a text is within: Code, Math, or "" for neither.
func inside(text string) Kind {
	if len(fences.FindAllStringIndex(text, -1))%2 == 1 {
		return Code
	}
	for _, o := range opened {
		if at := strings.LastIndex(text, o.open); at >= 0 && at > strings.LastIndex(text, o.close) {
			return o.kind
		}
	}
	if len(maths.FindAllStringIndex(text, -1))%2 == 1 {
		return Math
	}
	return ""
}

// blockEnds are the tags behind which a text can well be cut.
var blockEnds = []string{"\n", "</tr>", "</p>", "</div>", "</li>", "</table>", "</h1>", "</h2>", "</h3>", "<nl>"}

// cut is the first end of a line, a row or a block behind the first copy, before the end of the second; else that of the first copy.
func (d *Detector) cut(tokens []int32, start, period int) int {
	for at := start + period; at < start+2*period; at++ {
		tail := strings.TrimRight(d.text(tokens[max(0, at-6):at]), " \t")
		for _, end := range blockEnds {
			if strings.HasSuffix(tail, end) {
				return at
			}
		}
	}
	return start + period
}
