package imageproc

import (
	"context"
	"image"
	"image/color"
)

// RGB is an opaque raster of 8-bit red, green and blue samples. It is an [image.Image].
type RGB struct {
	// Pix holds the samples: [H, W, 3], so the pixel (x, y) begins at 3*(y*W+x).
	Pix []uint8
	// W and H are the width and height in pixels.
	W, H int
}

// NewRGB returns a black raster of w by h pixels, each at least 1.
func NewRGB(w, h int) *RGB { return &RGB{Pix: make([]uint8, 3*w*h), W: w, H: h} }

// ColorModel implements [image.Image].
func (p *RGB) ColorModel() color.Model { return color.RGBAModel }

// Bounds implements [image.Image]; the origin is at (0, 0).
func (p *RGB) Bounds() image.Rectangle { return image.Rect(0, 0, p.W, p.H) }

// At implements [image.Image].
func (p *RGB) At(x, y int) color.Color {
	if x < 0 || y < 0 || x >= p.W || y >= p.H {
		return color.RGBA{}
	}
	i := 3 * (y*p.W + x)
	return color.RGBA{p.Pix[i], p.Pix[i+1], p.Pix[i+2], 255}
}

// Oriented returns the picture as the EXIF orientation o says that it is to be seen: 1 upright, 2 mirrored, 3 upside
// down, 4 upside down and mirrored, 5 to 8 the same on their side, so that width and height are swapped. Any other o is
// taken as 1, for which p itself is returned. It fails only when ctx is canceled.
func (p *RGB) Oriented(ctx context.Context, o int) (*RGB, error) {
	if o <= upright || o > 8 {
		return p, nil
	}
	q := NewRGB(p.W, p.H)
	if o >= 5 {
		q.W, q.H = p.H, p.W
	}
	// Along a row of q, the source moves by step samples from start, which moves by down from row to row.
	start, step, down := 0, 3, 3*p.W
	if o == 2 || o == 3 || o == 7 || o == 8 { // the source's columns run backwards
		start, step = start+3*(p.W-1), -step
	}
	if o == 3 || o == 4 || o == 6 || o == 7 { // the source's rows run backwards
		start, down = start+3*p.W*(p.H-1), -down
	}
	if o >= 5 {
		step, down = down, step
	}
	err := ParallelRows(ctx, q.H, 3*q.W, func(lo, hi int) {
		for y := lo; y < hi; y++ {
			dst := q.row(y)
			for at := start + y*down; len(dst) > 0; at += step {
				copy(dst[:3], p.Pix[at:][:3])
				dst = dst[3:]
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return q, nil
}

func (p *RGB) row(y int) []uint8 { return p.Pix[3*p.W*y:][: 3*p.W : 3*p.W] }
