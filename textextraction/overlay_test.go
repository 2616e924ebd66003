package textextraction

import (
	"image"
	"image/color"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOverlay(t *testing.T) {
	page := image.NewGray(image.Rect(7, 9, 1007, 809)) // not at the origin
	for i := range page.Pix {
		page.Pix[i] = 250
	}
	r := &ExtractResult{ImageWidth: 2000, ImageHeight: 1600, Elements: []Element{
		{Kind: KindHeading, Level: 1, Box: [4]int{400, 200, 1600, 400}, Confidence: 0.93},
		{Kind: KindTable, Box: [4]int{400, 600, 1600, 1200}, Confidence: 0.3},
		{Kind: KindListItem, Box: [4]int{400, 1300, 1600, 1500}, Confidence: 0.9},
		{Kind: KindListItem, Box: [4]int{400, 1300, 1600, 1500}, Confidence: 0.8},
		{Kind: "stamp", Box: [4]int{1990, 0, 2000, 10}},
		{Kind: KindText, Text: "without a place"},
		{Kind: KindText, Box: [4]int{-50, 1500, 4000, 1e9}, Confidence: 0.1}, // from elsewhere
	}}
	marks := r.marks(image.Rect(0, 0, 1000, 800))
	var texts []string
	for _, m := range marks {
		texts = append(texts, m.text)
	}
	require.Equal(t, []string{"heading 1 93%", "table 30%", "list item ×2 80%", "stamp", "text 10%"}, texts)

	out := r.Overlay(page)
	require.Equal(t, image.Rect(0, 0, 1000, 800), out.Bounds())
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(out.At(x, y)).(color.RGBA) }
	heading, cells := kindColors[KindHeading], kindColors[KindTable]
	for x := 200; x < 800; x++ {
		require.Equal(t, heading, at(x, 100), "the box is scaled to the image, and its line is whole")
	}
	require.Equal(t, color.RGBA{250, 250, 250, 255}, at(900, 550), "outside of all boxes and labels")
	inside := at(500, 150)
	require.NotEqual(t, color.RGBA{250, 250, 250, 255}, inside, "a tint")
	require.Greater(t, inside.G, uint8(200), "that one can read through")
	drawn := 0
	for x := 200; x < 800; x++ {
		if at(x, 300) == cells {
			drawn++
		}
	}
	require.InDelta(t, 300, drawn, 30, "a line in dashes")

	require.Equal(t, uint8(250), page.GrayAt(300, 200).Y, "the page itself stays")
	require.NotPanics(t, func() { r.Overlay(image.NewGray(image.Rect(0, 0, 1, 1))) })
	require.NotPanics(t, func() { new(ExtractResult).Overlay(image.NewGray(image.Rectangle{})) })
}
