package imageproc

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
)

// gradient is a small opaque picture in which every pixel differs.
func gradient(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetNRGBA(x, y, color.NRGBA{uint8(16 * x), uint8(16 * y), uint8(x * y), 255})
		}
	}
	return img
}

func encoded(t testing.TB, encode func(io.Writer, image.Image) error, img image.Image) []byte {
	t.Helper()
	var buf bytes.Buffer
	require.NoError(t, encode(&buf, img))
	return buf.Bytes()
}

var encoders = map[string]func(io.Writer, image.Image) error{
	"PNG": png.Encode,
	"BMP": bmp.Encode,
	"TIFF": func(w io.Writer, m image.Image) error {
		return tiff.Encode(w, m, &tiff.Options{Compression: tiff.Deflate})
	},
	"GIF":  func(w io.Writer, m image.Image) error { return gif.Encode(w, m, nil) },
	"JPEG": func(w io.Writer, m image.Image) error { return jpeg.Encode(w, m, &jpeg.Options{Quality: 100}) },
}

func TestDecodeFormats(t *testing.T) {
	img := gradient(12, 9)
	want, err := ToRGB(t.Context(), img)
	require.NoError(t, err)
	for name, encode := range encoders {
		t.Run(name, func(t *testing.T) {
			got, err := Decode(t.Context(), bytes.NewReader(encoded(t, encode, img)), Limits{})
			require.NoError(t, err)
			rgb, err := ToRGB(t.Context(), got)
			require.NoError(t, err)
			require.Equal(t, []int{12, 9}, []int{rgb.W, rgb.H})
			if name == "PNG" || name == "BMP" || name == "TIFF" {
				require.Equal(t, want.Pix, rgb.Pix)
			}
		})
	}
}

// pngHeader is a PNG that consists of its header alone.
func pngHeader(w, h uint32) []byte {
	ihdr := binary.BigEndian.AppendUint32([]byte("IHDR"), w)
	ihdr = append(binary.BigEndian.AppendUint32(ihdr, h), 8, 2, 0, 0, 0)
	data := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), ihdr...)
	return binary.BigEndian.AppendUint32(data, crc32.ChecksumIEEE(ihdr))
}

func TestDecodeRefuses(t *testing.T) {
	whole := encoded(t, png.Encode, gradient(40, 40))
	truncated := func(format string) []byte {
		data := encoded(t, encoders[format], gradient(40, 40))
		return data[:len(data)*2/3]
	}
	webp, err := os.ReadFile("testdata/orient_3.webp")
	require.NoError(t, err)
	damaged := bytes.Clone(whole)
	damaged[len(damaged)/2] ^= 0xff
	depth := pngHeader(1, 1)
	depth[25] = 7 // the color type: there is no 7, and the checksum is wrong too
	for _, c := range []struct {
		name   string
		data   []byte
		limits Limits
		is     error
		text   string
	}{
		{"empty file", nil, Limits{}, ErrEmpty, "no bytes"},
		{"text file", []byte("not a picture\n"), Limits{}, ErrFormat, "text file that begins with"},
		{"text cut inside a character", []byte(strings.Repeat("x", 511) + "ж"), Limits{}, ErrFormat, "text file"},
		{"PDF", []byte("%PDF-1.7\n%\xe2\xe3"), Limits{}, ErrFormat, "render its pages"},
		{"HEIC", []byte("\x00\x00\x00\x18ftypheic\x00\x00"), Limits{}, ErrFormat, "export it as JPEG"},
		{"noise", []byte{0x93, 1, 2, 3}, Limits{}, ErrFormat, "93 01 02 03"},
		{"one byte", []byte{0x89}, Limits{}, ErrFormat, "89"},
		{"huge PNG header", pngHeader(60000, 60000), Limits{}, ErrTooLarge, "60000 x 60000 pixels, the limit is 178956970"},
		{"overflowing PNG header", pngHeader(1<<31-1, 1<<31-1), Limits{}, ErrTooLarge, "overflow"},
		{"more pixels than asked for", whole, Limits{MaxPixels: 1599}, ErrTooLarge, "40 x 40"},
		{"more bytes than asked for", whole, Limits{MaxBytes: int64(len(whole)) - 1}, ErrTooLarge, "bytes"},
		{"truncated PNG", truncated("PNG"), Limits{}, ErrTruncated, "PNG"},
		{"truncated JPEG", truncated("JPEG"), Limits{}, ErrTruncated, "JPEG"},
		{"truncated GIF", truncated("GIF"), Limits{}, ErrTruncated, "GIF"},
		{"truncated BMP", truncated("BMP"), Limits{}, ErrTruncated, "BMP"},
		{"truncated TIFF", truncated("TIFF"), Limits{}, ErrTruncated, "TIFF"},
		{"truncated WebP", webp[:len(webp)/4], Limits{}, ErrTruncated, "WebP"},
		{"PNG header alone", pngHeader(10, 10), Limits{}, ErrTruncated, "PNG"},
		{"damaged PNG", damaged, Limits{}, ErrCorrupt, "PNG"},
		{"damaged PNG header", depth, Limits{}, nil, "PNG"},
		{"empty PNG", pngHeader(0, 10), Limits{}, nil, "PNG"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Decode(t.Context(), bytes.NewReader(c.data), c.limits)
			require.ErrorContains(t, err, c.text)
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			}
			for _, other := range []error{ErrEmpty, ErrFormat, ErrTooLarge, ErrTruncated, ErrCorrupt, ErrUnsupported} {
				if c.is != nil && !errors.Is(c.is, other) {
					require.NotErrorIs(t, err, other)
				}
			}
		})
	}
}

