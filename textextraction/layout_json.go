package textextraction

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// jsonBlock is a block in Infinity-Parser2's list.
type jsonBlock struct {
	Box      []float64 `json:"bbox"`
	Category string    `json:"category"`
	Text     string    `json:"text"`
}

// outOfText are the categories of Infinity-Parser2 that are not part of its Markdown.
var outOfText = []string{"header", "footer", "page_footnote"}

// startOfBlock is where a block of the list begins. In a text its quotes would be escaped.
var startOfBlock = regexp.MustCompile(`\{\s*"bbox"\s*:`)

// layoutJSON is ParserLayoutJSON. The blocks are read one by one, so that a fault in one, or the end of the answer, does
// not take the others along; of a block that is no JSON, what can be told apart is kept.
func (a *answerReader) layoutJSON() {
	at := unfenced(a.raw, "json", "")
	s := a.raw[at.start:at.end]
	starts := startOfBlock.FindAllStringIndex(s, -1)
	if len(starts) == 0 {
		if list := strings.TrimFunc(s, isSpace); list != "[]" { // an empty page
			a.clean()
		}
		return
	}
	var elements []Element
	for i, start := range starts {
		end := len(s)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		b := readJSONBlock(s[start[0]:end])
		e := Element{Label: b.Category, Box: a.box(b.Box), Start: at.start + start[0], Content: strings.TrimFunc(b.Text, isSpace)}
		e.End = e.Start + len(strings.TrimRight(s[start[0]:end], " \t\r\n,]"))
		e.Kind, _ = kindOfLabel(b.Category)
		e.readMarkdown()
		if e.keep() {
			elements = append(elements, e)
		}
	}
	a.join("\n\n", elements, func(label string) bool { return slices.Contains(outOfText, label) })
	a.result.PlainText = PlainText(a.result.Content, a.format)
}

var (
	looseBox      = regexp.MustCompile(`"bbox"\s*:\s*(\[[^\]]*\])`)
	looseCategory = regexp.MustCompile(`"category"\s*:\s*"([^"]*)"`)
	looseText     = regexp.MustCompile(`"text"\s*:\s*"`)
	endOfText     = regexp.MustCompile(`"\s*(?:,\s*"category"\s*:\s*"[^"]*"\s*)?\}?[\s,\]]*$`)
	loneBackslash = regexp.MustCompile(`\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})?`)
)

// readJSONBlock reads an object, with whatever follows it.
func readJSONBlock(s string) (b jsonBlock) {
	if err := json.NewDecoder(strings.NewReader(s)).Decode(&b); err == nil {
		return b
	}
	// LaTeX whose backslashes are not doubled, a quote that is not escaped, the end of the answer.
	b = jsonBlock{}
	if m := looseBox.FindStringSubmatch(s); m != nil {
		b.Box = numbers(m[1])
	}
	if m := looseCategory.FindStringSubmatch(s); m != nil {
		b.Category = m[1]
	}
	if at := looseText.FindStringIndex(s); at != nil {
		b.Text = unescapeLoosely(endOfText.ReplaceAllLiteralString(s[at[1]:], ""))
	}
	return b
}

// unescapeLoosely undoes JSON's escapes, and leaves backslashes that are none of them.
func unescapeLoosely(s string) string {
	return loneBackslash.ReplaceAllStringFunc(s, func(escape string) string {
		var text string
		if err := json.Unmarshal([]byte(`"`+escape+`"`), &text); err != nil {
			return escape
		}
		return text
	})
}
