package imageproc

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// tiffFile builds a TIFF of gray pages, each of one strip without compression.
type tiffFile struct {
	order binary.AppendByteOrder
	data  []byte
	link  int // where the offset of the next directory goes
}

func newTIFF(order binary.AppendByteOrder) *tiffFile {
	mark := "MM\x00*"
	if order == binary.LittleEndian {
		mark = "II*\x00"
	}
	return &tiffFile{order, append([]byte(mark), 0, 0, 0, 0), 4}
}

// next makes the chain go on at a place.
func (f *tiffFile) next(at int) {
	copy(f.data[f.link:], f.order.AppendUint32(nil, uint32(at)))
}

func (f *tiffFile) page(w, h int, gray uint8, extra ...[2]uint32) {
	strip := len(f.data)
	f.data = append(f.data, bytes.Repeat([]byte{gray}, w*h)...)
	if len(f.data)%2 == 1 {
		f.data = append(f.data, 0)
	}
	f.next(len(f.data))
	entries := [][2]uint32{
		{256, uint32(w)}, {257, uint32(h)}, {258, 8}, {259, 1}, {262, 1}, {273, uint32(strip)}, {277, 1}, {278, uint32(h)},
		{279, uint32(w * h)},
	}
	entries = append(entries, extra...)
	slices.SortFunc(entries, func(a, b [2]uint32) int { return cmp.Compare(a[0], b[0]) })
	f.data = f.order.AppendUint16(f.data, uint16(len(entries)))
	for _, e := range entries {
		f.data = f.order.AppendUint16(f.data, uint16(e[0]))
		f.data = f.order.AppendUint16(f.data, 4)
		f.data = f.order.AppendUint32(f.data, 1)
		f.data = f.order.AppendUint32(f.data, e[1])
	}
	f.link = len(f.data)
	f.data = append(f.data, 0, 0, 0, 0)
}

func inspect(t *testing.T, data []byte) (*Pages, error) {
	t.Helper()
	return Inspect(t.Context(), bytes.NewReader(data), int64(len(data)), Limits{})
}

func TestPagesOfTIFF(t *testing.T) {
	for name, order := range map[string]binary.AppendByteOrder{"little-endian": binary.LittleEndian, "big-endian": binary.BigEndian} {
		t.Run(name, func(t *testing.T) {
			f := newTIFF(order)
			f.page(2, 2, 99, [2]uint32{254, 1}) // a thumbnail
			f.page(5, 3, 10)
			f.page(4, 7, 20, [2]uint32{274, 6}) // on its side
			f.page(6, 6, 30, [2]uint32{254, 2}) // "a page of several"
			src := bytes.NewReader(f.data)
			p, err := inspect(t, f.data)
			require.NoError(t, err)
			require.Equal(t, 3, p.Len())
			for i, want := range []struct {
				size image.Point
				gray uint8
			}{{image.Pt(5, 3), 10}, {image.Pt(7, 4), 20}, {image.Pt(6, 6), 30}} {
				size, err := p.Size(t.Context(), src, src.Size(), i)
				require.NoError(t, err)
				require.Equal(t, want.size, size)
				img, err := p.Decode(t.Context(), src, src.Size(), i)
				require.NoError(t, err)
				require.Equal(t, want.size, img.Bounds().Size())
				require.Equal(t, color.Gray{want.gray}, color.GrayModel.Convert(img.At(1, 1)))
			}
		})
	}
}

func testdata(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return data
}

