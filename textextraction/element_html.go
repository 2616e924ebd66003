package textextraction

import (
	"slices"
	"strings"

	"github.com/omnidocs/omnidocs/textextraction/table"
)

// elementsOfHTML returns the elements of an answer in HTML, s, which stands at offset in RawOutput: one for each element with
// data-bbox, but lists, whose items are; within it, and where there are no coordinates at all, one for each heading, item,
// paragraph, table and picture. What is in none of them is text.
//
// The tree is parseHTML's, and not that of golang.org/x/net/html, since that has no offsets, moves text that stands between
// the cells of a table, and takes the "<y" of "x<y" for a tag; the tables themselves are read by it.
func (a *answerReader) elementsOfHTML(s string, offset int) []Element {
	w := &htmlElements{answerReader: a, s: s, offset: offset}
	w.walk(parseHTML(s).children, htmlPart{kind: KindText})
	return w.out
}

type htmlElements struct {
	*answerReader
	s      string
	offset int
	run    []*htmlNode // inline, in no element yet
	out    []Element
}

// htmlPart is what a node is in.
type htmlPart struct {
	kind  ElementKind
	label string
	level int // of a heading, or of an item of a list
	depth int // lists that it is in
	box   [4]int
}

// walk makes elements of nodes. What is inline between others is one by itself.
func (w *htmlElements) walk(nodes []*htmlNode, in htmlPart) {
	for _, n := range nodes {
		switch {
		case n.tag == "style" || n.tag == "script":
		case !isBlockElement(n) && !isBoxed(n) && !isParted(n):
			w.run = append(w.run, n)
		default:
			w.flush(in)
			w.node(n, in)
			if in.kind == KindListItem {
				in.kind = KindText // what follows a list within an item goes on with the item
			}
		}
	}
	w.flush(in)
}

// node makes elements of a node that is not inline.
func (w *htmlElements) node(n *htmlNode, in htmlPart) {
	part := in
	part.box = w.boxOf(n, in.box)
	if n.tag == "ul" || n.tag == "ol" {
		part.kind, part.depth = KindText, in.depth+1
		w.walk(n.children, part)
		return
	}
	kind, label, ok := kindOfNode(n)
	switch {
	case ok:
		part.kind, part.label = kind, label
	case label != "" && isBoxed(n):
		part.kind, part.label = KindText, label
	}
	switch part.kind {
	case KindHeading:
		part.level = headingLevel(n)
	case KindListItem:
		part.level = max(part.depth, 1)
	default:
		part.level = 0
	}
	own := isBoxed(n) || label != "" || slices.Contains(ownElements, n.tag) || slices.Contains(headings, n.tag)
	if part.kind.isWhole() || own && !isParted(n) {
		w.emit([]*htmlNode{n}, part)
		return
	}
	w.walk(n.children, part)
}

// ownElements are elements of HTML that are one of ours, if there is no other in them.
var ownElements = []string{"p", "li", "blockquote", "dd", "dt", "figcaption", "caption"}

// flush makes an element of what is inline.
func (w *htmlElements) flush(in htmlPart) {
	if len(w.run) > 0 {
		w.emit(w.run, in)
	}
	w.run = nil
}

// emit makes an element of neighboring nodes.
func (w *htmlElements) emit(nodes []*htmlNode, part htmlPart) {
	at := span{nodes[0].outer.start, nodes[len(nodes)-1].outer.end}
	e := Element{
		Kind: part.kind, Label: part.label, Level: part.level, Box: part.box, Start: w.offset + at.start, End: w.offset + at.end,
		Content: w.content(at),
	}
	e.readHTML(nodes, w.s[at.start:at.end])
	if e.keep() {
		w.out = append(w.out, e)
	}
}

// content is a piece of s in the format of the result.
func (w *htmlElements) content(at span) string {
	piece := w.s[at.start:at.end]
	switch {
	case w.format == Markdown:
		return markdownOf(piece)
	case at.end < len(w.s):
		// Something follows: at the end of the piece no tag is cut in two.
		const next = "\n<p>"
		piece = strings.TrimSuffix(cleanHTML(piece+next), next)
	default:
		piece = cleanHTML(piece)
	}
	return strings.TrimFunc(piece, isSpace)
}

