package loop_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/loop"
)

// words is a tokenizer of the test's own: a token is a word with the space before it, a line break, a run of one sign.
type words struct {
	ids   map[string]int32
	texts []string
}

var word = regexp.MustCompile(` ?\pL{1,6}|\d|\n|\.{1,8}|_{1,8}|-{1,8}|=+| ?[^\pL\d\s]|\s`)

func (w *words) encode(text string) (ids []int32) {
	for _, piece := range word.FindAllString(text, -1) {
		id, ok := w.ids[piece]
		if !ok {
			if w.ids == nil {
				w.ids = map[string]int32{}
			}
			id = int32(len(w.texts))
			w.ids[piece], w.texts = id, append(w.texts, piece)
		}
		ids = append(ids, id)
	}
	return ids
}

func (w *words) decode(ids []int32) string {
	var b strings.Builder
	for _, id := range ids {
		if int(id) < len(w.texts) {
			b.WriteString(w.texts[id])
		}
	}
	return b.String()
}

// find feeds tokens to a new detector, and tells after how many of them it found what.
func find(tokens []int32, text func([]int32) string) (found loop.Loop, at int) {
	d := loop.New(loop.Rules{}, text)
	for n := 1; n <= len(tokens); n++ {
		if l, ok := d.Next(tokens[:n]); ok {
			return l, n
		}
	}
	return loop.Loop{}, 0
}

// prose is text without repetition.
func prose(r *rand.Rand, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 && i%12 == 0 {
			b.WriteString(".\n")
		}
		fmt.Fprintf(&b, " %c%c%c%c", 'a'+rune(r.IntN(26)), 'a'+rune(r.IntN(26)), 'a'+rune(r.IntN(26)), 'a'+rune(r.IntN(26)))
	}
	return b.String() + ".\n"
}

func TestFinds(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	head := prose(r, 200)
	box := `<div data-bbox="10 20 300 400"><p>` + strings.TrimSpace(prose(r, 12)) + "</p></div>\n"
	for name, row := range map[string]struct {
		before, unit string
		copies       int
		kind         loop.Kind
	}{
		"a word":                 {head, " the", 64, loop.Prose},
		"two words":              {head, " the end", 40, loop.Prose},
		"a line":                 {head, "Thank you for your help.\n", 20, loop.Prose},
		"a word at the start":    {"", "no ", 80, loop.Prose},
		"a part of a word":       {head, "的的的的的的", 64, loop.Prose},
		"Chinese":                {head, "请参阅附录。\n", 30, loop.Prose},
		"emoji":                  {head, " 🙂 🙃", 40, loop.Prose},
		"line breaks":            {head, "\n", 230, loop.Filler},
		"spaces":                 {head, " ", 600, loop.Filler},
		"a leader that goes on":  {head + "Chapter 1", "........", 200, loop.Filler},
		"empty cells":            {head + "<table><tr>", "<td></td>", 200, loop.Cells},
		"cells":                  {head + "<table><tr>", "<td>x</td>", 200, loop.Cells},
		"cells of Markdown":      {head + "|", " x |", 200, loop.Cells},
		"rows":                   {head + "<table>", "<tr><td>yes</td><td>no</td></tr>", 130, loop.Rows},
		"rows of Markdown":       {head, "| a | b |\n", 130, loop.Rows},
		"rows of LaTeX":          {head + `\begin{tabular}{cc}`, " a & b \\\\\n", 130, loop.Rows},
		"rows of zeros":          {head, "| 0 | 0.00 | - |\n", 250, loop.EmptyRows},
		"a form without an end":  {head, "Name: ________\n", 130, loop.Form},
		"a mask without an end":  {head, "XXXXXX", 60, loop.Mask},
		"numbers":                {head, "0.5, ", 90, loop.Numbers},
		"braces":                 {head, "{", 70, loop.Prose},
		"a placed block":         {head, box, 3, loop.Typed},
		"items of JSON":          {head, `{"bbox":[1,2,3,4],"category":"text","text":"a"},`, 3, loop.Typed},
		"code without an end":    {head + "```go\n", "\tx = append(x, 1)\n", 60, loop.Code},
		"a formula without end":  {head + "$$ ", `\frac{a}{b}`, 60, loop.Math},
		"a paragraph":            {head, prose(r, 40), 8, loop.Prose},
		"a passage with a table": {head, prose(r, 30) + "| a | b |\n|---|---|\n| c | d |\n" + prose(r, 20), 8, loop.Prose},
		"a table of HTML":        {head, "<table><tr><td>a</td><td>b</td></tr></table>\n", 14, loop.Prose},
		"a long passage":         {head, prose(r, 700), 5, loop.Prose},
		"part of a copy at last": {head, prose(r, 63), 8, loop.Prose},
	} {
		t.Run(name, func(t *testing.T) {
			var w words
			tokens := w.encode(row.before + strings.Repeat(row.unit, row.copies))
			period := len(w.encode(row.unit))
			l, at := find(tokens, w.decode)
			require.NotZero(t, at, "it is not found")
			require.Equal(t, row.kind, l.Kind)
			require.Zero(t, period%l.Period, "period %d, the unit has %d tokens", l.Period, period)
			require.LessOrEqual(t, at-l.Start, max(4*period, l.Copies*l.Period+l.Period))
			require.Equal(t, (at-l.Start)/l.Period, l.Copies)
			kept := w.decode(tokens[:l.Cut])
			require.True(t, strings.HasPrefix(kept, row.before), "what comes before is kept")
			require.True(t, strings.HasPrefix(row.before+row.unit+row.unit, kept), "no more than a copy and where it begins is kept: %q", kept)
			require.Equal(t, w.decode(tokens[l.Start:l.Start+l.Period]), w.decode(tokens[l.Start+l.Period:l.Start+2*l.Period]))
		})
	}
}

