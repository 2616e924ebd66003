package textextraction

import (
	"regexp"
	"strings"

	"github.com/omnidocs/omnidocs/textextraction/table"
)

// readMarkdown takes the text of Content, in the way of its kind.
func (e *Element) readMarkdown() {
	source := e.Content
	e.Text = blockText(source)
	switch e.Kind {
	case KindTable:
		parse := table.ParseMarkdown
		switch {
		case strings.Contains(source, `\begin`):
			parse = table.ParseLaTeX
			e.Text = ""
		case lastFold(source, "<table") >= 0:
			parse, source = table.ParseHTML, escapeLoose(source)
			e.Text = PlainText(source, HTML)
		case table.IsOTSL(source):
			parse = table.ParseOTSL
			e.Text = ""
		default:
			e.Text = ""
		}
		e.readTable(source, parse)
		switch around := aroundTabular(source); {
		case e.Text == "":
			e.Text = blockText(source)
		case around != "":
			e.Text = around + "\n" + e.Text
		}
	case KindFormula:
		e.Text = stripFormula(source)
	case KindCode, KindChart:
		e.Text = codeText(source)
	case KindFigure:
		if m := imageLine.FindString(source); m != "" {
			alt, _, _ := strings.Cut(strings.TrimLeft(m, " \t![")+"]", "](")
			e.Text = blockText(alt)
		}
	case KindHeading:
		if e.Level == 0 {
			if m := headingLine.FindStringSubmatch(source); m != nil {
				e.Level = len(m[1])
			}
		}
	case KindListItem:
		e.Text = strings.TrimLeft(e.Text, "-+• ")
	}
	if m := tagLine.FindStringSubmatch(source); m != nil && e.Label == m[1] {
		inner := source[strings.IndexByte(source, '>')+1:]
		inner, _, _ = strings.Cut(inner, "</"+m[1]+">")
		e.Text = blockText(inner)
	}
}

var (
	tabular      = regexp.MustCompile(`(?s)\\begin\s*\{(?:tabular|longtable|array|supertabular|tabu).*\\end\s*\{(?:tabular[*xy]?|longtable|array|supertabular|tabu)\}`)
	latexCommand = regexp.MustCompile(`\\[A-Za-z]+\*?(?:\[[^\]]*\]|\{[^{}]*\})*`)
)

// aroundTabular is the text in a table environment that is outside of its rows, and is no caption.
func aroundTabular(source string) string {
	if !tableFloat.MatchString(source) {
		return ""
	}
	return collapse(latexCommand.ReplaceAllLiteralString(tabular.ReplaceAllLiteralString(source, ""), " "))
}

// blockText is PlainText of a block within an answer.
func blockText(s string) string {
	w := &textWriter{lines: strings.Split(dropComments(s), "\n")}
	for i := range w.lines {
		w.line(i)
	}
	w.flush()
	return collapse(w.out.String())
}

// codeText is a code block without its fences.
func codeText(s string) string {
	first, rest, _ := strings.Cut(s, "\n")
	ticks, _ := fence(first)
	if ticks == 0 {
		return s
	}
	if at := strings.LastIndexByte(rest, '\n') + 1; at <= len(rest) {
		if n, label := fence(rest[at:]); n >= ticks && label == "" {
			rest = rest[:max(at-1, 0)]
		}
	}
	return rest
}
