package textextraction

import (
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// line is an element in short: kind, level, label, box and text.
func line(e Element) string {
	var b strings.Builder
	b.WriteString(string(e.Kind))
	if e.Level > 0 {
		b.WriteByte(byte('0' + e.Level))
	}
	if e.Label != "" {
		b.WriteString(" [" + e.Label + "]")
	}
	if e.Box != [4]int{} {
		b.WriteString(" " + strings.Trim(strings.Join(strings.Fields(strings.NewReplacer("(", "", ")", "", "-", " ", ",", " ").Replace(e.Rect().String())), ","), ","))
	}
	if e.Table != nil {
		b.WriteString(" table")
	}
	return b.String() + ": " + strings.ReplaceAll(e.Text, "\n", "⏎")
}

func linesOf(elements []Element) (all []string) {
	for _, e := range elements {
		all = append(all, line(e))
	}
	return all
}

// What the models write, in each format, and what becomes of it. The page has 2000 × 3000 pixels.
func TestElements(t *testing.T) {
	for _, row := range []struct {
		name, preset string
		format       Format
		raw          string
		want         []string
	}{
		{"Qwen3-VL HTML", "qwen3vl", HTML, "```html\n" + `<html><body>
<h1 data-bbox="100 50 900 90">Annual Report</h1>
<div class="text" data-bbox="100 100 900 200"><p>First   paragraph.</p><p>Second one: a < b &amp; c.</p></div>
<ol data-bbox="100 200 900 400"><li data-bbox="100 200 900 300">one<ul><li data-bbox="120 250 900 300">inner</li></ul></li><li data-bbox="100 300 900 400"><p>two</p></li></ol>
<div class="table" data-bbox="100 400 900 500"><table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td>x<y</td></tr></table></div>
<div class="image" data-bbox="100 500 500 600"></div>
<div class="image caption" data-bbox="100 600 500 620"><img data-bbox="100 500 500 599"/><p>Figure 1: a boat</p></div>
<div class="formula.machine_printed" data-bbox="100 620 500 640"><img/><div>\frac{a}{b}</div></div>
<div class="music sheet" data-bbox="100 640 500 660" format="abc notation"><div class="abc notation">X:1</div></div>
<div class="chemical formula" data-bbox="100 660 500 680">CCO</div>
<div class="chart" data-bbox="100 680 500 700" format="bar"><table><tr><td>1</td></tr></table></div>
<p data-bbox="100 700 500 720" style="color:red">Last</p></body></html>` + "\n```", []string{
			"heading1 200,150,1800,270: Annual Report",
			"text [text] 200,300,1800,600: First paragraph. Second one: a < b & c.",
			"list_item1 200,600,1800,900: one", "list_item2 240,750,1800,900: inner", "list_item1 200,900,1800,1200: two",
			"table [table] 200,1200,1800,1500 table: A\tB⏎1\tx<y",
			"figure [image] 200,1500,1000,1800: ",
			"figure 200,1500,1000,1797: ", "caption [image caption] 200,1800,1000,1860: Figure 1: a boat",
			`formula [formula.machine_printed] 200,1860,1000,1920: \frac{a}{b}`,
			"music [music sheet] 200,1920,1000,1980: X:1", "chemistry [chemical formula] 200,1980,1000,2040: CCO",
			"chart [chart] 200,2040,1000,2100 table: 1", "text 200,2100,1000,2160: Last",
		}},
		{"lists without boxes of their own, a polygon, reversed, out of range", "qwen3vl", HTML,
			`<ul data-bbox="900 500 100 200"><li>a</li><li>b<ol><li>c</li></ol>goes on</li></ul><p data-polygon="10 20 100 20 100 80 10 80">d</p><p data-bbox="-5 990 2000 4000">e</p><p data-bbox="1 2 3">f</p>`, []string{
				"list_item1 200,600,1800,1500: a", "list_item1 200,600,1800,1500: b", "list_item2 200,600,1800,1500: c", "text 200,600,1800,1500: goes on",
				"text 20,60,200,240: d", "text 0,2970,2000,3000: e", "text: f",
			}},
		{"no markup at all", "qwen3vl", HTML, "just a < b text", []string{"text: just a < b text"}},
		{"tags that are never closed", "qwen3vl", HTML, `<p>a<p>b<table><tr><td>1<td>2<h2>x`, []string{"text: a", "text: b", "table table: 1\t2 x"}},
		{"text around cells", "qwen3vl", HTML, `<table>lost? <tr><td>1</td></tr></table>`, []string{"table table: lost? 1"}},
		{"cut in the midst", "qwen3vl", HTML, `<h2>A</h2><div class="text" data-bbox="0 0 500 500"><p>half of <b>it</b> and <span cla`,
			[]string{"heading2: A", "text [text] 0,0,1000,1500: half of it and"}},
		{"cut in a box", "qwen3vl", HTML, `<p data-bbox="0 0 500 500">a</p><p data-bbox="12 3`, []string{"text 0,0,1000,1500: a"}},
		{"paragraphs, code, math, an image with a description", "qwen3vl", HTML,
			"before <p>a <math>x<y</math></p><pre>if a:\n  b</pre><math display=\"block\">x^2</math><p><img alt=\"A boat\"></p><blockquote>q</blockquote>after",
			[]string{"text: before", "text: a x<y", "code: if a:⏎  b", "formula: x^2", "figure: A boat", "text: q", "text: after"}},

		{"Qwen2.5-VL: pixels of the scaled page", "qwen25vl", HTML, `<p data-bbox="0 0 500 750">a</p>`, []string{"text 0,0,1000,1500: a"}},

		{"Qwen3-VL Markdown", "qwen3vl", Markdown, `# Report *2024*

First line
second line_with_names. <!-- Image (100, 100, 500, 200) -->

- one
  - two
    goes on
1. three
<!-- Table (900, 300, 100, 200) -->
\begin{tabular}{|l|r|}
\hline
A & B \\ \hline
1 & \textbf{2} \\ \hline
\end{tabular}

` + "```go\na := 1\n```" + `

$$
\frac{a}{b}
$$
| x | y |
|---|---|
| 1 | 2 |

[^1]: See there.
![alt text](image.png)
<!-- Image (0, 0, 1000, 1000) -->`, []string{
			"heading1: Report 2024", "text: First line second line_with_names.", "figure [Image] 200,300,1000,600: ",
			"list_item1: one", "list_item2: two goes on", "list_item1: 1. three",
			"table [Table] 200,600,1800,900 table: A\tB⏎1\t2", "code [go]: a := 1", `formula: \frac{a}{b}`, "table table: x\ty⏎1\t2",
			"footnote: [^1]: See there.", "figure: alt text", "figure [Image] 0,0,2000,3000: ",
		}},
		{"a table that does not come, one in the midst of a line, one behind a caption", "qwen3vl", Markdown,
			"<!-- Table (0, 0, 500, 500) -->\n\ntext\n\n<!-- Table (x, y) -->\n\nsee <table><tr><td>1</td></tr></table> and on\n\n<!-- Table (500, 0, 1000, 500) -->\nTable 1\n\n\\begin{tabular}{l}2\\end{tabular}",
			[]string{"table [Table] 0,0,1000,1500: ", "text: text", "text: see", "table [Table] table: 1", "text: and on", "text: Table 1", "table [Table] 1000,0,2000,1500 table: 2"}},
		{"a table cut in the midst", "qwen3vl", Markdown, "<!-- Table (0, 0, 500, 500) -->\n\\begin{tabular}{ll}\nA & B \\\\\n1 & half", []string{"table [Table] 0,0,1000,1500 table: A\tB⏎1\thalf"}},
		{"a float with a caption and a note", "qwen3vl", Markdown, "\\begin{table}[h]\n\\caption{Costs}\n\\begin{tabular}{l}1\\\\\n\\end{tabular}\nNote: in €\n\\end{table}",
			[]string{"table table: Note: in €⏎Costs⏎1"}},
		{"a comment cut in two", "qwen3vl", Markdown, "a\n\n<!-- Image (100, 2", []string{"text: a"}},
		{"a fence without an end, a fence around all", "qwen3vl", Markdown, "```markdown\n# A\n\n```mermaid\nA --> B\n```\n\n```go\ncode", []string{"heading1: A", "chart [mermaid]: A --> B", "code [go]: code"}},
		{"dashes, dots and stars", "qwen3vl", Markdown, "a\n\n---\n\n* * *\nName ........ 5\n\n-5 degrees\n2024. A year", []string{"text: a", "text: ---", "text: Name ........ 5", "text: -5 degrees", "list_item1: 2024. A year"}},

		{"Chandra 2", "chandra2", Markdown, chandraPage, []string{
			"header [Page-Header] 160,60,1800,150: Annual Report 2024",
			"heading1 [Section-Header] 200,240,1800,360: Results & Costs: 5 * 3 = 15, snake_case, $5",
			"text [Text] 200,390,1800,900: The best value is x_{i} < 3 , see H 2 O and E. coli . Next line a < b. Second.",
			"text [Text] 200,900,1800,990: Bare text with no tags", `formula [Equation-Block] 200,1020,1800,1200: \int_0^1 x^2\,dx = \frac{1}{3}`,
			"list [List-Group] 200,1230,1800,1500: one two a b three", "table [Table] 200,1530,1800,2100 table: A\tB⏎1 $y^2$",
			"figure [Image] 200,2130,1000,2400: Bars rise from 1 to 4.", "form [Form] 200,2430,1000,2490: Yes No",
			"code [Code-Block] 200,2520,1000,2580: a := 1⏎b_c := 2 * 3", "text [Text] 200,2610,1000,2640: Made up: end link",
			"footnote [Footnote] 200,2700,1000,2790: 1 See there and not .", "footer [Page-Footer] 900,2880,1100,2940: 7",
		}},
		{"Chandra 0.1: 0 to 1024", "chandra1", HTML, `<div data-bbox="[512, 0, 1024, 1024]" data-label="Marginalia">a</div>`, []string{"text [Marginalia] 1000,0,2000,3000: a"}},
		{"Logics", "logics-v2", HTML, `<h2 data-bbox="0,0,500,50">T</h2><p data-bbox="0,50,500,100">a</p><div class="pseudocode" data-bbox="0,100,500,200"><pre>x = 1</pre></div><p>loose</p><ul><li>i</li></ul>`,
			[]string{"heading2 0,0,1000,150: T", "text 0,150,1000,300: a", "code [pseudocode] 0,300,1000,600: x = 1", "text: loose", "list_item1: i"}},
		{"olmOCR", "olmocr2", Markdown, goodHead + "# T\n\n![A boat](page_10_20_30_40.png)\n\n<table><tr><td>1</td></tr></table>", []string{"heading1: T", "figure: A boat", "table table: 1"}},
		{"Nanonets", "nanonets2", Markdown, "a\n<page_number>9/22</page_number> <watermark>OFFICIAL COPY</watermark>\n<img>A boat\n☑ yes", []string{
			"text: a", "page_number [page_number]: 9/22", "text [watermark]: OFFICIAL COPY", "figure [img]: A boat", "text: ☑ yes",
		}},
		{"MinerU's table", "mineru25", Markdown, "<fcel>A<fcel>B<nl><fcel>1<lcel><nl>", []string{"table table: A\tB⏎1"}},
		{"Infinity-Parser2", "infinity2", Markdown, `[{"bbox":[0,0,1000,50],"category":"header","text":"Head"},{"bbox":[0,50,500,100],"category":"title","text":"## A *b*"},
{"bbox":[0,100,500,200],"category":"figure","text":""},{"bbox":[0,100,500,200],"category":"figure_caption","text":"Fig"},{"bbox":[0,200,500,300],"category":"table","text":"<table><tr><td>1</td></tr></table>"},{"bbox":[0,300,500,400],"category":"formula","text":"$$x$$"}]`,
			[]string{"header [header] 0,0,2000,150: Head", "heading2 [title] 0,150,1000,300: A b", "figure [figure] 0,300,1000,600: ", "caption [figure_caption] 0,300,1000,600: Fig",
				"table [table] 0,600,1000,900 table: 1", "formula [formula] 0,900,1000,1200: x"}},
		{"MinerU's layout", "mineru25-layout", Markdown, "<|box_start|>0 0 500 100<|box_end|><|ref_start|>paragraph_title<|ref_end|><|rotate_up|>Text\n<|box_start|>0 100 500 200<|box_end|><|ref_start|>page_number<|ref_end|>",
			[]string{"heading [paragraph_title] 0,0,1000,300: Text", "page_number [page_number] 0,300,1000,600: "}},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := mustPreset(row.preset).ReadAnswer(row.raw, row.format, Sizes{Width: 2000, Height: 3000, ModelWidth: 1000, ModelHeight: 1500})
			require.Equal(t, row.want, linesOf(r.Elements))
			if row.preset != "mineru25-layout" { // whose tokens are its plain text
				checkElements(t, r)
			}
		})
	}
	r := NewExtractResult("<style>table{id}</style><p>a</p><script>b</script>", HTML)
	require.Equal(t, []string{"text: a"}, linesOf(r.Elements), "styles and scripts are no text")
}

