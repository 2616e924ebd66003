package textextraction

import (
	"slices"
	"strings"
)

// htmlNode is an element, or a text, in a model's HTML.
type htmlNode struct {
	tag      string // in lower case; "" is a text
	text     string // of a text, and of math; entities are not decoded
	attrs    []htmlAttr
	children []*htmlNode
	outer    span // where it is in the source, its tags included
	inner    span // and without them
}

type htmlAttr struct{ name, value string }

// attr returns the value of an attribute, or "".
func (n *htmlNode) attr(name string) string {
	for _, a := range n.attrs {
		if a.name == name {
			return a.value
		}
	}
	return ""
}

// has tells whether there is an attribute, with or without a value.
func (n *htmlNode) has(name string) bool {
	return slices.ContainsFunc(n.attrs, func(a htmlAttr) bool { return a.name == name })
}

// maxHTMLDepth bounds the depth of the tree. What is nested deeper becomes a neighbor of what it is in.
const maxHTMLDepth = 100

// Elements that have no content, and those that end before another of their own begins, unless an element of the second
// list is between them.
var (
	voidElements = []string{"area", "br", "col", "hr", "img", "input", "link", "meta", "wbr"}
	endedBy      = map[string][]string{
		"p":  {"div", "li", "td", "th", "blockquote"},
		"li": {"ul", "ol"},
		"tr": {"table"},
		"td": {"tr", "table"},
		"th": {"tr", "table"},
	}
)

// htmlBuilder builds a tree. It takes what a model writes: tags that are never closed, ends of what was never opened, an
// answer that ends anywhere. What is a tag at all, [htmlScanner] decides.
type htmlBuilder struct {
	s     string
	sc    *htmlScanner
	stack []*htmlNode // the root, and the elements that are open
	math  int         // the last index at which math can end
}

// parseHTML returns the root of a tree of s. Comments and declarations are not in it. The time is linear in len(s).
func parseHTML(s string) *htmlNode {
	root := &htmlNode{outer: span{0, len(s)}, inner: span{0, len(s)}}
	b := &htmlBuilder{s: s, sc: newHTMLScanner(s), stack: []*htmlNode{root}, math: strings.LastIndex(s, "</math")}
	for i := 0; i < len(s); {
		open := strings.IndexByte(s[i:], '<')
		if open < 0 {
			open = len(s) - i
		}
		b.text(i, i+open)
		if i += open; i == len(s) {
			break
		}
		m := b.sc.scan(i)
		switch {
		case m.kind == notMarkup:
			b.text(i, m.end)
		case m.kind != tagMarkup: // a comment, or a tag that the end of the answer cut
		case s[i+1] == '/':
			b.end(strings.ToLower(s[i+2:b.sc.nameEnd(i+2)]), span{i, m.end})
		case isLetter(s[i+1]):
			m.end = b.start(span{i, m.end})
		}
		i = m.end
	}
	b.close(1, len(s), len(s))
	return root
}

func (b *htmlBuilder) top() *htmlNode { return b.stack[len(b.stack)-1] }

func (b *htmlBuilder) add(n *htmlNode) { b.top().children = append(b.top().children, n) }

// text adds a text, or makes the text before it longer.
func (b *htmlBuilder) text(start, end int) {
	if start == end {
		return
	}
	if kids := b.top().children; len(kids) > 0 && kids[len(kids)-1].tag == "" && kids[len(kids)-1].outer.end == start {
		last := kids[len(kids)-1]
		last.outer.end, last.inner.end = end, end
		last.text = b.s[last.outer.start:end]
		return
	}
	b.add(&htmlNode{text: b.s[start:end], outer: span{start, end}, inner: span{start, end}})
}

