package textextraction

import (
	"context"
	"image"
	"image/color"
	"image/draw"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/internal/tiny"
)

// A blank page does not come to the model, unless it is asked for.
func TestBlankPages(t *testing.T) {
	x, f := fake(t, QwenTextPyTorchConfig{}, says("made up"))
	x.settings.options.ReadBlankPages = false
	r, err := x.Extract(t.Context(), picture(0), HTML)
	require.NoError(t, err)
	require.Equal(t, FinishBlank, r.FinishReason)
	require.False(t, r.Truncated)
	require.Empty(t, r.Content+r.RawOutput+r.PlainText)
	require.Empty(t, r.Elements)
	require.Equal(t, 10, r.ImageWidth)
	require.Equal(t, "omnidocs/fake", r.ModelName)
	require.Empty(t, f.batches)

	for d, err := range x.Stream(t.Context(), picture(0), Options{}) {
		require.NoError(t, err)
		require.Equal(t, FinishBlank, d.Result.FinishReason, "the last delta is the only one")
	}
	r, err = x.ExtractWith(t.Context(), picture(0), Options{ReadBlankPages: true})
	require.NoError(t, err)
	require.Equal(t, "made up", r.Content)

	// A page with a mark on it comes to the model, with the blank ones around it in a batch.
	marked := image.NewGray(image.Rect(0, 0, 100, 100))
	draw.Draw(marked, image.Rect(20, 20, 30, 24), image.White, image.Point{}, draw.Src)
	var reasons []FinishReason
	for r, err := range x.Batch(t.Context(), Images(picture(0), marked, picture(0)), BatchOptions{}) {
		require.NoError(t, err)
		reasons = append(reasons, r.FinishReason)
	}
	require.Equal(t, []FinishReason{FinishBlank, FinishStop, FinishBlank}, reasons)

	require.NoError(t, x.Close())
	_, err = x.Extract(t.Context(), picture(0), HTML)
	require.ErrorIs(t, err, ErrClosed, "of a blank page, too")
}

// turningEngine is sure of pages whose white corner is where it is to be, and unsure of others.
type turningEngine struct {
	*fakeEngine
	unsure  bool // says nothing of its probabilities
	nothing bool // writes nothing in a probe
	pages   []image.Image
}

func (f *turningEngine) Generate(_ context.Context, requests []backend.Request, done func(i int, out backend.Output, err error)) error {
	for i, r := range requests {
		f.pages = append(f.pages, r.Image)
		b := r.Image.Bounds()
		red, _, _, _ := r.Image.At(b.Min.X, b.Max.Y-1).RGBA() // the lower left corner
		text := `<p data-bbox="0 500 500 1000">one two</p>`
		out := backend.Output{Text: text, Finish: FinishStop, Tokens: []int32{1, 2, 3}, Offsets: []int{0, 29, 33}, LogProbs: []float32{-0.01, -1, -2}}
		if red > 0x8000 {
			out.LogProbs = []float32{-3, -0.1, -0.2}
		}
		if f.unsure {
			out.Offsets, out.LogProbs = nil, nil
		}
		if f.nothing && r.MaxNewTokens == probeTokens {
			out = backend.Output{Finish: FinishStop}
		}
		done(i, out, nil)
	}
	return nil
}

// A page that lies in each of the four ways is turned upright, and its boxes come back to where they are on it.
func TestDetectOrientation(t *testing.T) {
	for _, row := range []struct {
		turn   int
		corner image.Rectangle // of the page as it comes
		box    [4]int
	}{
		{0, image.Rect(0, 150, 50, 200), [4]int{0, 100, 50, 200}},
		{90, image.Rect(50, 150, 100, 200), [4]int{50, 100, 100, 200}},
		{180, image.Rect(50, 0, 100, 50), [4]int{50, 0, 100, 100}},
		{270, image.Rect(0, 0, 50, 50), [4]int{0, 0, 50, 100}},
	} {
		page := image.NewGray(image.Rect(7, 7, 107, 207))
		draw.Draw(page, row.corner.Add(page.Rect.Min), image.White, image.Point{}, draw.Src)
		_, f := fake(t, QwenTextPyTorchConfig{})
		e := &turningEngine{fakeEngine: f}
		s, err := QwenTextPyTorchConfig{DetectOrientation: true}.check()
		require.NoError(t, err)
		x := newExtractor(e, s)
		r, err := x.Extract(t.Context(), page, HTML)
		require.NoError(t, err)
		require.Len(t, e.pages, 5)
		require.Equal(t, row.turn, r.Turn)
		require.Equal(t, row.box, r.Elements[0].Box, "turned by %d", row.turn)
		require.Equal(t, []int{100, 200}, []int{r.ImageWidth, r.ImageHeight})
		last := e.pages[4].Bounds()
		require.Equal(t, row.turn%180 == 90, last.Dx() > last.Dy())

		e.nothing = true
		r, err = x.Extract(t.Context(), page, HTML)
		require.NoError(t, err)
		require.Zero(t, r.Turn, "where nothing can be told, the page stays as it is")
		e.nothing, e.unsure = false, true
		_, err = x.Extract(t.Context(), page, HTML)
		require.ErrorIs(t, err, ErrConfig)
	}
}

func TestProbeScore(t *testing.T) {
	out := func(p ...float32) backend.Output {
		return backend.Output{Text: "ab", Tokens: make([]int32, len(p)), Offsets: []int{0, 1}[:len(p)], LogProbs: p}
	}
	require.InDelta(t, (4*-2-0.3)/6, probeScore(out(-0.1, -0.2), Markdown, nil), 1e-6)
	require.Less(t, probeScore(out(-0.01), Markdown, nil), probeScore(out(-0.05, -0.05), Markdown, nil), "more words that are almost as sure")
	require.Equal(t, math.Inf(-1), probeScore(backend.Output{}, Markdown, nil))
	require.Equal(t, math.Inf(-1), probeScore(out(-0.1), Markdown, context.Canceled))
}

// The embedded model knows which way up a page is.
func TestDetectOrientationOfTinyModel(t *testing.T) {
	x, err := NewQwenTextExtractor(t.Context(), QwenTextPyTorchConfig{Model: TinyModel, Device: "go", DetectOrientation: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, x.Close()) }()
	drawn, err := tiny.DrawPage(tiny.PageOptions{Markdown: "The door was open, and nobody came to see who it was.", Width: 448, Height: 128})
	require.NoError(t, err)
	size := drawn.Image.Rect.Size()
	page := image.NewGray(drawn.Image.Rect)
	for y := range size.Y {
		for x := range size.X {
			page.SetGray(size.X-1-x, size.Y-1-y, color.Gray{Y: drawn.Image.GrayAt(x, y).Y})
		}
	}
	r, err := x.Extract(t.Context(), page, Markdown)
	require.NoError(t, err)
	require.Equal(t, 180, r.Turn, "it came upside down")
	require.Equal(t, drawn.Markdown, r.Content)
}
