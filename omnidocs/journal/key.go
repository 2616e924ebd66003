package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"image"
	"image/draw"
	"io"
)

// Key names what a record was made of: a SHA-256 of all of it.
type Key [sha256.Size]byte

// NewKey returns the key of the parts given, in their order. Where one ends and the next begins is part of it.
func NewKey(parts ...[]byte) Key {
	h := sha256.New()
	var size [8]byte
	for _, p := range parts {
		binary.LittleEndian.PutUint64(size[:], uint64(len(p)))
		h.Write(size[:])
		h.Write(p)
	}
	return Key(h.Sum(nil))
}

// ImageKey returns the key of an image: its size, and its pixels in 8 bits a channel with alpha. How the image is held in memory, and
// where its bounds begin, is not part of it.
func ImageKey(img image.Image) Key {
	h := sha256.New()
	b := img.Bounds()
	fmt.Fprintf(h, "image %d %d\n", b.Dx(), b.Dy())
	if rgba, ok := img.(*image.RGBA); ok {
		for y := b.Min.Y; y < b.Max.Y; y++ {
			at := rgba.PixOffset(b.Min.X, y)
			h.Write(rgba.Pix[at : at+4*b.Dx()])
		}
		return Key(h.Sum(nil))
	}
	const rows = 64 // a strip at a time, so that a page is not held twice
	strip := image.NewRGBA(image.Rect(0, 0, b.Dx(), min(rows, b.Dy())))
	for y := b.Min.Y; y < b.Max.Y; y += rows {
		r := image.Rect(0, 0, b.Dx(), min(rows, b.Max.Y-y))
		draw.Draw(strip, r, img, image.Pt(b.Min.X, y), draw.Src)
		h.Write(strip.Pix[:r.Dy()*strip.Stride])
	}
	return Key(h.Sum(nil))
}

// ReaderKey returns the key of everything that r has to give.
func ReaderKey(r io.Reader) (Key, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return Key{}, err
	}
	return Key(h.Sum(nil)), nil
}

// String is the key in hexadecimal digits.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// ParseKey reads what String writes.
func ParseKey(s string) (Key, error) {
	var k Key
	if len(s) != hex.EncodedLen(len(k)) {
		return Key{}, fmt.Errorf("journal: key %q: want %d hexadecimal digits", s, hex.EncodedLen(len(k)))
	}
	if _, err := hex.Decode(k[:], []byte(s)); err != nil {
		return Key{}, fmt.Errorf("journal: key %q: %w", s, err)
	}
	return k, nil
}
