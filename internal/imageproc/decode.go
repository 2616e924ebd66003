package imageproc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"
)

const (
	// DefaultMaxPixels is the area beyond which Pillow too takes a picture for a decompression bomb: an A4 page at
	// 1,350 dpi. Decoding takes 1 to 15 bytes a pixel, by format; progressive JPEG takes most.
	DefaultMaxPixels = 178_956_970
	// DefaultMaxBytes is the default limit on a picture file: 256 MiB.
	DefaultMaxBytes = 256 << 20
)

// Limits bounds what [Decode] takes on. A zero Limits consists entirely of default values.
type Limits struct {
	// MaxPixels is the largest width × height, read from the file's header before memory is taken for the pixels.
	// Default [DefaultMaxPixels].
	MaxPixels int64
	// Room, if not nil, is asked for the pixels of the picture, width × height, after MaxPixels and before memory is taken for them. Its error is
	// that of the decoding.
	Room func(pixels int64) error
	// MaxBytes is the largest file. Default [DefaultMaxBytes].
	MaxBytes int64
}

func (l Limits) withDefaults() Limits {
	if l.MaxPixels <= 0 {
		l.MaxPixels = DefaultMaxPixels
	}
	if l.MaxBytes <= 0 {
		l.MaxBytes = DefaultMaxBytes
	}
	return l
}

// format is a kind of picture file. A '?' in magic stands for any byte.
type format struct {
	name, magic string
	config      func(io.Reader) (image.Config, error)
	decode      func(io.Reader) (image.Image, error)
	orientation func([]byte) int
	finish      func(context.Context, image.Image, image.Config) (image.Image, error) // of what decode returned
}

// formats lists all that is read here. It does not rely on image.RegisterFormat: what a program can read must not
// depend on what else it imports.
var formats = []format{
	{"PNG", "\x89PNG\r\n\x1a\n", png.DecodeConfig, png.Decode, pngOrientation, nil},
	{"JPEG", "\xff\xd8\xff", jpeg.DecodeConfig, jpeg.Decode, jpegOrientation, nil},
	{"GIF", "GIF8?a", gif.DecodeConfig, gif.Decode, nil, finishGIF},
	{"WebP", "RIFF????WEBP", webp.DecodeConfig, webp.Decode, webpOrientation, finishWebP},
	{"BMP", "BM????\x00\x00\x00\x00", bmp.DecodeConfig, bmp.Decode, nil, nil},
	{"TIFF", "II*\x00", tiff.DecodeConfig, tiff.Decode, tiffOrientation, nil},
	{"TIFF", "MM\x00*", tiff.DecodeConfig, tiff.Decode, tiffOrientation, nil},
}

func matches(magic string, data []byte) bool {
	if len(data) < len(magic) {
		return false
	}
	for i := range len(magic) {
		if magic[i] != '?' && magic[i] != data[i] {
			return false
		}
	}
	return true
}

// DecodeFile reads the picture in a file; see [Decode].
func DecodeFile(ctx context.Context, path string, limits Limits) (image.Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err // an *os.PathError: names the file and the reason
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	limits = limits.withDefaults()
	switch {
	case info.IsDir():
		return nil, fmt.Errorf("%s: %w: it is a folder; name a picture file in it", path, ErrFormat)
	case info.Size() > limits.MaxBytes:
		return nil, fmt.Errorf("%s: %w", path, tooManyBytes(limits))
	}
	img, err := decode(ctx, f, info.Size(), limits)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return img, nil
}

// Decode reads one picture: PNG, JPEG, GIF (first frame), WebP (still), BMP or TIFF (first page). The format is told
// from the content. The size in the header is checked against limits before memory is taken for the pixels. A picture
// with an EXIF orientation other than upright comes back turned, as an [RGB] laid over white; so does a WebP. Canceling ctx stops the
// reading and the decoding.
func Decode(ctx context.Context, r io.Reader, limits Limits) (image.Image, error) {
	return decode(ctx, r, 0, limits.withDefaults())
}

