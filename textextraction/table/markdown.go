package table

import (
	"html"
	"regexp"
	"strings"
)

// Markdown writes the table as GitHub has it: a row to a line, the first one as the head, as Markdown knows none without. The
// text of a cell with spans is in its first slot, the others are empty; the caption stands above, in a paragraph of its own.
// What Markdown would read as markup is escaped, math left as it is. Without spans and with one row of head [ParseMarkdown]
// reads the same table back, but that \| in math becomes \Vert.
func (t *Table) Markdown() string {
	grid := t.Grid()
	if len(grid) == 0 {
		return ""
	}
	var b strings.Builder
	if t.Caption != "" {
		b.WriteString(escapeMarkdown(t.Caption) + "\n\n")
	}
	for r, row := range grid {
		b.WriteByte('|')
		for _, text := range row {
			b.WriteString(" " + escapeMarkdown(text) + " |")
		}
		b.WriteByte('\n')
		if r == 0 {
			b.WriteString("|" + strings.Repeat(" --- |", len(row)) + "\n")
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// escapeMarkdown is a text as a cell can have it.
func escapeMarkdown(s string) string {
	var b strings.Builder
	eachMath(s, func(text string, math bool) {
		if math {
			b.WriteString(strings.ReplaceAll(strings.ReplaceAll(text, `\|`, `\Vert{}`), "|", `\|`))
			return
		}
		text = entityLike.ReplaceAllStringFunc(text, func(ref string) string { return "&amp;" + ref[1:] })
		b.WriteString(markdownEscapes.Replace(text))
	})
	return b.String()
}

var (
	markdownEscapes = strings.NewReplacer(`\`, `\\`, "|", `\|`, "*", `\*`, "_", `\_`, "`", "\\`", "$", `\$`, "<", "&lt;", "~", `\~`, "\n", "<br>")
	entityLike      = regexp.MustCompile(`&(?:#|[A-Za-z])`)
)

// eachMath cuts a text into math and what is between: $x$ on one line, with no space inside the dollars and no digit behind
// them, so that sums of money are none.
func eachMath(s string, part func(text string, math bool)) {
	start := 0
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++
			continue
		}
		if s[i] != '$' {
			continue
		}
		end := strings.IndexAny(s[i+1:], "$\n")
		if end < 1 || s[i+1+end] != '$' {
			continue
		}
		inner, after := s[i+1:i+1+end], s[i+2+end:]
		if strings.TrimSpace(inner) != inner || strings.HasSuffix(inner, `\`) || after != "" && after[0] >= '0' && after[0] <= '9' {
			continue
		}
		if i > start {
			part(s[start:i], false)
		}
		part(s[i:i+2+end], true)
		i += 1 + end
		start = i + 1
	}
	if start < len(s) {
		part(s[start:], false)
	}
}

// markdownRule is the row under the head.
var markdownRule = regexp.MustCompile(`^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$`)

// ParseMarkdown reads the first table of a piece of GitHub's Markdown: lines around a row of dashes. Bold and code are taken off
// the texts of the cells, and escapes undone. Its errors match [ErrNoTable] or [ErrTooLarge].
func ParseMarkdown(s string) (*Table, error) {
	lines := strings.Split(s, "\n")
	rule := 1
	for ; rule < len(lines); rule++ {
		if markdownRule.MatchString(lines[rule]) && strings.Contains(lines[rule], "|") && strings.Contains(lines[rule-1], "|") {
			break
		}
	}
	if rule >= len(lines) {
		return nil, ErrNoTable
	}
	rows := [][]Cell{markdownRow(lines[rule-1])}
	for _, line := range lines[rule+1:] {
		if !strings.Contains(line, "|") {
			break
		}
		rows = append(rows, markdownRow(line))
	}
	return New(rows, 1, "")
}

// markdownRow cuts a line into cells.
func markdownRow(line string) (cells []Cell) {
	line = strings.TrimPrefix(strings.TrimSpace(line), "|")
	start := 0
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case '|':
			cells = append(cells, Cell{Text: markdownText(line[start:i])})
			start = i + 1
		}
	}
	if strings.TrimSpace(line[start:]) != "" {
		cells = append(cells, Cell{Text: markdownText(line[start:])})
	}
	return cells
}

var (
	markdownMarks  = regexp.MustCompile("(\\\\.)|\\*\\*([^*|]+)\\*\\*|`([^`|]+)`") // what is escaped is none
	markdownBreak  = regexp.MustCompile(`(?i)<br\s*/?>`)
	markdownEscape = regexp.MustCompile(`\\[!-/:-@\[-\x60{-~]`)
)

// markdownText is the text of a cell.
func markdownText(s string) string {
	var b strings.Builder
	eachMath(strings.TrimSpace(s), func(text string, math bool) {
		if math {
			b.WriteString(strings.ReplaceAll(text, `\|`, "|"))
			return
		}
		text = markdownMarks.ReplaceAllString(text, "$1$2$3")
		text = markdownBreak.ReplaceAllString(text, "\n")
		// Entities are undone first, so that an escaped "&" is not the beginning of one.
		text = html.UnescapeString(text)
		b.WriteString(markdownEscape.ReplaceAllStringFunc(text, func(escape string) string { return escape[1:] }))
	})
	return b.String()
}
