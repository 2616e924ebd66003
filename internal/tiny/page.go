package tiny

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"strings"
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/gomonobold"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// Metrics of Go Mono, in em.
const (
	advance = 0.6
	ascent  = 0.945
	descent = 0.211
)

// maxSide bounds a page's sides: 64 Mpx at most.
const maxSide = 8192

// PageOptions says what DrawPage draws. The zero value of every field but
// Markdown is its default.
type PageOptions struct {
	// Markdown is the text: see ParseBlocks for what it may hold. The fonts have no glyphs outside of
	// Latin, Greek and Cyrillic; the checkpoint reads printable ASCII.
	Markdown string
	// Width and Height are the page's size in pixels: 512 and 384 if 0.
	Width, Height int
	// Size is the height of an em in pixels: 26 2/3 if 0. The checkpoint reads 24 to 30.
	Size float64
	// Pitch is the distance of two base lines in Size: 1.2 if 0. The checkpoint reads 1.15 to 1.45.
	Pitch float64
	// Left, Top and Right are the margins in pixels: 16 if 0.
	Left, Top, Right float64
	// Gap is the space between two blocks in lines: 0.7 if 0.
	Gap float64
	// Heading is the size of a Heading1 in Size: 1.3 if 0.
	Heading float64
	// Paper is the grey of the background: 255 if 0.
	Paper uint8
	// Ink is the grey of the letters: 0 is black.
	Ink uint8
}

// Page is a drawn page and the text on it.
type Page struct {
	Image *image.Gray
	// Markdown is what the page shows, wrapped lines joined by a space: the part of the text given that fits,
	// cut after a line.
	Markdown string
	// Complete says that all of the text given fits.
	Complete bool
}

var fonts = sync.OnceValues(func() (f [2]*opentype.Font, err error) {
	for i, ttf := range [][]byte{gomono.TTF, gomonobold.TTF} {
		if f[i], err = opentype.Parse(ttf); err != nil {
			return f, fmt.Errorf("tiny: parse Go Mono: %w", err)
		}
	}
	return f, nil
})

func (o PageOptions) withDefaults() PageOptions {
	def := func(v *float64, to float64) {
		if *v == 0 {
			*v = to
		}
	}
	if o.Width == 0 {
		o.Width = 512
	}
	if o.Height == 0 {
		o.Height = 384
	}
	def(&o.Size, 80.0/3)
	def(&o.Pitch, 1.2)
	def(&o.Left, 16)
	def(&o.Top, 16)
	def(&o.Right, 16)
	def(&o.Gap, 0.7)
	def(&o.Heading, 1.3)
	if o.Paper == 0 {
		o.Paper = 255
	}
	return o
}

func (o PageOptions) validate() error {
	var errs []error
	if o.Width < 1 || o.Height < 1 || o.Width > maxSide || o.Height > maxSide {
		errs = append(errs, fmt.Errorf("page of %d×%d px: both sides must be 1 to %d", o.Width, o.Height, maxSide))
	}
	for _, f := range []struct {
		name   string
		v      float64
		lo, hi float64
	}{
		{"Size", o.Size, 4, 512},
		{"Pitch", o.Pitch, 0.5, 10},
		{"Left", o.Left, 0, maxSide},
		{"Top", o.Top, 0, maxSide},
		{"Right", o.Right, 0, maxSide},
		{"Gap", o.Gap, 0, 100},
		{"Heading", o.Heading, 0.5, 4},
	} {
		if !(f.v >= f.lo && f.v <= f.hi) { // also refuses NaN
			errs = append(errs, fmt.Errorf("%s is %v: must be %v to %v", f.name, f.v, f.lo, f.hi))
		}
	}
	if len(ParseBlocks(o.Markdown)) == 0 {
		errs = append(errs, errors.New("Markdown is blank: there is nothing to draw"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("tiny: page options: %w", err)
	}
	return nil
}

// DrawPage sets Markdown in Go Mono on a grey page, without hinting. The same
// options give the same pixels. It fails on options out of range and where not
// one line fits.
func DrawPage(o PageOptions) (*Page, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	ff, err := fonts()
	if err != nil {
		return nil, err
	}
	s := &setter{o: o, y: o.Top, img: image.NewGray(image.Rect(0, 0, o.Width, o.Height)), fonts: ff}
	draw.Draw(s.img, s.img.Bounds(), image.NewUniform(color.Gray{Y: o.Paper}), image.Point{}, draw.Src)
	blocks, complete, err := s.set(ParseBlocks(o.Markdown))
	if err != nil {
		return nil, err
	}
	if len(blocks) == 0 {
		return nil, fmt.Errorf("tiny: page of %d×%d px has no room for a line of %.1f px: make it larger or the margins smaller", o.Width, o.Height, o.Size)
	}
	return &Page{Image: s.img, Markdown: FormatBlocks(blocks), Complete: complete}, nil
}

// setter is the state of one page being set: y is the top of the next line.
type setter struct {
	o     PageOptions
	y     float64
	img   *image.Gray
	fonts [2]*opentype.Font
}

func (s *setter) set(blocks []Block) (shown []Block, complete bool, err error) {
	o := s.o
	for _, b := range blocks {
		size, bold, indent := o.Size, 0, 0
		switch b.Kind {
		case Heading1:
			size, bold = o.Size*o.Heading, 1
		case Heading2:
			bold = 1
		case List:
			indent = 2
		}
		cols := int((float64(o.Width)-o.Right-o.Left)/(size*advance)) - indent
		if cols < 1 {
			return shown, false, nil
		}
		left := o.Left + float64(indent)*size*advance
		out := Block{Kind: b.Kind}
		for _, text := range b.Text {
			lines := wrap(text, cols)
			n := 0
			for ; n < len(lines) && s.y+(ascent+descent)*size <= float64(o.Height); n++ {
				if n == 0 && b.Kind == List {
					err = s.line("-", o.Left, size, bold)
				}
				if err == nil {
					err = s.line(lines[n], left, size, bold)
				}
				if err != nil {
					return nil, false, err
				}
				s.y += size * o.Pitch
			}
			if n > 0 {
				out.Text = append(out.Text, strings.Join(lines[:n], " "))
			}
			if n < len(lines) {
				if len(out.Text) > 0 {
					shown = append(shown, out)
				}
				return shown, false, nil
			}
		}
		shown = append(shown, out)
		s.y += o.Gap * o.Size * o.Pitch
	}
	return shown, true, nil
}

// line draws text with its left edge at x and its ascent's top at s.y. Every letter is placed on its own, so that
// rounded advances do not add up.
func (s *setter) line(text string, x, size float64, bold int) error {
	face, err := opentype.NewFace(s.fonts[bold], &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingNone})
	if err != nil {
		return fmt.Errorf("tiny: Go Mono at %.1f px: %w", size, err)
	}
	defer face.Close()
	d := font.Drawer{Dst: s.img, Src: image.NewUniform(color.Gray{Y: s.o.Ink}), Face: face}
	i := 0
	for _, r := range text {
		d.Dot = fixed.Point26_6{X: px(x + float64(i)*size*advance), Y: px(s.y + ascent*size)}
		d.DrawString(string(r))
		i++
	}
	return nil
}

func px(v float64) fixed.Int26_6 { return fixed.Int26_6(math.Round(v * 64)) }
