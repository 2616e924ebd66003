package textextraction

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

const chandraPage = `<div data-bbox="80 20 900 50" data-label="Page-Header">Annual Report 2024</div>
<div data-bbox="100 80 900 120" data-label="Section-Header"><h1>Results &amp; Costs: 5 * 3 = 15, snake_case, $5</h1></div>
<div data-bbox="100 130 900 300" data-label="Text"><p data-bbox="1 2 3 4">The <b>best</b> value is <math>x_{i} &lt; 3</math>, see H<sub>2</sub>O and <i>E. coli</i>.<br/>Next line a &lt; b.</p><p>Second.</p></div>
<div data-bbox="100 300 900 330" data-label="Text">Bare text with no tags</div>
<div data-bbox="100 340 900 400" data-label="Equation-Block"><math display="block">\int_0^1 x^2\,dx = \frac{1}{3}</math></div>
<div data-bbox="100 410 900 500" data-label="List-Group"><ul><li>one</li><li>two<ol><li>a</li><li>b</li></ol></li><li><p>three</p></li></ul></div>
<div data-bbox="100 510 900 700" data-label="Table"><table border="1"><thead><tr><th>A</th><th>B</th></tr></thead><tbody><tr><td colspan="2">1 <math>y^2</math></td></tr></tbody></table></div>
<div data-bbox="100 710 500 800" data-label="Image"><img alt="A red (bar) chart"/>Bars rise from 1 to 4.</div>
<div data-bbox="100 810 500 830" data-label="Form"><p><input type="checkbox" checked/> Yes <input type="checkbox"/> No</p></div>
<div data-bbox="100 840 500 860" data-label="Code-Block"><pre><code class="language-go">a := 1
b_c := 2 * 3
</code></pre></div>
<div data-bbox="100 870 500 880" data-label="Text"><p>Made up: <img alt="nothing"/> end <a href="https://x.org/a_b">link</a></p></div>
<div data-bbox="100 900 500 930" data-label="Footnote"><p><sup>1</sup> See <u>there</u> and <del>not</del>.</p></div>
<div data-bbox="450 960 550 980" data-label="Page-Footer">7</div>
<div data-bbox="0 0 1000 1000" data-label="Blank-Page"></div>
`

// chandraMarkdown is what chandra-ocr 0.2.0 makes of the page, but for what markdownOf says: the spaces around math, the
// form's boxes, the image without a source, the name of the code's language.
const chandraMarkdown = "# Results & Costs: 5 \\* 3 = 15, snake\\_case, \\$5\n\n" +
	"The **best** value is $x_{i} < 3$, see H<sub>2</sub>O and *E. coli*.  \nNext line a < b.\n\nSecond.\n\n" +
	"Bare text with no tags\n\n$$\\int_0^1 x^2\\,dx = \\frac{1}{3}$$\n\n- one\n- two\n  1. a\n  2. b\n- three\n\n" +
	`<table border="1"><thead><tr><th>A</th><th>B</th></tr></thead><tbody><tr><td colspan="2">1 <math>y^2</math></td></tr></tbody></table>` +
	"\n\n![A red (bar) chart]()Bars rise from 1 to 4.\n\n[x] Yes [ ] No\n\n```go\na := 1\nb_c := 2 * 3\n```\n\n" +
	"Made up: end [link](https://x.org/a_b)\n\n<sup>1</sup> See there and ~~not~~."

func TestLayoutHTML(t *testing.T) {
	p := mustPreset("chandra2")
	r := p.readAnswer(chandraPage, Markdown, Sizes{Width: 2000, Height: 3000})
	require.Equal(t, chandraMarkdown, r.Content)
	require.Equal(t, chandraPage, r.RawOutput)
	require.Equal(t, "Results & Costs: 5 * 3 = 15, snake_case, $5 The best value is x_{i} < 3 , see H 2 O and E. coli . Next line a < b. Second. "+
		`Bare text with no tags \int_0^1 x^2\,dx = \frac{1}{3} one two a b three A B 1 y^2 Bars rise from 1 to 4. Yes No a := 1 b_c := 2 * 3 `+
		"Made up: end link 1 See there and not .", r.PlainText)
	require.Equal(t, utf8.RuneCountInString(r.Content), r.ContentLength)
	require.Equal(t, len(strings.Fields(r.PlainText)), r.WordCount)
	require.Len(t, r.Elements, 13, "the blank page's is none")
	require.Equal(t, Element{Label: "Page-Header", Box: [4]int{160, 60, 1800, 150}, Content: "Annual Report 2024"}, briefly(r.Elements)[0])
	require.Equal(t, Element{Label: "Text", Box: [4]int{200, 900, 1800, 990}, Content: "Bare text with no tags"}, briefly(r.Elements)[3])

	r = p.readAnswer(chandraPage, HTML, Sizes{Width: 2000, Height: 3000})
	require.True(t, strings.HasPrefix(r.Content, `<h1>Results &amp; Costs: 5 * 3 = 15, snake_case, $5</h1>
<p>The <b>best</b> value is <math>x_{i} &lt; 3</math>,`), r.Content)
	require.Contains(t, r.Content, "\n<p>Bare text with no tags</p>\n")
	require.Contains(t, r.Content, `<img alt="A red (bar) chart"/>Bars`)
	require.NotContains(t, r.Content, "data-bbox")
	require.NotContains(t, r.Content, "nothing")
	require.NotContains(t, r.Content, "Annual")
}