// The cut is where a line ends, also where what came before the loop happens to end as its copies do.
func TestCut(t *testing.T) {
	var w words
	l, at := find(w.encode("Other words of the line.\n"+strings.Repeat("These are all the words of the line.\n", 12)), w.decode)
	require.NotZero(t, at)
	require.Equal(t, "Other words of the line.\nThese are all the words of the line.\n", w.decode(w.encode("Other words of the line.\n" +
		strings.Repeat("These are all the words of the line.\n", 12))[:l.Cut]))
}

func TestKeepsHonestRepetition(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	numbered := func(n int, line func(i int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(line(i))
		}
		return b.String()
	}
	hex := func(int) string { return fmt.Sprintf("%08x %08x %08x\n", r.Uint32(), r.Uint32(), r.Uint32()) }
	for name, text := range map[string]string{
		"60 equal rows":          "| a | b |\n| --- | --- |\n" + strings.Repeat("| yes | no |\n", 60),
		"60 equal rows of HTML":  "<table>" + strings.Repeat("<tr><td>yes</td><td>no</td></tr>\n", 60) + "</table>",
		"60 equal rows of LaTeX": `\begin{tabular}{cc}` + strings.Repeat("yes & no \\\\\n", 60) + `\end{tabular}`,
		"a ledger of zeros":      "<table>" + strings.Repeat("<tr>"+strings.Repeat("<td>0.00</td>", 12)+"</tr>", 40) + "</table>",
		"a form of blanks":       strings.Repeat("Name: ______________ Date: ________\n", 60),
		"lines to write on":      strings.Repeat("________________________________\n", 60),
		"a dot leader":           "Introduction " + strings.Repeat(".", 240) + " 1\n",
		"a table of contents":    numbered(60, func(i int) string { return fmt.Sprintf("%d Chapter %s %d\n", i, strings.Repeat(". ", 40), 7*i) }),
		"a calendar":             numbered(365, func(i int) string { return fmt.Sprintf("%d ", i+1) }),
		"a multiplication table": numbered(12, func(i int) string { return numbered(12, func(j int) string { return fmt.Sprintf("%d ", i*j) }) + "\n" }),
		"Ibid.":                  numbered(40, func(i int) string { return fmt.Sprintf("[%d] Ibid., p. %d.\n", i, 3*i+1) }),
		"a chorus":               strings.Repeat(prose(r, 40), 3),
		"left blank":             strings.Repeat("This page is intentionally left blank.\n", 3),
		"a laugh":                "He said: " + strings.Repeat("ha", 8) + "!",
		"a laugh in words":       "He said:" + strings.Repeat(" ha", 8) + "!",
		"a flowchart":            "```\n" + strings.Repeat("   |\n   v\n+-----+\n| box |\n+-----+\n", 8) + "```",
		"a matrix of zeros":      `$$\begin{matrix}` + strings.Repeat(strings.Repeat("0 & ", 11)+"0 \\\\\n", 12) + `\end{matrix}$$`,
		"data":                   "[" + strings.Repeat("0, ", 60) + strings.Repeat("0.25, ", 8) + "]",
		"a line of box drawings": strings.Repeat("─", 78) + "\n",
		"a log":                  strings.Repeat("by 0x12: ??? (in /usr/bin/node)\nby 0x13: ??? (in /usr/bin/node)\n", 5),
		"a number blacked out":   "Account " + strings.Repeat("X", 48) + " closed",
		"a hex dump":             numbered(100, hex),
		"blocks of other places": numbered(40, func(i int) string {
			return fmt.Sprintf(`<p data-bbox="10 %d 90 %d">yes, the same text</p>`, 20*i, 20*i+18)
		}),
		"checkboxes":               strings.Repeat("- [ ] yes  - [ ] no\n", 60),
		"a page and its copy":      strings.Repeat(prose(r, 1500), 2),
		"a passage of period 1025": strings.Repeat(longUnit(r, 1025), 4),
	} {
		t.Run(name, func(t *testing.T) {
			var w words
			tokens := w.encode(prose(r, 20) + text + prose(r, 20))
			l, at := find(tokens, w.decode)
			require.Zero(t, at, "%+v: %q", l, w.decode(tokens[l.Start:min(len(tokens), l.Start+max(1, l.Period))]))
		})
	}
}

