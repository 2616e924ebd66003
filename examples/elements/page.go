package main

import (
	"fmt"
	"html"
	"image"
	"image/color"
	"image/draw"
	"math"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goitalic"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// sheet is a page that is being drawn, and the answer that Qwen3-VL would give for it: HTML in which every block has its place
// in thousandths of the page.
type sheet struct {
	img    *image.Gray
	faces  map[string]font.Face
	answer strings.Builder
	left   int // the column
	right  int
	y      int
}

const pageWidth, pageHeight = 1240, 1754 // A4 at 150 dpi

// drawSheet draws the page of the example and writes the answer for it.
func drawSheet() (image.Image, string, error) {
	s := &sheet{img: image.NewGray(image.Rect(0, 0, pageWidth, pageHeight)), faces: map[string]font.Face{}}
	draw.Draw(s.img, s.img.Bounds(), image.NewUniform(color.Gray{Y: 252}), image.Point{}, draw.Src)
	for name, ttf := range map[string][]byte{"regular": goregular.TTF, "bold": gobold.TTF, "italic": goitalic.TTF, "mono": gomono.TTF} {
		f, err := opentype.Parse(ttf)
		if err != nil {
			return nil, "", err
		}
		for _, size := range []float64{17, 20, 28, 40} {
			if s.faces[fmt.Sprint(name, size)], err = opentype.NewFace(f, &opentype.FaceOptions{Size: size, DPI: 72}); err != nil {
				return nil, "", err
			}
		}
	}
	s.answer.WriteString("<html><body>\n")
	s.left, s.right, s.y = 120, 1120, 60
	s.text(`<div class="header"`, "</div>", "italic17", "Journal of Small Engines, 12 (2024)")
	s.y = 130
	s.text("<h1", "</h1>", "bold40", "Tea and the Speed of Proofs")
	s.y += 20
	s.left, s.right = 120, 600
	top := s.y
	s.text("<h2", "</h2>", "bold28", "1 Introduction")
	s.text("<p", "</p>", "regular20", strings.Repeat("The cost of an engine is not what it burns but what it waits for. ", 4)+"We measure both on pages that nobody has read before.")
	s.text("<p", "</p>", "regular20", "Three effects add up, and each can be seen alone:")
	s.list("A cold pot delays the first proof by two minutes.", "Lemmas that are shared between rooms are proved twice, once for each of them.", "Nobody refills the pot.")
	s.text("<h2", "</h2>", "bold28", "2 A model")
	s.text("<p", "</p>", "regular20", "Let n be the number of cups, and t(n) the time to a proof. To first order:")
	s.text(`<div class="formula"`, "</div>", "italic28", "t(n) = a + b/n + c n²")
	s.text("<p", "</p>", "regular20", "The optimum, found by setting the derivative to zero, lies between two and four cups for all of the rooms that we looked at.")
	s.text(`<div class="code"`, "</div>", "mono17", "func best(a, b, c float64) float64 {\n    return math.Cbrt(b / (2 * c))\n}")
	s.left, s.right, s.y = 650, 1120, top
	s.figure(300)
	s.text(`<div class="image caption"`, "</div>", "regular17", "Figure 1: Time to a proof in minutes, over the number of cups. The dip is at three.")
	s.y += 14
	s.table([][]string{{"Room", "Cups", "Minutes"}, {"North", "1", "41.5"}, {"East", "3", "17.2"}, {"Attic", "7", "63.0"}})
	s.text(`<div class="table caption"`, "</div>", "regular17", "Table 1: What was measured in each of the rooms.")
	s.y += 14
	s.text("<p", "</p>", "regular20", strings.Repeat("The attic is an outlier: it has no door, and its pot is shared with the library below. ", 2)+"Without it the fit is within the error of the watch.¹")
	s.left, s.right, s.y = 120, 600, 1580
	s.text(`<div class="footnote"`, "</div>", "regular17", "¹ A watch that loses four seconds a day.")
	s.left, s.right, s.y = 600, 700, 1670
	s.text(`<div class="page_number"`, "</div>", "regular17", "117")
	s.answer.WriteString("</body></html>")
	return s.img, s.answer.String(), nil
}

// block writes the answer for what has been drawn between two heights.
func (s *sheet) block(open, content, end string, right, top, bottom int) {
	thousandth := func(v, size int) int { return int(math.Round(float64(v) * 1000 / float64(size))) }
	fmt.Fprintf(&s.answer, "%s data-bbox=\"%d %d %d %d\">%s%s\n", open, thousandth(s.left-6, pageWidth), thousandth(top-4, pageHeight),
		thousandth(right+6, pageWidth), thousandth(bottom+4, pageHeight), content, end)
}

// text sets a text in lines, and writes its block.
func (s *sheet) text(open, end, face, text string) {
	top := s.y
	right := s.set(face, text, s.left)
	content := html.EscapeString(text)
	if face == "mono17" {
		content = "<pre>" + content + "</pre>"
	}
	s.block(open, content, end, right, top, s.y)
	s.y += 18
}

// set draws a text in lines from an indent on, and returns how far to the right it goes.
func (s *sheet) set(face, text string, indent int) (right int) {
	f := s.faces[face]
	m := f.Metrics()
	write := func(line string) {
		d := font.Drawer{Dst: s.img, Src: image.NewUniform(color.Gray{Y: 30}), Face: f, Dot: fixed.P(indent, s.y+m.Ascent.Ceil())}
		d.DrawString(line)
		right = max(right, d.Dot.X.Ceil())
		s.y += (m.Ascent + m.Descent).Ceil() + 3
	}
	for _, paragraph := range strings.Split(text, "\n") {
		line := ""
		words := strings.Fields(paragraph)
		if strings.HasPrefix(face, "mono") {
			words = []string{paragraph} // code keeps its lines
		}
		for _, word := range words {
			longer := strings.TrimPrefix(line+" "+word, " ")
			if strings.HasPrefix(face, "mono") {
				longer = word
			}
			if line != "" && indent+font.MeasureString(f, longer).Ceil() > s.right {
				write(line)
				longer = word
			}
			line = longer
		}
		write(line)
	}
	return right
}

func (s *sheet) list(items ...string) {
	s.answer.WriteString("<ul>\n")
	for _, item := range items {
		top := s.y
		draw.Draw(s.img, image.Rect(s.left+8, s.y+10, s.left+15, s.y+17), image.Black, image.Point{}, draw.Src)
		right := s.set("regular20", item, s.left+30)
		s.block("<li", html.EscapeString(item), "</li>", right, top, s.y)
		s.y += 6
	}
	s.answer.WriteString("</ul>\n")
	s.y += 12
}

// figure draws a curve in a frame.
func (s *sheet) figure(height int) {
	top := s.y
	frame := image.Rect(s.left, top, s.right, top+height)
	draw.Draw(s.img, frame, image.NewUniform(color.Gray{Y: 225}), image.Point{}, draw.Src)
	for x := frame.Min.X + 20; x < frame.Max.X-20; x++ {
		n := 0.4 + 8*float64(x-frame.Min.X-20)/float64(frame.Dx()-40)
		y := frame.Max.Y - 30 - int(14*(0.5+6/n+0.35*n*n/3))
		draw.Draw(s.img, image.Rect(x, y, x+2, y+4).Intersect(frame), image.NewUniform(color.Gray{Y: 60}), image.Point{}, draw.Src)
	}
	s.y += height
	s.block(`<div class="image"`, "", "</div>", s.right, top, s.y)
	s.y += 16
}

// table draws a table with a line below its head.
func (s *sheet) table(rows [][]string) {
	top := s.y
	var b strings.Builder
	b.WriteString("<table>")
	rule := func() {
		draw.Draw(s.img, image.Rect(s.left, s.y, s.right, s.y+2), image.Black, image.Point{}, draw.Src)
		s.y += 8
	}
	rule()
	for r, row := range rows {
		face, tag := "regular20", "td"
		if r == 0 {
			face, tag = "bold20", "th"
		}
		b.WriteString("<tr>")
		line := s.y
		for c, cell := range row {
			s.y = line
			s.set(face, cell, s.left+10+c*(s.right-s.left)/len(row))
			b.WriteString("<" + tag + ">" + html.EscapeString(cell) + "</" + tag + ">")
		}
		s.y += 6
		b.WriteString("</tr>")
		if r == 0 || r == len(rows)-1 {
			rule()
		}
	}
	b.WriteString("</table>")
	s.block(`<div class="table"`, b.String(), "</div>", s.right, top, s.y)
	s.y += 14
}
