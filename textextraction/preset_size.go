package textextraction

import (
	"context"
	"fmt"
	"image"
	"math"

	"github.com/omnidocs/omnidocs/internal/imageproc"
)

// PageSize says how a page is scaled before the checkpoint's processor sees it, as the pipeline of a finetune does. One of
// four ways can be chosen: LongestSide, ShortestSide, Width with Height, or MinSide with the areas. Sizes are in pixels, and
// the sides from 1 to 8192. The zero value leaves pages as they are.
//
// Chandra and MinerU scale pictures with Pillow, and so does this, byte for byte. The pipelines of olmOCR and RolmOCR have
// poppler draw a PDF's page in the size; a page that is a picture already is scaled with the filter here.
type PageSize struct {
	// LongestSide is the length that the longer side gets, up or down; the shorter one follows, rounded.
	LongestSide int `json:"longest_side,omitzero"`
	// ShortestSide is the length that the shorter side gets; the longer one follows.
	ShortestSide int `json:"shortest_side,omitzero"`
	// Width and Height are the size that every page gets, whatever its shape.
	Width  int `json:"width,omitzero"`
	Height int `json:"height,omitzero"`

	// MinSide enlarges pages whose shorter side is less, in a step of its own.
	MinSide int `json:"min_side,omitzero"`
	// MinArea and MaxArea bound width × height.
	MinArea int `json:"min_area,omitzero"`
	MaxArea int `json:"max_area,omitzero"`
	// Grid makes both sides multiples of it, as Chandra 2 does; without it pages within the areas stay as they are.
	Grid int `json:"grid,omitzero"`

	// Filter is how pixels are computed: "bicubic" or "lanczos", both as in Pillow. Empty means "bicubic".
	Filter string `json:"filter,omitzero"`
}

const (
	maxSide = 8192
	maxArea = 1 << 26 // of a scaled page: far above what a model takes in
)

// pageFilters are the values of PageSize.Filter.
var pageFilters = map[string]imageproc.Filter{
	"": imageproc.Bicubic, "bicubic": imageproc.Bicubic, "lanczos": imageproc.Lanczos,
}

func (s PageSize) check(f *faults) {
	for _, side := range []struct {
		name  string
		value int
	}{
		{"LongestSide", s.LongestSide}, {"ShortestSide", s.ShortestSide}, {"Width", s.Width}, {"Height", s.Height},
		{"MinSide", s.MinSide}, {"Grid", s.Grid},
	} {
		f.check(side.value >= 0 && side.value <= maxSide, "PageSize."+side.name, side.value, fmt.Sprintf("is outside 0 to %d", maxSide))
	}
	f.check(s.MinArea >= 0 && s.MinArea <= maxArea, "PageSize.MinArea", s.MinArea, fmt.Sprintf("is outside 0 to %d", maxArea))
	f.check(s.MaxArea >= 0 && s.MaxArea <= maxArea, "PageSize.MaxArea", s.MaxArea, fmt.Sprintf("is outside 0 to %d", maxArea))
	f.check(s.MaxArea == 0 || s.MinArea <= s.MaxArea, "PageSize.MinArea", s.MinArea, fmt.Sprintf("is more than MaxArea, %d", s.MaxArea))
	f.check((s.Width == 0) == (s.Height == 0), "PageSize.Width", s.Width, fmt.Sprintf("needs Height, and has %d", s.Height))
	ways := 0
	for _, way := range []bool{
		s.LongestSide != 0, s.ShortestSide != 0, s.Width != 0 || s.Height != 0, s.MinSide != 0 || s.MinArea != 0 || s.MaxArea != 0 || s.Grid != 0,
	} {
		if way {
			ways++
		}
	}
	f.check(ways <= 1, "PageSize", s, "has more than one of LongestSide, ShortestSide, Width with Height, and MinSide with the areas and Grid")
	_, known := pageFilters[s.Filter]
	f.check(known, "PageSize.Filter", s.Filter, "is not one of "+list(pageFilters))
}

// scale returns a page in the size that it gets. A page that keeps its size is returned as it is.
func (s PageSize) scale(ctx context.Context, page image.Image) (image.Image, error) {
	size := page.Bounds().Size()
	steps := s.steps(size.X, size.Y)
	if len(steps) == 0 {
		return page, nil
	}
	rgb, err := imageproc.ToRGB(ctx, page)
	for _, to := range steps {
		if err == nil {
			rgb, err = imageproc.ResizePillow(ctx, rgb, to.X, to.Y, pageFilters[s.Filter])
		}
	}
	if err != nil {
		return nil, imageError(err)
	}
	return rgb, nil
}

// steps returns the sizes that a page of w × h pixels goes through.
func (s PageSize) steps(w, h int) (steps []image.Point) {
	add := func(toW, toH int) {
		if toW = max(1, toW); toW != w || max(1, toH) != h {
			w, h = toW, max(1, toH)
			steps = append(steps, image.Pt(w, h))
		}
	}
	fw, fh := float64(w), float64(h)
	switch {
	case s.LongestSide > 0:
		scale := float64(s.LongestSide) / max(fw, fh)
		add(int(math.Round(fw*scale)), int(math.Round(fh*scale)))
	case s.ShortestSide > 0:
		scale := min(float64(s.ShortestSide)/min(fw, fh), math.Sqrt(maxArea/(fw*fh)))
		add(int(math.Round(fw*scale)), int(math.Round(fh*scale)))
	case s.Width > 0:
		add(s.Width, s.Height)
	default:
		// Chandra's load_image: truncated, not rounded.
		if scale := float64(s.MinSide) / min(fw, fh); scale > 1 && fw*scale*fh*scale <= maxArea {
			add(int(fw*scale), int(fh*scale))
		}
		add(s.fit(w, h))
	}
	return steps
}

// fit brings a size within the areas and onto the grid: scale_to_fit of Chandra 2, or without a grid of Chandra 0.1.
func (s PageSize) fit(w, h int) (int, int) {
	area, scale := float64(w)*float64(h), 1.0
	over, under := s.MaxArea > 0 && area > float64(s.MaxArea), area < float64(s.MinArea)
	switch {
	case over:
		scale = math.Sqrt(float64(s.MaxArea) / area)
	case under:
		scale = math.Sqrt(float64(s.MinArea) / area)
	}
	fw, fh := float64(w)*scale, float64(h)*scale
	switch {
	case s.Grid > 0:
		return s.onGrid(fw, fh, float64(w)/float64(h))
	case over:
		return int(math.Floor(fw)), int(math.Floor(fh))
	case under:
		return int(math.Ceil(fw)), int(math.Ceil(fh))
	}
	return w, h
}

// onGrid rounds the sides to the grid, half to even as Python does, and then takes cells off the side that keeps the shape
// better until the area fits.
func (s PageSize) onGrid(fw, fh, aspect float64) (int, int) {
	grid := float64(s.Grid)
	cols, rows := max(1, int(math.RoundToEven(fw/grid))), max(1, int(math.RoundToEven(fh/grid)))
	for s.MaxArea > 0 && cols*rows*s.Grid*s.Grid > s.MaxArea && (cols > 1 || rows > 1) {
		narrower := math.Abs(float64(cols-1)/float64(rows) - aspect)
		lower := math.Inf(1)
		if rows > 1 {
			lower = math.Abs(float64(cols)/float64(rows-1) - aspect)
		}
		if rows == 1 || cols > 1 && narrower < lower {
			cols--
		} else {
			rows--
		}
	}
	return cols * s.Grid, rows * s.Grid
}
