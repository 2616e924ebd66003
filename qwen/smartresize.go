package qwen

import (
	"fmt"
	"math"
)

// maxAspect is how many times longer than wide a picture may be; the models were not trained beyond it.
const maxAspect = 200

// SmartResize returns the size that a picture of height × width pixels is scaled to: both sides multiples of factor
// (patch size × merge size), the area between minPixels and maxPixels, the aspect ratio kept as closely as that allows.
// It is transformers' smart_resize to the bit: a side is rounded half to even as Python rounds, and brought down (or up)
// only if the rounded area is out of bounds. As there, a very long picture may end a little above maxPixels, since no
// side is shorter than factor. It fails if the aspect ratio is above 200 or an argument is out of range.
func SmartResize(height, width, factor, minPixels, maxPixels int) (h, w int, err error) {
	const most = 1 << 30 // pixels on a side: keeps the products below within an int
	switch {
	case height < 1 || width < 1 || height > most || width > most:
		return 0, 0, fmt.Errorf("qwen: picture of %d x %d pixels (width x height): each side must be from 1 to %d", width, height, most)
	case factor < 1 || factor > maxFactor:
		return 0, 0, fmt.Errorf("qwen: factor %d: must be from 1 to %d", factor, maxFactor)
	case minPixels < 1 || maxPixels < minPixels:
		return 0, 0, fmt.Errorf("qwen: pixels from %d to %d: the least must be at least 1 and not above the most", minPixels, maxPixels)
	}
	if long, short := max(height, width), min(height, width); float64(long)/float64(short) > maxAspect {
		return 0, 0, fmt.Errorf("qwen: picture of %d x %d pixels (width x height): one side is %.4g times the other, "+
			"the models take up to %d times; cut it into shorter pieces", width, height, float64(long)/float64(short), maxAspect)
	}
	f, fh, fw := float64(factor), float64(height), float64(width)
	h = int(math.RoundToEven(fh/f)) * factor
	w = int(math.RoundToEven(fw/f)) * factor
	area := float64(height * width)
	if h*w > maxPixels {
		beta := math.Sqrt(area / float64(maxPixels))
		h = max(factor, int(math.Floor(fh/beta/f))*factor)
		w = max(factor, int(math.Floor(fw/beta/f))*factor)
	} else if h*w < minPixels { // also when a side was rounded to nothing
		beta := math.Sqrt(float64(minPixels) / area)
		h = int(math.Ceil(fh*beta/f)) * factor
		w = int(math.Ceil(fw*beta/f)) * factor
	}
	return h, w, nil
}
