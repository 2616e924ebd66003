package imageproc

import (
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
// taken as 1, for which p itself is returned.
func (p *RGB) Oriented(o int) *RGB {
	if o <= 1 || o > 8 {
		return p
	}
	q := NewRGB(p.W, p.H)
	if o >= 5 {
		q.W, q.H = p.H, p.W
	}
	for y := range q.H {
		for x := range q.W {
			sx, sy := x, y
			switch o {
			case 2:
				sx = p.W - 1 - x
			case 3:
				sx, sy = p.W-1-x, p.H-1-y
			case 4:
				sy = p.H - 1 - y
			case 5:
				sx, sy = y, x
			case 6: // the camera's right is up: turn a quarter clockwise
				sx, sy = y, p.H-1-x
			case 7:
				sx, sy = p.W-1-y, p.H-1-x
			case 8:
				sx, sy = p.W-1-y, x
			}
			copy(q.Pix[3*(y*q.W+x):][:3], p.Pix[3*(sy*p.W+sx):][:3])
		}
	}
	return q
}