// start opens an element and returns the index behind what it has read.
func (b *htmlBuilder) start(tag span) int {
	nameEnd := b.sc.nameEnd(tag.start + 2)
	n := &htmlNode{
		tag: strings.ToLower(b.s[tag.start+1 : nameEnd]), attrs: attributes(b.s[nameEnd : tag.end-1]),
		outer: tag, inner: span{tag.end, tag.end},
	}
	b.endImplied(n.tag, tag.start)
	b.add(n)
	switch {
	case slices.Contains(voidElements, n.tag), strings.HasSuffix(b.s[:tag.end], "/>"):
	case n.tag == "math":
		// LaTeX, in which "<" is no tag. Without an end it goes on up to the end of the line.
		end := strings.IndexByte(b.s[tag.end:], '\n')
		if tag.end <= b.math {
			end = strings.Index(b.s[tag.end:], "</math")
		}
		if end < 0 {
			end = len(b.s) - tag.end
		}
		n.inner.end = tag.end + end
		n.text = b.s[n.inner.start:n.inner.end]
		n.outer.end = n.inner.end
		if close := strings.IndexByte(b.s[n.inner.end:], '>'); tag.end <= b.math && close >= 0 {
			n.outer.end += close + 1
		}
		return n.outer.end
	case len(b.stack) < maxHTMLDepth:
		b.stack = append(b.stack, n)
	}
	return tag.end
}

// endImplied ends the element that cannot have another of its kind in it.
func (b *htmlBuilder) endImplied(tag string, at int) {
	same := []string{tag}
	if tag == "td" || tag == "th" {
		same = []string{"td", "th"}
	}
	barriers, ok := endedBy[tag]
	if !ok {
		return
	}
	for i := len(b.stack) - 1; i > 0; i-- {
		if slices.Contains(same, b.stack[i].tag) {
			b.close(i, at, at)
			return
		}
		if slices.Contains(barriers, b.stack[i].tag) {
			return
		}
	}
}

// end ends the innermost element of that name, and those within it. The end of none changes nothing.
func (b *htmlBuilder) end(name string, tag span) {
	for i := len(b.stack) - 1; i > 0; i-- {
		if b.stack[i].tag == name {
			b.close(i, tag.start, tag.end)
			return
		}
	}
}

// close takes the elements from depth on off the stack. The one there has its end tag from start to end.
func (b *htmlBuilder) close(depth, start, end int) {
	for i, n := range b.stack[depth:] {
		n.inner.end, n.outer.end = start, start
		if i == 0 {
			n.outer.end = end
		}
	}
	b.stack = b.stack[:depth]
}

// attributes reads what is in a start tag behind its name.
func attributes(s string) (attrs []htmlAttr) {
	sc := newHTMLScanner(s)
	for i := skipSpace(s, 0); i < len(s); i = skipSpace(s, i) {
		if strings.IndexByte(`/"'=<>`, s[i]) >= 0 {
			i++
			continue
		}
		end := sc.nameEnd(i)
		a := htmlAttr{name: strings.ToLower(s[i:end])}
		i = end
		if at := skipSpace(s, i); at < len(s) && s[at] == '=' {
			at = skipSpace(s, at+1)
			end, kind := sc.value(at)
			value := s[at:end]
			switch {
			case kind == valueQuoted:
				value = value[1 : len(value)-1]
			case kind == valueCut:
				value, end = s[at+1:], len(s)
			default:
				value = strings.TrimLeft(value, `"'`)
			}
			a.value, i = decodeEntities(value), end
		}
		attrs = append(attrs, a)
	}
	return attrs
}

// dropTags is s without the tags that drop names, and without coordinates.
func dropTags(s string, drop func(n *htmlNode) bool) string {
	var b strings.Builder
	sc := newHTMLScanner(s)
	last := 0
	for i := 0; i < len(s); {
		open := strings.IndexByte(s[i:], '<')
		if open < 0 {
			break
		}
		i += open
		m := sc.scan(i)
		if m.kind == tagMarkup && isLetter(s[i+1]) {
			nameEnd := sc.nameEnd(i + 2)
			n := &htmlNode{tag: strings.ToLower(s[i+1 : nameEnd]), attrs: attributes(s[nameEnd : m.end-1])}
			if drop(n) {
				b.WriteString(s[last:i])
				last = m.end
			}
		}
		i = m.end
	}
	b.WriteString(s[last:])
	return cleanHTML(b.String())
}
