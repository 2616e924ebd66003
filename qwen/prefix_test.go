package qwen_test

import (
	"errors"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/qwen"
)

// asker asks a model about pages of its own.
type asker struct {
	t *testing.T
	m *qwen.Model
}

// askedPage is a picture that has gone through the vision tower.
type askedPage struct {
	visual *qwen.Visual
	grid   qwen.Grid
}

// page draws a page that no other number is like, of 9 by 10 visual tokens.
func (a asker) page(number int) askedPage { return a.pageOf(number, 9, 10) }

// pageOf draws a page of so many visual tokens.
func (a asker) pageOf(number, width, height int) askedPage {
	side := a.m.Processor.PatchSize() * a.m.Spec.Vision.MergeSize // of a visual token
	img := image.NewGray(image.Rect(0, 0, width*side, height*side))
	for i := range img.Pix {
		img.Pix[i] = uint8(i * i >> (number + 3))
	}
	img.SetGray(number, 0, color.Gray{})
	p, err := a.m.Processor.Process(a.t.Context(), img, qwen.Bounds{MinPixels: 1, MaxPixels: 1 << 24})
	require.NoError(a.t, err)
	require.Equal(a.t, width*height, p.VisualTokens())
	v, err := a.m.Encode(a.t.Context(), p)
	require.NoError(a.t, err)
	a.t.Cleanup(func() { require.NoError(a.t, v.Close()) })
	return askedPage{v, qwen.Grid{Height: p.GridH, Width: p.GridW}}
}

func (a asker) layout(p askedPage, prompt qwen.Prompt) *qwen.Layout {
	l, err := a.m.Layout(prompt, []qwen.Grid{p.grid})
	require.NoError(a.t, err)
	return l
}

func (a asker) prompt(l *qwen.Layout, v *qwen.Visual, o qwen.PromptOptions) *qwen.Prompted {
	p, err := a.m.PromptWith(a.t.Context(), l, []*qwen.Visual{v}, o)
	require.NoError(a.t, err)
	return p
}

// write gives a prompt a slot, and returns its last state and some tokens that follow.
func (a asker) write(p *qwen.Prompted) (state []float32, tokens []int32) {
	ctx := a.t.Context()
	state, err := p.Hidden.Floats()
	require.NoError(a.t, err)
	cache := a.m.NewCache(1, 2048)
	defer func() { require.NoError(a.t, cache.Close()) }()
	next, err := a.m.Choose(ctx, p.Hidden, nil)
	require.NoError(a.t, err)
	require.NoError(a.t, cache.Take(ctx, 0, p))
	require.NoError(a.t, p.Close())
	for range 8 {
		tokens = append(tokens, next.Tokens[0])
		h, err := a.m.Step(ctx, cache, next.Tokens, []bool{true})
		require.NoError(a.t, err)
		next, err = a.m.Choose(ctx, h, nil)
		require.NoError(a.t, err)
		require.NoError(a.t, h.Close())
	}
	return state, tokens
}

// prefixCase is a way in which prompts go through the layers.
type prefixCase struct {
	runtime qwen.Runtime
	dtype   dtypes.DType
}

// allowed is the difference that the state of a prompt may have when it goes through programs in one part: other shapes are other orders of
// the same sums, and with narrow weights XLA rounds what it multiplies to 8 bits, where the last bit may be another.
func (c prefixCase) allowed() float64 {
	switch c.dtype {
	case dtypes.Int8:
		return 0.3 // about twice what was seen, for a state with a largest number of 10
	case dtypes.BFloat16:
		return 0.05
	}
	return 1e-3
}

