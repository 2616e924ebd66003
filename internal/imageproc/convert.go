package imageproc

import (
	"context"
	"fmt"
	"image"
	"image/color"
)

// webpToRGB is ToRGB for what the WebP decoder returns.
func webpToRGB(ctx context.Context, img image.Image) (*RGB, error) {
	switch m := img.(type) {
	case *image.YCbCr:
		return convertRows(ctx, m.Rect, func() rowFunc { return webpRows(m).row })
	case *image.NYCbCrA:
		return convertRows(ctx, m.Rect, func() rowFunc {
			opaque := webpRows(&m.YCbCr).row
			return func(dst []uint8, y int) {
				opaque(dst, y)
				for i, a := range m.A[m.AOffset(m.Rect.Min.X, y):][:m.Rect.Dx()] {
					d := (*[3]uint8)(dst[3*i:])
					d[0], d[1], d[2] = overWhite(d[0], a), overWhite(d[1], a), overWhite(d[2], a)
				}
			}
		})
	}
	return ToRGB(ctx, img)
}

// maxRaster is the largest area of a raster, in pixels. An image.Image need not hold its pixels, so one that says it is
// endless (image.Uniform does) costs its maker nothing.
const maxRaster = 1 << 28

// ToRGB gives the 8-bit RGB raster of any image, transparency laid over white (as transformers 5.23 does it, rounding
// included), the samples of deeper images cut to their high byte. An *RGB comes back as it is, so the result may be
// img itself. It fails for an image without pixels or with more than 2^28, for one whose buffer is shorter than its bounds say, and when ctx
// is canceled.
//
// A YCbCr image is taken for a decoded JPEG and converted as libjpeg does it, not as Go's color package.
func ToRGB(ctx context.Context, img image.Image) (*RGB, error) {
	if img == nil {
		return nil, fmt.Errorf("%w: the image is nil", ErrEmpty)
	}
	b := img.Bounds()
	if b.Dx() < 1 || b.Dy() < 1 { // also where the difference overflows
		return nil, fmt.Errorf("%w: the image is %d x %d pixels", ErrEmpty, b.Dx(), b.Dy())
	}
	if b.Dx() > maxRaster/b.Dy() {
		return nil, fmt.Errorf("%w: the image is %d x %d pixels, a raster may have %d in all", ErrTooLarge, b.Dx(), b.Dy(), maxRaster)
	}
	if !complete(img) {
		return nil, fmt.Errorf("%w: the image says %d x %d pixels, its buffer holds fewer", ErrTruncated, b.Dx(), b.Dy())
	}
	if p, ok := img.(*RGB); ok {
		return p, nil
	}
	return convertRows(ctx, b, func() rowFunc { return rowConverter(img) })
}

// rowFunc writes the row of an image at y, in the image's coordinates, as RGB.
type rowFunc func(dst []uint8, y int)

// convertRows fills a raster. Each of the goroutines calls newRow for a function of its own.
func convertRows(ctx context.Context, b image.Rectangle, newRow func() rowFunc) (*RGB, error) {
	dst := NewRGB(b.Dx(), b.Dy())
	err := ParallelRows(ctx, dst.H, 3*dst.W, func(lo, hi int) {
		row := newRow()
		for y := lo; y < hi; y++ {
			row(dst.Pix[3*dst.W*y:][:3*dst.W], b.Min.Y+y)
		}
	})
	if err != nil {
		return nil, err
	}
	return dst, nil
}

// complete reports whether the pixel buffers of the image types that are read directly cover their bounds. The image
// types of the standard library are open structs, so a caller can hold one that does not.
func complete(img image.Image) bool {
	holds := func(pix []uint8, stride, bytes int) bool {
		b := img.Bounds()
		return stride >= bytes*b.Dx() && len(pix) >= (b.Dy()-1)*stride+bytes*b.Dx()
	}
	ycbcr := func(m *image.YCbCr) bool {
		b := m.Rect
		last := b.Max.Sub(image.Pt(1, 1))
		c0, c1 := m.COffset(b.Min.X, b.Min.Y), m.COffset(last.X, last.Y)
		return holds(m.Y, m.YStride, 1) && m.CStride > 0 && c0 >= 0 && c1 >= c0 && c1 < min(len(m.Cb), len(m.Cr))
	}
	switch m := img.(type) {
	case *RGB:
		return len(m.Pix) >= 3*m.W*m.H
	case *image.RGBA:
		return holds(m.Pix, m.Stride, 4)
	case *image.NRGBA:
		return holds(m.Pix, m.Stride, 4)
	case *image.CMYK:
		return holds(m.Pix, m.Stride, 4)
	case *image.RGBA64:
		return holds(m.Pix, m.Stride, 8)
	case *image.NRGBA64:
		return holds(m.Pix, m.Stride, 8)
	case *image.Gray16:
		return holds(m.Pix, m.Stride, 2)
	case *image.Gray:
		return holds(m.Pix, m.Stride, 1)
	case *image.Paletted:
		return holds(m.Pix, m.Stride, 1)
	case *image.YCbCr:
		return ycbcr(m)
	case *image.NYCbCrA:
		return ycbcr(&m.YCbCr) && holds(m.A, m.AStride, 1)
	}
	return true
}

