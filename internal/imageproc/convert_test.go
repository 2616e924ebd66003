package imageproc

import (
	"context"
	"encoding/json"
	"hash/crc32"
	"image"
	"image/color"
	"image/draw"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every color at every opacity, as transformers lays it over white.
func TestAlphaOverWhiteEqualsTransformers(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 256, 256))
	for y := range 256 {
		for x := range 256 {
			img.SetNRGBA(x, y, color.NRGBA{uint8(x), uint8(255 - x), uint8(7 * x), uint8(y)})
		}
	}
	data, err := os.ReadFile("testdata/alpha_crc.json")
	require.NoError(t, err)
	var want uint32
	require.NoError(t, json.Unmarshal(data, &want))
	p, err := ToRGB(t.Context(), img)
	require.NoError(t, err)
	require.Equal(t, []uint8{255, 255, 255}, p.Pix[:3], "transparent is white")
	require.Equal(t, want, crc32.ChecksumIEEE(p.Pix))
}

// The direct paths give what the general one gives, for parts of images too.
func TestToRGBPathsAgree(t *testing.T) {
	rect := image.Rect(3, 5, 40, 31)
	src := image.NewNRGBA(rect)
	texture(src.Pix)
	images := map[string]draw.Image{
		"RGBA": image.NewRGBA(rect), "NRGBA": image.NewNRGBA(rect), "Gray": image.NewGray(rect), "Gray16": image.NewGray16(rect),
		"CMYK": image.NewCMYK(rect), "RGBA64": image.NewRGBA64(rect), "NRGBA64": image.NewNRGBA64(rect),
		"Paletted": image.NewPaletted(rect, color.Palette{color.Black, color.NRGBA{200, 100, 50, 120}, color.White, color.Transparent}),
	}
	check := func(t *testing.T, img image.Image) {
		t.Helper()
		got, err := ToRGB(t.Context(), img)
		require.NoError(t, err)
		want, err := ToRGB(t.Context(), struct{ image.Image }{img})
		require.NoError(t, err)
		require.Equal(t, []int{img.Bounds().Dx(), img.Bounds().Dy()}, []int{got.W, got.H})
		largest, _ := worst(got, want)
		require.LessOrEqual(t, largest, 1) // the general path has the samples multiplied by alpha
	}
	for name, img := range images {
		t.Run(name, func(t *testing.T) {
			draw.Draw(img, rect, src, rect.Min, draw.Src)
			check(t, img)
			check(t, img.(interface {
				SubImage(image.Rectangle) image.Image
			}).SubImage(image.Rect(7, 9, 20, 22)))
		})
	}
}

// A part of a YCbCr image, however it lies to the grid of the chroma samples, is that part of the whole where no
// interpolation reaches over its edge.
func TestPartOfYCbCr(t *testing.T) {
	for _, ratio := range []image.YCbCrSubsampleRatio{
		image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420,
		image.YCbCrSubsampleRatio440, image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410,
	} {
		t.Run(ratio.String(), func(t *testing.T) {
			img := image.NewYCbCr(image.Rect(0, 0, 41, 31), ratio)
			texture(img.Y)
			texture(img.Cb)
			texture(img.Cr[1:])
			whole, err := ToRGB(t.Context(), img)
			require.NoError(t, err)
			for _, r := range []image.Rectangle{image.Rect(3, 5, 30, 20), image.Rect(4, 4, 41, 31), image.Rect(1, 2, 34, 27)} {
				part, err := ToRGB(t.Context(), img.SubImage(r))
				require.NoError(t, err)
				for y := 2; y < r.Dy()-2; y++ {
					n := 3 * (r.Dx() - 4)
					require.Equal(t, whole.row(r.Min.Y + y)[3*(r.Min.X+2):][:n], part.row(y)[6:][:n], "%v: row %d", r, y)
				}
			}
		})
	}
}

