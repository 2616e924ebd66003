package textextraction

import (
	"context"
	"errors"
	"image"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
)

// answers whose text never has to be taken back.
var streamed = map[Format][]string{
	Markdown: {
		"# Größe 語 🙂\n\n<!-- Image (1, 2, 3, 4) -->\nText with a < b and c <!d, *one* `two`.\n",
		"<!-- Table (10, 20, 300, 400) -->\n\\begin{tabular}{cc}\na & b \\\\\n\\end{tabular}\n<!-- Image(1,2,3,4)-->",
		"```markdown\n# Title\n\n```go\nx := 1\n```\n\nend\n```",
		"\n```md\ncut off in the mid",
		"```go\nx := `1`\n```\nand text",
		"<!-- a comment that stays --> <b>x</b>\n\n<table><tr><td data-bbox=\"1 2 3 4\">x</td></tr></table>",
		"ends with <!-- Ta",
		"`code` first",
		"",
		" \n ",
	},
	HTML: {
		"<div data-bbox=\"1 2 3 4\" class='x'><p data-bbox=\"5 6 7 8\">Größe &amp; 語 < 3, a > b</p></div>\n",
		"```html\n<html><body>\n<h1 data-bbox=\"1 2 3 4\">T</h1>\n<pre>```</pre>\n</body></html>\n```\n",
		"<img alt=\"a > b\" data-bbox='1 2 3 4' ><!-- c > d --><br/>x",
		"<p data-bbox=\"1 2 3 4\">cut in a tag</p><div data-bb",
		"plain text only",
		"<p>1 <2, 3 <=4</p>",
	},
}

// feed gives an answer to deltas in pieces and returns the states of the text in between, and how often some of it was taken back.
func feed(d *deltas, raw string, cut func() int) (texts []string, taken int) {
	text := ""
	for at := 0; at < len(raw); {
		end := min(len(raw), at+cut())
		for end < len(raw) && !utf8.RuneStart(raw[end]) {
			end++
		}
		if delta, ok := d.next(at, raw[at:end]); ok {
			if delta.Offset < len(text) {
				taken++
			}
			text = delta.Apply(text)
			texts = append(texts, text)
		}
		at = end
	}
	return texts, taken
}

func TestStreamClean(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for format, answers := range streamed {
		for _, raw := range answers {
			want := Clean(raw, format)
			for _, most := range []int{1, 2, 5, 30} {
				d := newDeltas(nil, format, false)
				texts, taken := feed(d, raw, func() int { return 1 + r.IntN(most) })
				require.Zero(t, taken, "%q", raw)
				for _, text := range texts {
					require.True(t, strings.HasPrefix(want, text), "%q of %q, in the end it is %q", text, raw, want)
				}
				last := d.last(NewExtractResult(raw, format))
				require.Equal(t, len(d.text), last.Offset)
				require.Equal(t, want, last.Apply(string(d.text)))
				if want == strings.TrimSpace(raw) && len(texts) > 0 && len(raw) > 20 {
					require.Greater(t, len(texts[len(texts)-1]), len(raw)/2, "it is not all told at the end: %q", raw)
				}
			}
		}
	}
}

// Whatever the answer, however it is cut and taken back, in the end there is what Clean gives.
func FuzzStream(f *testing.F) {
	for format, answers := range streamed {
		for _, raw := range answers {
			f.Add(raw, int(format), uint64(1))
		}
	}
	f.Add("```html\n<p>x</p>\n```\nmore", 1, uint64(2))
	f.Add("<p title=\"a>b\" <b c=\"", 1, uint64(3))
	f.Fuzz(func(t *testing.T, raw string, format int, seed uint64) {
		raw = strings.ToValidUTF8(raw, "\uFFFD")
		of := Format(format & 1)
		r := rand.New(rand.NewPCG(seed, 1))
		d := newDeltas(nil, of, false)
		text := ""
		for at, steps := 0, 0; at < len(raw); steps++ {
			from := at
			if steps < 100 && r.IntN(8) == 0 { // a loop is undone
				if from = r.IntN(at + 1); !utf8.RuneStart((raw + " ")[from]) {
					from = at
				}
			}
			end := min(len(raw), from+r.IntN(12))
			for end < len(raw) && !utf8.RuneStart(raw[end]) {
				end++
			}
			delta, _ := d.next(from, raw[from:end])
			require.LessOrEqual(t, delta.Offset, len(text))
			text = delta.Apply(text)
			require.True(t, utf8.ValidString(text))
			require.Equal(t, string(d.text), text)
			at = end
		}
		require.Equal(t, Clean(raw, of), d.last(NewExtractResult(raw, of)).Apply(text))
	})
}

