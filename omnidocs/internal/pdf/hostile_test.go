package pdf

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/pdfwriter"
)

// build is a PDF of the objects given, the first of which is the catalog. It has no table of where they are: PDFium then
// looks for them.
func build(objects ...string) []byte {
	w := &bytes.Buffer{}
	w.WriteString("%PDF-1.7\n")
	for i, object := range objects {
		fmt.Fprintf(w, "%d 0 obj\n%s\nendobj\n", i+1, object)
	}
	w.WriteString("trailer<</Root 1 0 R>>\n")
	return w.Bytes()
}

const (
	catalog = "<</Type/Catalog/Pages 2 0 R>>"
	onePage = "<</Type/Pages/Count 1/Kids[3 0 R]>>"
)

func page(entries string) string { return "<</Type/Page/Parent 2 0 R" + entries + ">>" }

func stream(entries string, data []byte) string {
	return fmt.Sprintf("<<%s/Length %d>>stream\n%s\nendstream", entries, len(data), data)
}

// bomb is n zero bytes, packed twice.
func bomb(n int64) []byte {
	var inner, outer bytes.Buffer
	z, _ := zlib.NewWriterLevel(&inner, zlib.BestSpeed)
	_, _ = io.CopyN(z, zeros{}, n)
	_ = z.Close()
	z = zlib.NewWriter(&outer)
	_, _ = z.Write(inner.Bytes())
	_ = z.Close()
	return outer.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// What is made to break a reader ends in pages or in an error, soon, and the next file is read as if nothing had been.
func TestHostile(t *testing.T) {
	image := func(entries string, data []byte) []byte {
		return build(catalog, onePage, page("/MediaBox[0 0 100 100]/Resources<</XObject<</I 4 0 R>>>>/Contents 5 0 R"),
			stream("/Type/XObject/Subtype/Image"+entries, data), stream("", []byte("100 0 0 100 0 0 cm /I Do")))
	}
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	for name, data := range map[string][]byte{
		"pages that contain themselves": build(catalog, "<</Type/Pages/Count 5/Kids[2 0 R 2 0 R]>>"),
		"a form that draws itself": build(catalog, onePage, page("/MediaBox[0 0 9 9]/Resources<</XObject<</F 4 0 R>>>>/Contents 5 0 R"),
			stream("/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</F 4 0 R>>>>", []byte("/F Do")), stream("", []byte("/F Do"))),
		"a reference to itself":    build("1 0 R"),
		"deep nesting":             build(catalog, onePage, page("/MediaBox[0 0 9 9]/X "+deep)),
		"deep nesting in a page":   build(catalog, onePage, page("/MediaBox[0 0 9 9]/Contents 4 0 R"), stream("", []byte(deep))),
		"deep pages":               build(append([]string{catalog}, chain(3000)...)...),
		"a page of no size":        build(catalog, onePage, page("/MediaBox[0 0 0 0]")),
		"a page of endless size":   build(catalog, onePage, page("/MediaBox[-1e38 -1e38 1e38 1e38]")),
		"a page turned inside out": build(catalog, onePage, page("/MediaBox[100 100 0 0]/Rotate 45")),
		"a user unit":              build(catalog, onePage, page("/MediaBox[0 0 100 100]/UserUnit 1e9")),
		"a negative count":         build(catalog, "<</Type/Pages/Count -7/Kids[3 0 R]>>", page("/MediaBox[0 0 9 9]")),
		"a picture of 3.6 Gpixel":  image("/Width 60000/Height 60000/ColorSpace/DeviceRGB/BitsPerComponent 8", []byte("x")),
		"a picture bomb":           image("/Width 8000/Height 8000/ColorSpace/DeviceGray/BitsPerComponent 8/Filter[/FlateDecode/FlateDecode]", bomb(64_000_000)),
		"a damaged JPEG":           image("/Width 100/Height 100/ColorSpace/DeviceRGB/BitsPerComponent 8/Filter/DCTDecode", []byte("\xff\xd8\xff\xe0garbage")),
		"a damaged JPEG 2000":      image("/Width 100/Height 100/Filter/JPXDecode", []byte("\x00\x00\x00\x0cjP  \r\n\x87\ngarbage")),
		"a damaged JBIG2":          image("/Width 100/Height 100/BitsPerComponent 1/ColorSpace/DeviceGray/Filter/JBIG2Decode", []byte("garbage")),
		"many filters":             image("/Width 9/Height 9/ColorSpace/DeviceGray/BitsPerComponent 8/Filter["+strings.Repeat("/ASCIIHexDecode", 1000)+"]", []byte("00>")),
		"an endless dash":          build(catalog, onePage, page("/MediaBox[0 0 100 100]/Contents 4 0 R"), stream("", []byte("[1e-9 1e-9] 0 d 0 0 m 100 100 l S"))),
		"a pattern of tiny tiles": build(catalog, onePage, page("/MediaBox[0 0 100 100]/Resources<</Pattern<</P 5 0 R>>>>/Contents 4 0 R"), stream("", []byte("/Pattern cs /P scn 0 0 100 100 re f")),
			stream("/PatternType 1/PaintType 1/TilingType 1/BBox[0 0 1 1]/XStep 1e-6/YStep 1e-6/Resources<<>>", []byte("0 0 1 1 re f"))),
		"a wrong offset":  []byte("%PDF-1.7\ntrailer<</Root 1 0 R/Size 99999999>>\nstartxref\n99999999999\n%%EOF"),
		"a long number":   build(catalog, "<</Type/Pages/Count "+strings.Repeat("9", 10_000)+"/Kids[3 0 R]>>", page("/MediaBox[0 0 9 9]")),
		"only brackets":   []byte("%PDF-1.7\n" + strings.Repeat("<<", 100_000)),
		"only references": build(catalog, "<</Type/Pages/Count 1000000/Kids["+strings.Repeat("3 0 R ", 100_000)+"]>>", page("/MediaBox[0 0 9 9]")),
	} {
		t.Run(name, func(t *testing.T) {
			limits := limits
			limits.Timeout = 20 * time.Second
			f, err := openBytes(t, data, limits)
			if err != nil {
				requireKnown(t, err)
				t.Log("refused:", err)
				return
			}
			_, err = f.Render(t.Context(), 0, 72)
			if err != nil {
				requireKnown(t, err)
				t.Log("page:", err)
			}
			_, err = f.Text(t.Context(), 0)
			if err != nil {
				requireKnown(t, err)
			}
		})
	}
	f, err := openBytes(t, pdfwriter.Write(nil, pdfwriter.Page{Text: "still here"}), limits)
	require.NoError(t, err)
	text, err := f.Text(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, "still here", text)
}

// chain is a tree of pages that is one long branch, as objects from 2 on.
func chain(n int) []string {
	objects := make([]string, n)
	for i := range objects {
		objects[i] = fmt.Sprintf("<</Type/Pages/Count 1/Parent %d 0 R/Kids[%d 0 R]>>", i+1, i+3)
	}
	objects[n-1] = fmt.Sprintf("<</Type/Page/Parent %d 0 R/MediaBox[0 0 9 9]>>", n)
	return objects
}

func requireKnown(t *testing.T, err error) {
	t.Helper()
	for _, known := range []error{ErrPassword, ErrDamaged, ErrUnsupported, ErrTooLarge, ErrTimeout, ErrFailed} {
		if bytes.Contains([]byte(err.Error()), []byte("\n")) {
			t.Fatalf("more than one line: %v", err)
		}
		if strings.HasPrefix(err.Error(), known.Error()) {
			return
		}
	}
	t.Fatalf("an error of no kind: %v", err)
}

// FuzzFile holds damaged PDFs to the errors of this package.
func FuzzFile(f *testing.F) {
	f.Add(pdfwriter.Write(map[string]string{"Title": "x"}, pdfwriter.Page{Width: 99, Height: 99, Text: "some text", Rotate: 90}, pdfwriter.Page{Width: 9, Height: 9, Image: halves()}))
	fixtures, err := filepath.Glob("testdata/*.pdf")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range fixtures {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := openBytes(t, data, Limits{MaxPixels: 1 << 18, Timeout: 10 * time.Second})
		if err != nil {
			requireKnown(t, err)
			return
		}
		for i := range min(2, file.Count()) {
			size, sizeErr := file.Size(t.Context(), i, 72)
			img, err := file.Render(t.Context(), i, 72)
			if err != nil {
				requireKnown(t, err)
			} else if sizeErr != nil || img.Bounds().Size() != size {
				t.Errorf("page %d is %v, and was said to be %v (%v)", i, img.Bounds().Size(), size, sizeErr)
			}
			if _, err := file.Text(t.Context(), i); err != nil {
				requireKnown(t, err)
			}
		}
	})
}