// letters are the letters and digits of a text.
func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, s)
}

// checkElements holds the elements of an answer to what is promised of them: their order, their places in the answer and on the
// page, and that no text is lost.
func checkElements(t *testing.T, r *ExtractResult) {
	t.Helper()
	var text strings.Builder
	start := 0
	for _, e := range r.Elements {
		require.LessOrEqual(t, 0, e.Start)
		require.LessOrEqual(t, e.Start, e.End, line(e))
		require.LessOrEqual(t, e.End, len(r.RawOutput))
		require.LessOrEqual(t, start, e.Start, "in order: %s", line(e))
		start = e.Start
		require.True(t, 0 <= e.Box[0] && e.Box[0] <= e.Box[2] && e.Box[2] <= r.ImageWidth, "%v", e.Box)
		require.True(t, 0 <= e.Box[1] && e.Box[1] <= e.Box[3] && e.Box[3] <= r.ImageHeight, "%v", e.Box)
		require.NotEmpty(t, e.Kind)
		switch {
		case r.Format == HTML && e.Text != "":
			text.WriteString(e.Text)
		default:
			text.WriteString(e.Content)
		}
		if r.Format == Markdown && (e.Kind == KindText || e.Kind == KindHeading || e.Kind == KindListItem) && e.Label == "" {
			require.True(t, holdsWords(e.Text, blockText(e.Content)), "%q in %q", blockText(e.Content), e.Text)
		}
	}
	require.True(t, holdsWords(text.String(), r.PlainText), "text is lost: %q of %q\n%q", letters(r.PlainText), text.String(), linesOf(r.Elements))
}

