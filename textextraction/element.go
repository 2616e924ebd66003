package textextraction

import (
	"image"
	"strings"
	"unicode/utf8"

	"github.com/omnidocs/omnidocs/textextraction/table"
)

// Element is a part of a page: a paragraph, a heading, a table. The elements of a page stand in the order of reading, which is
// that of the model's answer.
type Element struct {
	// Kind says what it is.
	Kind ElementKind `json:"kind"`
	// Label is what the model calls it, such as "Section-Header", if it calls it anything.
	Label string `json:"label,omitzero"`
	// Level is that of a heading, from 1, or how deep an item of a list is, from 1. Zero means that it is not known, or that
	// there is none.
	Level int `json:"level,omitzero"`
	// Text is its text without markup. A table's has a row to a line, with tabs between the cells; formulas are LaTeX without
	// delimiters; code has its lines.
	Text string `json:"text"`
	// Content is its text in the format of the result, as it stands in the result's Content. Page headers and the like, which
	// some presets leave out of that, have theirs here alone.
	Content string `json:"content,omitzero"`
	// Table is a table's cells. It is nil for other elements, and for a table that could not be read.
	Table *table.Table `json:"table,omitempty"`
	// Box is its place in the source image, in pixels: left, top, right, bottom. An element in a part of the page for which alone the
	// model gave a place has that of the part. All zero means that there is none that can be read.
	Box [4]int `json:"box,omitzero"`
	// Angle is how far it was turned clockwise before it came onto the page, in degrees: 0, 90, 180 or 270. Only MinerU's
	// layout tells.
	Angle int `json:"angle,omitzero"`
	// Page is the index of the page, from 0: that in the source, for a Batch. A page that is read alone is page 0.
	Page int `json:"page,omitzero"`
	// Confidence is how sure the model was of it, from 0 to 1: the geometric mean of the probabilities of its tokens, those of
	// its markup and coordinates included. Zero means that it is not known.
	Confidence float64 `json:"confidence,omitzero"`
	// Start and End are the byte offsets in RawOutput of what it was read from.
	Start int `json:"start"`
	End   int `json:"end"`
}

// Rect is Box as a rectangle. It is empty where there is no box.
func (e Element) Rect() image.Rectangle { return image.Rect(e.Box[0], e.Box[1], e.Box[2], e.Box[3]) }

// setPage tells the elements which page they are on.
func (r *ExtractResult) setPage(index int) {
	for i := range r.Elements {
		r.Elements[i].Page = index
	}
}

// ElementKind says what an [Element] is.
type ElementKind string

// The kinds.
const (
	KindText       ElementKind = "text" // also what cannot be told
	KindHeading    ElementKind = "heading"
	KindList       ElementKind = "list" // as a whole, where a model marks it so
	KindListItem   ElementKind = "list_item"
	KindTable      ElementKind = "table"
	KindFigure     ElementKind = "figure"
	KindChart      ElementKind = "chart" // and diagrams
	KindFormula    ElementKind = "formula"
	KindChemistry  ElementKind = "chemistry"
	KindMusic      ElementKind = "music"
	KindCode       ElementKind = "code"
	KindCaption    ElementKind = "caption"
	KindFootnote   ElementKind = "footnote"
	KindHeader     ElementKind = "header"
	KindFooter     ElementKind = "footer"
	KindPageNumber ElementKind = "page_number"
	KindForm       ElementKind = "form"
)

// labelKinds are the labels of all models, in lower case and with spaces between their words.
var labelKinds = map[string]ElementKind{
	"title": KindHeading, "doc title": KindHeading, "paragraph title": KindHeading, "section header": KindHeading, "heading": KindHeading,
	"text": KindText, "paragraph": KindText, "complex block": KindText, "bibliography": KindText, "table of contents": KindText,
	"ref text": KindText, "index": KindText, "aside text": KindText, "phonetic": KindText,
	"list": KindList, "list group": KindList, "list item": KindListItem,
	"table": KindTable,
	"image": KindFigure, "figure": KindFigure, "picture": KindFigure, "image block": KindFigure, "img": KindFigure,
	"chart": KindChart, "diagram": KindChart, "mermaid": KindChart,
	"formula": KindFormula, "equation": KindFormula, "equation block": KindFormula, "formula number": KindFormula,
	"chemistry": KindChemistry, "chemical block": KindChemistry, "chemical formula": KindChemistry,
	"music": KindMusic, "music sheet": KindMusic,
	"code": KindCode, "code block": KindCode, "algorithm": KindCode, "pseudocode": KindCode,
	"caption": KindCaption, "footnote": KindFootnote,
	"header": KindHeader, "page header": KindHeader, "footer": KindFooter, "page footer": KindFooter, "page number": KindPageNumber,
	"form": KindForm,
}

var labelWords = strings.NewReplacer("-", " ", "_", " ", ".", " ")

// kindOfLabel is the kind for what a model calls an element. Of an unknown label it says so.
func kindOfLabel(label string) (kind ElementKind, known bool) {
	words := strings.Fields(labelWords.Replace(strings.ToLower(label)))
	if len(words) == 0 {
		return KindText, false
	}
	if kind, known = labelKinds[strings.Join(words, " ")]; known {
		return kind, true
	}
	switch first, last := words[0], words[len(words)-1]; {
	case last == "caption":
		return KindCaption, true // image_caption, table caption
	case last == "footnote":
		return KindFootnote, true
	case first == "formula":
		return KindFormula, true // formula.machine_printed, formula handwritten
	case strings.TrimRight(first, "0123456789") == "table":
		return KindTable, true // table3: its style's name
	}
	return KindText, false
}

// isWhole tells whether what is within an element of the kind is a part of it, and no element of its own.
func (k ElementKind) isWhole() bool {
	switch k {
	case KindTable, KindFigure, KindChart, KindFormula, KindChemistry, KindMusic, KindCode:
		return true
	}
	return false
}

// keep tells whether an element says anything.
func (e *Element) keep() bool {
	return e.Text != "" || e.Box != [4]int{} || e.Kind == KindFigure || e.Kind == KindChart
}

// holdsWords tells whether the letters and digits of part are in text, in their order.
func holdsWords(text, part string) bool {
	letters := func(s string) string {
		return strings.Map(func(r rune) rune {
			if isWord(r) {
				return r
			}
			return -1
		}, s)
	}
	rest := letters(text)
	for _, r := range letters(part) {
		at := strings.IndexRune(rest, r)
		if at < 0 {
			return false
		}
		rest = rest[at+utf8.RuneLen(r):]
	}
	return true
}

// stripFormula takes the delimiters off a formula.
func stripFormula(s string) string {
	s = strings.TrimFunc(s, isSpace)
	for _, marks := range [][2]string{{"$$", "$$"}, {`\[`, `\]`}, {`\(`, `\)`}, {"$", "$"}} {
		inner, ok := strings.CutPrefix(s, marks[0])
		if !ok {
			continue
		}
		if short, closed := strings.CutSuffix(inner, marks[1]); closed || marks[0] != "$" {
			return strings.TrimFunc(short, isSpace)
		}
	}
	return s
}