func prefixCases(t *testing.T) map[string]prefixCase {
	device := openDevice(t)
	all := map[string]prefixCase{
		"as the device is": {runtime: device.Runtime()},
		"bfloat16":         {device.Runtime(), dtypes.BFloat16},
		"int8":             {device.Runtime(), dtypes.Int8},
	}
	variant := func(name string, change func(r *qwen.Runtime)) {
		r := device.Runtime()
		change(&r)
		all[name] = prefixCase{runtime: r}
	}
	variant("programs", func(r *qwen.Runtime) { r.HostPrompt, r.ExactShapes = false, false })
	variant("programs alone", func(r *qwen.Runtime) { r.HostPrompt, r.HostStep, r.ExactShapes = false, false, false })
	variant("stripes", func(r *qwen.Runtime) {
		r.HostPrompt, r.ExactShapes, r.StripeLimit, r.StripeRows = false, false, 8, 32
	})
	if device.IsXLA() {
		variant("as on CUDA", func(r *qwen.Runtime) {
			*r = qwen.Runtime{Backend: r.Backend, HalfCache: true, Traits: qwen.Traits{HalfAttention: true, Flash: true, HalfInt8: true}}
		})
	} else {
		variant("uneven stripes", func(r *qwen.Runtime) { r.HostPrompt, r.StripeLimit, r.StripeRows, r.Workers = false, 8, 28, 3 })
		variant("stripes by the host", func(r *qwen.Runtime) { r.ExactShapes, r.StripeLimit, r.StripeRows = false, 8, 48 })
	}
	return all
}

// asked is a prompt about a page.
type asked struct {
	page   askedPage
	prompt qwen.Prompt
}

// behind reads a prompt behind another, and alone, and sees that it is the same, and that it was behind so many tokens at least. Of a prompt
// that is kept for nobody a state may differ by what is allowed.
func (a asker) behind(earlier, later asked, least int, allowed float64) {
	t := a.t
	first, second := a.layout(earlier.page, earlier.prompt), a.layout(later.page, later.prompt)
	p := a.prompt(first, earlier.page.visual, qwen.PromptOptions{Keep: true})
	kept := p.Prefix
	p.Prefix = nil
	require.Positive(t, kept.Bytes())
	_, _ = a.write(p) // what the cache takes of it stays
	n := kept.Behind(second, func(int) bool { return earlier.page == later.page })
	require.GreaterOrEqual(t, n, least)
	visual := later.page.visual
	if second.AfterImages() <= n {
		visual = nil // it is in the prefix
	}
	aloneState, aloneTokens := a.write(a.prompt(second, later.page.visual, qwen.PromptOptions{}))
	wantState, wantTokens := a.write(a.prompt(second, later.page.visual, qwen.PromptOptions{Keep: true}))
	require.Equal(t, aloneTokens, wantTokens)
	require.InDeltaSlice(t, aloneState, wantState, allowed)
	p = a.prompt(second, visual, qwen.PromptOptions{Behind: kept, Tokens: n, Keep: true})
	again := p.Prefix
	p.Prefix = nil
	gotState, gotTokens := a.write(p)
	require.NoError(t, kept.Close())
	require.Equal(t, wantTokens, gotTokens)
	require.Equal(t, wantState, gotState, "to the bit")
	if earlier.page == later.page {
		require.Nil(t, again, "the other has all that can be begun behind")
		return
	}
	// What came of it can be begun behind too: at the same place by others, and further on by those about its page.
	require.Equal(t, n, again.Behind(second, func(int) bool { return false }))
	further := again.Behind(second, func(int) bool { return true })
	require.Greater(t, further, n)
	p = a.prompt(second, later.page.visual, qwen.PromptOptions{Behind: again, Tokens: further})
	require.NoError(t, again.Close())
	gotState, gotTokens = a.write(p)
	require.Equal(t, wantTokens, gotTokens)
	require.Equal(t, wantState, gotState, "to the bit")
}

// all reads HTML behind Markdown of one page, and another page behind one with the same long text before it.
func (a asker) all(allowed float64) {
	long := strings.Repeat("Read every line of the page, in order. ", 4)
	first, second := a.page(0), a.page(1)
	images := first.visual.Tokens() / 64 * 64
	a.behind(asked{first, qwen.Prompt{Text: "qwenvl markdown"}}, asked{first, qwen.Prompt{Text: "qwenvl html"}}, images, allowed)
	for _, prompt := range []qwen.Prompt{{System: long, Text: "x"}, {TextFirst: true, Text: long}} {
		a.behind(asked{first, prompt}, asked{second, prompt}, 64, allowed)
	}
}

