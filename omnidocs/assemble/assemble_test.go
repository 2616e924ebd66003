package assemble

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func pagesOf(texts ...string) []Page {
	var pages []Page
	for i, text := range texts {
		pages = append(pages, Page{Number: i, Text: text})
	}
	return pages
}

// check holds what is true of every document.
func check(t *testing.T, pages []Page, doc Document) {
	t.Helper()
	require.Len(t, doc.Spans, len(pages))
	at := 0
	for i, s := range doc.Spans {
		require.Equal(t, pages[i].Number, s.Page)
		require.GreaterOrEqual(t, s.Start, at)
		require.GreaterOrEqual(t, s.End, s.Start)
		require.LessOrEqual(t, s.End, len(doc.Text))
		at = s.End
	}
}

func TestJoins(t *testing.T) {
	for _, test := range []struct {
		name  string
		opts  Options
		pages []string
		want  string
	}{
		{"nothing", Options{}, nil, ""},
		{"one", Options{}, []string{"\n# A\n\nb\n"}, "# A\n\nb"},
		{"two", Options{}, []string{"One.", "Two."}, "One.\n\nTwo."},
		{"separator", Options{Separator: "\n\n---\n\n"}, []string{"One.", "", "Two."}, "One.\n\n---\n\nTwo."},
		{"word", Options{}, []string{"the Hagel-", "schauer began"}, "the Hagelschauer began"},
		{"word with its hyphen", Options{}, []string{"a well-known thing is well-", "known."}, "a well-known thing is well-known."},
		{"soft hyphen", Options{}, []string{"a well-known thing is well\u00ad", "known."}, "a well-known thing is wellknown."},
		{"dash", Options{}, []string{"this -", "that"}, "this - that"},
		{"hyphen before a capital", Options{}, []string{"the North-", "South line"}, "the North-\n\nSouth line"},
		{"sentence", Options{}, []string{"It goes on", "and on.", "And ends."}, "It goes on and on.\n\nAnd ends."},
		{"sentence that ends", Options{}, []string{"It ends.”", "iPhones are next"}, "It ends.”\n\niPhones are next"},
		{"three pages", Options{}, []string{"un-", "believ-", "able"}, "unbelievable"},
		{"breaks kept", Options{KeepBreaks: true}, []string{"un-", "believable"}, "un-\n\nbelievable"},
		{"heading", Options{}, []string{"# It goes on", "and on"}, "# It goes on\n\nand on"},
		{"list", Options{}, []string{"- one", "two"}, "- one\n\ntwo"},
		{"code", Options{}, []string{"```\na\n\nb\n```", "two"}, "```\na\n\nb\n```\n\ntwo"},
		{"open code", Options{}, []string{"```\na\n\n", "b"}, "```\na\n\nb"},
		{"tables", Options{}, []string{"| a | b |\n|---|---|\n| 1 | 2 |", "| a | b |\n|---|---|\n| 3 | 4 |"},
			"| a | b |\n|---|---|\n| 1 | 2 |\n\n| a | b |\n|---|---|\n| 3 | 4 |"},
		{"tables with their header again", Options{JoinTables: true},
			[]string{"| a | b |\n|---|---|\n| 1 | 2 |", "| A | b |\n|---|---|\n| 3 | 4 |", "| a | b |\n|:-|-:|\n| 5 | 6 |\n\nText."},
			"| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n| 5 | 6 |\n\nText."},
		{"tables with an empty header", Options{JoinTables: true}, []string{"| a | b |\n|---|---|\n| 1 | 2 |", "| | |\n|---|---|\n| 3 | 4 |"},
			"| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |"},
		{"tables with a row as header", Options{JoinTables: true}, []string{"|a|b|\n|-|-|\n|1|2|", "|3|4\\|5|\n|-|-|", "|a|b|\n|-|-|\n|6|7|"},
			"|a|b|\n|-|-|\n|1|2|\n|3|4\\|5|\n|6|7|"},
		{"tables of other widths", Options{JoinTables: true}, []string{"| a | b |\n|---|---|", "| a | b | c |\n|---|---|---|"},
			"| a | b |\n|---|---|\n\n| a | b | c |\n|---|---|---|"},
		{"HTML tables", Options{JoinTables: true}, []string{
			"<table>\n<tr><th>a</th><th>b</th></tr>\n<tr><td>1</td><td>2</td></tr>\n</table>",
			"<table><tr><th>A</th><th> b</th></tr><tr><td>3</td><td>4</td></tr></table>",
			"<table><tr><td colspan=2>5</td></tr></table>",
		}, "<table>\n<tr><th>a</th><th>b</th></tr>\n<tr><td>1</td><td>2</td></tr>\n<tr><td>3</td><td>4</td></tr>\n<tr><td colspan=2>5</td></tr>\n</table>"},
		{"HTML tables with bodies", Options{JoinTables: true}, []string{
			"<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>",
			"<table><thead><tr><th>a</th></tr></thead><tbody>\n<tr><td>2</td></tr>\n</tbody></table>",
		}, "<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>1</td></tr>\n<tr><td>2</td></tr>\n</tbody></table>"},
		{"HTML tables, one with a body", Options{JoinTables: true}, []string{
			"<table><tr><td>1</td></tr></table>", "<table><tbody><tr><td>2</td></tr></tbody></table>",
		}, "<table><tr><td>1</td></tr></table>\n\n<table><tbody><tr><td>2</td></tr></tbody></table>"},
		{"HTML table that never ends", Options{JoinTables: true}, []string{"<table><tr><td>1\n\n", "<table><tr><td>2</td></tr></table>"},
			"<table><tr><td>1\n\n<table><tr><td>2</td></tr></table>"},
	} {
		t.Run(test.name, func(t *testing.T) {
			pages := pagesOf(test.pages...)
			doc := Markdown(pages, test.opts)
			require.Equal(t, test.want, doc.Text)
			require.Empty(t, doc.Margins)
			check(t, pages, doc)
		})
	}
}