// teller is an engine that tells its answer in pieces, one of them a loop that is undone.
type teller struct {
	answer string
	err    error
	wait   bool // at the half of it until the context ends
}

func (e *teller) Generate(ctx context.Context, requests []backend.Request, done func(i int, out backend.Output, err error)) error {
	for i, r := range requests {
		half := len(e.answer) / 2
		if r.Text != nil {
			for at := range e.answer[:half] {
				r.Text(at, e.answer[at:at+1])
			}
			r.Text(half, "<p>again again again")
			r.Text(half, "")
		}
		out, err := says(e.answer).out, e.err
		if e.wait {
			<-ctx.Done()
			out, err = says(e.answer[:half]).out, context.Cause(ctx)
		} else if r.Text != nil {
			r.Text(half, e.answer[half:])
		}
		done(i, out, err)
	}
	return nil
}

func (e *teller) Info() backend.Info { return backend.Info{Model: "m"} }
func (e *teller) Close() error       { return nil }

func TestStream(t *testing.T) {
	const raw = `<div data-bbox="1 2 3 4"><p>one two three</p></div>` + "\n" + `<div data-bbox="5 6 7 8" data-label="Text"><p>four</p></div>`
	for _, cfg := range []QwenTextPyTorchConfig{{}, {Preset: "chandra2"}} {
		cfg.ReadBlankPages = true // the page is of one color
		s, err := cfg.check()
		require.NoError(t, err)
		x := newExtractor(&teller{answer: raw}, s)
		want, err := x.Extract(t.Context(), picture(0), HTML)
		require.NoError(t, err)
		for range 2 { // the sequence can be ranged over again
			text, rawSeen := "", false
			var last Delta
			for d, err := range x.Stream(t.Context(), picture(0), Options{Format: HTML}) {
				require.NoError(t, err)
				require.Nil(t, last.Result, "nothing comes behind the result")
				text, last = d.Apply(text), d
				rawSeen = rawSeen || d.Raw
				require.False(t, cfg.Preset == "" && strings.Contains(text, "data-bbox"))
			}
			require.Equal(t, want.Content, text)
			require.Equal(t, want, last.Result)
			require.False(t, last.Raw)
			require.Equal(t, cfg.Preset != "", rawSeen)
		}
		text, last := "", Delta{}
		for d, err := range x.Stream(t.Context(), picture(0), Options{Format: HTML, RawDeltas: true}) {
			require.NoError(t, err)
			if last = d; d.Result == nil {
				text = d.Apply(text)
			}
		}
		require.Equal(t, raw, text)
		require.Equal(t, want.Content, last.Apply(text))
		require.NoError(t, x.Close())
		for _, err := range x.Stream(t.Context(), picture(0), Options{}) {
			require.ErrorIs(t, err, ErrClosed)
		}
	}
}

func TestStreamEnds(t *testing.T) {
	s, err := QwenTextPyTorchConfig{ReadBlankPages: true}.check()
	require.NoError(t, err)
	// The consumer leaves: the page is ended, or the test hangs.
	x := newExtractor(&teller{answer: "one two three four", wait: true}, s)
	for d, err := range x.Stream(t.Context(), picture(0), Options{}) {
		require.NoError(t, err)
		require.NotEmpty(t, d.Text)
		break
	}
	// The context ends: what there is comes with the error, as from Extract.
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	for d, err := range x.Stream(ctx, picture(0), Options{}) {
		if err == nil {
			cancel()
			continue
		}
		n++
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, FinishCanceled, d.Result.FinishReason)
		require.Equal(t, "one two t", d.Result.Content)
	}
	cancel()
	require.Equal(t, 1, n)
	broken := errors.New("broken")
	x = newExtractor(&teller{answer: "x", err: broken}, s)
	for _, bad := range []struct {
		img image.Image
		is  error
	}{{picture(0), broken}, {nil, ErrImage}} {
		n = 0
		for d, err := range x.Stream(t.Context(), bad.img, Options{}) {
			if err != nil {
				n++
				require.ErrorIs(t, err, bad.is)
				require.Nil(t, d.Result)
			}
		}
		require.Equal(t, 1, n)
	}
}
