// Package pdfwriter writes simple PDFs, of text and pictures, for tests and examples: what they read is then made where it
// is read, and said there.
package pdfwriter

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"image"
	"maps"
	"slices"
	"strings"

	"golang.org/x/text/encoding/charmap"
)

// Page is a page. A zero Page is an empty one of Letter size.
type Page struct {
	// Width and Height are in points, 72 an inch. Default 612 × 792.
	Width, Height float64
	// Text is written from the top left, a line for each of its lines, in Helvetica. It may have the characters of
	// Windows-1252; others become "?".
	Text string
	// FontSize is in points. Default 12.
	FontSize float64
	// Image fills the page, below the text.
	Image image.Image
	// Rotate is by how many degrees, clockwise, the page is turned when it is shown: a multiple of 90.
	Rotate int
}

// Write returns a PDF of the pages. Of info, which may be nil, it takes the document's Title, Author and so on. The same
// arguments give the same bytes.
func Write(info map[string]string, pages ...Page) []byte {
	w := &writer{}
	w.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	const catalog, tree, font, about, firstPage = 1, 2, 3, 4, 5
	w.object(catalog, "<</Type/Catalog/Pages %d 0 R>>", tree)
	kids := make([]string, len(pages))
	next := firstPage
	for i, page := range pages {
		kids[i] = fmt.Sprintf("%d 0 R", next)
		next = w.page(next, tree, font, page)
	}
	w.object(tree, "<</Type/Pages/Count %d/Kids[%s]>>", len(pages), strings.Join(kids, " "))
	w.object(font, "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>")
	var entries strings.Builder
	for _, key := range slices.Sorted(maps.Keys(info)) {
		fmt.Fprintf(&entries, "/%s%s", key, literal(info[key]))
	}
	w.object(about, "<<%s>>", entries.String())
	w.end(catalog, about)
	return w.Bytes()
}

// writer collects objects and where they are.
type writer struct {
	bytes.Buffer
	at map[int]int
}

func (w *writer) object(id int, format string, args ...any) {
	if w.at == nil {
		w.at = map[int]int{}
	}
	w.at[id] = w.Len()
	fmt.Fprintf(w, "%d 0 obj\n"+format+"\nendobj\n", append([]any{id}, args...)...)
}

func (w *writer) stream(id int, entries string, data []byte) {
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	_, _ = z.Write(data) // to memory: neither fails
	_ = z.Close()
	w.object(id, "<<%s/Filter/FlateDecode/Length %d>>stream\n%s\nendstream", entries, packed.Len(), packed.Bytes())
}

// page writes a page as object id and the next ones, and returns the id after those.
func (w *writer) page(id, tree, font int, p Page) (next int) {
	if p.Width == 0 && p.Height == 0 {
		p.Width, p.Height = 612, 792
	}
	if p.FontSize == 0 {
		p.FontSize = 12
	}
	content := &bytes.Buffer{}
	contents, picture := id+1, id+2
	resources := fmt.Sprintf("/Font<</F %d 0 R>>", font)
	next = picture
	if p.Image != nil {
		fmt.Fprintf(content, "q %g 0 0 %g 0 0 cm /P Do Q\n", p.Width, p.Height)
		resources += fmt.Sprintf("/XObject<</P %d 0 R>>", picture)
		b := p.Image.Bounds()
		w.stream(picture, fmt.Sprintf("/Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceRGB/BitsPerComponent 8",
			b.Dx(), b.Dy()), samples(p.Image))
		next++
	}
	if p.Text != "" {
		margin := 3 * p.FontSize
		fmt.Fprintf(content, "BT /F %g Tf %g TL %g %g Td\n", p.FontSize, 1.25*p.FontSize, margin, p.Height-margin)
		for line := range strings.Lines(p.Text) {
			fmt.Fprintf(content, "%s Tj T*\n", literal(strings.TrimSuffix(line, "\n")))
		}
		content.WriteString("ET\n")
	}
	w.stream(contents, "", content.Bytes())
	w.object(id, "<</Type/Page/Parent %d 0 R/MediaBox[0 0 %g %g]/Rotate %d/Resources<<%s>>/Contents %d 0 R>>",
		tree, p.Width, p.Height, p.Rotate, resources, contents)
	return next
}

func (w *writer) end(catalog, info int) {
	start := w.Len()
	fmt.Fprintf(w, "xref\n0 %d\n0000000000 65535 f \n", len(w.at)+1)
	for id := 1; id <= len(w.at); id++ {
		fmt.Fprintf(w, "%010d 00000 n \n", w.at[id])
	}
	fmt.Fprintf(w, "trailer\n<</Size %d/Root %d 0 R/Info %d 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(w.at)+1, catalog, info, start)
}

// literal is a string in parentheses, as Windows-1252.
func literal(s string) string {
	var b strings.Builder
	b.WriteByte('(')
	for _, r := range s {
		c, ok := charmap.Windows1252.EncodeRune(r)
		switch {
		case !ok:
			b.WriteByte('?')
		case c == '(' || c == ')' || c == '\\' || c < ' ' || c > '~':
			fmt.Fprintf(&b, `\%03o`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte(')')
	return b.String()
}

// samples are the picture's red, green and blue, row by row.
func samples(img image.Image) []byte {
	b := img.Bounds()
	data := make([]byte, 0, 3*b.Dx()*b.Dy())
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			r, g, bl, _ := img.At(x, y).RGBA()
			data = append(data, byte(r>>8), byte(g>>8), byte(bl>>8))
		}
	}
	return data
}
