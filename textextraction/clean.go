package textextraction

import (
	"html"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clean returns a model's answer as the user wants it: without the coordinates that Qwen-VL writes beside the text, and
// out of the code fence that some models put around all of it. Everything else stays as the model wrote it; in Markdown
// that goes for tables in LaTeX tabular.
//
// On answers without the following it gives what Python's cleaning gives. It differs where that harms the text:
//   - data-bbox is removed, and white space before ">" closed up, in tags alone, never in text ("B > C" stays);
//   - data-bbox is removed in any quotes, or none;
//   - a fence around the whole answer is removed (```html; in Markdown ```markdown or ```md);
//   - a tag or box comment cut in two by the end of the answer is dropped.
//
// The time is linear in the length of raw, whatever it holds.
func Clean(raw string, format Format) string {
	if format == HTML {
		return cleanHTML(unfence(raw, "html", ""))
	}
	return cleanMarkdown(unfence(raw, "markdown", "md"))
}

// PlainText returns the text of a model's answer without markup, on one line: white space of any kind and length becomes
// one space. The markup itself, tags or emphasis, goes; LaTeX stays; fenced code blocks and the text of comments are left
// out, as in Python.
//
// On ordinary answers it gives what Python gives. It differs where that harms the text:
//   - only what can be a tag is taken for one ("a < b, c > d" stays), also with ">" in an attribute or a comment;
//   - entities are decoded ("&amp;" is "&"), outside of code and math;
//   - "*", "_", "#" and "`" go only where they are markup: snake_case, C#, 2*3, "Price*", 0.34***, #12 and $x_{*}$ stay;
//   - the rows of dashes under a table's head (| :--- | ---: |) go as a whole, however they are written;
//   - a code block that has a backtick in it neither shows, nor takes the text after it along.
//
// The time is linear in the length of raw, whatever it holds.
func PlainText(raw string, format Format) string {
	if format == HTML {
		return collapse(htmlText(unfence(raw, "html", "")))
	}
	return collapse(markdownText(unfence(raw, "markdown", "md")))
}

// isSpace is Python's str.isspace and `\s` of its regular expressions.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

// spaceClass is isSpace for regexp, whose own \s is ASCII.
const spaceClass = `[\s\v\p{Z}\x{85}\x{1c}-\x{1f}]`

// skipSpace returns the first index from i on that is not white space.
func skipSpace(s string, i int) int {
	for i < len(s) {
		r, size := utf8.DecodeRuneInString(s[i:])
		if !isSpace(r) {
			break
		}
		i += size
	}
	return i
}

// collapse makes every run of white space one space, and trims.
func collapse(s string) string { return strings.Join(strings.FieldsFunc(s, isSpace), " ") }

// entity is a character reference that is written in full. HTML also allows some without the semicolon, but those are
// more often the parameters of a URL (?a=1&copy=2).
var entity = regexp.MustCompile(`&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});`)

// decodeEntities replaces entities by what they stand for. Unknown ones stay.
func decodeEntities(s string) string {
	if !strings.Contains(s, "&") {
		return s
	}
	return entity.ReplaceAllStringFunc(s, func(ref string) string {
		got := html.UnescapeString(ref)
		if len(got) > 1 && strings.HasSuffix(got, ";") {
			return ref // only the start was known: &notit; is not "¬it;"
		}
		return got
	})
}

// unfence takes a code fence off that is around all of s, if its label is one of labels. A fence that is never closed,
// because the answer ended early, is one around all of it.
func unfence(s string, labels ...string) string {
	at := unfenced(s, labels...)
	return s[at.start:at.end]
}

// unfenced is where in s unfence finds what it returns.
func unfenced(s string, labels ...string) span {
	all := span{0, len(s)}
	text := strings.TrimFunc(s, isSpace)
	first, body, ok := strings.Cut(text, "\n")
	ticks, label := fence(first)
	if !ok || ticks == 0 || !slices.Contains(labels, strings.ToLower(label)) {
		return all
	}
	start := len(s) - len(strings.TrimLeftFunc(s, isSpace)) + len(first) + 1
	inner := 0 // backticks of the open fence inside
	for rest, done := body, false; !done; {
		line, after, more := strings.Cut(rest, "\n")
		n, label := fence(line)
		switch {
		case n == 0:
		case inner > 0:
			if label == "" && n >= inner {
				inner = 0
			}
		case label != "":
			inner = n
		case more: // s goes on behind its fence
			return all
		default:
			return span{start, start + len(strings.TrimSuffix(strings.TrimSuffix(body, line), "\n"))}
		}
		rest, done = after, !more
	}
	return span{start, start + len(body)}
}

// fence returns the number of backticks that open or close a code block on this line, and the label behind them; 0 if
// the line does neither.
func fence(line string) (ticks int, label string) {
	line = strings.TrimFunc(line, isSpace)
	rest := strings.TrimLeft(line, "`")
	if ticks = len(line) - len(rest); ticks < 3 || strings.Contains(rest, "`") {
		return 0, ""
	}
	return ticks, strings.TrimFunc(rest, isSpace)
}