func TestSpans(t *testing.T) {
	pages := []Page{{7, "# One\n\nun-"}, {8, ""}, {9, "believable\n\nEnd."}}
	doc := Markdown(pages, Options{})
	require.Equal(t, "# One\n\nunbelievable\n\nEnd.", doc.Text)
	check(t, pages, doc)
	require.Equal(t, "# One\n\nun", doc.Text[doc.Spans[0].Start:doc.Spans[0].End])
	require.Equal(t, "believable\n\nEnd.", doc.Text[doc.Spans[2].Start:doc.Spans[2].End])
	page, ok := doc.PageAt(strings.Index(doc.Text, "End"))
	require.True(t, ok)
	require.Equal(t, 9, page)
	_, ok = doc.PageAt(len(doc.Text))
	require.False(t, ok)
}

// book draws pages of which each has a header, a text and a page number.
func book(n int, page func(i int) string) []Page {
	var pages []Page
	for i := range n {
		pages = append(pages, Page{i, page(i)})
	}
	return pages
}

func TestMargins(t *testing.T) {
	body := func(i int) string {
		return fmt.Sprintf("Chapter %c tells of %s. It ends.", 'A'+i, strings.Repeat("this ", i))
	}
	for _, test := range []struct {
		name  string
		pages []Page
		kinds []MarginKind // of page 2
	}{
		{"header and number", book(6, func(i int) string { return fmt.Sprintf("**Annual Report**\n\n%s\n\n%d", body(i), i+7) }), []MarginKind{Header, PageNumber}},
		{"number in the header", book(6, func(i int) string { return fmt.Sprintf("ANNUAL REPORT 2024 | %d\n\n%s", i+7, body(i)) }), []MarginKind{Header}},
		{"page of pages", book(6, func(i int) string { return fmt.Sprintf("%s\n\nPage %d of 6", body(i), i+1) }), []MarginKind{PageNumber}},
		{"roman", book(6, func(i int) string { return body(i) + "\n\n- " + []string{"i", "ii", "iii", "iv", "v", "vi"}[i] + " -" }), nil},
		{"roman alone", book(6, func(i int) string { return body(i) + "\n\n" + []string{"i", "ii", "iii", "iv", "v", "vi"}[i] }), []MarginKind{PageNumber}},
		{"left and right", book(9, func(i int) string { return []string{"The Author", "The Book"}[i%2] + "\n\n" + body(i) }), []MarginKind{Header}},
		{"in the same paragraph", book(4, func(i int) string { return "The Book\n" + body(i) }), []MarginKind{Header}},
		{"two lines", book(4, func(i int) string { return fmt.Sprintf("%s\n\nConfidential\n\n%d", body(i), i+1) }), []MarginKind{PageNumber, Footer}},
		{"HTML in it", book(4, func(i int) string { return "<small>The *Book*</small>\n\n" + body(i) }), nil},
		{"two pages only", book(2, func(i int) string { return "The Book\n\n" + body(i) }), nil},
		{"numbers that count nothing", book(6, func(i int) string { return body(i) + "\n\n" + fmt.Sprint(i*i*31) }), nil},
		{"a list", book(6, func(i int) string { return "- the same\n\n" + body(i) }), nil},
		{"behind text", book(6, func(i int) string { return body(i) + "\n\nThe Book\n\n" + body(i+1) }), nil},
		{"nothing else on the page", book(6, func(int) string { return "This page is intentionally left blank." }), nil},
		{"gaps", book(12, func(i int) string {
			if i%4 == 0 {
				return "The Book\n\n" + body(i)
			}
			return body(i)
		}), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			kept := Markdown(test.pages, Options{})
			check(t, test.pages, kept)
			var got []MarginKind
			for _, m := range kept.Margins {
				if m.Page == min(2, len(test.pages)-1) {
					got = append(got, m.Kind)
				}
			}
			require.Equal(t, test.kinds, got, "%v", kept.Margins)
			for _, p := range test.pages {
				for line := range strings.Lines(p.Text) {
					require.Contains(t, kept.Text, strings.TrimSpace(line), "nothing is lost")
				}
			}
			dropped := Markdown(test.pages, Options{DropMargins: true})
			check(t, test.pages, dropped)
			for _, m := range dropped.Margins {
				require.Equal(t, strings.Count(kept.Text, m.Text)-1, strings.Count(dropped.Text+strings.Join(texts(dropped.Margins), "\n"), m.Text)-1)
			}
			for i := range test.pages {
				if i < len(test.pages) && strings.Contains(test.pages[i].Text, body(i)) {
					require.Contains(t, dropped.Text, body(i))
				}
			}
		})
	}
	t.Run("a number that was misread", func(t *testing.T) {
		pages := book(6, func(i int) string { return body(i) + "\n\n" + []string{"1", "2", "3", "A", "5", "66"}[i] })
		doc := Markdown(pages, Options{DropMargins: true})
		require.Len(t, doc.Margins, 4)
		require.Contains(t, doc.Text, "\n\nA\n")
		require.Contains(t, doc.Text, "\n\n66")
	})
	t.Run("words across a footer", func(t *testing.T) {
		pages := book(4, func(i int) string { return fmt.Sprintf("The Book\n\n%s But un-\n\n%d", body(i), i+1) })
		pages[1].Text = "The Book\n\nbelievable as it is.\n\n2"
		require.Contains(t, Markdown(pages, Options{DropMargins: true}).Text, "unbelievable")
		require.Contains(t, Markdown(pages, Options{}).Text, "un-\n\n1\n\nThe Book\n\nbelievable")
	})
}

func texts(margins []Margin) (all []string) {
	for _, m := range margins {
		all = append(all, m.Text)
	}
	return all
}

func TestRoman(t *testing.T) {
	for s, want := range map[string]int{"i": 1, "iv": 4, "ix": 9, "xiv": 14, "xl": 40, "lxxxviii": 88, "xcix": 99} {
		require.Equal(t, want, romanNumber(s), s)
	}
}

func FuzzMarkdown(f *testing.F) {
	f.Add("a-\fb\f|x|\n|-|\n\f|y|\n|-|\n|z|", true, true)
	f.Add("<table><tr><td>1</td></tr></table>\f<table><tr><td>2</td></tr></table>\fx\n\n1", false, true)
	f.Fuzz(func(t *testing.T, text string, drop, tables bool) {
		pages := pagesOf(strings.Split(text, "\f")...)
		doc := Markdown(pages, Options{DropMargins: drop, JoinTables: tables})
		check(t, pages, doc)
		if !tables && !drop { // nothing but white space and hyphens at breaks goes
			squeeze := func(s string) string {
				return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" \t\r\n\f-\u2010\u00ad", r) }), "")
			}
			require.Equal(t, squeeze(text), squeeze(doc.Text))
		}
	})
}