// longUnit is a text of exactly so many tokens, in which no beginning of an answer comes again.
func longUnit(r *rand.Rand, tokens int) string {
	var w words
	return w.decode(w.encode(prose(r, tokens))[:tokens])
}

// A page that begins again and again, with a period beyond MaxPeriod.
func TestRestart(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	page := prose(r, 2000)
	var w words
	one := len(w.encode(page))
	tokens := w.encode(strings.Repeat(page, 4))
	l, at := find(tokens, w.decode)
	require.Equal(t, loop.Loop{Start: 0, Period: one, Copies: 2, Kind: loop.Restart, Cut: one}, l)
	require.Equal(t, 2*one+288, at)
}

// copies is how many of a sentence are a loop.
func copies(period int) int {
	switch {
	case period < 8:
		return 10
	case period < 32:
		return 8
	case period < 128:
		return 6
	}
	return 4
}

// All periods are found soon, and a detector that was taken back tells what a new one does.
func TestPeriodsAndReset(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	text := func(ids []int32) string { return strings.Repeat(" w", len(ids)) }
	for _, period := range []int{1, 2, 3, 7, 8, 40, 63, 64, 511, 700, 1023, 1024} {
		tokens := make([]int32, 0, 6000)
		for range 500 {
			tokens = append(tokens, int32(r.IntN(30000)))
		}
		for i := range copies(period)*period + max(300, period) {
			if i < period {
				tokens = append(tokens, int32(r.IntN(30000)))
			} else {
				tokens = append(tokens, tokens[len(tokens)-period])
			}
		}
		l, at := find(tokens, text)
		require.Equal(t, period, l.Period)
		require.Equal(t, 500, l.Start)
		require.Equal(t, 500+period, l.Cut)
		require.Less(t, at, 500+copies(period)*period+max(80, period/4), "period %d", period)

		d := loop.New(loop.Rules{}, text)
		for n := 1; n <= at; n++ {
			d.Next(tokens[:n])
		}
		d.Reset(tokens[:l.Cut])
		again := 0
		for n := l.Cut + 1; n <= len(tokens) && again == 0; n++ {
			if _, ok := d.Next(tokens[:n]); ok {
				again = n
			}
		}
		require.Equal(t, at, again, "period %d", period)
	}
	tokens := make([]int32, 0, 8000)
	for range 2000 {
		tokens = append(tokens, int32(r.IntN(30000)))
	}
	for range 6 * 1025 {
		tokens = append(tokens, tokens[len(tokens)-1025])
	}
	_, at := find(tokens, text)
	require.Zero(t, at, "beyond the bound")
}