func TestYCbCrBelowZero(t *testing.T) {
	for _, ratio := range []image.YCbCrSubsampleRatio{image.YCbCrSubsampleRatio420, image.YCbCrSubsampleRatio410} {
		img := image.NewYCbCr(image.Rect(-7, -3, 20, 9), ratio)
		_, err := ToRGB(t.Context(), img)
		require.NoError(t, err)
	}
}

func TestToRGBRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		img image.Image
		is  error
	}{
		"nil":               {nil, ErrEmpty},
		"no pixels":         {image.NewRGBA(image.Rect(4, 4, 4, 9)), ErrEmpty},
		"endless":           {image.NewUniform(color.White), ErrTooLarge},
		"no buffer":         {&image.RGBA{Rect: image.Rect(0, 0, 9, 9), Stride: 36}, ErrTruncated},
		"no stride":         {&image.Gray{Rect: image.Rect(0, 0, 9, 9), Pix: make([]uint8, 81)}, ErrTruncated},
		"no chroma":         {&image.YCbCr{Rect: image.Rect(0, 0, 9, 9), Y: make([]uint8, 81), YStride: 9}, ErrTruncated},
		"raster too short":  {&RGB{Pix: make([]uint8, 5), W: 1, H: 2}, ErrTruncated},
		"overflowing sizes": {&image.Gray{Rect: image.Rectangle{Min: image.Pt(-1<<62, 0), Max: image.Pt(1<<62+1, 1)}}, ErrEmpty},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ToRGB(t.Context(), c.img)
			require.ErrorIs(t, err, c.is)
		})
	}
}

func TestToRGBKeepsARaster(t *testing.T) {
	p := NewRGB(3, 2)
	texture(p.Pix)
	got, err := ToRGB(t.Context(), p)
	require.NoError(t, err)
	require.Same(t, p, got)
	copied, err := ToRGB(t.Context(), struct{ image.Image }{p})
	require.NoError(t, err)
	require.Equal(t, p, copied)
}

func TestIndexBeyondPaletteIsBlack(t *testing.T) {
	img := image.NewPaletted(image.Rect(0, 0, 2, 1), color.Palette{color.White})
	img.Pix[1] = 200
	p, err := ToRGB(t.Context(), img)
	require.NoError(t, err)
	require.Equal(t, []uint8{255, 255, 255, 0, 0, 0}, p.Pix)
}

// Luma and chroma become RGB as in libjpeg and libwebp, interpolation of chroma included. WebP is exact; of JPEG the
// rounding of Go's inverse DCT remains, at most 2 levels (3 after the conversion) in few samples.
func TestJPEGAndWebPEqualPillow(t *testing.T) {
	for name, limit := range map[string]struct {
		largest int
		share   float64 // of the samples that differ
	}{
		"444.jpg": {3, 0.05}, "422.jpg": {3, 0.05}, "420.jpg": {3, 0.05}, "progressive.jpg": {3, 0.05}, "narrow.jpg": {3, 0.05},
		"gray.jpg": {1, 0.03}, "lossy.webp": {}, "alpha.webp": {}, "narrow.webp": {},
	} {
		t.Run(name, func(t *testing.T) {
			got, want := readRGB(t, "yuv_"+name), readRGB(t, "yuv_"+name+".png")
			require.Equal(t, []int{want.W, want.H}, []int{got.W, got.H})
			largest, count := worst(got, want)
			share := float64(count) / float64(len(got.Pix))
			t.Logf("largest difference %d, %.2f%% of samples differ", largest, 100*share)
			require.LessOrEqual(t, largest, limit.largest)
			require.LessOrEqual(t, share, limit.share)
		})
	}
}

func TestCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := NewRGB(64, 64)
	_, err := Resize(ctx, p, 32, 32)
	require.ErrorIs(t, err, context.Canceled)
	_, err = Resize(ctx, p, 32, 64)
	require.ErrorIs(t, err, context.Canceled)
	_, err = ToRGB(ctx, image.NewGray(p.Bounds()))
	require.ErrorIs(t, err, context.Canceled)
	_, err = p.Oriented(ctx, 3)
	require.ErrorIs(t, err, context.Canceled)
}