func FuzzElements(f *testing.F) {
	f.Add("# A\n\n- b\n  - c\n<!-- Table (1, 2, 3, 4) -->\n\\begin{tabular}{l}x & y\\\\\n\\end{tabular}\n```\ncode\n```\n| a | b |\n|--|--|\n| 1 | 2 |\n$$x$$", false)
	f.Add("<table><tr><td>1</td></tr></table> a <img>b</img>\n<page_number>3</page_number>\n![x](y)\n[^1]: z\n\\[ x \\]\n<fcel>1<nl>", false)
	f.Add(`<h1 data-bbox="1 2 3 4">A</h1><ol><li data-bbox="1 2 3 4">b<ul><li>c</ul><table><tr><th>1<td>x<y</table><div class="image caption" data-bbox="4 3 2 1"><img/>d</div>`, true)
	f.Fuzz(func(t *testing.T, raw string, html bool) {
		format := Markdown
		if html {
			format = HTML
			if low := strings.ToLower(raw); strings.Contains(low, "<style") || strings.Contains(low, "<script") {
				return // whose text is none of the page's
			}
		}
		for _, name := range []string{"qwen3vl", "olmocr2"} {
			checkElements(t, mustPreset(name).ReadAnswer(raw, format, Sizes{Width: 640, Height: 480}))
		}
	})
}
