package textextraction

import (
	"strings"
)

// Block is a part of a page, as a model marked it.
type Block struct {
	// Label is what the model calls it, such as "Section-Header", or "" where it does not say.
	Label string `json:"label"`
	// Box is its place in the source image, in pixels: left, top, right, bottom. All zero means that the model gave none
	// that can be read.
	Box [4]int `json:"box,omitzero"`
	// Content is its text, in the format of the result. MinerU's layout has none.
	Content string `json:"content,omitzero"`
	// Angle is how far it was turned clockwise before it came onto the page, in degrees: 0, 90, 180 or 270. Only MinerU's
	// layout tells.
	Angle int `json:"angle,omitzero"`
}

// answerReader is a model's answer on its way to a result.
type answerReader struct {
	preset        *Preset
	format        Format
	raw           string
	width, height int // of the source image
	result        *ExtractResult
	plain         []string // the texts of its blocks without markup, where a parser has them apart
}

// readAnswer returns the result for what a model wrote, see [NewExtractResult], by the preset's parser.
func (p *Preset) readAnswer(raw string, format Format, width, height int) *ExtractResult {
	if p == nil || parsers[p.Parser].read == nil {
		return NewExtractResult(raw, format)
	}
	raw = strings.ToValidUTF8(raw, "\uFFFD")
	a := &answerReader{preset: p, format: format, raw: raw, width: width, height: height}
	a.result = &ExtractResult{Format: format, RawOutput: raw}
	parsers[p.Parser].read(a)
	r := a.result
	if r.PlainText == "" {
		r.PlainText = PlainText(r.Content, format)
	}
	r.WordCount, r.ContentLength = r.countWords(), r.countLength()
	return r
}

// box scales coordinates from the model's space to the source image, as Chandra does: truncated, and kept within. Less than
// four of them, or none, are no box. Sides the wrong way round are swapped.
func (a *answerReader) box(coordinates []float64) (box [4]int) {
	if len(coordinates) != 4 {
		return box
	}
	extent := boxSpaces[a.preset.Boxes]
	for i, v := range coordinates {
		size := [2]int{a.width, a.height}[i%2]
		box[i] = int(min(max(v*float64(size)/extent, 0), float64(size)))
	}
	for i := range 2 {
		box[i], box[i+2] = min(box[i], box[i+2]), max(box[i], box[i+2])
	}
	return box
}

// join puts the contents of the blocks that are part of the text together.
func (a *answerReader) join(separator string, blocks []Block, skip func(label string) bool) {
	var parts []string
	for _, b := range blocks {
		if b.Content != "" && !skip(b.Label) {
			parts = append(parts, b.Content)
		}
	}
	a.result.Content = strings.Join(parts, separator)
	a.result.Blocks = blocks
}