// readHTML takes the text of nodes, in the way of its kind.
func (e *Element) readHTML(nodes []*htmlNode, source string) {
	e.Text = textOfNodes(nodes)
	switch e.Kind {
	case KindTable, KindChart:
		e.readTable(escapeLoose(source), table.ParseHTML)
	case KindCode:
		e.Text = preText(nodes)
	case KindFormula:
		e.Text = stripFormula(e.Text)
	case KindText:
		if e.Text == "" && slices.ContainsFunc(nodes, func(n *htmlNode) bool { return findNode(n, "img") != nil }) {
			e.Kind = KindFigure
		}
	}
	if e.Text == "" && e.Kind == KindFigure {
		e.Text = altOf(nodes)
	}
	if e.Kind != KindHeading && e.Kind != KindListItem {
		e.Level = 0
	}
}

// boxOf is the place that a node has of its own, or that of what it is in.
func (w *htmlElements) boxOf(n *htmlNode, in [4]int) [4]int {
	coordinates := numbers(n.attr("data-bbox"))
	if coordinates == nil {
		coordinates = polygonBox(numbers(n.attr("data-polygon")))
	}
	if box := w.box(coordinates); box != [4]int{} {
		return box
	}
	return in
}

func isBoxed(n *htmlNode) bool { return n.has("data-bbox") || n.has("data-polygon") }

// kindOfNode is what a node says of itself: by its label or class, or by its tag. A label that is not known is returned all the
// same.
func kindOfNode(n *htmlNode) (kind ElementKind, label string, ok bool) {
	if label = n.attr("data-label"); label == "" {
		label = n.attr("class")
	}
	if kind, ok = kindOfLabel(label); ok && (kind != KindText || !slices.Contains(headings, n.tag)) {
		return kind, label, true
	}
	switch {
	case slices.Contains(headings, n.tag):
		return KindHeading, label, true
	case n.tag == "math" && n.attr("display") == "block":
		return KindFormula, label, true
	}
	kind, ok = map[string]ElementKind{
		"li": KindListItem, "table": KindTable, "pre": KindCode, "img": KindFigure, "figcaption": KindCaption, "caption": KindCaption,
		"header": KindHeader, "footer": KindFooter,
	}[n.tag]
	return kind, label, ok
}

// headingLevel is that of a heading, or of the first one in n.
func headingLevel(n *htmlNode) int {
	if slices.Contains(headings, n.tag) {
		return int(n.tag[1] - '0')
	}
	for _, c := range n.children {
		if level := headingLevel(c); level > 0 {
			return level
		}
	}
	return 0
}

// isParted tells whether there is something in n that is an element of its own.
func isParted(n *htmlNode) bool {
	return slices.ContainsFunc(n.children, func(c *htmlNode) bool {
		if isBoxed(c) || c.tag == "ul" || c.tag == "ol" || isParted(c) {
			return true
		}
		kind, _, ok := kindOfNode(c)
		return ok && kind != KindText && c.tag != "img"
	})
}

// textOfNodes is the text of nodes as PlainText has it: each tag a space.
func textOfNodes(nodes []*htmlNode) string {
	var b strings.Builder
	var write func(n *htmlNode)
	write = func(n *htmlNode) {
		if n.tag != "" {
			b.WriteByte(' ')
			defer b.WriteByte(' ')
		}
		b.WriteString(decodeEntities(n.text))
		for _, c := range n.children {
			write(c)
		}
	}
	for _, n := range nodes {
		write(n)
	}
	return collapse(b.String())
}

// findNode returns the first element of that name at or below n.
func findNode(n *htmlNode, tag string) *htmlNode {
	if n.tag == tag {
		return n
	}
	for _, c := range n.children {
		if found := findNode(c, tag); found != nil {
			return found
		}
	}
	return nil
}

func altOf(nodes []*htmlNode) string {
	for _, n := range nodes {
		if img := findNode(n, "img"); img != nil {
			return collapse(img.attr("alt"))
		}
	}
	return ""
}

// preText is the text of code, with its lines.
func preText(nodes []*htmlNode) string {
	var b strings.Builder
	for _, n := range nodes {
		b.WriteString(textOf(n))
	}
	return strings.Trim(decodeEntities(b.String()), "\r\n")
}

// escapeLoose makes every "<" that is text an entity.
func escapeLoose(s string) string {
	var b strings.Builder
	eachMarkup(s, func(text string) { b.WriteString(text) }, func(at int, m markup) {
		piece := s[at:m.end]
		if m.kind == notMarkup {
			piece = strings.ReplaceAll(piece, "<", "&lt;")
		}
		b.WriteString(piece)
	})
	return b.String()
}

// readTable reads the table that the source of an element is, and tells its text row by row, if none is lost by that.
func (e *Element) readTable(source string, parse func(string) (*table.Table, error)) {
	t, err := parse(source)
	if err != nil {
		return // it stays a text
	}
	e.Table = t
	if e.Kind == KindTable && holdsWords(t.Text(), e.Text) {
		e.Text = t.Text()
	}
}
