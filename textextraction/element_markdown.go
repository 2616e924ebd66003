package textextraction

import (
	"regexp"
	"slices"
	"strings"
)

// placeComment is boxComment, with what it says.
var placeComment = regexp.MustCompile(`<!--` + spaceClass + `*(Table|Image)` + spaceClass + `*\(([^)]+)\)` + spaceClass + `*-->\n?`)

// elementsOfMarkdown returns the elements of an answer in Markdown, s, which stands at offset in RawOutput: its blocks, and the
// places of images and tables that Qwen-VL writes in comments. Every character that is not white space is in one of them, but
// what is markup between them.
func (a *answerReader) elementsOfMarkdown(s string, offset int) []Element {
	r := &markdownElements{answerReader: a, s: s, offset: offset, table: -1}
	at := 0
	for _, m := range placeComment.FindAllStringSubmatchIndex(s, -1) {
		if strings.Contains(s[m[4]:m[5]], "-->") {
			continue // two comments, with a text between them
		}
		r.blocks(at, m[0])
		r.endTable()
		r.place(s[m[2]:m[3]], s[m[4]:m[5]], span{m[0], m[1]})
		at = m[1]
	}
	r.blocks(at, len(s))
	r.endTable()
	return r.out
}

type markdownElements struct {
	*answerReader
	s       string
	offset  int
	out     []Element
	table   int    // the element in out for the place of a table that has not come yet, or -1
	indents []int  // of the list that is open, outermost first
	closes  [2]int // the last ends of HTML and of LaTeX tables in the piece that is read: behind them none need be looked for
}

// place makes an element of a comment.
func (r *markdownElements) place(what, coordinates string, at span) {
	r.indents = nil
	e := Element{Kind: KindFigure, Label: what, Box: r.box(numbers(coordinates)), Start: r.offset + at.start, End: r.offset + at.end}
	if what == "Table" {
		e.Kind = KindTable
		r.table = len(r.out)
	}
	r.out = append(r.out, e)
}

// endTable ends the wait for the table of a place. One that did not come, and has no place that can be read, is none.
func (r *markdownElements) endTable() {
	if r.table >= 0 && r.out[r.table].Text == "" && r.out[r.table].Box == [4]int{} {
		r.out = slices.Delete(r.out, r.table, r.table+1)
	}
	r.table = -1
}

// blocks makes elements of s[at:limit].
func (r *markdownElements) blocks(at, limit int) {
	part := r.s[:limit]
	r.closes = [2]int{at + lastFold(part[at:], "</table"), at + strings.LastIndex(part[at:], `\end{`)}
	for at < limit {
		line := part[at:lineEnd(part, at)]
		if strings.TrimFunc(line, isSpace) == "" {
			at += len(line)
			continue
		}
		e, end := r.block(part, at)
		if e.Kind != KindListItem {
			r.indents = nil
		}
		e.Start, e.End = r.offset+at, r.offset+at+len(strings.TrimRightFunc(part[at:end], isSpace))
		piece := part[at:end]
		if end == len(r.s) {
			piece = dropCutComment(piece)
		}
		e.Content = strings.Trim(strings.TrimRightFunc(piece, isSpace), "\r\n")
		r.add(e)
		at = end
	}
}

// add adds an element, with its text. The first table behind its place is that.
func (r *markdownElements) add(e Element) {
	e.readMarkdown()
	if e.Kind == KindTable && r.table >= 0 {
		place := &r.out[r.table]
		e.Label, e.Box = place.Label, place.Box
		if place.End == e.Start || strings.TrimFunc(r.s[place.End-r.offset:e.Start-r.offset], isSpace) == "" {
			e.Start = place.Start
			*place = e
		} else {
			r.out = append(slices.Delete(r.out, r.table, r.table+1), e)
		}
		r.table = -1
		return
	}
	if e.keep() {
		r.out = append(r.out, e)
	}
}

// lineEnd is behind the line that i is in, its line break included.
func lineEnd(s string, i int) int {
	if n := strings.IndexByte(s[i:], '\n'); n >= 0 {
		return i + n + 1
	}
	return len(s)
}

// lastFold is strings.LastIndex without regard to case, for ASCII.
func lastFold(s, lower string) int { return strings.LastIndex(strings.ToLower(s), lower) }

// block tells the kind of the block that begins with the line at index at, and its end.
func (r *markdownElements) block(s string, at int) (e Element, end int) {
	if e, end, ok := r.start(s, at); ok {
		return e, end
	}
	// A paragraph: up to an empty line, or to another block.
	first := true
	for end = at; end < len(s); first = false {
		next := lineEnd(s, end)
		line := s[end:next]
		if strings.TrimFunc(line, isSpace) == "" {
			break
		}
		if !first {
			if _, _, ok := r.start(s, end); ok {
				break
			}
		}
		if inside := tableIn(line); inside != nil && (inside[0] > 0 || !first) {
			end += inside[0]
			break
		}
		end = next
	}
	return Element{Kind: KindText}, end
}

