package textextraction

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// markdownOf turns HTML into Markdown as Chandra's own code does: ATX headings, "-" for bullets, $ and $$ for math, tables
// left in HTML, sub and sup left in HTML, "*", "_" and "$" of the text escaped. Unlike it, boxes that can be ticked are
// [x] and [ ], an image without a source keeps its description, no spaces are put around math, and text that would read as
// a tag or an entity is escaped.
func markdownOf(s string) string {
	return markdownWriter{s}.blocks(parseHTML(s).children, false)
}

type markdownWriter struct{ s string }

// Elements that stand on lines of their own: those that only hold others, and those with a form in Markdown.
var (
	containers = []string{
		"address", "article", "aside", "body", "caption", "center", "dd", "div", "dl", "dt", "fieldset", "figcaption", "figure",
		"footer", "form", "header", "html", "li", "main", "nav", "p", "section",
	}
	headings    = []string{"h1", "h2", "h3", "h4", "h5", "h6"}
	otherBlocks = []string{"ul", "ol", "table", "pre", "hr", "blockquote"}
)

func isBlockElement(n *htmlNode) bool {
	return slices.Contains(containers, n.tag) || slices.Contains(headings, n.tag) || slices.Contains(otherBlocks, n.tag) ||
		n.tag == "math" && n.attr("display") == "block"
}

func holdsBlock(n *htmlNode) bool {
	return slices.ContainsFunc(n.children, func(c *htmlNode) bool { return isBlockElement(c) || holdsBlock(c) })
}

// blocks writes nodes one below the other, with an empty line between them. In a tight item of a list, a list follows the
// text directly.
func (w markdownWriter) blocks(nodes []*htmlNode, tight bool) string {
	var b strings.Builder
	var run []*htmlNode // inline, not yet written
	write := func(text string, list bool) {
		switch {
		case text == "":
			return
		case b.Len() == 0:
		case tight && list:
			b.WriteString("\n")
		default:
			b.WriteString("\n\n")
		}
		b.WriteString(text)
	}
	flush := func() {
		write(lines(w.inline(run)), false)
		run = nil
	}
	for _, n := range nodes {
		if isBlockElement(n) || holdsBlock(n) {
			flush()
			write(w.block(n), n.tag == "ul" || n.tag == "ol")
			continue
		}
		run = append(run, n)
	}
	flush()
	return b.String()
}

// block writes an element that stands on lines of its own.
func (w markdownWriter) block(n *htmlNode) string {
	switch {
	case slices.Contains(headings, n.tag):
		if text := strings.ReplaceAll(lines(w.inline(n.children)), "  \n", " "); text != "" {
			return strings.Repeat("#", int(n.tag[1]-'0')) + " " + text
		}
		return ""
	case n.tag == "ul" || n.tag == "ol":
		return w.list(n)
	case n.tag == "table":
		return emptyLines.ReplaceAllLiteralString(cleanHTML(w.s[n.outer.start:n.outer.end]), "\n")
	case n.tag == "pre":
		return pre(n)
	case n.tag == "hr":
		return "---"
	case n.tag == "blockquote":
		return indent(w.blocks(n.children, false), "> ", "> ")
	case n.tag == "math":
		if text := strings.TrimFunc(decodeEntities(n.text), isSpace); text != "" {
			return "$$" + text + "$$"
		}
		return ""
	}
	return w.blocks(n.children, false)
}

// emptyLines would end a table in HTML.
var emptyLines = regexp.MustCompile(`\n[\s]*\n`)

func (w markdownWriter) list(n *htmlNode) string {
	var items []string
	number := 1
	if start, err := strconv.Atoi(n.attr("start")); err == nil {
		number = start
	}
	for _, c := range n.children {
		if c.tag != "li" {
			// A list within a list, or a text, that is in no item: it goes with the item before it.
			if text := w.blocks([]*htmlNode{c}, true); text != "" {
				items = append(items, indent(text, "  ", "  "))
			}
			continue
		}
		mark := "- "
		if n.tag == "ol" {
			if value, err := strconv.Atoi(c.attr("value")); err == nil {
				number = value
			}
			mark = strconv.Itoa(number) + ". "
			number++
		}
		items = append(items, indent(w.blocks(c.children, true), mark, strings.Repeat(" ", len(mark))))
	}
	return strings.Join(items, "\n")
}

// indent puts first before the first line and rest before the others. Empty lines get no spaces.
func indent(text, first, rest string) string {
	all := strings.Split(text, "\n")
	for i, line := range all {
		prefix := rest
		if i == 0 {
			prefix = first
		}
		all[i] = strings.TrimRight(prefix, " ")
		if line != "" {
			all[i] = prefix + line
		}
	}
	return strings.Join(all, "\n")
}