// decode reads from r, which is expected to give about size bytes, and decodes them.
func decode(ctx context.Context, r io.Reader, size int64, limits Limits) (image.Image, error) {
	buf := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	if _, err := buf.ReadFrom(io.LimitReader(&contextReader{ctx: ctx, Reader: r}, limits.MaxBytes+1)); err != nil {
		return nil, fmt.Errorf("read picture: %w", err)
	}
	data := buf.Bytes()
	if int64(len(data)) > limits.MaxBytes {
		return nil, tooManyBytes(limits)
	}
	if len(data) == 0 {
		return nil, fmt.Errorf("%w: it has no bytes; write or download the file again", ErrEmpty)
	}
	f, err := formatOf(data)
	if err != nil {
		return nil, err
	}
	return f.read(ctx, data, limits)
}

// formatOf tells the format from the beginning of a file.
func formatOf(head []byte) (format, error) {
	for _, f := range formats {
		if matches(f.magic, head) {
			return f, nil
		}
	}
	return format{}, unknownFormat(head)
}

func tooManyBytes(l Limits) error {
	return fmt.Errorf("%w: the file has more than %d bytes; make it smaller or raise the limit on bytes", ErrTooLarge, l.MaxBytes)
}

// read decodes a whole file.
func (f format) read(ctx context.Context, data []byte, limits Limits) (image.Image, error) {
	src := bytes.NewReader(data)
	conf, err := f.header(ctx, src, src.Size(), limits)
	if err != nil {
		return nil, err
	}
	if limits.Room != nil {
		if err := limits.Room(int64(conf.Width) * int64(conf.Height)); err != nil {
			return nil, err
		}
	}
	return f.pixels(ctx, src, src.Size(), conf, f.orientationIn(data))
}

// header reads what the file says of its size, and holds that to the limits.
func (f format) header(ctx context.Context, src io.ReaderAt, size int64, limits Limits) (conf image.Config, err error) {
	err = f.call(ctx, src, size, func(r io.Reader) (err error) {
		conf, err = f.config(r)
		return err
	})
	if err != nil {
		return conf, err
	}
	// Compared by division: the product of two sizes from a header may overflow.
	if conf.Width > 0 && conf.Height > 0 && int64(conf.Width) > limits.MaxPixels/int64(conf.Height) {
		return conf, fmt.Errorf("%w: %d x %d pixels, the limit is %d in all; scale it down or raise the limit on pixels",
			ErrTooLarge, conf.Width, conf.Height, limits.MaxPixels)
	}
	if conf.Width <= 0 || conf.Height <= 0 {
		return conf, fmt.Errorf("%w: the %s header says %d x %d pixels", ErrEmpty, f.name, conf.Width, conf.Height)
	}
	return conf, nil
}

