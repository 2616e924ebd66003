package textextraction

import (
	"image"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"
)

// A mark at 200..400 × 300..900 of a source image of 2000 × 3000 pixels, in every space, and as it lies on the image turned.
func TestSizesBox(t *testing.T) {
	source := [4]int{200, 300, 400, 900}
	for _, row := range []struct {
		name        string
		space       BoxSpace
		sizes       Sizes
		coordinates []float64
		want        [4]int
	}{
		{"0-1000", Boxes1000, Sizes{Width: 2000, Height: 3000}, []float64{100, 100, 200, 300}, source},
		{"0-1024", Boxes1024, Sizes{Width: 2000, Height: 3000}, []float64{102.4, 102.4, 204.8, 307.2}, source},
		{"resized", BoxesResized, Sizes{Width: 2000, Height: 3000, ModelWidth: 500, ModelHeight: 1500}, []float64{50, 150, 100, 450}, source},
		{"turned by 90", Boxes1000, Sizes{Width: 2000, Height: 3000, Turn: 90}, []float64{700, 100, 900, 200}, source},
		{"turned by 180", Boxes1000, Sizes{Width: 2000, Height: 3000, Turn: 180}, []float64{800, 700, 900, 900}, source},
		{"turned by 270", Boxes1000, Sizes{Width: 2000, Height: 3000, Turn: 270}, []float64{100, 800, 300, 900}, source},
		{"turned and resized", BoxesResized, Sizes{Width: 2000, Height: 3000, ModelWidth: 1500, ModelHeight: 1000, Turn: 90}, []float64{1050, 100, 1350, 200}, source},
		{"reversed", Boxes1000, Sizes{Width: 2000, Height: 3000}, []float64{200, 300, 100, 100}, source},
		{"out of range", Boxes1000, Sizes{Width: 2000, Height: 3000}, []float64{-1, 0, 1e9, 1001}, [4]int{0, 0, 2000, 3000}},
		{"no size of the model's image", BoxesResized, Sizes{Width: 2000, Height: 3000}, []float64{1, 2, 3, 4}, [4]int{}},
		{"no size of the source", Boxes1000, Sizes{}, []float64{1, 2, 3, 4}, [4]int{}},
		{"no coordinates", BoxesNone, Sizes{Width: 2000, Height: 3000}, []float64{1, 2, 3, 4}, [4]int{}},
		{"five numbers", Boxes1000, Sizes{Width: 2000, Height: 3000}, []float64{1, 2, 3, 4, 5}, [4]int{}},
	} {
		require.Equal(t, row.want, row.sizes.box(row.space, row.coordinates), row.name)
	}
}

// The size that the engine scaled the page to, and the index of the page in a batch, come to the elements.
func TestElementsOfExtractor(t *testing.T) {
	a := says(`<p data-bbox="10 10 40 60">a</p>`)
	a.out.ImageWidth, a.out.ImageHeight = 40, 80
	x, _ := fake(t, QwenTextPyTorchConfig{Preset: "qwen25vl"}, a, a)
	next, stop := iter.Pull2(x.Batch(t.Context(), Images(picture(0), picture(1)), BatchOptions{Options: Options{Format: HTML}}))
	defer stop()
	for page := range 2 {
		r, err, ok := next()
		require.NoError(t, err)
		require.True(t, ok)
		require.Len(t, r.Elements, 1)
		require.Equal(t, page, r.Elements[0].Page)
		require.Equal(t, image.Rect(2, 2, 10+page, 15), r.Elements[0].Rect(), "of %d × 20 pixels", 10+page)
	}
}
