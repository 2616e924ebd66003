package tiny

import "strings"

// Kind says how a block is set.
type Kind int

const (
	// Paragraph is running text in regular weight.
	Paragraph Kind = iota
	// Heading1 is bold and larger than the text.
	Heading1
	// Heading2 is bold, in the size of the text.
	Heading2
	// List has one dash an item; its lines hang two letters to the right.
	List
)

// Block is one heading, paragraph or list.
type Block struct {
	Kind Kind
	// Text holds one string, or one for every item of a list.
	Text []string
}

// ParseBlocks splits Markdown made of "# " and "## " headings, "- " lists and
// paragraphs, with blank lines between them. Anything else is running text;
// white space is folded. No blocks come from blank input.
func ParseBlocks(markdown string) []Block {
	var out []Block
	for _, part := range strings.Split(strings.ReplaceAll(markdown, "\r\n", "\n"), "\n\n") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		if rest, ok := strings.CutPrefix(part, "## "); ok {
			out = append(out, Block{Heading2, []string{fold(rest)}})
			continue
		}
		if rest, ok := strings.CutPrefix(part, "# "); ok {
			out = append(out, Block{Heading1, []string{fold(rest)}})
			continue
		}
		if strings.HasPrefix(part, "- ") {
			var items []string
			for _, line := range strings.Split(part, "\n") {
				if rest, ok := strings.CutPrefix(line, "- "); ok {
					items = append(items, fold(rest))
				} else {
					items[len(items)-1] += " " + fold(line)
				}
			}
			out = append(out, Block{List, items})
			continue
		}
		out = append(out, Block{Paragraph, []string{fold(part)}})
	}
	return out
}

// FormatBlocks is the inverse of ParseBlocks.
func FormatBlocks(blocks []Block) string {
	parts := make([]string, 0, len(blocks))
	for _, b := range blocks {
		switch b.Kind {
		case Heading1:
			parts = append(parts, "# "+strings.Join(b.Text, " "))
		case Heading2:
			parts = append(parts, "## "+strings.Join(b.Text, " "))
		case List:
			parts = append(parts, "- "+strings.Join(b.Text, "\n- "))
		default:
			parts = append(parts, strings.Join(b.Text, " "))
		}
	}
	return strings.Join(parts, "\n\n")
}

func fold(s string) string { return strings.Join(strings.Fields(s), " ") }

// wrap breaks s into lines of at most cols letters. A longer word is cut off,
// as it would be at the edge of a page.
func wrap(s string, cols int) []string {
	var lines []string
	cur := ""
	for _, w := range strings.Fields(s) {
		if r := []rune(w); len(r) > cols {
			w = string(r[:cols])
		}
		switch {
		case cur == "":
			cur = w
		case len([]rune(cur))+1+len([]rune(w)) <= cols:
			cur += " " + w
		default:
			lines = append(lines, cur)
			cur = w
		}
	}
	if cur != "" {
		lines = append(lines, cur)
	}
	return lines
}