// rowConverter returns a function that writes a row of img laid over white.
func rowConverter(img image.Image) rowFunc {
	b := img.Bounds()
	switch m := img.(type) {
	case *image.RGBA:
		return func(dst []uint8, y int) {
			src := m.Pix[m.PixOffset(b.Min.X, y):]
			for ; len(dst) >= 3 && len(src) >= 4; dst, src = dst[3:], src[4:] {
				d, s := (*[3]uint8)(dst), (*[4]uint8)(src)
				if white := 255 - s[3]; white == 0 {
					d[0], d[1], d[2] = s[0], s[1], s[2]
				} else { // the samples are already multiplied by alpha
					d[0], d[1], d[2] = addClamped(s[0], white), addClamped(s[1], white), addClamped(s[2], white)
				}
			}
		}
	case *image.NRGBA:
		return func(dst []uint8, y int) {
			src := m.Pix[m.PixOffset(b.Min.X, y):]
			for ; len(dst) >= 3 && len(src) >= 4; dst, src = dst[3:], src[4:] {
				d, s := (*[3]uint8)(dst), (*[4]uint8)(src)
				if a := s[3]; a == 255 {
					d[0], d[1], d[2] = s[0], s[1], s[2]
				} else {
					d[0], d[1], d[2] = overWhite(s[0], a), overWhite(s[1], a), overWhite(s[2], a)
				}
			}
		}
	case *image.Gray:
		return func(dst []uint8, y int) {
			for _, v := range m.Pix[m.PixOffset(b.Min.X, y):][:b.Dx()] {
				dst[0], dst[1], dst[2] = v, v, v
				dst = dst[3:]
			}
		}
	case *image.YCbCr:
		if b.Min.X >= 0 { // else Go divides the other way, and the general path follows it
			return jpegRows(m).row
		}
	case *image.Paletted:
		var table [256][3]uint8 // an index beyond the palette stays black
		for i, c := range m.Palette[:min(len(m.Palette), 256)] {
			table[i] = colorOverWhite(c)
		}
		return func(dst []uint8, y int) {
			for _, v := range m.Pix[m.PixOffset(b.Min.X, y):][:b.Dx()] {
				*(*[3]uint8)(dst) = table[v]
				dst = dst[3:]
			}
		}
	}
	return func(dst []uint8, y int) {
		for x := b.Min.X; x < b.Max.X; x++ {
			*(*[3]uint8)(dst) = colorOverWhite(img.At(x, y))
			dst = dst[3:]
		}
	}
}

func addClamped(a, b uint8) uint8 { return uint8(min(int(a)+int(b), 255)) }

// overWhite lays a sample of opacity a over white with Pillow's rounding (libImaging/AlphaComposite.c).
func overWhite(v, a uint8) uint8 {
	t := (uint32(v)*uint32(a)+255*(255-uint32(a)))<<7 + 0x80<<7
	return uint8((t>>8 + t) >> 8 >> 7)
}

func colorOverWhite(c color.Color) [3]uint8 {
	switch c := c.(type) {
	case nil:
		return [3]uint8{}
	case color.NRGBA:
		return [3]uint8{overWhite(c.R, c.A), overWhite(c.G, c.A), overWhite(c.B, c.A)}
	case color.NYCbCrA:
		r, g, b := color.YCbCrToRGB(c.Y, c.Cb, c.Cr)
		return [3]uint8{overWhite(r, c.A), overWhite(g, c.A), overWhite(b, c.A)}
	}
	r, g, b, a := c.RGBA() // multiplied by alpha, 16 bits
	white := 0xffff - min(a, 0xffff)
	high := func(v uint32) uint8 { return uint8(min(v+white, 0xffff) >> 8) }
	return [3]uint8{high(r), high(g), high(b)}
}
