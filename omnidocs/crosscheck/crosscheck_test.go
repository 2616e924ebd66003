package crosscheck

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const layer = `Quarterly report of the Harbor Office
The harbor handled 1,204 ships in the first quarter, 3.5 % more than in the year be-
fore. Of these, 311 were tankers. No accidents were reported to the office,
and the new pilots’ house was opened on 14 March 2024.`

const content = `# Quarterly report of the **Harbor Office**

The harbor handled 1,204 ships in the first quarter, 3.5 % more than in the year before. Of these, 311 were
tankers. No accidents were reported to the office, and the new [pilots’ house](http://example.org/house) was opened on <b>14</b> March 2024.`

func TestCompare(t *testing.T) {
	t.Run("the same", func(t *testing.T) {
		r := Compare(content, layer, Options{})
		require.Equal(t, Report{Usable: true, Words: r.LayerWords, LayerWords: r.LayerWords, Coverage: 1}, r)
		require.False(t, r.Suspicious())
	})
	t.Run("columns in another order", func(t *testing.T) {
		half := len(content) / 2
		half += strings.Index(content[half:], ". ") + 2
		r := Compare(content[half:]+"\n\n"+content[:half], layer, Options{})
		require.Greater(t, r.Coverage, 0.9)
		require.Empty(t, r.Passages)
		require.False(t, r.Suspicious())
	})
	t.Run("made up", func(t *testing.T) {
		invented := "The mayor thanked all 25 captains warmly for it."
		r := Compare(content+"\n\n"+invented, layer, Options{})
		require.InDelta(t, 1, r.Coverage, 1e-9)
		require.Len(t, r.Passages, 1)
		p := r.Passages[0]
		require.Equal(t, Novel, p.Kind)
		require.Equal(t, strings.TrimSuffix(invented, "."), p.Text)
		require.Equal(t, p.Text, (content + "\n\n" + invented)[p.Start:p.End])
		require.Equal(t, 9, p.Words)
		require.Equal(t, []string{"25"}, r.InventedNumbers)
		require.Empty(t, r.MissingNumbers)
		require.True(t, r.Suspicious())
	})
	t.Run("left out", func(t *testing.T) {
		short := content[:strings.Index(content, " No accidents")]
		r := Compare(short, layer, Options{})
		require.Less(t, r.Coverage, 0.85)
		require.InDelta(t, 0, r.Novelty, 1e-9)
		require.Len(t, r.Passages, 1)
		require.Equal(t, Missing, r.Passages[0].Kind)
		require.Equal(t, layer[r.Passages[0].Start:r.Passages[0].End], r.Passages[0].Text)
		require.True(t, strings.HasPrefix(r.Passages[0].Text, "No accidents"))
		require.Equal(t, []string{"14", "2024"}, r.MissingNumbers)
		require.True(t, r.Suspicious())
	})
	t.Run("a digit", func(t *testing.T) {
		r := Compare(strings.Replace(content, "1,204", "1,264", 1), layer, Options{})
		require.Equal(t, []string{"1,264"}, r.InventedNumbers)
		require.Equal(t, []string{"1,204"}, r.MissingNumbers)
		require.Empty(t, r.Passages)
		require.True(t, r.Suspicious())
	})
	t.Run("repeated", func(t *testing.T) {
		loop := strings.Repeat(" No accidents were reported to the office.", 20)
		r := Compare(content+loop, layer, Options{})
		require.Greater(t, r.Novelty, 0.5)
		require.Len(t, r.Passages, 1)
		require.True(t, r.Suspicious())
	})
	t.Run("nothing was read", func(t *testing.T) {
		r := Compare("", layer, Options{})
		require.Zero(t, r.Coverage)
		require.Zero(t, r.Novelty)
		require.Len(t, r.Passages, 1)
		require.True(t, r.Suspicious())
	})
	t.Run("HTML and LaTeX", func(t *testing.T) {
		html := `<table><tr><td data-bbox="1 2 3 4">` + strings.ReplaceAll(layer, "\n", "</td><td>") + `</td></tr></table><!-- Table (10, 20, 30, 40) -->`
		r := Compare(html, layer, Options{})
		require.Empty(t, r.InventedNumbers)
		require.Greater(t, r.Coverage, 0.9)
		tex := `\begin{tabular}{|l|c|} ` + strings.ReplaceAll(layer, "\n", ` \\ \hline `) + ` \end{tabular}`
		r = Compare(tex, layer, Options{})
		require.Greater(t, r.Coverage, 0.9)
		require.Less(t, r.Novelty, 0.15)
	})
	t.Run("Chinese", func(t *testing.T) {
		zh := "港口管理处在第一季度共处理了一千二百零四艘船舶。"
		require.InDelta(t, 1, Compare(zh, zh, Options{}).Coverage, 1e-9)
		require.Len(t, Compare(zh+"市长感谢了所有的船长们", zh, Options{}).Passages, 1)
	})
}

func TestUnusable(t *testing.T) {
	for _, layer := range []string{
		"", " \n", "7", "one two three", strings.Repeat("\ufffd\ufffdx ", 50), strings.Repeat("\ue001\ue002 ab ", 50), strings.Repeat("nospaces", 100),
	} {
		r := Compare("whatever", layer, Options{})
		require.False(t, r.Usable, "%q", layer)
		require.NotEmpty(t, r.Reason)
		require.False(t, r.Suspicious())
	}
}

func TestWords(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"Hello, World!", "hello world"},
		{"ﬁne ﬂow", "fine flow"},
		{"exam-\n  ple exam\u00adple exam\x02\r\nple exam\ufffeple exam-ple North-\nSouth", "example example example example exam ple north south"},
		{"1,204.50 3.5. 14.", "1,204.50 3.5 14"},
		{"caf&eacute;s &amp; t&ecirc;te", "cafés tête"},
		{"x<b>y</b> a < b > c", "x y a b c"},
		{"naïve nai\u0308ve", "naïve naïve"},
	} {
		var got []string
		for _, w := range words(test.text, true) {
			got = append(got, w.text)
			require.Positive(t, w.end-w.start)
		}
		require.Equal(t, test.want, strings.Join(got, " "))
	}
}

func FuzzCompare(f *testing.F) {
	f.Add(content, layer)
	f.Add("<b &#x41; ](", "\x02\ufffe-\n")
	f.Fuzz(func(t *testing.T, content, layer string) {
		r := Compare(content, layer, Options{})
		for _, share := range []float64{r.Coverage, r.Novelty} {
			require.True(t, share >= 0 && share <= 1, fmt.Sprint(share))
		}
		for _, p := range r.Passages {
			text := content
			if p.Kind == Missing {
				text = layer
			}
			require.Equal(t, text[p.Start:p.End], p.Text)
		}
	})
}