// What begins a block, or a table in the midst of a line.
var (
	headingLine  = regexp.MustCompile(`^[ \t]{0,3}(#{1,6})[ \t]`)
	itemLine     = regexp.MustCompile(`^([ \t]*)(?:[-*+•]|\d{1,9}[.)])[ \t]+\S`)
	imageLine    = regexp.MustCompile(`^[ \t]*!\[[^\]\n]*\]\([^)\n]*\)[ \t\r]*(?:\n|$)`)
	footnoteLine = regexp.MustCompile(`^[ \t]*\[\^[^\]\n]+\]:`)
	tagLine      = regexp.MustCompile(`^[ \t]*<(page_number|watermark|signature|img)>`)
	tableStart   = regexp.MustCompile(`\\begin\s*\{(?:tabular[*xy]?|longtable|supertabular|tabu)\}|(?i:<table[\s>])|<(?:fcel|ecel|ched|rhed|otsl)>`)
	mathStart    = regexp.MustCompile(`^[ \t]*\\begin\s*\{(equation|align|gather|multline|eqnarray|displaymath|array|aligned)\*?\}`)
	tableFloat   = regexp.MustCompile(`^[ \t]*\\begin\s*\{(table)\*?\}`)
)

// tableIn is where a line has the beginning of a table. Few lines have its first character, which is cheaper to look for.
func tableIn(line string) []int {
	if !strings.ContainsAny(line, `\<`) {
		return nil
	}
	return tableStart.FindStringIndex(line)
}

// start tells the kind and the end of a block that begins with the line at index at in other ways than a paragraph does.
func (r *markdownElements) start(s string, at int) (e Element, end int, ok bool) {
	next := lineEnd(s, at)
	line := s[at:next]
	if c := line[0]; 'a' <= c|0x20 && c|0x20 <= 'z' { // as most lines do
		end := r.tableEnd(s, at, next)
		return Element{Kind: KindTable}, end, end > at
	}
	if ticks, label := fence(line); ticks > 0 {
		kind, _ := kindOfLabel(label) // mermaid is a chart
		if kind != KindChart {
			kind = KindCode
		}
		return Element{Kind: kind, Label: label}, fenceEnd(s, next, ticks), true
	}
	if m := headingLine.FindStringSubmatch(line); m != nil {
		return Element{Kind: KindHeading, Level: len(m[1])}, next, true
	}
	if m := itemLine.FindStringSubmatch(line); m != nil && !isBreak(strings.TrimFunc(line, isSpace)) {
		return Element{Kind: KindListItem, Level: r.indent(len(strings.ReplaceAll(m[1], "\t", "    ")))}, r.itemEnd(s, next), true
	}
	if imageLine.MatchString(line) {
		return Element{Kind: KindFigure}, next, true
	}
	if footnoteLine.MatchString(line) {
		return Element{Kind: KindFootnote}, r.itemEnd(s, next), true
	}
	if m := tagLine.FindStringSubmatch(line); m != nil {
		kind, _ := kindOfLabel(m[1])
		tag := "</" + m[1] + ">"
		closing := strings.Index(line, tag)
		inner, _, _ := strings.Cut(line[len(m[0]):], tag)
		rest := ""
		if closing >= 0 {
			rest = line[closing+len(tag):]
		}
		switch {
		case blockText(inner) == "": // the tag is all that there is
		case strings.TrimFunc(rest, isSpace) == "":
			return Element{Kind: kind, Label: m[1]}, next, true
		case tagLine.MatchString(rest):
			return Element{Kind: kind, Label: m[1]}, at + closing + len(tag), true
		}
	}
	if end := r.tableEnd(s, at, next); end > at {
		return Element{Kind: KindTable}, end, true
	}
	if end := r.formulaEnd(s, at); end > at {
		return Element{Kind: KindFormula}, end, true
	}
	return Element{}, at, false
}

// indent is the level of an item that is so far in.
func (r *markdownElements) indent(spaces int) int {
	for n := len(r.indents); n > 0 && r.indents[n-1] > spaces; n = len(r.indents) {
		r.indents = r.indents[:n-1]
	}
	if n := len(r.indents); n == 0 || spaces >= r.indents[n-1]+2 {
		r.indents = append(r.indents, spaces)
	}
	return len(r.indents)
}

// itemEnd is the end of an item whose first line ends at next: the lines that follow directly, up to another block.
func (r *markdownElements) itemEnd(s string, next int) int {
	for next < len(s) {
		end := lineEnd(s, next)
		line := s[next:end]
		if strings.TrimFunc(line, isSpace) == "" || tableIn(line) != nil || itemLine.MatchString(line) {
			break
		}
		kept := r.indents
		_, _, ok := r.start(s, next)
		if r.indents = kept; ok {
			break
		}
		next = end
	}
	return next
}
