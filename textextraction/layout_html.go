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
	s := unfence(a.raw, "html", "")
	var blocks []Block
	loose := span{-1, -1} // what is in no block
	flush := func() {
		if loose.start >= 0 {
			blocks = a.appendBlock(blocks, "", "", s[loose.start:loose.end])
		}
		loose.start = -1
	}
	for _, n := range topLevel(parseHTML(s)) {
		switch {
		case n.tag == "div" || n.has("data-bbox") || n.has("data-label"):
			flush()
			label, inner := n.attr("data-label"), n.inner
			if n.tag != "div" { // a paragraph, a heading: its tags are part of the text
				inner = n.outer
			}
			if label == "" {
				label = n.attr("class")
			}
			blocks = a.appendBlock(blocks, label, n.attr("data-bbox"), s[inner.start:inner.end])
		default:
			if loose.start < 0 {
				loose.start = n.outer.start
			}
			loose.end = n.outer.end
		}
	}
	flush()
	a.result.PlainText = collapse(strings.Join(a.plain, " ")) // of the HTML: Markdown would leave tables as they are
	separator := "\n\n"
	if a.format == HTML {
		separator = "\n"
	}
	a.join(separator, blocks, func(label string) bool { return slices.Contains(marginLabels, label) })
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

// appendBlock adds the block that is this HTML. White space, and the mark of a blank page, are none.
func (a *answerReader) appendBlock(blocks []Block, label, box, html string) []Block {
	lower := strings.ToLower(label)
	picture := label == "" || slices.ContainsFunc(pictureWords, func(word string) bool { return strings.Contains(lower, word) })
	html = strings.TrimFunc(dropTags(html, func(n *htmlNode) bool {
		// Outside of pictures the model has made it up; so does Chandra's own code see it.
		return n.tag == "img" && n.attr("src") == "" && !picture
	}), isSpace)
	b := Block{Label: label, Box: a.box(numbers(box)), Content: html}
	if label == blankLabel || html == "" && b.Box == [4]int{} {
		return blocks
	}
	if !slices.Contains(marginLabels, label) {
		a.plain = append(a.plain, PlainText(html, HTML))
	}
	switch {
	case a.format == Markdown:
		b.Content = markdownOf(html)
	case html != "" && (label == "" || label == "Text") && !strings.Contains(html, "<"):
		b.Content = "<p>" + html + "</p>"
	}
	return append(blocks, b)
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
