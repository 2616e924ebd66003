package textextraction

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// defects says what our cleaning gives where Python's harms the text. The answers themselves are in
// testdata/clean_python.json.
var defects = []struct {
	name      string
	format    Format
	content   string
	plainText string
}{
	{"space before > in text", HTML, "<p>B > C and 5  > 4</p>", "B > C and 5 > 4"},
	{"lone less-than", HTML, "<p>a < b</p>", "a < b"},
	{"comparison in text", HTML, "<p>if a < b and c > d</p>", "if a < b and c > d"},
	{"comparison without spaces", HTML, "<p>x<y and z>w</p>", "x<y and z>w"},
	{"bbox in text", HTML, `<p>write data-bbox="1 2 3 4" here</p>`, `write data-bbox="1 2 3 4" here`},
	{"bbox in single quotes", HTML, "<p>x</p>", "x"},
	{"bbox without quotes", HTML, "<p>x</p>", "x"},
	{"bbox in capitals", HTML, "<P>x</P>", "x"},
	{"bbox in another name", HTML, `<p my-data-bbox="1">x</p>`, "x"},
	{"bbox without its end quote", HTML, "<p>lost</p><p>kept</p>", "lost kept"},
	{"greater in an attribute", HTML, `<img alt="a > b" src="c.png">text`, "text"},
	{"greater in a comment", HTML, "a<!-- x > y -->b", "a b"},
	{"space in a comment", HTML, "<!-- x  > y --><p>b</p>", "b"},
	{"entities", HTML, "<p>AT&amp;T &lt;tag&gt; caf&eacute;&nbsp;&#8364;&#x20AC; &unknown; &copy=2</p>", "AT&T <tag> café €€ &unknown; &copy=2"},
	{"fence", HTML, "<p>x</p>", "x"},
	{"fence without a label", HTML, "<p>x</p>", "x"},
	{"fence left open", HTML, "<p>x</p>\n<p>y", "x y"},
	{"tag cut at the end", HTML, "<p>x</p>\n", "x"},
	{"tag name cut at the end", HTML, "<p>x</p>", "x"},
	{"end tag cut at the end", HTML, "<p>x", "x"},
	{"snake case", Markdown, "The field max_new_tokens of _private_config", "The field max_new_tokens of _private_config"},
	{"stars in words", Markdown, "2*3*4 = 24 and 2 * 3 and a**b", "2*3*4 = 24 and 2 * 3 and a**b"},
	{"significance stars", Markdown, "| x | 0.34*** | 0.1* |\n\n\\* p < 0.05. Price* and \\*\\*\\*", "| x | 0.34*** | 0.1* | * p < 0.05. Price* and ***"},
	{"hashes", Markdown, "C# and F#, issue #12, #hashtag\n\n| # | Name |", "C# and F#, issue #12, #hashtag | # | Name |"},
	{"escapes", Markdown, "2 \\* 3, a\\_b, \\# no heading, \\`tick\\`", "2 * 3, a_b, # no heading, `tick`"},
	{"lone backtick", Markdown, "5` long", "5` long"},
	{"underscores in code", Markdown, "`snake_case` and `a*b` and ``a ` b``", "snake_case and a*b and a ` b"},
	{"rule row", Markdown, "| A | B |\n|---|---|\n| 1 | 2 |", "| A | B | | 1 | 2 |"},
	{"rule row with spaces", Markdown, "| A | B |\n| --- | --- |\n| 1 | 2 |", "| A | B | | 1 | 2 |"},
	{"rule row with colons", Markdown, "| A | B | C |\n|:--|:-:|--:|\n| 1 | 2 | 3 |", "| A | B | C | | 1 | 2 | 3 |"},
	{"rule row without outer bars", Markdown, "A | B\n--- | ---\n1 | 2", "A | B 1 | 2"},
	{"rule row of single dashes", Markdown, "|A|B|\n|-|-|\n|-|-|", "|A|B| |-|-|"},
	{"rule row alone", Markdown, "| :---: | ---: |\n| 1 | 2 |", "| 1 | 2 |"},
	{"entities", Markdown, "AT&amp;T, a &lt; b, `&amp;`, ?a=1&copy=2", "AT&T, a < b, &amp;, ?a=1&copy=2"},
	{"fence with a backtick", Markdown, "```\na `b`\n```\nhonest text\n```\nc\n```\nend", "honest text end"},
	{"fence around all", Markdown, "# Title\n\ntext\n\n```go\nx()\n```\n\nend", "Title text end"},
	{"fence around all, left open", Markdown, "# Title\n\ntext", "Title text"},
	{"fence left open", Markdown, "text\n```python\nx = 1", "text x = 1"},
	{"comment with greater", Markdown, "a <!-- x > y --> b", "a b"},
	{"place cut at the end", Markdown, "text\n\n", "text"},
	{"place's word cut at the end", Markdown, "text\n\n", "text"},
	{"place cut before its end", Markdown, "text\n\n", "text"},
	{"math indices", Markdown, "$x_{i} + a_1 b_2$", "$x_{i} + a_1 b_2$"},
	{"stars in math", Markdown, `$$\int f_i * g^{*}(x)$$ and $\mathbf{x}_{*}$, *not* here`, `$$\int f_i * g^{*}(x)$$ and $\mathbf{x}_{*}$, not here`},
}

