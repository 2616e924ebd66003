package tiny

import (
	"bytes"
	"image"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// inked reports whether r has a pixel darker than the middle.
func inked(p *Page, r image.Rectangle) bool {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			if p.Image.GrayAt(x, y).Y < 128 {
				return true
			}
		}
	}
	return false
}

func TestDrawPageDefaults(t *testing.T) {
	p, err := DrawPage(PageOptions{Markdown: SamplePage})
	require.NoError(t, err)
	require.Equal(t, image.Rect(0, 0, 512, 384), p.Image.Bounds())
	require.Equal(t, SamplePage, p.Markdown)
	require.True(t, p.Complete)
	require.False(t, inked(p, image.Rect(0, 0, 512, 14)), "top margin")
	require.False(t, inked(p, image.Rect(0, 0, 14, 384)), "left margin")
	require.True(t, inked(p, image.Rect(16, 16, 120, 56)), "heading")
}

func TestDrawPagePlacesLetters(t *testing.T) {
	p, err := DrawPage(PageOptions{Markdown: "|      |", Width: 320, Height: 64, Size: 30, Left: 10, Top: 10})
	require.NoError(t, err)
	require.Equal(t, "| |", p.Markdown, "white space is folded")
	p, err = DrawPage(PageOptions{Markdown: "|xxxxxx|", Width: 320, Height: 64, Size: 30, Left: 10, Top: 10})
	require.NoError(t, err)
	// The bar is in the middle of its 18 px: letters 0 and 7 are centered at 10+9 and 10+7*18+9.
	for _, x := range []int{19, 145} {
		require.True(t, inked(p, image.Rect(x-2, 10, x+2, 44)))
		require.False(t, inked(p, image.Rect(x-8, 12, x-4, 22)), "beside the bar, above the x height")
	}
	require.False(t, inked(p, image.Rect(160, 0, 320, 64)))
}

func TestDrawPageWrapsAndCuts(t *testing.T) {
	long := "# A heading\n\n- first item of the list\n- second\n\nA paragraph that does not fit on the page any more, whatever the page."
	tests := []struct {
		name     string
		o        PageOptions
		want     string
		complete bool
	}{
		{"all", PageOptions{Markdown: long, Width: 512, Height: 384}, long, true},
		{"inside an item", PageOptions{Markdown: long, Width: 256, Height: 96, Size: 24, Top: 1}, "# A heading\n\n- first item of", false},
		{"before the list", PageOptions{Markdown: long, Width: 256, Height: 64, Size: 24, Top: 1}, "# A heading", false},
		{"long word", PageOptions{Markdown: "abcdefghijklmnopqrstuvwxyz", Width: 64 + 32, Height: 64, Size: 24}, "abcd", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := DrawPage(tt.o)
			require.NoError(t, err)
			require.Equal(t, tt.want, p.Markdown)
			require.Equal(t, tt.complete, p.Complete)
		})
	}
}

func TestDrawPageRefuses(t *testing.T) {
	tests := []struct {
		name string
		o    PageOptions
		says string
	}{
		{"blank", PageOptions{Markdown: " \n\n "}, "Markdown is blank"},
		{"negative", PageOptions{Markdown: "x", Width: -1}, "-1×384"},
		{"huge", PageOptions{Markdown: "x", Height: 1 << 40}, "both sides"},
		{"not a number", PageOptions{Markdown: "x", Size: math.NaN()}, "Size is NaN"},
		{"no room", PageOptions{Markdown: "x", Height: 20}, "no room"},
		{"no column", PageOptions{Markdown: "x", Width: 33}, "no room"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := DrawPage(tt.o)
			require.ErrorContains(t, err, tt.says)
			require.Nil(t, p)
		})
	}
}

func TestBlocksRoundTrip(t *testing.T) {
	for _, md := range []string{SamplePage, "one", "## b\n\n- x y\n- z\n\ntext"} {
		require.Equal(t, md, FormatBlocks(ParseBlocks(md)))
	}
	require.Equal(t, []Block{{List, []string{"a b", "c"}}}, ParseBlocks("- a\n  b\n- c\n"))
}

func TestRandomPageIsDeterministicAndOfItsClass(t *testing.T) {
	require.Greater(t, len(Paragraphs()), 10)
	seen := map[string]bool{}
	for seed := range uint64(20) {
		c := Class{}
		if seed%2 == 1 {
			c = Class{Width: 512, Height: 384, Size: 27, Pitch: 1.3, Plain: true}
		}
		a, err := DrawPage(RandomPage(seed, Paragraphs(), c))
		require.NoError(t, err)
		b, err := DrawPage(RandomPage(seed, Paragraphs(), c))
		require.NoError(t, err)
		require.True(t, bytes.Equal(a.Image.Pix, b.Image.Pix))
		require.Equal(t, a.Markdown, b.Markdown)
		require.Greater(t, len(a.Markdown), 10)
		seen[a.Markdown] = true
		if c.Plain {
			require.Equal(t, image.Rect(0, 0, 512, 384), a.Image.Bounds())
			require.NotContains(t, a.Markdown, "\n- ")
		}
	}
	require.Len(t, seen, 20)
	_, err := DrawPage(RandomPage(1, nil, Class{}))
	require.NoError(t, err)
}

func BenchmarkDrawPage(b *testing.B) {
	for b.Loop() {
		if _, err := DrawPage(PageOptions{Markdown: SamplePage}); err != nil {
			b.Fatal(err)
		}
	}
}
