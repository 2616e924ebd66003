package textextraction

import (
	"regexp"
	"strconv"
	"strings"
)

// tokenBlock is a block in the layout that MinerU2.5 writes.
var tokenBlock = regexp.MustCompile(`<\|box_start\|>(\d+)\s+(\d+)\s+(\d+)\s+(\d+)<\|box_end\|><\|ref_start\|>(\w+?)<\|ref_end\|>` +
	`(?:<\|rotate_(up|right|down|left)\|>)?`)

// turns are MinerU's directions in degrees.
var turns = map[string]int{"up": 0, "right": 90, "down": 180, "left": 270}

// continued is what MinerU writes behind a block that goes on with the text of the one before it.
const continued = "txt_contd_tgt"

// layoutTokens is ParserLayoutTokens. As in MinerU's own code, a block that is outside of the page or has no area is left
// out, so is an inline_formula, and "unknown" is an image. A text behind a block is its own.
func (a *answerReader) layoutTokens() {
	a.result.Content, a.result.PlainText = a.raw, PlainText(a.raw, a.format)
	extent := boxSpaces[a.boxes]
	blocks := tokenBlock.FindAllStringSubmatchIndex(a.raw, -1)
	if len(blocks) == 0 {
		a.result.Elements = a.elements(a.raw, 0)
		return
	}
	for i, m := range blocks {
		group := func(n int) string {
			if m[2*n] < 0 {
				return ""
			}
			return a.raw[m[2*n]:m[2*n+1]]
		}
		var box []float64
		outside := false
		for n := range 4 {
			v, err := strconv.ParseFloat(group(n+1), 64)
			outside = outside || err != nil || v > extent
			box = append(box, v)
		}
		label := strings.ToLower(group(5))
		if outside || box[0] == box[2] || box[1] == box[3] || label == "inline_formula" {
			continue
		}
		if label == "unknown" {
			label = "image"
		}
		end := len(a.raw)
		if i+1 < len(blocks) {
			end = blocks[i+1][0]
		}
		text, _, _ := strings.Cut(a.raw[m[1]:end], "<|")
		if text = strings.TrimFunc(text, isSpace); text == continued {
			text = ""
		}
		e := Element{Label: label, Box: a.box(box), Angle: turns[group(6)], Text: text, Content: text, Start: m[0], End: m[1]}
		e.Kind, _ = kindOfLabel(label)
		a.result.Elements = append(a.result.Elements, e)
	}
}