// What models write, beside what they were asked for. W × H of the page is 2048 × 1000.
func TestLayoutHTMLTraps(t *testing.T) {
	for _, row := range []struct {
		name, preset, raw, content string
		boxes                      [][4]int
	}{
		{"box in brackets", "chandra1", `<div data-bbox="[512, 0, 1024, 1024]" data-label="Text">a</div>`, "a", [][4]int{{1024, 0, 2048, 1000}}},
		{"box without brackets", "chandra1", `<div data-bbox="512 0 1024 1024" data-label="Text">a</div>`, "a", [][4]int{{1024, 0, 2048, 1000}}},
		{"brackets in Chandra 2", "chandra2", `<div data-bbox="[500,0,1000,1000]" data-label="Text">a</div>`, "a", [][4]int{{1024, 0, 2048, 1000}}},
		{"commas", "logics-v2", `<div class="table" data-bbox="500,0,1000,1000">a</div>`, "a", [][4]int{{1024, 0, 2048, 1000}}},
		{"sides swapped", "chandra2", `<div data-bbox="1000 1000 500 0">a</div>`, "a", [][4]int{{1024, 0, 2048, 1000}}},
		{"out of range", "chandra2", `<div data-bbox="-5 0 1200 9999">a</div>`, "a", [][4]int{{0, 0, 2048, 1000}}},
		{"three numbers", "chandra2", `<div data-bbox="1 2 3">a</div>`, "a", [][4]int{{}}},
		{"words", "chandra2", `<div data-bbox="top left NaN 1">a</div>`, "a", [][4]int{{}}},
		{"no box, no label", "chandra2", `<div>a</div>`, "a", [][4]int{{}}},
		{"fence", "chandra2", "```html\n<div data-bbox=\"0 0 1 1\">a</div>\n```", "a", [][4]int{{0, 0, 2, 1}}},
		{"html and body", "logics-v2", `<html><head><title>x</title></head><body><p data-bbox="0,0,500,500" class="text">a</p><h2>b</h2></body></html>`,
			"a\n\n## b", [][4]int{{0, 0, 1024, 500}, {}}},
		{"text around the blocks", "chandra2", `before <div data-bbox="0 0 1 1">a</div> <b>after</b> it`, "before\n\na\n\n**after** it",
			[][4]int{{}, {0, 0, 2, 1}, {}}},
		{"no markup", "chandra2", "just text", "just text", [][4]int{{}}},
		{"nothing", "chandra2", "", "", nil},
		{"blank page", "chandra2", `<div data-bbox="0 0 1000 1000" data-label="Blank-Page"></div>`, "", nil},
		{"nested block", "chandra2", `<div data-bbox="0 0 10 10" data-label="Complex-Block">a<div data-bbox="1 1 2 2" data-label="Text">b</div>c</div>`,
			"a\n\nb\n\nc", [][4]int{{0, 0, 20, 10}}},
		{"cut in a text", "chandra2", `<div data-bbox="0 0 10 10" data-label="Text"><p>half of`, "half of", [][4]int{{0, 0, 20, 10}}},
		{"cut in a tag", "chandra2", `<div data-bbox="0 0 10 10" data-label="Text"><p>a</p></div><div data-bb`, "a", [][4]int{{0, 0, 20, 10}}},
		{"cut in a table", "chandra2", `<div data-bbox="0 0 10 10" data-label="Table"><table><tr><td>1</td><td>2`, "<table><tr><td>1</td><td>2",
			[][4]int{{0, 0, 20, 10}}},
		{"cut in math", "chandra2", `<div data-bbox="0 0 10 10"><p>a <math>x < 3 + y`, "a $x < 3 + y$", [][4]int{{0, 0, 20, 10}}},
		{"math with tags in it", "chandra2", `<div><math>a<b</math> and c>d</div>`, "$a<b$ and c>d", [][4]int{{}}},
		{"unknown label", "chandra2", `<div data-bbox="0 0 10 10" data-label="Marginalia">a</div>`, "a", [][4]int{{0, 0, 20, 10}}},
		{"comparisons", "chandra2", `<div>if a < b and c > d</div>`, "if a < b and c > d", [][4]int{{}}},
		{"tags that are text", "chandra2", `<div><p>&lt;b&gt; &amp;lt;</p></div>`, "&lt;b> &amp;lt;", [][4]int{{}}},
		{"ends of nothing", "chandra2", `</p><div>a</b></i></div></div><div>b</div>`, "a\n\nb", [][4]int{{}, {}}},
		{"items without ends", "chandra2", `<div><ul><li>a<li>b<ul><li>c</ul><li>d</ul></div>`, "- a\n- b\n  - c\n- d", [][4]int{{}}},
		{"numbers of items", "chandra2", `<div><ol start="3"><li>a</li><li value="7">b</li><li>c</li></ol></div>`, "3. a\n7. b\n8. c", [][4]int{{}}},
		{"blocks in inline", "chandra2", `<div><span>a<p>b</p></span></div>`, "a\n\nb", [][4]int{{}}},
		{"empty marks", "chandra2", `<div>a<b> </b>b <i></i>c<math></math></div>`, "a b c", [][4]int{{}}},
		{"spaces in marks", "chandra2", `<div>a<b> b </b>c</div>`, "a **b** c", [][4]int{{}}},
		{"backticks", "chandra2", "<div><code>a`b</code></div>", "``a`b``", [][4]int{{}}},
		{"empty lines in a table", "chandra2", "<div><table>\n\n<tr><td data-bbox=\"1\">1</td></tr>\n \n</table></div>",
			"<table>\n<tr><td>1</td></tr>\n</table>", [][4]int{{}}},
		{"mermaid", "chandra2", `<div data-label="Diagram"><pre class="mermaid">A --&gt; B</pre><img alt="flow"></div>`, "```mermaid\nA --> B\n```\n\n![flow]()",
			[][4]int{{}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := mustPreset(row.preset)
			r := p.readAnswer(row.raw, Markdown, Sizes{Width: 2048, Height: 1000})
			require.Equal(t, row.content, r.Content)
			var boxes [][4]int
			for _, b := range r.Elements {
				boxes = append(boxes, b.Box)
			}
			require.Equal(t, row.boxes, boxes)
			p.readAnswer(row.raw, HTML, Sizes{Width: 2048, Height: 1000})
		})
	}
}

