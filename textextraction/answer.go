package textextraction

import (
	"strings"
)

// ReadAnswer returns the result for what a model wrote for a page, see [NewExtractResult], read as the preset says. Of the result
// only what follows from the answer and the sizes is set. It is for answers that were not made by this library's extractors.
func (p Preset) ReadAnswer(raw string, format Format, sizes Sizes) *ExtractResult {
	return p.readAnswer(raw, format, sizes)
}

// answerReader is a model's answer on its way to a result.
type answerReader struct {
	boxes  BoxSpace
	sizes  Sizes
	format Format
	raw    string
	result *ExtractResult
	plain  []string // the texts of its blocks without markup, where a parser has them apart
}

// readAnswer is ReadAnswer. A nil preset is that of the base models.
func (p *Preset) readAnswer(raw string, format Format, sizes Sizes) *ExtractResult {
	raw = strings.ToValidUTF8(raw, "\uFFFD")
	a := &answerReader{boxes: Boxes1000, sizes: sizes, format: format, raw: raw}
	a.result = &ExtractResult{Format: format, RawOutput: raw, ImageWidth: max(sizes.Width, 0), ImageHeight: max(sizes.Height, 0)}
	read := (*answerReader).clean
	if p != nil {
		a.boxes, read = p.Boxes, parsers[p.Parser].read
	}
	read(a)
	r := a.result
	r.WordCount, r.ContentLength = r.countWords(), r.countLength()
	return r
}

// clean is ParserClean.
func (a *answerReader) clean() {
	a.result.Content = Clean(a.raw, a.format)
	a.result.PlainText = PlainText(a.raw, a.format)
	a.result.Elements = a.elements(a.raw, 0)
}

// elements returns the elements of a piece of the answer, at offset in it, that is all in the format of the result.
func (a *answerReader) elements(piece string, offset int) []Element {
	if a.format == HTML {
		at := unfenced(piece, "html", "")
		return a.elementsOfHTML(piece[at.start:at.end], offset+at.start)
	}
	at := unfenced(piece, "markdown", "md")
	return a.elementsOfMarkdown(piece[at.start:at.end], offset+at.start)
}

// box brings coordinates to the source image.
func (a *answerReader) box(coordinates []float64) [4]int { return a.sizes.box(a.boxes, coordinates) }

// join puts the contents of the elements that are part of the text together.
func (a *answerReader) join(separator string, elements []Element, skip func(label string) bool) {
	var parts []string
	for _, e := range elements {
		if e.Content != "" && !skip(e.Label) {
			parts = append(parts, e.Content)
		}
	}
	a.result.Content = strings.Join(parts, separator)
	a.result.Elements = elements
}
