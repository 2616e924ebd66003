package tiny

import (
	"math/rand/v2"
	"strings"
)

// Class is the kind of page RandomPage draws; its zero value is any page the
// checkpoint is meant for.
type Class struct {
	// Width and Height fix the page's size; drawn from 256..512 and 128..384 px, in steps of 32, if 0.
	Width, Height int
	// Size fixes the size of the letters; drawn from 24 to 30 px if 0.
	Size float64
	// Pitch fixes the line pitch; drawn from 1.15 to 1.45 if 0.
	Pitch float64
	// Plain leaves out headings and lists.
	Plain bool
}

// RandomPage returns the options of a page of class c that shows pieces of the
// given paragraphs, in an order and a layout that depend on the seed only. The
// text runs past the end of the page, so that DrawPage fills it.
func RandomPage(seed uint64, paragraphs []string, c Class) PageOptions {
	r := rand.New(rand.NewPCG(seed, 0x6f6d6e69))
	between := func(lo, hi float64) float64 { return lo + (hi-lo)*r.Float64() }
	o := PageOptions{
		Width: 256 + 32*r.IntN(9), Height: 128 + 32*r.IntN(9),
		Size: between(24, 30), Pitch: between(1.15, 1.45),
		Left: between(2, 40), Top: between(1, 40), Right: between(1, 40),
		Gap: between(0.5, 1.1), Heading: between(1.22, 1.36),
		Paper: uint8(225 + r.IntN(31)), Ink: uint8(r.IntN(70)),
	}
	if c.Width != 0 {
		o.Width = c.Width
	}
	if c.Height != 0 {
		o.Height = c.Height
	}
	if c.Size != 0 {
		o.Size = c.Size
	}
	if c.Pitch != 0 {
		o.Pitch = c.Pitch
	}
	piece := func(most int) string {
		if len(paragraphs) == 0 {
			return "nothing"
		}
		w := strings.Fields(paragraphs[r.IntN(len(paragraphs))])
		n := min(len(w), 1+r.IntN(most))
		i := r.IntN(len(w) - n + 1)
		return strings.Join(w[i:i+n], " ")
	}
	var blocks []Block
	for len(blocks) < 16 {
		k := r.Float64()
		switch {
		case !c.Plain && (k < 0.08 || len(blocks) == 0 && k < 0.45):
			kind := Heading1
			if r.IntN(2) == 0 {
				kind = Heading2
			}
			blocks = append(blocks, Block{kind, []string{piece(5)}})
		case !c.Plain && k > 0.8:
			var items []string
			for range 2 + r.IntN(3) {
				items = append(items, piece(8))
			}
			blocks = append(blocks, Block{List, items})
		default:
			blocks = append(blocks, Block{Paragraph, []string{piece(40)}})
		}
	}
	o.Markdown = FormatBlocks(blocks)
	return o
}