func TestDecodeAtLimits(t *testing.T) {
	data := encoded(t, png.Encode, gradient(40, 40))
	_, err := Decode(t.Context(), bytes.NewReader(data), Limits{MaxPixels: 1600, MaxBytes: int64(len(data))})
	require.NoError(t, err)
}

func TestHugeHeaderTakesNoMemory(t *testing.T) {
	data := pngHeader(60000, 60000)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Decode(t.Context(), bytes.NewReader(data), Limits{})
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, ErrTooLarge)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
}

func TestDecodeFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		return path
	}
	img, err := DecodeFile(t.Context(), write("page.jpg", encoded(t, png.Encode, gradient(3, 2))), Limits{})
	require.NoError(t, err, "the content counts, not the name")
	require.Equal(t, image.Rect(0, 0, 3, 2), img.Bounds())

	_, err = DecodeFile(t.Context(), write("note.png", []byte("hello")), Limits{})
	require.ErrorIs(t, err, ErrFormat)
	require.ErrorContains(t, err, "note.png")
	_, err = DecodeFile(t.Context(), write("empty.png", nil), Limits{})
	require.ErrorIs(t, err, ErrEmpty)
	_, err = DecodeFile(t.Context(), write("big.png", make([]byte, 100)), Limits{MaxBytes: 99})
	require.ErrorIs(t, err, ErrTooLarge)
	_, err = DecodeFile(t.Context(), dir, Limits{})
	require.ErrorContains(t, err, "it is a folder")
	_, err = DecodeFile(t.Context(), filepath.Join(dir, "none.png"), Limits{})
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "none.png")
}

func TestDecodeStopsWhenCanceled(t *testing.T) {
	data := encoded(t, png.Encode, gradient(40, 40))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Decode(ctx, bytes.NewReader(data), Limits{})
	require.ErrorIs(t, err, context.Canceled)

	f := formats[0] // canceled between the reading of the file and the end of the decoding
	_, err = f.read(ctx, data, Limits{}.withDefaults())
	require.ErrorIs(t, err, context.Canceled)
}

func TestDecodeReportsReadErrors(t *testing.T) {
	broken := errors.New("cable pulled")
	_, err := Decode(t.Context(), io.MultiReader(strings.NewReader("\x89PNG"), iotestErr{broken}), Limits{})
	require.ErrorIs(t, err, broken)
}

type iotestErr struct{ err error }

func (e iotestErr) Read([]byte) (int, error) { return 0, e.err }

// A decoder's panic is an error of the picture.
func TestDecoderPanicIsAnError(t *testing.T) {
	f := format{name: "Odd", config: func(io.Reader) (image.Config, error) { panic("index out of range") }}
	_, err := f.read(t.Context(), []byte("x"), Limits{})
	require.ErrorIs(t, err, ErrCorrupt)
	require.ErrorContains(t, err, "the Odd decoder failed: index out of range")
}

// The first frame of a GIF may cover a part of the picture only.
func TestGIFFrameWithinScreen(t *testing.T) {
	frame := image.NewPaletted(image.Rect(2, 1, 4, 3), color.Palette{color.Black})
	data := encoded(t, func(w io.Writer, _ image.Image) error {
		return gif.EncodeAll(w, &gif.GIF{Image: []*image.Paletted{frame}, Delay: []int{0}, Config: image.Config{Width: 6, Height: 5}})
	}, nil)
	img, err := Decode(t.Context(), bytes.NewReader(data), Limits{})
	require.NoError(t, err)
	require.Equal(t, image.Rect(0, 0, 6, 5), img.Bounds())
	require.Equal(t, color.RGBA{A: 255}, img.At(3, 2))
	require.Equal(t, color.RGBA{255, 255, 255, 255}, img.At(0, 0))
}

// Every orientation, in every format that has one, is Pillow's exif_transpose.
func TestOrientationEqualsPillow(t *testing.T) {
	data, err := os.ReadFile("testdata/orient.json")
	require.NoError(t, err)
	var files map[string][4]any
	require.NoError(t, json.Unmarshal(data, &files))
	require.Len(t, files, 20)
	for name, want := range files {
		t.Run(name, func(t *testing.T) {
			p := readRGB(t, name)
			require.Equal(t, want[:2], []any{float64(p.W), float64(p.H)})
			require.EqualValues(t, want[2], crc32.ChecksumIEEE(p.Pix), "%v, want %v", p.Pix[:9], want[3])
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, encode := range encoders {
		f.Add(encoded(f, encode, gradient(5, 4)))
	}
	for _, name := range []string{"orient_6.png", "orient_6.jpg", "orient_6.webp", "orient_6.tif"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(f, err)
		f.Add(data)
	}
	f.Add(pngHeader(60000, 60000))
	f.Fuzz(func(t *testing.T, data []byte) {
		img, err := Decode(t.Context(), bytes.NewReader(data), Limits{MaxPixels: 1 << 16, MaxBytes: 1 << 16})
		if err != nil {
			return
		}
		p, err := ToRGB(t.Context(), img)
		require.NoError(t, err)
		require.Len(t, p.Pix, 3*p.W*p.H)
		require.LessOrEqual(t, p.W*p.H, 1<<16)
	})
}

func FuzzOrientation(f *testing.F) {
	for _, name := range []string{"orient_6.png", "orient_6.jpg", "orient_6.webp", "orient_6.tif"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(f, err)
		f.Add(data)
	}
	f.Add([]byte("MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, read := range []func([]byte) int{exifOrientation, jpegOrientation, pngOrientation, webpOrientation} {
			require.Contains(t, []int{1, 2, 3, 4, 5, 6, 7, 8}, read(data))
		}
	})
}