// Whatever the stream, what is told is there, is minimal, and ends at the last token.
func FuzzDetector(f *testing.F) {
	f.Add(uint64(1), 3, 40, 2)
	f.Fuzz(func(t *testing.T, seed uint64, alphabet, period, noise int) {
		r := rand.New(rand.NewPCG(seed, 1))
		alphabet, period = 1+abs(alphabet)%1000, 1+abs(period)%1024
		tokens := make([]int32, 0, 3000)
		for i := range 3000 {
			if i < period || r.IntN(2000) < abs(noise)%50 {
				tokens = append(tokens, int32(r.IntN(alphabet)))
			} else {
				tokens = append(tokens, tokens[i-period])
			}
		}
		text := func(ids []int32) string {
			var b strings.Builder
			for _, id := range ids {
				b.WriteString([]string{" a", "|", "\n", "</tr>", "</td>", "0", ".", "X", "```", "$$"}[id%10])
			}
			return b.String()
		}
		if l, at := find(tokens, text); at > 0 && l.Kind != loop.Restart {
			require.True(t, l.Start >= 0 && l.Start < l.Cut && l.Cut < l.Start+2*l.Period && l.Cut < at)
			for i := l.Start + l.Period; i < at; i++ {
				require.Equal(t, tokens[i-l.Period], tokens[i])
			}
			for p := 1; p < l.Period; p++ {
				if l.Period%p == 0 {
					require.False(t, slices.Equal(tokens[l.Start:l.Start+l.Period-p], tokens[l.Start+p:l.Start+l.Period]), "period %d, %d would do", l.Period, p)
				}
			}
		}
	})
}

func abs(x int) int { return max(x, -max(x, -1<<62)) }

// BenchmarkDetector measures a token of an answer of 8,192 tokens: of prose, of a table with equal rows, of a loop that no rule
// ends, and of a stream made to be checked as often as can be.
func BenchmarkDetector(b *testing.B) {
	const n = 8192
	r := rand.New(rand.NewPCG(9, 10))
	var w words
	hard := make([]int32, 0, n+64)
	for len(hard) < n {
		if len(hard) > 64 && len(hard)%29 == 0 {
			at := r.IntN(min(len(hard)-28, 900))
			hard = append(hard, hard[len(hard)-28-at:][:28]...)
		}
		hard = append(hard, int32(r.IntN(100000)))
	}
	zipf := rand.NewZipf(r, 1.1, 4, 30000)
	text := make([]int32, n)
	for i := range text {
		text[i] = int32(zipf.Uint64())
	}
	for name, tokens := range map[string][]int32{
		"prose": w.encode(prose(r, n))[:n:n],
		"zipf":  text,
		"rows":  slices.Repeat(slices.Concat(w.encode(prose(r, 30)), w.encode(strings.Repeat("| yes | no |\n", 60))), 40)[:n],
		"hard":  hard[:n],
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				d := loop.New(loop.Rules{}, w.decode)
				for i := 1; i <= n; i++ {
					d.Next(tokens[:i])
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/token")
		})
	}
}
