package imageproc

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// sheet is a page under construction: A4, or a part of it, at some resolution.
type sheet struct {
	*image.Gray
	dpi float64
	rng *rand.Rand
}

func newSheet(dpi float64, paper uint8) *sheet {
	s := &sheet{image.NewGray(image.Rect(0, 0, int(8.27*dpi), int(11.69*dpi))), dpi, rand.New(rand.NewPCG(1, 2))}
	draw.Draw(s, s.Rect, image.NewUniform(color.Gray{Y: paper}), image.Point{}, draw.Src)
	return s
}

// write sets a text in points, at a place in parts of the page.
func (s *sheet) write(t *testing.T, text string, points, x, y float64, ink uint8) {
	t.Helper()
	f, err := opentype.Parse(goregular.TTF)
	require.NoError(t, err)
	face, err := opentype.NewFace(f, &opentype.FaceOptions{Size: points, DPI: s.dpi})
	require.NoError(t, err)
	d := font.Drawer{
		Dst: s, Src: image.NewUniform(color.Gray{Y: ink}), Face: face,
		Dot: fixed.P(int(x*float64(s.Rect.Dx())), int(y*float64(s.Rect.Dy()))),
	}
	d.DrawString(text)
}

// each changes every pixel.
func (s *sheet) each(change func(x, y int, v float64) float64) {
	for y := range s.Rect.Dy() {
		for x := range s.Rect.Dx() {
			i := y*s.Stride + x
			s.Pix[i] = uint8(math.Round(min(max(change(x, y, float64(s.Pix[i])), 0), 255)))
		}
	}
}

func (s *sheet) noise(sigma float64) {
	s.each(func(_, _ int, v float64) float64 { return v + sigma*s.rng.NormFloat64() })
}

// light makes the page darker to a corner by so many steps.
func (s *sheet) light(depth float64) {
	w, h := float64(s.Rect.Dx()), float64(s.Rect.Dy())
	s.each(func(x, y int, v float64) float64 { return v - depth*math.Hypot(float64(x)/w, float64(y)/h)/math.Sqrt2 })
}

// edges draws the dark edges of a scan: one straight, one at an angle.
func (s *sheet) edges() {
	w, h := s.Rect.Dx(), s.Rect.Dy()
	s.each(func(x, y int, v float64) float64 {
		if x < w/40 || y > h-h/100-x*h/w/20 {
			return 12
		}
		return v
	})
}

// specks puts dust on the page: single pixels at 200 dpi.
func (s *sheet) specks(n int) {
	side := max(1, int(s.dpi/200))
	for range n {
		x, y := s.rng.IntN(s.Rect.Dx()), s.rng.IntN(s.Rect.Dy())
		draw.Draw(s, image.Rect(x, y, x+side, y+side), image.Black, image.Point{}, draw.Src)
	}
}

func (s *sheet) jpeg(t *testing.T, quality int) image.Image {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, jpeg.Encode(&b, s.Gray, &jpeg.Options{Quality: quality}))
	img, err := jpeg.Decode(&b)
	require.NoError(t, err)
	return img
}

