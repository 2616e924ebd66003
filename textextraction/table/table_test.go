package table

import (
	"encoding/csv"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// c is a cell: a text, rows, columns.
func c(text string, spans ...int) Cell {
	cell := Cell{Text: text}
	if len(spans) == 2 {
		cell.RowSpan, cell.ColSpan = spans[0], spans[1]
	}
	return cell
}

func row(cells ...Cell) []Cell { return append([]Cell{}, cells...) }

func texts(words ...string) []Cell {
	cells := []Cell{}
	for _, w := range words {
		cells = append(cells, c(w))
	}
	return cells
}

// What models write for tables, in each language.
func TestParse(t *testing.T) {
	for _, test := range []struct {
		name  string
		parse func(string) (*Table, error)
		s     string
		want  Table
	}{
		{"tabular of Qwen3-VL", ParseLaTeX, "\\begin{tabular}{|l|r|}\n\\hline\nName & Price \\\\\n\\hline\nTea & 2.50 \\\\\nCake \\& more & \\$3 \\\\\n\\hline\n\\end{tabular}",
			Table{HeaderRows: 1, Rows: [][]Cell{texts("Name", "Price"), texts("Tea", "2.50"), texts("Cake & more", "$3")}}},
		{"a line between all rows", ParseLaTeX, `\begin{tabular}{|l|r|} \hline A & B \\ \hline 1 & 2 \\ \hline 3 & 4 \\ \hline \end{tabular}`,
			Table{Rows: [][]Cell{texts("A", "B"), texts("1", "2"), texts("3", "4")}}},
		{"multirow and multicolumn", ParseLaTeX, `\begin{tabular}{lcc}\toprule
\multirow{2}{*}{\textbf{Model}} & \multicolumn{2}{c}{Score} \\ \cmidrule(lr){2-3}
 & dev & test \\ \midrule
A \textit{b} & 1 & 2 \\[2pt]
\multirow{2}{*}{\multicolumn{2}{c}{$x_{1} & y$}} & 3 \\ & & 4 \\ \bottomrule
\end{tabular}`,
			Table{HeaderRows: 2, Rows: [][]Cell{
				row(c("Model", 2, 0), c("Score", 0, 2)), texts("dev", "test"), texts("A b", "1", "2"), row(c("$x_{1} & y$", 2, 2), c("3")), texts("4"),
			}}},
		{"text below a multirow", ParseLaTeX, `\begin{tabular}{ll}\multirow{3}{*}{a} & 1 \\ & 2 \\ b & 3\end{tabular}`,
			Table{Rows: [][]Cell{row(c("a", 2, 0), c("1")), texts("2"), texts("b", "3")}}},
		{"cut in a cell", ParseLaTeX, `\begin{tabular}{ll} \hline A & B \\ \hline 1 & \textbf{half of`,
			Table{HeaderRows: 1, Rows: [][]Cell{texts("A", "B"), texts("1", "half of")}}},
		{"table around it", ParseLaTeX, `\begin{table}[h]\centering\caption{The \emph{costs}, 5\%}\begin{tabular}{l} a\\ \end{tabular}\end{table}`,
			Table{Caption: "The costs, 5%", Rows: [][]Cell{texts("a")}}},
		{"tabularx, makecell, tabular in a cell", ParseLaTeX, `\begin{tabularx}{\textwidth}{|X|X|}\makecell[l]{a \\ b} & \begin{tabular}[c]{@{}l@{}}c\\d\end{tabular} \\ 1 & \unknown{2}~x \end{tabularx}`,
			Table{Rows: [][]Cell{texts("a\nb", "c\nd"), texts("1", `\unknown{2} x`)}}},
		{"array in math", ParseLaTeX, `\begin{array}{cc} 1 & \frac{a}{b} \\ 2 & \(x\) \end{array}`,
			Table{Rows: [][]Cell{texts("1", `\frac{a}{b}`), texts("2", "$x$")}}},

		{"spans", ParseHTML, `<table border="1"><thead><tr><th rowspan="2">A<br>B</th><th colspan="2">C</th></tr><tr><th>d</th><th>e</th></tr></thead>
<tbody><tr><td>1 &amp; 2</td><td colspan="2"><math>y^2 < z</math> is</td></tr></tbody></table>`,
			Table{HeaderRows: 2, Rows: [][]Cell{row(c("A\nB", 2, 0), c("C", 0, 2)), texts("d", "e"), row(c("1 & 2"), c("$y^2 < z$ is", 0, 2))}}},
		{"no ends, th as head of rows", ParseHTML, "x <table><tr><th>A<th>B<tr><th>r<td>1<tr><td>2",
			Table{HeaderRows: 1, Rows: [][]Cell{texts("A", "B"), row(Cell{Text: "r", Header: true}, c("1")), texts("2", "")}}},
		{"caption, list, inputs, a table within", ParseHTML,
			`<table><caption>Cap</caption><tr><td><ul><li>a</li><li>b</li></ul></td><td><input type="checkbox" checked>yes</td><td><table><tr><td>1</td><td>2</td></tr></table></td></tr></table>`,
			Table{Caption: "Cap", Rows: [][]Cell{texts("a\nb", "☑yes", "1 2")}}},
		{"spans out of all bounds", ParseHTML, `<table><tr><td rowspan="99999999999999999999">a</td><td colspan="1000">b</td></tr><tr><td rowspan="0">c</td><td>d</td></tr><tr><td rowspan="-1">e</td></tr></table>`,
			Table{Rows: [][]Cell{texts("a", "b"), row(c("c", 2, 0), c("d")), texts("e")}}},

		{"MinerU", ParseOTSL, "<fcel>A<fcel>B<lcel><nl><ucel><fcel>b<fcel>c<nl><fcel>1<ecel><nl>",
			Table{Rows: [][]Cell{row(c("A", 2, 0), c("B", 0, 2)), texts("b", "c"), texts("1", "", "")}}},
		{"a block of four", ParseOTSL, "<otsl><ched>h<ched>i<ched>j<nl><fcel>A<lcel><fcel>x<nl><ucel><xcel><fcel>y<nl></otsl>",
			Table{HeaderRows: 1, Rows: [][]Cell{texts("h", "i", "j"), row(c("A", 2, 2), c("x")), texts("y")}}},
		{"goes on with nothing", ParseOTSL, "Cap <lcel><ucel>text<nl><xcel><fcel>z",
			Table{Caption: "Cap", Rows: [][]Cell{texts("", "text"), texts("", "z")}}},

		{"GitHub", ParseMarkdown, "before\n\n| **A** | B\\|C |\n|:--|--:|\n| `x` | 1<br>2 |\n| $a_{1}|$ | &lt;3 |\n\nafter",
			Table{HeaderRows: 1, Rows: [][]Cell{texts("A", "B|C", ""), texts("x", "1\n2", ""), texts("$a_{1}", "$", "<3")}}},
		{"without bars at the ends", ParseMarkdown, "A | B\n--- | ---\n1 | 2", Table{HeaderRows: 1, Rows: [][]Cell{texts("A", "B"), texts("1", "2")}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.parse(test.s)
			require.NoError(t, err)
			require.Equal(t, test.want, *got)
			checkSound(t, got)
		})
	}
}

func TestNoTable(t *testing.T) {
	for name, parse := range map[string]func(string) (*Table, error){"html": ParseHTML, "latex": ParseLaTeX, "otsl": ParseOTSL, "markdown": ParseMarkdown} {
		for _, s := range []string{"", "text", "<table></table>", "<table><tr></tr></table>", `\begin{tabular}{l}\end{tabular}`, "<nl>", "|\n|--|"} {
			_, err := parse(s)
			require.ErrorIs(t, err, ErrNoTable, "%s: %q", name, s)
		}
	}
	big := "<table>" + strings.Repeat(`<tr><td rowspan=1000 colspan=1000></td></tr>`, 2000) + "</table>"
	_, err := ParseHTML(big)
	require.ErrorIs(t, err, ErrTooLarge)
	wide := "<table><tr>" + strings.Repeat("<td>", 2000) + strings.Repeat("<tr>", 2000) + "</table>"
	_, err = ParseHTML(wide)
	require.ErrorIs(t, err, ErrTooLarge)
}

func TestWrite(t *testing.T) {
	table, err := New([][]Cell{
		{{Text: "Model", RowSpan: 2, Header: true}, {Text: "a|b\n* c", ColSpan: 2, Header: true}}, texts("x_1", "$y_{1} | z$"),
		{{Text: "<b>", Header: true}, {Text: `say "hi"`}, {Text: "1,5"}},
	}, 2, "Costs & <more>")
	require.NoError(t, err)
	require.Equal(t, "<table>\n<caption>Costs &amp; &lt;more&gt;</caption>\n<thead>\n"+
		`<tr><th rowspan="2">Model</th><th colspan="2">a|b<br>* c</th></tr>`+"\n<tr><th>x_1</th><th>$y_{1} | z$</th></tr>\n</thead>\n<tbody>\n"+
		"<tr><th>&lt;b&gt;</th><td>say &#34;hi&#34;</td><td>1,5</td></tr>\n</tbody>\n</table>", table.HTML())
	require.Equal(t, "Costs & &lt;more>\n\n| Model | a\\|b<br>\\* c |  |\n| --- | --- | --- |\n|  | x\\_1 | $y_{1} \\| z$ |\n| &lt;b> | say \"hi\" | 1,5 |", table.Markdown())
	require.Equal(t, "Model,\"a|b\n* c\",\n,x_1,$y_{1} | z$\n<b>,\"say \"\"hi\"\"\",\"1,5\"\n", table.CSV())
	require.Equal(t, "Costs & <more>\nModel\ta|b * c\n\tx_1\t$y_{1} | z$\n<b>\tsay \"hi\"\t1,5", table.Text())
	require.Equal(t, 3, table.Columns())
	require.True(t, table.HasSpans())
	slots := table.Slots()
	require.Same(t, slots[0][0], slots[1][0])
	require.Same(t, slots[0][1], slots[0][2])
}

func TestJSONErrors(t *testing.T) {
	for _, test := range []struct{ s, want string }{
		{`{"rows":[[{"text":"a","row_span":-1}]]}`, "rows[0][0]: a span of -1 rows and 0 columns"},
		{`{"header_rows":2,"rows":[[{"text":"a"}]]}`, "header_rows: 2 is outside 0 to 1"},
		{`{"rows":[[{"text":"a","width":1}]]}`, `unknown field "width"`},
		{`{"rows":[]}`, "no table"},
		{`{"rows":[[{"text":"a","row_span":1,"col_span":5000000}]]}`, ""},
	} {
		var table Table
		err := json.Unmarshal([]byte(test.s), &table)
		if test.want == "" {
			require.NoError(t, err)
			require.Equal(t, 1, table.Columns(), "columns in which nothing begins go")
			continue
		}
		require.ErrorContains(t, err, test.want)
	}
}

// checkSound holds a table to what New promises: every slot belongs to one cell, and it is its own fixed point.
func checkSound(t *testing.T, table *Table) {
	t.Helper()
	area := 0
	for _, row := range table.Rows {
		for _, c := range row {
			area += max(c.RowSpan, 1) * max(c.ColSpan, 1)
		}
	}
	for _, row := range table.Slots() {
		require.Len(t, row, table.Columns())
		require.NotContains(t, row, (*Cell)(nil))
	}
	require.Equal(t, len(table.Rows)*table.Columns(), area)
	again, err := New(table.Rows, table.HeaderRows, table.Caption)
	require.NoError(t, err)
	require.Equal(t, table, again)
}

// checkRoundTrips writes a sound table and reads it back.
func checkRoundTrips(t *testing.T, table *Table) {
	t.Helper()
	back, err := ParseHTML(table.HTML())
	require.NoError(t, err)
	require.Equal(t, table, back, "HTML")

	text, err := json.Marshal(table)
	require.NoError(t, err)
	read := &Table{}
	require.NoError(t, json.Unmarshal(text, read))
	require.Equal(t, table, read, "JSON")

	r := csv.NewReader(strings.NewReader(table.CSV()))
	r.FieldsPerRecord = -1
	records, err := r.ReadAll()
	require.NoError(t, err)
	var grid [][]string
	for _, row := range table.Grid() {
		if len(row) > 1 || row[0] != "" { // encoding/csv passes over empty lines
			grid = append(grid, row)
		}
	}
	require.Equal(t, grid, records, "CSV")

	if !table.HasSpans() && table.HeaderRows == 1 && !strings.Contains(table.CSV(), `\|`) {
		back, err := ParseMarkdown(table.Markdown())
		require.NoError(t, err, table.Markdown())
		require.Equal(t, table.Grid(), back.Grid(), "Markdown: %s", table.Markdown())
	}
}

var wordParts = []string{"a", "Größe", "1", ",", "|", "\\", "*", "**", "_", "`", "<", ">", "&", "&amp;", "<br>", "$", "$x_1|2$", " ", "  ", "\n", `"`, "'", "{", "}", "[x](y)", "\\|", "~", "漢", "#", "<td>", "</table>", "%", "\\textbf{b}", "-", ":"}

// randomTable draws a table with awkward texts.
func randomTable(r *rand.Rand, spans bool) *Table {
	for {
		rows := make([][]Cell, 1+r.IntN(5))
		for i := range rows {
			for range r.IntN(5) {
				c := Cell{Header: r.IntN(4) == 0}
				for range r.IntN(4) {
					c.Text += wordParts[r.IntN(len(wordParts))]
				}
				if spans && r.IntN(3) == 0 {
					c.RowSpan, c.ColSpan = r.IntN(4), r.IntN(4)
				}
				rows[i] = append(rows[i], c)
			}
		}
		caption := ""
		if r.IntN(3) == 0 && spans {
			caption = "Cap <1> & more"
		}
		if t, err := New(rows, r.IntN(3), caption); err == nil {
			return t
		}
	}
}

func TestRoundTrips(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 3000 {
		table := randomTable(r, i%2 == 0)
		checkSound(t, table)
		checkRoundTrips(t, table)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`\begin{tabular}{lr}\hline \multirow{2}{*}{a} & \multicolumn{2}{c}{b \& $c$} \\ \cline{2-3} & d & e \\ \end{tabular}`)
	f.Add(`<table><thead><tr><th rowspan=2>A<th colspan="3">B</thead><tr><td>1<td><math>a<b</math></table>`)
	f.Add("<fcel>A<lcel><nl><ucel><xcel><nl><ched>x<ecel>y")
	f.Add("| a | b |\n|---|:-:|\n| 1 \\| 2 | $x$ **y** |")
	f.Fuzz(func(t *testing.T, s string) {
		for _, parse := range []func(string) (*Table, error){ParseHTML, ParseLaTeX, ParseOTSL, ParseMarkdown} {
			table, err := parse(strings.ToValidUTF8(s, "\uFFFD"))
			if err != nil {
				continue
			}
			checkSound(t, table)
			if !strings.ContainsAny(s, "\x00\r\f\v\u0085\u00a0\u2028") { // HTML and CSV have their own ways with these
				checkRoundTrips(t, table)
			}
		}
	})
}
