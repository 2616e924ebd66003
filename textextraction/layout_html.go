package textextraction

import (
	"slices"
	"strconv"
	"strings"
)

// Labels of blocks that are not part of the text, and of pages without any.
var (
	marginLabels = []string{"Page-Header", "Page-Footer"}
	blankLabel   = "Blank-Page"
	pictureWords = []string{"image", "figure", "picture", "diagram", "chart"}
)

// layoutHTML is ParserLayoutHTML.
func (a *answerReader) layoutHTML() {
	at := unfenced(a.raw, "html", "")
	l := &htmlElements{answerReader: a, s: a.raw[at.start:at.end], offset: at.start}
	var loose []*htmlNode // what is in no block
	flush := func() {
		if len(loose) > 0 {
			a.plain = append(a.plain, textOfNodes(loose))
		}
		l.walk(loose, htmlPart{kind: KindText})
		loose = nil
	}
	for _, n := range topLevel(parseHTML(l.s)) {
		if n.tag == "div" || n.has("data-bbox") || n.has("data-label") {
			flush()
			l.block(n)
			continue
		}
		loose = append(loose, n)
	}
	flush()
	a.result.PlainText = collapse(strings.Join(a.plain, " ")) // of the HTML: Markdown would leave tables as they are
	separator := "\n\n"
	if a.format == HTML {
		separator = "\n"
	}
	a.join(separator, l.out, func(label string) bool { return slices.Contains(marginLabels, label) })
}

// topLevel returns the nodes that are directly on the page, out of html and body if they are there.
func topLevel(root *htmlNode) (nodes []*htmlNode) {
	for _, n := range root.children {
		switch n.tag {
		case "html", "body":
			nodes = append(nodes, topLevel(n)...)
		case "head":
		default:
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// block adds the block that a node is. One without anything in it, and the mark of a blank page, are none.
func (w *htmlElements) block(n *htmlNode) {
	label, inner := n.attr("data-label"), n.inner
	if n.tag != "div" { // a paragraph, a heading: its tags are part of the text
		inner = n.outer
	}
	if label == "" {
		label = n.attr("class")
	}
	lower := strings.ToLower(label)
	picture := label == "" || slices.ContainsFunc(pictureWords, func(word string) bool { return strings.Contains(lower, word) })
	html := strings.TrimFunc(dropTags(w.s[inner.start:inner.end], func(n *htmlNode) bool {
		// Outside of pictures the model has made it up; so does Chandra's own code see it.
		return n.tag == "img" && n.attr("src") == "" && !picture
	}), isSpace)
	e := Element{Label: label, Box: w.boxOf(n, [4]int{}), Content: html, Start: w.offset + n.outer.start, End: w.offset + n.outer.end}
	if label == blankLabel || html == "" && e.Box == [4]int{} {
		return
	}
	e.Kind, _ = kindOfLabel(label)
	if kind, _, ok := kindOfNode(n); ok && e.Kind == KindText {
		e.Kind = kind
	}
	if e.Kind == KindHeading {
		e.Level = headingLevel(n)
	}
	e.readHTML([]*htmlNode{n}, w.s[n.outer.start:n.outer.end])
	if !slices.Contains(marginLabels, label) {
		w.plain = append(w.plain, PlainText(html, HTML))
	}
	switch {
	case w.format == Markdown:
		e.Content = markdownOf(html)
	case html != "" && (label == "" || label == "Text") && !strings.Contains(html, "<"):
		e.Content = "<p>" + html + "</p>"
	}
	w.out = append(w.out, e)
}

// numbers reads "1 2 3 4", "1,2,3,4" or "[1, 2, 3, 4]". Anything else in s makes it nil.
func numbers(s string) (values []float64) {
	for _, field := range strings.FieldsFunc(s, func(r rune) bool { return isSpace(r) || strings.ContainsRune(",[]()", r) }) {
		v, err := strconv.ParseFloat(field, 64)
		if err != nil || v != v || v > 1e9 || v < -1e9 {
			return nil
		}
		values = append(values, v)
	}
	return values
}
