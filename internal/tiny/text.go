package tiny

import (
	_ "embed" // for sample.txt
	"strings"
)

//go:embed sample.txt
var sample string

// SamplePage is a page of text with a heading and a list, and one that fits the
// default PageOptions.
const SamplePage = `# Order 4711

Thank you for your letter of March 3. The goods will leave our house on Monday.

- 12 brass lamps
- 3 boxes of paper

Please pay $86.40 by the end of the month.`

// Paragraphs returns English prose for drawing pages: about three and a half thousand
// letters that no training page shows.
func Paragraphs() []string {
	var out []string
	for _, b := range ParseBlocks(sample) {
		out = append(out, b.Text...)
	}
	return out
}

// SplitParagraphs is Paragraphs for the caller's own text: blank lines part them.
func SplitParagraphs(text string) []string {
	var out []string
	for p := range strings.SplitSeq(text, "\n\n") {
		if p = fold(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}
