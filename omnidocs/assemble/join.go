package assemble

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// joined is how two blocks become one: what is left of the first, what comes between, and what is left of the second.
type joined struct{ first, between, second string }

// join joins the last block of a page and the first of the next, if they belong together.
func join(a, b *block, opts Options, words map[string]bool) (joined, bool) {
	switch {
	case a.lines[len(a.lines)-1].margin || b.lines[0].margin: // they stand between what belongs together
		return joined{}, false
	case a.kind == paragraph && b.kind == paragraph && !opts.KeepBreaks:
		return joinParagraphs(a.text(), b.text(), words)
	case a.kind == pipeTable && b.kind == pipeTable && opts.JoinTables:
		return joinPipeTables(a, b)
	case a.kind == htmlTable && b.kind == htmlTable && opts.JoinTables:
		return joinHTMLTables(a.text(), b.text())
	}
	return joined{}, false
}

var sentenceEnd = regexp.MustCompile(`[.!?:;…。！？]["'”’»)\]*_]*$`)

// joinParagraphs joins a paragraph that does not end with its page: the next begins with a small letter.
func joinParagraphs(a, b string, words map[string]bool) (joined, bool) {
	if r, _ := utf8.DecodeRuneInString(b); !unicode.IsLower(r) {
		return joined{}, false
	}
	last, size := utf8.DecodeLastRuneInString(a)
	stem := a[:len(a)-size]
	if before, _ := utf8.DecodeLastRuneInString(stem); strings.ContainsRune("-\u2010\u00ad", last) && unicode.IsLetter(before) {
		left, right := lastWord(stem), firstWord(b)
		if last != '\u00ad' && words[fold(left+"-"+right)] && !words[fold(left+right)] {
			return joined{a, "", b}, true // the document writes it with a hyphen elsewhere
		}
		return joined{stem, "", b}, true
	}
	if sentenceEnd.MatchString(a) {
		return joined{}, false
	}
	return joined{a, " ", b}, true
}

func fold(word string) string { return strings.ToLower(strings.ReplaceAll(word, "\u2010", "-")) }

func isWord(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsMark(r) || r == '-' || r == '\u2010'
}

func lastWord(s string) string {
	return s[strings.LastIndexFunc(s, func(r rune) bool { return !isWord(r) })+1:]
}

func firstWord(s string) string {
	if end := strings.IndexFunc(s, func(r rune) bool { return !isWord(r) }); end >= 0 {
		return s[:end]
	}
	return s
}

// wordsOf are the words of all pages in small letters, but those at the ends of lines, which may be divided.
func wordsOf(pages []Page) map[string]bool {
	words := map[string]bool{}
	for _, p := range pages {
		for line := range strings.SplitSeq(p.Text, "\n") {
			for word := range strings.FieldsFuncSeq(line, func(r rune) bool { return !isWord(r) }) {
				if !strings.HasSuffix(word, "-") && !strings.HasSuffix(word, "\u2010") {
					words[fold(word)] = true
				}
			}
		}
	}
	return words
}

// joinPipeTables joins two tables of Markdown that have as many columns.
func joinPipeTables(a, b *block) (joined, bool) {
	first, second := cells(a.lines[0].text), cells(b.lines[0].text)
	if len(first) != len(second) {
		return joined{}, false
	}
	rows := b.lines[2:]
	if !sameCells(first, second) && !emptyCells(second) {
		rows = append([]line{b.lines[0]}, rows...)
	}
	text := (&block{lines: rows}).text()
	between := "\n"
	if text == "" {
		between = ""
	}
	return joined{a.text(), between, text}, true
}

// cells are the cells of a row. A pipe after a backslash is part of its cell.
func cells(row string) []string {
	row = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(row), "|"), "|")
	var all []string
	start := 0
	for i := range len(row) {
		if row[i] == '|' && (i == 0 || row[i-1] != '\\') {
			all = append(all, strings.TrimSpace(row[start:i]))
			start = i + 1
		}
	}
	return append(all, strings.TrimSpace(row[start:]))
}

func sameCells(a, b []string) bool {
	return strings.EqualFold(strings.Join(a, "\x00"), strings.Join(b, "\x00"))
}

func emptyCells(row []string) bool { return strings.Join(row, "") == "" }

var (
	firstTable = regexp.MustCompile(`(?is)^\s*<table[^>]*>\s*(<thead[^>]*>\s*)?<tr[^>]*>(.*?)</tr>\s*(</thead>\s*)?(<tbody[^>]*>\s*)?`)
	lastTable  = regexp.MustCompile(`(?is)\s*(</tbody>\s*)?</table>\s*$`)
	htmlCell   = regexp.MustCompile(`(?is)<t[dh]([^>]*)>(.*?)</t[dh]>`)
	colspan    = regexp.MustCompile(`(?i)colspan="?([2-9])"?`)
	anyTag     = regexp.MustCompile(`<[^>]*>`)
)

// joinHTMLTables joins two tables of HTML that have as many columns. The rows of the second come into the body of the first.
func joinHTMLTables(a, b string) (joined, bool) {
	start, end := firstTable.FindStringSubmatch(a), lastTable.FindStringSubmatchIndex(a)
	next := firstTable.FindStringSubmatchIndex(b)
	if start == nil || end == nil || next == nil || len(tableOpen.FindAllString(a, -1)) != 1 || len(tableOpen.FindAllString(b, -1)) != 1 {
		return joined{}, false // or a table within a table
	}
	header := b[next[4]:next[5]]
	first, second := htmlCells(start[2]), htmlCells(header)
	if len(first) != len(second) {
		return joined{}, false
	}
	rows := b[next[1]:]
	if !sameCells(first, second) && !emptyCells(second) {
		rows = "<tr>" + header + "</tr>\n" + rows
	}
	hasBody := end[2] >= 0 // the first's body stays open, so the second's end closes it
	if endsBody := lastTable.FindStringSubmatch(b); endsBody == nil || (endsBody[1] != "") != hasBody {
		return joined{}, false
	}
	return joined{a[:end[0]], "\n", rows}, true
}

// htmlCells are the texts of a row's cells; a cell that spans several columns counts as so many.
func htmlCells(row string) (all []string) {
	for _, m := range htmlCell.FindAllStringSubmatch(row, -1) {
		all = append(all, strings.Join(strings.Fields(anyTag.ReplaceAllString(m[2], " ")), " "))
		if span := colspan.FindStringSubmatch(m[1]); span != nil {
			for range int(span[1][0] - '1') {
				all = append(all, "")
			}
		}
	}
	return all
}
