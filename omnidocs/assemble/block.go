package assemble

import (
	"regexp"
	"strings"
)

// kind is what a block of Markdown is.
type kind int

const (
	paragraph kind = iota
	heading
	list
	pipeTable
	htmlTable
	code
	other // what is best left alone
)

// block is a block of Markdown: lines without an empty one between them, or a fence of code, or a table in HTML.
type block struct {
	kind  kind
	lines []line
}

type line struct {
	text   string
	margin bool
}

func (b *block) text() string {
	texts := make([]string, len(b.lines))
	for i, l := range b.lines {
		texts[i] = l.text
	}
	return strings.Join(texts, "\n")
}

// joined is the block that a block has become with the one before it.
func (b *block) joined(j joined) *block {
	whole := block{kind: b.kind}
	for text := range strings.SplitSeq(j.first+j.between+j.second, "\n") {
		whole.lines = append(whole.lines, line{text: text})
	}
	whole.lines[len(whole.lines)-1].margin = b.lines[len(b.lines)-1].margin
	return &whole
}

// page is a page as blocks.
type page struct {
	number int
	blocks []block
}

var (
	headingLine = regexp.MustCompile(`^ {0,3}#{1,6}(\s|$)`)
	listLine    = regexp.MustCompile(`^\s*([-*+•]|\d{1,9}[.)])\s`)
	fenceLine   = regexp.MustCompile("^ {0,3}(```+|~~~+)")
	ruleLine    = regexp.MustCompile(`^ {0,3}([-*_])(\s*[-*_]){2,}\s*$`)
	delimiter   = regexp.MustCompile(`^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$`)
	tableOpen   = regexp.MustCompile(`(?i)<table[\s>]`)
	tableClose  = regexp.MustCompile(`(?i)</table\s*>`)
)

// splitPage divides a page into blocks. The text of the blocks, with empty lines between them, is that of the page.
func splitPage(p Page) page {
	out := page{number: p.Number}
	var open []line
	end := func() {
		if len(open) > 0 {
			out.blocks = append(out.blocks, block{kindOf(open), open})
		}
		open = nil
	}
	fence, tables := "", 0
	for text := range strings.SplitSeq(strings.ReplaceAll(p.Text, "\r\n", "\n"), "\n") {
		text = strings.TrimRight(text, " \t\r")
		switch m := fenceLine.FindStringSubmatch(text); {
		case fence != "":
			if m != nil && strings.HasPrefix(m[1], fence) {
				fence = ""
			}
		case tables > 0:
		case m != nil:
			end()
			fence = m[1]
		case text == "":
			end()
			continue
		case headingLine.MatchString(text): // stands for itself
			end()
			open = []line{{text: text}}
			end()
			continue
		}
		open = append(open, line{text: text})
		if fence == "" {
			tables = max(0, tables+len(tableOpen.FindAllString(text, -1))-len(tableClose.FindAllString(text, -1)))
		}
	}
	for len(open) > 0 && open[len(open)-1].text == "" { // of a fence or a table that was never closed
		open = open[:len(open)-1]
	}
	end()
	return out
}

func kindOf(lines []line) kind {
	first := lines[0].text
	switch {
	case fenceLine.MatchString(first):
		return code
	case headingLine.MatchString(first):
		return heading
	case listLine.MatchString(first):
		return list
	case tableOpen.MatchString(first):
		return htmlTable
	case len(lines) > 1 && strings.Contains(first, "|") && delimiter.MatchString(lines[1].text):
		return pipeTable
	case strings.HasPrefix(first, ">"), strings.HasPrefix(first, "|"), strings.HasPrefix(first, "    "), strings.HasPrefix(first, "\t"),
		strings.HasPrefix(first, "<"), strings.HasPrefix(first, "!["), strings.HasPrefix(first, "$$"), ruleLine.MatchString(first):
		return other
	}
	return paragraph
}

// dropMargins takes the lines out that are margins.
func (p *page) dropMargins() {
	var blocks []block
	for _, b := range p.blocks {
		var lines []line
		for _, l := range b.lines {
			if !l.margin {
				lines = append(lines, l)
			}
		}
		if len(lines) > 0 {
			blocks = append(blocks, block{b.kind, lines})
		}
	}
	p.blocks = blocks
}