// Depth and size do no harm: neither the stack nor the time grows beyond the answer.
func TestLayoutHTMLIsLinear(t *testing.T) {
	p := mustPreset("chandra2")
	size := 1 << 16
	inputs := hostile(size)
	for _, unit := range []string{
		"<div>", "<ul><li>", "<p>", "<b>", "<table><tr><td>", "<math>", "<math>a</math>", "<pre>", "<a href=x>", "</div>", "<div data-bbox=\"1 2 3 4\">x</div>",
		"<div><p>a</b>", "<blockquote>", "<br>", "<img alt=\"x\">", "<li>", "a<br>", "<code>`", "<span><p>",
	} {
		inputs["layout "+unit] = strings.Repeat(unit, size/len(unit))
	}
	for name, raw := range inputs {
		for _, format := range []Format{Markdown, HTML} {
			start := time.Now()
			p.readAnswer(raw, format, Sizes{Width: 100, Height: 100})
			require.Less(t, time.Since(start), 20*time.Second, "%q", name)
		}
	}
}

func FuzzParsers(f *testing.F) {
	f.Add(chandraPage)
	f.Add(`[{"bbox":[1,2,3,4],"category":"text","text":"a"}]`)
	f.Add("---\nprimary_language: en\n---\nx")
	f.Add("<|box_start|>1 2 3 4<|box_end|><|ref_start|>text<|ref_end|>")
	f.Fuzz(func(t *testing.T, raw string) {
		for _, name := range []string{"chandra2", "olmocr2", "infinity2", "mineru25-layout"} { // each parser
			p := mustPreset(name)
			for _, format := range []Format{Markdown, HTML} {
				for _, part := range []string{raw, raw[:len(raw)/2]} {
					r := p.readAnswer(part, format, Sizes{Width: 640, Height: 480})
					require.True(t, utf8.ValidString(r.Content))
					for _, b := range r.Elements {
						require.True(t, 0 <= b.Box[0] && b.Box[0] <= b.Box[2] && b.Box[2] <= 640 && 0 <= b.Box[1] && b.Box[1] <= b.Box[3] && b.Box[3] <= 480)
					}
				}
			}
		}
	})
}