// What comes before a break in the chain is read, and the break is seen.
func TestPagesOfDamagedTIFF(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(f *tiffFile)
		says   string
	}{
		"a loop":             {func(f *tiffFile) { f.next(14) }, "the next is one of those before"},
		"beyond the end":     {func(f *tiffFile) { f.next(1 << 20) }, "at byte 1048576"},
		"far beyond the end": {func(f *tiffFile) { f.next(0xffffffff) }, "at byte 4294967295"},
		"many entries": {func(f *tiffFile) {
			f.next(len(f.data))
			f.data = append(f.data, 0xff, 0xff)
		}, "65535 entries"},
		"cut short": {func(f *tiffFile) {
			f.next(len(f.data))
			f.data = f.order.AppendUint16(f.data, 9)
		}, "cut short"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newTIFF(binary.LittleEndian)
			f.page(2, 3, 10) // its directory begins at byte 14
			f.page(2, 2, 20)
			test.damage(f)
			src := bytes.NewReader(f.data)
			p, err := inspect(t, f.data)
			require.NoError(t, err)
			require.Equal(t, 3, p.Len(), "two, and the one that is lost")
			_, err = p.Decode(t.Context(), src, src.Size(), 1)
			require.NoError(t, err)
			_, err = p.Decode(t.Context(), src, src.Size(), 2)
			require.ErrorIs(t, err, ErrCorrupt)
			require.ErrorContains(t, err, test.says)
			_, err = p.Size(t.Context(), src, src.Size(), 2)
			require.ErrorIs(t, err, ErrCorrupt)
		})
	}
	_, err := inspect(t, []byte("II*\x00\x00\x00\x00\x00"))
	require.ErrorIs(t, err, ErrEmpty)
	_, err = inspect(t, []byte("II*\x00\x10\x00\x00\x00"))
	require.ErrorIs(t, err, ErrCorrupt)
	_, err = inspect(t, []byte("II*\x00\x10"))
	require.ErrorIs(t, err, ErrTruncated)
}

// A page that is a bomb, or damaged, leaves the others as they are.
func TestPagesOfTIFFAreLimitedEach(t *testing.T) {
	f := newTIFF(binary.BigEndian)
	f.page(2, 2, 10)
	f.page(2, 2, 20)
	copy(f.data[len(f.data)-9*12-4+8:], []byte{0x7f, 0, 0, 0}) // the width
	src := bytes.NewReader(f.data)
	p, err := inspect(t, f.data)
	require.NoError(t, err)
	_, err = p.Decode(t.Context(), src, src.Size(), 0)
	require.NoError(t, err)
	_, err = p.Decode(t.Context(), src, src.Size(), 1)
	require.Error(t, err)
}

// Of the other formats there is one page, the same as Decode's.
func TestPagesOfOneImage(t *testing.T) {
	for _, name := range []string{"orient_6.jpg", "orient_3.png", "orient_3.webp", "orient_3.tif"} {
		t.Run(name, func(t *testing.T) {
			data := testdata(t, name)
			src := bytes.NewReader(data)
			p, err := inspect(t, data)
			require.NoError(t, err)
			require.Equal(t, 1, p.Len())
			want, err := Decode(t.Context(), bytes.NewReader(data), Limits{})
			require.NoError(t, err)
			got, err := p.Decode(t.Context(), src, src.Size(), 0)
			require.NoError(t, err)
			require.Equal(t, want, got)
			size, err := p.Size(t.Context(), src, src.Size(), 0)
			require.NoError(t, err)
			require.Equal(t, want.Bounds().Size(), size)
		})
	}
	_, err := inspect(t, nil)
	require.ErrorIs(t, err, ErrEmpty)
	_, err = inspect(t, []byte("%PDF-1.7"))
	require.ErrorIs(t, err, ErrFormat)
	_, err = Inspect(t.Context(), bytes.NewReader(testdata(t, "orient_3.png")), 100, Limits{MaxBytes: 10})
	require.ErrorIs(t, err, ErrTooLarge)
}

// FuzzPages holds damaged TIFFs to errors.
func FuzzPages(f *testing.F) {
	tiff := newTIFF(binary.LittleEndian)
	tiff.page(3, 2, 10)
	tiff.page(2, 2, 20, [2]uint32{274, 6})
	f.Add(tiff.data)
	f.Fuzz(func(t *testing.T, data []byte) {
		limits := Limits{MaxPixels: 1 << 16}
		src := bytes.NewReader(data)
		p, err := Inspect(t.Context(), src, src.Size(), limits)
		if err != nil {
			return
		}
		for i := range min(p.Len(), 4) {
			size, sizeErr := p.Size(t.Context(), src, src.Size(), i)
			img, err := p.Decode(t.Context(), src, src.Size(), i)
			if err == nil && (sizeErr != nil || img.Bounds().Size() != size) {
				t.Errorf("page %d is %v, and was said to be %v (%v)", i, img.Bounds().Size(), size, sizeErr)
			}
		}
	})
}