// eachPrefixCase calls f with every generation and every way of running it.
func eachPrefixCase(t *testing.T, f func(t *testing.T, m *qwen.Model, c prefixCase)) {
	t.Helper()
	for name, c := range prefixCases(t) {
		for golden, few := range goldens {
			if few && name != "as the device is" && golden != "qwen3_5_moe" {
				continue
			}
			t.Run(name+"/"+golden, func(t *testing.T) {
				m, err := qwen.Load(t.Context(), c.runtime, os.DirFS(filepath.Join("testdata", "golden", golden)), qwen.LoadOptions{DType: c.dtype})
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, m.Close()) })
				f(t, m, c)
			})
		}
	}
}

// A prompt that begins behind what another has left says what it would have said, in every generation and however it is run.
func TestPrefix(t *testing.T) {
	eachPrefixCase(t, func(t *testing.T, m *qwen.Model, c prefixCase) { asker{t, m}.all(c.allowed()) }) //nolint:thelper // it is the test
}

// A prefix and the prompt that it is from end in any order.
func TestPrefixOwners(t *testing.T) {
	for _, golden := range []string{"qwen3_vl", "qwen3_5_long"} {
		t.Run(golden, func(t *testing.T) {
			a := asker{t, loadModel(t, openDevice(t).Runtime(), os.DirFS(filepath.Join("testdata", "golden", golden)))}
			page := a.page(0)
			l := a.layout(page, qwen.Prompt{Text: "qwenvl markdown"})
			_, want := a.write(a.prompt(l, page.visual, qwen.PromptOptions{}))
			p := a.prompt(l, page.visual, qwen.PromptOptions{Keep: true})
			require.NoError(t, p.Prefix.Close())
			p.Prefix = nil
			_, got := a.write(p)
			require.Equal(t, want, got, "the prefix is closed first")
			p = a.prompt(l, page.visual, qwen.PromptOptions{Keep: true})
			kept := p.Prefix
			p.Prefix = nil
			require.NoError(t, errors.Join(p.Hidden.Close(), closeLeft(p)))
			behind := kept.Behind(l, func(int) bool { return true })
			require.Less(t, behind, len(l.IDs), "the last token is run")
			_, got = a.write(a.prompt(l, page.visual, qwen.PromptOptions{Behind: kept, Tokens: behind}))
			require.Equal(t, want, got, "the prompt is closed first")
			require.NoError(t, kept.Close())
			require.NoError(t, kept.Close(), "again")
			require.Zero(t, kept.Bytes())

			_, err := a.m.PromptWith(t.Context(), l, []*qwen.Visual{page.visual}, qwen.PromptOptions{Behind: kept, Tokens: behind})
			require.ErrorContains(t, err, "closed")
		})
	}
}

// closeLeft closes a prompt whose state is closed.
func closeLeft(p *qwen.Prompted) error {
	p.Hidden = nil
	return p.Close()
}

