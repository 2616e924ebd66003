package imageproc

import (
	"image"
	"testing"

	"github.com/stretchr/testify/require"
)

// texture fills samples so that no two rows are alike.
func texture(pix []uint8) {
	seed := uint32(1)
	for i := range pix {
		seed = seed*1664525 + 1013904223
		pix[i] = uint8(seed >> 24)
	}
}

func BenchmarkResize(b *testing.B) {
	src := NewRGB(1240, 1754)
	texture(src.Pix)
	for _, c := range []struct {
		name string
		w, h int
	}{{"up", 1248, 1760}, {"down", 620, 877}, {"across", 1248, 1754}, {"twice", 2480, 3508}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := Resize(b.Context(), src, c.w, c.h)
				require.NoError(b, err)
			}
		})
	}
}

func BenchmarkToRGB(b *testing.B) {
	rect := image.Rect(0, 0, 1240, 1754)
	rgba, nrgba, gray, ycbcr := image.NewRGBA(rect), image.NewNRGBA(rect), image.NewGray(rect), image.NewYCbCr(rect, image.YCbCrSubsampleRatio420)
	for _, pix := range [][]uint8{rgba.Pix, nrgba.Pix, gray.Pix, ycbcr.Y, ycbcr.Cb, ycbcr.Cr} {
		texture(pix)
	}
	for name, img := range map[string]image.Image{"RGBA": rgba, "NRGBA": nrgba, "Gray": gray, "YCbCr": ycbcr, "generic": struct{ image.Image }{rgba}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, err := ToRGB(b.Context(), img)
				require.NoError(b, err)
			}
		})
	}
}