// pre writes a block of code.
func pre(n *htmlNode) string {
	class := n.attr("class")
	for _, c := range n.children {
		if c.tag == "code" {
			class += " " + c.attr("class")
		}
	}
	name := ""
	for word := range strings.FieldsSeq(class) {
		if rest, ok := strings.CutPrefix(word, "language-"); ok || word == "mermaid" {
			name = rest
		}
	}
	text := strings.Trim(decodeEntities(textOf(n)), "\n")
	fence := strings.Repeat("`", max(3, longestRun(text)+1))
	return fence + name + "\n" + text + "\n" + fence
}

// textOf is the text of a node, as it is in the source.
func textOf(n *htmlNode) string {
	if n.tag == "br" {
		return "\n"
	}
	var b strings.Builder
	b.WriteString(n.text)
	for _, c := range n.children {
		b.WriteString(textOf(c))
	}
	return b.String()
}

// longestRun is the length of the longest run of backticks in s.
func longestRun(s string) (longest int) {
	run := 0
	for i := range len(s) {
		run++
		if s[i] != '`' {
			run = 0
		}
		longest = max(longest, run)
	}
	return longest
}

// inline writes nodes within a paragraph. Its only line breaks are those of br.
func (w markdownWriter) inline(nodes []*htmlNode) string {
	var b strings.Builder
	for _, n := range nodes {
		b.WriteString(w.inlineNode(n))
	}
	return b.String()
}

func (w markdownWriter) inlineNode(n *htmlNode) string {
	switch n.tag {
	case "":
		return escapeMarkdown(decodeEntities(anySpace.ReplaceAllLiteralString(n.text, " ")))
	case "br":
		return "\n"
	case "b", "strong":
		return around(w.inline(n.children), "**", "**")
	case "i", "em":
		return around(w.inline(n.children), "*", "*")
	case "del", "s", "strike":
		return around(w.inline(n.children), "~~", "~~")
	case "sub", "sup":
		return around(w.inline(n.children), "<"+n.tag+">", "</"+n.tag+">")
	case "math":
		return around(collapse(decodeEntities(n.text)), "$", "$")
	case "code", "kbd", "samp":
		text := collapse(decodeEntities(textOf(n)))
		fence := strings.Repeat("`", longestRun(text)+1)
		if strings.HasPrefix(text, "`") || strings.HasSuffix(text, "`") {
			text = " " + text + " "
		}
		return around(text, fence, fence)
	case "a":
		text := w.inline(n.children)
		if href := n.attr("href"); href != "" && strings.TrimFunc(text, isSpace) != "" {
			return around(text, "[", "]("+linkTarget(href)+")")
		}
		return text
	case "img":
		return "![" + escapeMarkdown(collapse(n.attr("alt"))) + "](" + linkTarget(n.attr("src")) + ")"
	case "input":
		return input(n)
	}
	return w.inline(n.children)
}

// anySpace is a run of white space. HTML has no more of it than its first character says.
var anySpace = regexp.MustCompile(spaceClass + `+`)

// input writes a field of a form.
func input(n *htmlNode) string {
	switch strings.ToLower(n.attr("type")) {
	case "checkbox", "radio":
		if n.has("checked") {
			return "[x] "
		}
		return "[ ] "
	}
	return escapeMarkdown(collapse(n.attr("value")))
}

// around puts marks around a text, within the spaces at its ends. White space alone gets none.
func around(text, before, after string) string {
	inner := strings.TrimFunc(text, isSpace)
	if inner == "" {
		return text
	}
	start := strings.Index(text, inner)
	return text[:start] + before + inner + after + text[start+len(inner):]
}

// linkTarget is a link as Markdown can have it in parentheses.
func linkTarget(link string) string {
	return strings.NewReplacer(" ", "%20", "\n", "%20", "(", "%28", ")", "%29", "<", "%3C", ">", "%3E").Replace(link)
}

var (
	markdownEscapes = strings.NewReplacer("*", `\*`, "_", `\_`, "$", `\$`)
	likeTag         = regexp.MustCompile(`<([A-Za-z/!?])`)
)

// escapeMarkdown is a text as Markdown, in which nothing is markup.
func escapeMarkdown(s string) string {
	s = entity.ReplaceAllStringFunc(s, func(ref string) string { return "&amp;" + ref[1:] })
	return markdownEscapes.Replace(likeTag.ReplaceAllString(s, "&lt;$1"))
}

// lines ends what inline has written: each line without spaces around it, and with the two at its end that break it.
func lines(s string) string {
	all := strings.Split(s, "\n")
	for i, line := range all {
		all[i] = collapse(line)
	}
	return emptyBreaks.ReplaceAllLiteralString(strings.Trim(strings.Join(all, "  \n"), " \n"), "\n\n")
}

// emptyBreaks are breaks with nothing between them: a new paragraph.
var emptyBreaks = regexp.MustCompile(`(?:  \n){2,}`)