// TestCleanMendsPython holds the cleaning to its own text where it differs from Python's, and the differences to that list.
func TestCleanMendsPython(t *testing.T) {
	rows := map[string]pythonRow{}
	for _, row := range pythonRows(t) {
		if name, ok := strings.CutPrefix(row.Name, "defect/"); ok {
			rows[row.Format.String()+"/"+name] = row
		}
	}
	for _, want := range defects {
		name := want.format.String() + "/" + want.name
		t.Run(name, func(t *testing.T) {
			row, ok := rows[name]
			require.True(t, ok, "the row is not in clean_python.json")
			delete(rows, name)
			require.Equal(t, want.content, Clean(row.Raw, want.format), "content of %q", row.Raw)
			require.Equal(t, want.plainText, PlainText(row.Raw, want.format), "plain text of %q", row.Raw)
			require.False(t, want.content == row.Content && want.plainText == row.PlainText, "Python does not harm it")
		})
	}
	require.Empty(t, rows, "rows without a line in defects")
}

// hostile are inputs on which a cleaning that goes back, or looks ahead without bound, takes hours.
func hostile(size int) map[string]string {
	inputs := map[string]string{}
	for _, unit := range []string{
		"<", "<a ", "</", "<!", "<?", "<!--", "<!-", "<a b=\"", "<a b='", "<a b=\"><", "<a data-bbox=\"1\" ", "data-bbox=\"", " >",
		" data-bbox=\"1\"", "&", "&amp", "&#", "<!-- Table (", "<!-- Image (1) --", "<!--Table", "`", "` ``", "$", "$a $", "$$", "$$a", "$a", "```\n", "````\n```\n",
		"*", "*a", "a*", "**a*", "_a ", "*a _b ", "a*b", "a**b*", "\\", "\\*", "|", "|-", "| --- ", "|-|\n", "a|b\n--|--\n", "> ", "* ", "1. ",
		"# ", "#", "\n", " \t", "\u00a0", "\xff", "```html\n", "```markdown\n", "``` a\n",
	} {
		inputs[unit] = strings.Repeat(unit, size/len(unit))
		inputs[unit+" and then"] = strings.Repeat(unit, size/len(unit)) + "\n\"'>-->`*_|```"
	}
	// Fences that grow: every one looks for a longer end than the one before.
	var growing strings.Builder
	for n := 3; growing.Len() < size; n++ {
		growing.WriteString(strings.Repeat("`", n) + "x\n")
	}
	inputs["growing fences"] = growing.String()
	var ticks strings.Builder
	for n := 1; ticks.Len() < size; n++ {
		ticks.WriteString(strings.Repeat("`", n) + " ")
	}
	inputs["growing ticks"] = ticks.String()
	return inputs
}

// TestCleanIsLinear would not end within the time of a test run if the cleaning were quadratic on one of these.
func TestCleanIsLinear(t *testing.T) {
	size := 1 << 18
	if testing.Short() {
		size >>= 2
	}
	for name, raw := range hostile(size) {
		for _, format := range []Format{Markdown, HTML} {
			got := NewExtractResult(raw, format)
			require.LessOrEqual(t, len(got.Content), len(got.RawOutput), "%q", name)
		}
	}
}

func checkClean(t *testing.T, raw string, format Format) {
	content, plain := Clean(raw, format), PlainText(raw, format)
	require.LessOrEqual(t, len(content), len(raw))
	require.Equal(t, collapse(plain), plain, "white space is collapsed")
	if utf8.ValidString(raw) {
		require.True(t, utf8.ValidString(content))
		require.True(t, utf8.ValidString(plain))
	}
	if !strings.ContainsAny(raw, "<`") {
		require.Equal(t, raw, content, "content without tags, comments and fences is left alone")
	}
	if !strings.ContainsAny(raw, "<`*_#\\|&") {
		require.Equal(t, collapse(raw), plain, "text without markup is left alone")
	}
}

func FuzzClean(f *testing.F) {
	for _, row := range pythonRows(f) {
		if !strings.HasPrefix(row.Name, "generated/") {
			f.Add(row.Raw, row.Format == HTML)
		}
	}
	for _, raw := range hostile(64) {
		f.Add(raw, false)
		f.Add(raw, true)
	}
	f.Fuzz(func(t *testing.T, raw string, html bool) {
		format := Markdown
		if html {
			format = HTML
		}
		checkClean(t, raw, format)
		// An answer may end anywhere: every start of it has to pass, too.
		checkClean(t, raw[:len(raw)/2], format)
		NewExtractResult(raw, format)
	})
}

func BenchmarkClean(b *testing.B) {
	for _, format := range []Format{Markdown, HTML} {
		var page strings.Builder
		for _, row := range pythonRows(b) {
			if row.Format == format && strings.HasPrefix(row.Name, "generated/") {
				page.WriteString(row.Raw + "\n\n")
			}
		}
		raw := page.String()
		b.Run(format.String(), func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				NewExtractResult(raw, format)
			}
		})
	}
}
