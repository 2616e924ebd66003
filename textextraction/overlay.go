package textextraction

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"strings"
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// kindColors are the colors of boxes: related kinds are alike.
var kindColors = map[ElementKind]color.RGBA{
	KindText:       {0x1f, 0x6f, 0xd6, 0xff},
	KindHeading:    {0xc6, 0x28, 0x28, 0xff},
	KindList:       {0x00, 0x83, 0x8f, 0xff},
	KindListItem:   {0x00, 0x97, 0xa7, 0xff},
	KindTable:      {0x2e, 0x7d, 0x32, 0xff},
	KindForm:       {0x55, 0x8b, 0x2f, 0xff},
	KindFigure:     {0x8e, 0x24, 0xaa, 0xff},
	KindChart:      {0xab, 0x47, 0xbc, 0xff},
	KindFormula:    {0xef, 0x6c, 0x00, 0xff},
	KindChemistry:  {0xf5, 0x7c, 0x00, 0xff},
	KindMusic:      {0xd8, 0x1b, 0x60, 0xff},
	KindCode:       {0x5d, 0x40, 0x37, 0xff},
	KindCaption:    {0x6a, 0x1b, 0x9a, 0xff},
	KindFootnote:   {0x45, 0x5a, 0x64, 0xff},
	KindHeader:     {0x60, 0x7d, 0x8b, 0xff},
	KindFooter:     {0x60, 0x7d, 0x8b, 0xff},
	KindPageNumber: {0x78, 0x90, 0x9c, 0xff},
}

// Overlay returns a copy of the page with the boxes of its elements over it: a color for each kind, and a label with the kind, its
// level, and the confidence where it is known. The lines of elements of which the model was unsure, below [UncertainBelow], are
// dashed. A box that several elements share is drawn once, with the lowest
// confidence of them. An image of another size than the one that was read, a thumbnail for
// example, gets the boxes scaled. Elements without a box are not on it.
func (r *ExtractResult) Overlay(img image.Image) image.Image {
	b := img.Bounds()
	out := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(out, out.Bounds(), image.White, image.Point{}, draw.Src)
	draw.Draw(out, out.Bounds(), img, b.Min, draw.Over)
	o := overlay{img: out, line: max(1, min(b.Dx(), b.Dy())/500), face: labelFace(float64(min(max(max(b.Dx(), b.Dy())/90, 9), 40)))}
	marks := r.marks(out.Bounds())
	for _, m := range marks {
		o.box(m)
	}
	for _, m := range marks {
		o.label(m, marks)
	}
	return out
}

// mark is a box to draw.
type mark struct {
	rect       image.Rectangle
	color      color.RGBA
	text       string
	confidence float64 // the lowest of its elements', 0 where none is known
	count      int     // of its elements
}

// marks are the boxes of the elements, scaled to an image.
func (r *ExtractResult) marks(bounds image.Rectangle) (marks []*mark) {
	seen := map[image.Rectangle]*mark{}
	for _, e := range r.Elements {
		rect := e.Rect()
		if rect.Empty() {
			continue
		}
		if r.ImageWidth > 0 && r.ImageHeight > 0 {
			x := func(v int) int { return v * bounds.Dx() / r.ImageWidth }
			y := func(v int) int { return v * bounds.Dy() / r.ImageHeight }
			rect = image.Rect(x(rect.Min.X), y(rect.Min.Y), x(rect.Max.X), y(rect.Max.Y))
		}
		rect = rect.Intersect(bounds) // one from elsewhere may be anywhere
		if m := seen[rect]; m != nil {
			m.count++
			if e.Confidence > 0 && (m.confidence == 0 || e.Confidence < m.confidence) {
				m.confidence = e.Confidence
			}
			continue
		}
		c, ok := kindColors[e.Kind]
		if !ok {
			c = kindColors[KindText]
		}
		m := &mark{rect: rect, color: c, text: kindText(e), confidence: e.Confidence, count: 1}
		seen[rect] = m
		marks = append(marks, m)
	}
	for _, m := range marks {
		if m.count > 1 {
			m.text += fmt.Sprintf(" ×%d", m.count)
		}
		if m.confidence > 0 {
			m.text += fmt.Sprintf(" %.0f%%", m.confidence*100)
		}
	}
	return marks
}

func (m *mark) dashed() bool { return m.confidence > 0 && m.confidence < UncertainBelow }

