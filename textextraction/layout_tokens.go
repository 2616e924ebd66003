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

// layoutTokens is ParserLayoutTokens. As in MinerU's own code, a block that is outside of the page or has no area is left
// out, so is an inline_formula, and "unknown" is an image.
func (a *answerReader) layoutTokens() {
	a.result.Content = a.raw
	extent := boxSpaces[a.preset.Boxes]
	for _, m := range tokenBlock.FindAllStringSubmatch(a.raw, -1) {
		var box []float64
		outside := false
		for _, digits := range m[1:5] {
			v, err := strconv.ParseFloat(digits, 64)
			outside = outside || err != nil || v > extent
			box = append(box, v)
		}
		label := strings.ToLower(m[5])
		if outside || box[0] == box[2] || box[1] == box[3] || label == "inline_formula" {
			continue
		}
		if label == "unknown" {
			label = "image"
		}
		a.result.Blocks = append(a.result.Blocks, Block{Label: label, Box: a.box(box), Angle: turns[m[6]]})
	}
}
