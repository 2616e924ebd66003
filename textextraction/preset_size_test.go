package textextraction

import (
	"context"
	"image"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/imageproc"
)

func TestPageSize(t *testing.T) {
	for _, row := range []struct {
		w, h         int
		preset       string
		wantW, wantH int
	}{
		// What load_image and scale_to_fit of chandra-ocr 0.1.8 and 0.2.0 give.
		{1240, 1754, "chandra1", 1536, 2172}, {1240, 1754, "chandra2", 1540, 2184},
		{1654, 2339, "chandra1", 1654, 2339}, {1654, 2339, "chandra2", 1652, 2352},
		{2480, 3508, "chandra1", 2108, 2983}, {2480, 3508, "chandra2", 2100, 2968},
		{3000, 2000, "chandra1", 3000, 2000}, {3000, 2000, "chandra2", 2996, 1988},
		{850, 1100, "chandra1", 1536, 1987}, {850, 1100, "chandra2", 1540, 1988},
		{1536, 1536, "chandra1", 1536, 1536}, {1536, 1536, "chandra2", 1540, 1540},
		{600, 5000, "chandra1", 868, 7240}, {600, 5000, "chandra2", 868, 7224},
		{4961, 7016, "chandra1", 2109, 2982}, {4961, 7016, "chandra2", 2100, 2968},
		{30, 40, "chandra1", 1536, 2048}, {30, 40, "chandra2", 1540, 2044},
		{1568, 1568, "chandra1", 1568, 1568}, {1568, 1568, "chandra2", 1568, 1568},
		{2509, 2505, "chandra1", 2509, 2505}, {2509, 2505, "chandra2", 2520, 2492},
		{1700, 9000, "chandra1", 1090, 5771}, {1700, 9000, "chandra2", 1092, 5740},

		{1240, 1754, "olmocr2", 911, 1288}, {600, 300, "olmocr2", 1288, 644}, {1288, 7, "olmocr2", 1288, 7}, {1, 4000, "olmocr2", 1, 1288},
		{1240, 1754, "rolmocr", 724, 1024}, {100, 200, "nanonets-s", 512, 1024},
		{1240, 1754, "nanonets2", 1280, 1811}, {2560, 2560, "nanonets2", 1280, 1280}, {1, 100000, "nanonets2", 26, 2590538},
		{1240, 1754, "mineru25-layout", 1036, 1036}, {1036, 1036, "mineru25-layout", 1036, 1036},
		{1240, 1754, "mineru25", 1240, 1754}, {1240, 1754, "qwen3vl", 1240, 1754}, {1240, 1754, "firered", 1240, 1754},
	} {
		w, h := row.w, row.h
		for _, step := range mustPreset(row.preset).PageSize.steps(w, h) {
			w, h = step.X, step.Y
		}
		require.Equal(t, image.Pt(row.wantW, row.wantH), image.Pt(w, h), "%d x %d, %s", row.w, row.h, row.preset)
	}
}

func TestPageSizeScales(t *testing.T) {
	page := image.NewRGBA(image.Rect(3, 3, 43, 23)) // not at the origin
	for i := range page.Pix {
		page.Pix[i] = uint8(i * 7)
	}
	for i := 3; i < len(page.Pix); i += 4 {
		page.Pix[i] = 255
	}
	source, err := imageproc.ToRGB(t.Context(), page)
	require.NoError(t, err)
	for _, row := range []struct {
		size   PageSize
		filter imageproc.Filter
		w, h   int
	}{
		{PageSize{LongestSide: 20}, imageproc.Bicubic, 20, 10},
		{PageSize{Width: 8, Height: 9, Filter: "lanczos"}, imageproc.Lanczos, 8, 9},
	} {
		got, err := row.size.scale(t.Context(), page)
		require.NoError(t, err)
		want, err := imageproc.ResizePillow(t.Context(), source, row.w, row.h, row.filter)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	same, err := PageSize{LongestSide: 40}.scale(t.Context(), page)
	require.NoError(t, err)
	require.Same(t, page, same)
	same, err = PageSize{}.scale(t.Context(), page)
	require.NoError(t, err)
	require.Same(t, page, same)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = PageSize{LongestSide: 20}.scale(ctx, page)
	require.ErrorIs(t, err, context.Canceled)
}