func TestHasInk(t *testing.T) {
	for _, row := range []struct {
		name string
		want bool
		page func(t *testing.T) image.Image
	}{
		{"white", false, func(*testing.T) image.Image { return newSheet(100, 255) }},
		{"one pixel", false, func(*testing.T) image.Image { return image.NewGray(image.Rect(3, 4, 4, 5)) }},
		{"a strip of one row", false, func(*testing.T) image.Image { return image.NewGray(image.Rect(0, 0, 5000, 1)) }},
		{"transparent", false, func(*testing.T) image.Image { return image.NewNRGBA(image.Rect(0, 0, 100, 200)) }},
		{"colored paper", false, func(*testing.T) image.Image { return image.NewUniform(color.RGBA{240, 220, 130, 255}) }},
		{"noise of a scanner, 200 dpi", false, func(*testing.T) image.Image { s := newSheet(200, 240); s.noise(8); return s }},
		{"noise of a scanner, 100 dpi", false, func(*testing.T) image.Image { s := newSheet(100, 240); s.noise(8); return s }},
		{"noise in a bad JPEG", false, func(t *testing.T) image.Image { s := newSheet(150, 235); s.noise(6); return s.jpeg(t, 40) }},
		{"light from one side", false, func(*testing.T) image.Image { s := newSheet(100, 250); s.light(120); s.noise(3); return s }},
		{"dark edges", false, func(*testing.T) image.Image { s := newSheet(100, 250); s.edges(); s.noise(3); return s }},
		{"all of it: edges, light, noise, dust, JPEG", false, func(t *testing.T) image.Image {
			s := newSheet(200, 245)
			s.light(60)
			s.edges()
			s.specks(60)
			s.noise(5)
			return s.jpeg(t, 75)
		}},
		{"dark paper", false, func(*testing.T) image.Image { s := newSheet(100, 25); s.noise(6); return s }},
		{"dust", false, func(*testing.T) image.Image { s := newSheet(200, 250); s.specks(200); return s }},

		{"a page number, 300 dpi", true, func(t *testing.T) image.Image { s := newSheet(300, 255); s.write(t, "7", 8, 0.5, 0.96, 0); return s }},
		{"a page number, 72 dpi", true, func(t *testing.T) image.Image { s := newSheet(72, 255); s.write(t, "1", 8, 0.5, 0.96, 0); return s }},
		{"a page number at the very edge", true, func(t *testing.T) image.Image { s := newSheet(150, 255); s.write(t, "12", 8, 0.97, 0.998, 0); return s }},
		{"a page number in all of it", true, func(t *testing.T) image.Image {
			s := newSheet(200, 245)
			s.write(t, "– 4 –", 9, 0.5, 0.95, 40)
			s.light(60)
			s.edges()
			s.specks(60)
			s.noise(5)
			return s.jpeg(t, 75)
		}},
		{"a small line", true, func(t *testing.T) image.Image {
			s := newSheet(150, 255)
			s.write(t, "Intentionally left blank.", 7, 0.4, 0.5, 0)
			return s
		}},
		{"a small line in noise", true, func(t *testing.T) image.Image {
			s := newSheet(150, 240)
			s.write(t, "Intentionally left blank.", 8, 0.4, 0.5, 60)
			s.noise(8)
			return s
		}},
		{"faint gray", true, func(t *testing.T) image.Image {
			s := newSheet(150, 255)
			s.write(t, "Confidential", 9, 0.4, 0.5, 225)
			return s
		}},
		{"pencil in noise", true, func(t *testing.T) image.Image {
			s := newSheet(200, 240)
			s.write(t, "ask Anna about this", 12, 0.3, 0.5, 190)
			s.noise(5)
			return s
		}},
		{"white on black", true, func(t *testing.T) image.Image {
			s := newSheet(100, 0)
			s.write(t, "THE END", 9, 0.4, 0.5, 255)
			return s
		}},
		{"one dot leader", true, func(t *testing.T) image.Image {
			s := newSheet(150, 255)
			s.write(t, ". . . . . . . . . . . . . . . .", 14, 0.2, 0.5, 0)
			return s
		}},
		{"a hairline box", true, func(*testing.T) image.Image {
			s := newSheet(150, 255)
			draw.Draw(s, image.Rect(200, 200, 900, 201), image.Black, image.Point{}, draw.Src)
			return s
		}},
		{"a full page of text", true, func(t *testing.T) image.Image {
			s := newSheet(150, 255)
			for y := 0.05; y < 0.95; y += 0.012 {
				s.write(t, "The quick brown fox jumps over the lazy dog, and nobody minds it much at all today.", 10, 0.1, y, 0)
			}
			return s
		}},
		{"a black picture on white", true, func(*testing.T) image.Image {
			s := newSheet(100, 255)
			draw.Draw(s, image.Rect(200, 200, 600, 900), image.Black, image.Point{}, draw.Src)
			return s
		}},
		{"a texture", true, func(*testing.T) image.Image { s := newSheet(100, 128); s.noise(40); return s }},
		{"a small crop of a word", true, func(t *testing.T) image.Image {
			s := newSheet(72, 255)
			s.write(t, "word", 10, 0.02, 0.03, 0)
			return s.SubImage(image.Rect(5, 5, 60, 40))
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			img := row.page(t)
			if u, ok := img.(*image.Uniform); ok {
				page := image.NewRGBA(image.Rect(0, 0, 800, 1100))
				draw.Draw(page, page.Rect, u, image.Point{}, draw.Src)
				img = page
			}
			got, err := HasInk(t.Context(), img)
			require.NoError(t, err)
			require.Equal(t, row.want, got)
		})
	}
	_, err := HasInk(t.Context(), nil)
	require.ErrorIs(t, err, ErrEmpty)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = HasInk(ctx, newSheet(100, 255))
	require.ErrorIs(t, err, context.Canceled)
}

func BenchmarkHasInk(b *testing.B) {
	for name, ink := range map[string]uint8{"blank": 255, "written": 0} {
		b.Run(name, func(b *testing.B) {
			s := newSheet(300, 255)
			draw.Draw(s, image.Rect(500, 500, 2000, 600), image.NewUniform(color.Gray{Y: ink}), image.Point{}, draw.Src)
			page, err := ToRGB(b.Context(), s)
			require.NoError(b, err)
			for b.Loop() {
				if _, err := HasInk(b.Context(), page); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