// What cannot be begun behind is refused, by name.
func TestPrefixErrors(t *testing.T) {
	a := asker{t, loadModel(t, openDevice(t).Runtime(), os.DirFS(goldenDir))}
	other := asker{t, loadModel(t, openDevice(t).Runtime(), os.DirFS(goldenDir))}
	page := a.page(0)
	l := a.layout(page, qwen.Prompt{Text: "qwenvl markdown"})
	p := a.prompt(l, page.visual, qwen.PromptOptions{Keep: true})
	defer func() { require.NoError(t, p.Close()) }()
	for want, o := range map[string]qwen.PromptOptions{
		"of no prefix":      {Tokens: 64},
		"another model's":   {Behind: p.Prefix, Tokens: 64},
		"behind -1 tokens":  {Behind: p.Prefix, Tokens: -1},
		"ask Prefix.Behind": {Behind: p.Prefix, Tokens: len(l.IDs) + 1},
	} {
		m := a.m
		if want == "another model's" {
			m = other.m
		}
		_, err := m.PromptWith(t.Context(), l, []*qwen.Visual{page.visual}, o)
		require.ErrorContains(t, err, want)
	}
	// A text of as many tokens that begins otherwise.
	text := strings.Repeat("a", 200)
	one, two := a.layout(page, qwen.Prompt{TextFirst: true, Text: text}), a.layout(page, qwen.Prompt{TextFirst: true, Text: "b" + text[1:]})
	kept := a.prompt(one, page.visual, qwen.PromptOptions{Keep: true})
	tokens := kept.Prefix.Behind(one, func(int) bool { return true })
	require.Positive(t, tokens)
	_, err := a.m.PromptWith(t.Context(), two, []*qwen.Visual{page.visual}, qwen.PromptOptions{Behind: kept.Prefix, Tokens: tokens})
	require.ErrorContains(t, err, "ask Prefix.Behind")
	require.NoError(t, kept.Close())
	_, err = a.m.PromptWith(t.Context(), l, []*qwen.Visual{nil}, qwen.PromptOptions{})
	require.ErrorContains(t, err, "image 0 has no visual tokens")
}

// What two prompts have in common ends where their texts or their pictures part.
func TestCommon(t *testing.T) {
	a := asker{t, loadModel(t, openDevice(t).Runtime(), os.DirFS(goldenDir))}
	page := a.page(0)
	markdown := a.layout(page, qwen.Prompt{Text: "qwenvl markdown"})
	html := a.layout(page, qwen.Prompt{Text: "qwenvl html"})
	wide, err := a.m.Layout(qwen.Prompt{Text: "qwenvl markdown"}, []qwen.Grid{{Height: page.grid.Height, Width: 2 * page.grid.Width}})
	require.NoError(t, err)
	sameImage, otherImage := func(int) bool { return true }, func(int) bool { return false }
	at := markdown.Images[0]
	require.Equal(t, len(markdown.IDs), markdown.Common(markdown, sameImage))
	require.Greater(t, html.Common(markdown, sameImage), at.Start+at.Count)
	require.Less(t, html.Common(markdown, sameImage), len(html.IDs))
	require.Equal(t, at.Start, html.Common(markdown, otherImage))
	require.Equal(t, at.Start, wide.Common(markdown, sameImage), "another grid is another picture")
}

// The rows that are run behind a short prefix may come to more than a slot of the cache has room for, all of them padding.
func TestPrefixPadding(t *testing.T) {
	r := openDevice(t).Runtime()
	r.HostCache, r.HostPrompt, r.ExactShapes = !openDevice(t).IsXLA(), false, false
	a := asker{t, loadModel(t, r, os.DirFS(goldenDir))}
	const most, capacity = 64 + 1152, 1280 // tokens that take no more rows than 64 and 1,152; the capacity that is taken for more
	prompt := qwen.Prompt{System: strings.Repeat("page ", 30)}
	first, second := a.pageOf(0, 33, 33), a.pageOf(1, 33, 33)
	for len(a.layout(second, prompt).IDs) <= most {
		prompt.Text += "x "
	}
	earlier, later := a.layout(first, prompt), a.layout(second, prompt)
	require.LessOrEqual(t, len(later.IDs), capacity)
	p := a.prompt(earlier, first.visual, qwen.PromptOptions{Keep: true})
	behind := p.Prefix.Behind(later, func(int) bool { return false })
	require.Equal(t, 64, behind)
	_, want := a.write(a.prompt(later, second.visual, qwen.PromptOptions{}))
	_, got := a.write(a.prompt(later, second.visual, qwen.PromptOptions{Behind: p.Prefix, Tokens: behind}))
	require.Equal(t, want, got)
	require.NoError(t, p.Close())
}