// pixels decodes a picture of which conf and orientation are known.
func (f format) pixels(ctx context.Context, src io.ReaderAt, size int64, conf image.Config, orientation int) (image.Image, error) {
	var img image.Image
	err := f.call(ctx, src, size, func(r io.Reader) (err error) {
		img, err = f.decode(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	if f.finish != nil {
		if img, err = f.finish(ctx, img, conf); err != nil {
			return nil, err
		}
	}
	if orientation == upright {
		return img, nil
	}
	rgb, err := ToRGB(ctx, img)
	if err != nil {
		return nil, err
	}
	return rgb.Oriented(ctx, orientation)
}

// orientationIn is the orientation that a whole file says its picture has.
func (f format) orientationIn(data []byte) int {
	if f.orientation == nil {
		return upright
	}
	return f.orientation(data)
}

// finishGIF completes a first frame that is smaller than the picture: the rest is background.
func finishGIF(_ context.Context, img image.Image, conf image.Config) (image.Image, error) {
	screen := image.Rect(0, 0, conf.Width, conf.Height)
	if img.Bounds() == screen {
		return img, nil
	}
	canvas := image.NewRGBA(screen)
	draw.Draw(canvas, screen, image.White, image.Point{}, draw.Src)
	draw.Draw(canvas, img.Bounds(), img, img.Bounds().Min, draw.Over)
	return canvas, nil
}

// finishWebP converts to RGB here, because an image.YCbCr does not tell that it is VP8's.
func finishWebP(ctx context.Context, img image.Image, _ image.Config) (image.Image, error) {
	return webpToRGB(ctx, img)
}

// call runs a step of a decoder, and tells its errors apart. The decoders are others' code reading others' bytes, so
// a panic in one is that file's error and not the end of the program.
func (f format) call(ctx context.Context, src io.ReaderAt, size int64, step func(io.Reader) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: the %s decoder failed: %v", ErrCorrupt, f.name, p)
		}
	}()
	err = step(&contextReader{ctx: ctx, Reader: io.NewSectionReader(src, 0, size), at: src})
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var (
		noPNG  png.UnsupportedError
		noJPEG jpeg.UnsupportedError
		noTIFF tiff.UnsupportedError
	)
	switch text := err.Error(); {
	case strings.Contains(text, "overflow"):
		return fmt.Errorf("%w: %s: %w; scale it down", ErrTooLarge, f.name, err)
	case errors.As(err, &noPNG), errors.As(err, &noJPEG), errors.As(err, &noTIFF), errors.Is(err, bmp.ErrUnsupported):
		return fmt.Errorf("%w: %s: %w; save it as a plain PNG", ErrUnsupported, f.name, err)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), strings.Contains(text, "EOF"), // gif flattens its errors
		strings.Contains(text, "not enough"), strings.Contains(text, "short "): // jpeg: short Huffman data, riff: short chunk data
		return fmt.Errorf("%w: %s: %w; write or download the file again", ErrTruncated, f.name, err)
	}
	return fmt.Errorf("%w: %s: %w; write or download the file again", ErrCorrupt, f.name, err)
}

// contextReader stops a decoder between its reads.
type contextReader struct {
	ctx context.Context //nolint:containedctx // lives for one call, whose context this is
	io.Reader
	at io.ReaderAt // set for the decoders, which then need not read all to get at an offset
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

func (r *contextReader) ReadAt(p []byte, off int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.at.ReadAt(p, off)
}

// unknownFormat names what the content looks like where it can, for that tells the user what to do.
func unknownFormat(data []byte) error {
	const read = "PNG, JPEG, GIF, WebP, BMP and TIFF are read"
	head := data[:min(len(data), 512)]
	for _, k := range []struct{ magic, what string }{
		{"%PDF-", "it is a PDF: open it as a document, or render its pages to pictures"},
		{"????ftyphei", "it is a HEIC picture: export it as JPEG or PNG"},
		{"????ftypmif", "it is a HEIF picture: export it as JPEG or PNG"},
		{"????ftypavi", "it is an AVIF picture: export it as JPEG or PNG"},
		{"\x00\x00\x00\x0cjP  ", "it is a JPEG 2000 picture: export it as JPEG or PNG"},
		{"\x00\x00\x00\x0cJXL ", "it is a JPEG XL picture: export it as JPEG or PNG"},
		{"\xff\x0a", "it is a JPEG XL picture: export it as JPEG or PNG"},
		{"PK\x03\x04", "it is a ZIP archive or an office document: export its pages as pictures"},
	} {
		if matches(k.magic, head) {
			return fmt.Errorf("%w: %s; %s", ErrFormat, k.what, read)
		}
	}
	for cut := 0; cut < utf8.UTFMax && cut < len(head); cut++ { // the 512 bytes may end inside a character
		if text := head[:len(head)-cut]; utf8.Valid(text) && !bytes.ContainsAny(text, "\x00\x01\x02\x03\x04\x05\x06") {
			return fmt.Errorf("%w: it is a text file that begins with %.40q; %s", ErrFormat, text, read)
		}
	}
	return fmt.Errorf("%w: it begins with the bytes % x; %s", ErrFormat, head[:min(len(head), 12)], read)
}