// kindText is what an element is called on its label: "heading 2".
func kindText(e Element) string {
	text := strings.ReplaceAll(string(e.Kind), "_", " ")
	if e.Kind == KindHeading && e.Level > 0 {
		text += fmt.Sprintf(" %d", e.Level)
	}
	return text
}

// overlay draws.
type overlay struct {
	img    *image.RGBA
	line   int // how thick a line is
	face   font.Face
	labels []image.Rectangle // drawn so far
}

// box draws a frame with a tint in it.
func (o *overlay) box(m *mark) {
	tint := color.NRGBA{m.color.R, m.color.G, m.color.B, 22}
	draw.Draw(o.img, m.rect, image.NewUniform(tint), image.Point{}, draw.Over)
	r, w := m.rect, o.line
	for _, side := range []image.Rectangle{
		image.Rect(r.Min.X, r.Min.Y, r.Max.X, r.Min.Y+w), image.Rect(r.Min.X, r.Max.Y-w, r.Max.X, r.Max.Y),
		image.Rect(r.Min.X, r.Min.Y, r.Min.X+w, r.Max.Y), image.Rect(r.Max.X-w, r.Min.Y, r.Max.X, r.Max.Y),
	} {
		o.side(side.Intersect(r), m)
	}
}

// side draws a line, whole or in dashes.
func (o *overlay) side(r image.Rectangle, m *mark) {
	if !m.dashed() {
		draw.Draw(o.img, r, image.NewUniform(m.color), image.Point{}, draw.Src)
		return
	}
	dash := 4 * o.line
	for at := 0; at < max(r.Dx(), r.Dy()); at += 2 * dash {
		part := image.Rect(r.Min.X+at, r.Min.Y, r.Min.X+at+dash, r.Max.Y)
		if r.Dy() > r.Dx() {
			part = image.Rect(r.Min.X, r.Min.Y+at, r.Max.X, r.Min.Y+at+dash)
		}
		draw.Draw(o.img, part.Intersect(r), image.NewUniform(m.color), image.Point{}, draw.Src)
	}
}

// label writes the text of a box where it hides least: beside it in the margin, above it, or in its corner.
func (o *overlay) label(m *mark, marks []*mark) {
	pad := 2 * o.line
	metrics := o.face.Metrics()
	width := font.MeasureString(o.face, m.text).Ceil() + 2*pad
	height := (metrics.Ascent + metrics.Descent).Ceil() + pad
	at := func(x, y int) image.Rectangle { return image.Rect(x, y, x+width, y+height) }
	r := m.rect
	places := []image.Rectangle{
		at(r.Min.X-width, r.Min.Y), at(r.Max.X, r.Min.Y), at(r.Min.X, r.Min.Y-height), at(r.Max.X-width, r.Min.Y-height),
		at(r.Min.X, r.Max.Y), at(r.Max.X-width, r.Max.Y),
	}
	place := at(min(max(r.Max.X-width, 0), max(o.img.Bounds().Dx()-width, 0)), r.Min.Y)
	for _, p := range places {
		if p.In(o.img.Bounds()) && o.isFree(p, m, marks) {
			place = p
			break
		}
	}
	o.labels = append(o.labels, place)
	draw.Draw(o.img, place, image.NewUniform(m.color), image.Point{}, draw.Over)
	d := font.Drawer{
		Dst: o.img, Src: image.White, Face: o.face,
		Dot: fixed.P(place.Min.X+pad, place.Min.Y+pad/2+metrics.Ascent.Ceil()),
	}
	d.DrawString(m.text)
}

// isFree tells whether a label there hides nothing of other boxes, and no other label.
func (o *overlay) isFree(p image.Rectangle, own *mark, marks []*mark) bool {
	for _, l := range o.labels {
		if l.Overlaps(p) {
			return false
		}
	}
	for _, m := range marks {
		// What the box is in may be under its label.
		if m != own && m.rect.Overlaps(p) && !own.rect.In(m.rect) {
			return false
		}
	}
	return true
}

// labelFont is the font of labels, a part of golang.org/x/image.
var labelFont = sync.OnceValue(func() *opentype.Font {
	f, err := opentype.Parse(gobold.TTF)
	if err != nil {
		panic(err) // of the library's own data
	}
	return f
})

// labelFace is the font in a size in pixels. A face has a state: each overlay has its own.
func labelFace(size float64) font.Face {
	face, err := opentype.NewFace(labelFont(), &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		panic(err) // of sizes that are not positive
	}
	return face
}
