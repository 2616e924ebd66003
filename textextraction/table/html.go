package table

import (
	"html"
	"strconv"
	"strings"

	markup "golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// ParseHTML reads the first table of a piece of HTML, with what browsers make of missing ends and wrong nesting. Its head is
// the thead, or the first rows with nothing but th in them. Math is put between dollars; a table within a cell becomes
// lines of it. Its errors match [ErrNoTable] or [ErrTooLarge].
func ParseHTML(s string) (*Table, error) {
	body := &markup.Node{Type: markup.ElementNode, Data: "body", DataAtom: atom.Body}
	nodes, err := markup.ParseFragment(strings.NewReader(escapeMath(s)), body)
	if err != nil {
		return nil, ErrNoTable // its depth is bounded
	}
	for _, n := range nodes {
		if found := find(n, atom.Table); found != nil {
			r := htmlReader{}
			r.section(found, false)
			return New(r.rows, r.head, r.caption)
		}
	}
	return nil, ErrNoTable
}

// escapeMath makes the "<" of math, in which it is no markup, an entity.
func escapeMath(s string) string {
	if !strings.Contains(s, "<math") {
		return s
	}
	var b strings.Builder
	for {
		start := strings.Index(s, "<math")
		if start < 0 {
			break
		}
		open := strings.IndexByte(s[start:], '>')
		if open < 0 {
			break
		}
		open += start + 1
		end := strings.Index(s[open:], "</math")
		if end < 0 {
			break
		}
		b.WriteString(s[:open])
		b.WriteString(strings.ReplaceAll(s[open:open+end], "<", "&lt;"))
		s = s[open+end:]
	}
	b.WriteString(s)
	return b.String()
}

// find returns the first element of a kind at or below n.
func find(n *markup.Node, kind atom.Atom) *markup.Node {
	if n.DataAtom == kind {
		return n
	}
	for c := range n.ChildNodes() {
		if found := find(c, kind); found != nil {
			return found
		}
	}
	return nil
}

// htmlReader collects the rows of a table.
type htmlReader struct {
	rows    [][]Cell
	head    int
	caption string
}

// section reads a table, or a part of one.
func (r *htmlReader) section(n *markup.Node, head bool) {
	for c := range n.ChildNodes() {
		switch c.DataAtom {
		case atom.Thead:
			// A second head, below rows of the body, is a part of it.
			r.section(c, r.head == len(r.rows))
		case atom.Tbody, atom.Tfoot:
			r.section(c, false)
		case atom.Caption:
			r.caption = textOf(c)
		case atom.Tr:
			r.row(c)
			if head {
				r.head = len(r.rows)
			}
		}
	}
}

func (r *htmlReader) row(n *markup.Node) {
	row := []Cell{}
	for c := range n.ChildNodes() {
		if c.DataAtom != atom.Td && c.DataAtom != atom.Th {
			continue
		}
		row = append(row, Cell{
			Text: textOf(c), Header: c.DataAtom == atom.Th,
			RowSpan: spanOf(c, "rowspan"), ColSpan: spanOf(c, "colspan"),
		})
	}
	r.rows = append(r.rows, row)
}

// spanOf reads the number of rows or columns that a cell takes. A rowspan of 0 is all that are left.
func spanOf(n *markup.Node, name string) int {
	for _, a := range n.Attr {
		if a.Key != name {
			continue
		}
		span, err := strconv.Atoi(strings.TrimSpace(a.Val))
		switch {
		case err != nil || span < 0:
			return 1
		case span == 0 && name == "rowspan":
			return maxSpan
		}
		return span
	}
	return 1
}

// lineElements are those that stand on lines of their own.
var lineElements = map[atom.Atom]bool{
	atom.P: true, atom.Div: true, atom.Li: true, atom.Ul: true, atom.Ol: true, atom.Table: true, atom.Tr: true, atom.Pre: true,
	atom.H1: true, atom.H2: true, atom.H3: true, atom.H4: true, atom.H5: true, atom.H6: true, atom.Blockquote: true,
}

// textOf is the text of an element.
func textOf(n *markup.Node) string {
	var b strings.Builder
	writeText(&b, n)
	return b.String()
}

func writeText(b *strings.Builder, n *markup.Node) {
	switch {
	case n.Type == markup.TextNode:
		b.WriteString(strings.NewReplacer("\n", " ", "\r", " ").Replace(n.Data))
		return
	case n.Type != markup.ElementNode:
		return
	case n.DataAtom == atom.Br:
		b.WriteByte('\n')
	case n.DataAtom == atom.Img:
		b.WriteString(attr(n, "alt"))
	case n.DataAtom == atom.Input:
		b.WriteString(inputText(n))
	case n.DataAtom == atom.Math:
		var inner strings.Builder
		for c := range n.ChildNodes() {
			writeText(&inner, c)
		}
		if text := strings.TrimSpace(inner.String()); text != "" {
			b.WriteString("$" + text + "$")
		}
		return
	case n.DataAtom == atom.Td || n.DataAtom == atom.Th: // of a table within the cell
		b.WriteByte(' ')
	}
	if lineElements[n.DataAtom] {
		b.WriteByte('\n')
		defer b.WriteByte('\n')
	}
	for c := range n.ChildNodes() {
		writeText(b, c)
	}
}

func attr(n *markup.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// inputText is a field of a form.
func inputText(n *markup.Node) string {
	kind := strings.ToLower(attr(n, "type"))
	if kind != "checkbox" && kind != "radio" {
		return attr(n, "value")
	}
	for _, a := range n.Attr {
		if a.Key == "checked" {
			return "☑"
		}
	}
	return "☐"
}

// HTML writes the table as HTML, with its spans: a thead and a tbody, a row to a line. [ParseHTML] reads the same table back.
func (t *Table) HTML() string {
	var b strings.Builder
	b.WriteString("<table>\n")
	if t.Caption != "" {
		b.WriteString("<caption>" + escapeHTML(t.Caption) + "</caption>\n")
	}
	head := min(max(t.HeaderRows, 0), len(t.Rows))
	writeSection(&b, "thead", t.Rows[:head], true)
	writeSection(&b, "tbody", t.Rows[head:], false)
	b.WriteString("</table>")
	return b.String()
}

func writeSection(b *strings.Builder, name string, rows [][]Cell, head bool) {
	if len(rows) == 0 {
		return
	}
	b.WriteString("<" + name + ">\n")
	for _, row := range rows {
		b.WriteString("<tr>")
		for _, c := range row {
			tag := "td"
			if head || c.Header {
				tag = "th"
			}
			b.WriteString("<" + tag)
			if c.RowSpan > 1 {
				b.WriteString(` rowspan="` + strconv.Itoa(c.RowSpan) + `"`)
			}
			if c.ColSpan > 1 {
				b.WriteString(` colspan="` + strconv.Itoa(c.ColSpan) + `"`)
			}
			b.WriteString(">" + escapeHTML(c.Text) + "</" + tag + ">")
		}
		b.WriteString("</tr>\n")
	}
	b.WriteString("</" + name + ">\n")
}

func escapeHTML(s string) string { return strings.ReplaceAll(html.EscapeString(s), "\n", "<br>") }
