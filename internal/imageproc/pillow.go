package imageproc

import (
	"context"
	"math"
)

// Filter is a filter of Pillow's Image.resize.
type Filter int

const (
	// Bicubic is Image.Resampling.BICUBIC. Its weights have more bits than those of torchvision, which [Resize] uses.
	Bicubic Filter = iota
	// Lanczos is Image.Resampling.LANCZOS, of three lobes.
	Lanczos
)

// Pillow keeps weights with 22 fractional bits, whatever their size.
var pillowKernels = []kernel{
	Bicubic: {2, pillowCubic, 32},
	Lanczos: {3, lanczos, 32},
}

// ResizePillow scales src to w by h pixels as Pillow's Image.resize does it to an RGB picture, byte for byte (Pillow
// up to 12, which filters along the rows first; 13 takes the columns first where that is cheaper, and differs by a level
// here and there). The pipelines of several models scale their pages so before the model's processor sees them. When nothing is to be done, src itself
// comes back. It fails if a size is less than 1, or when ctx is canceled.
func ResizePillow(ctx context.Context, src *RGB, w, h int, filter Filter) (*RGB, error) {
	return resize(ctx, src, w, h, pillowKernels[filter])
}

// pillowCubic is bicubic_filter of Pillow's Resample.c: [cubic], with its terms in another order.
func pillowCubic(x float64) float64 {
	const a = -0.5
	x = math.Abs(x)
	switch {
	case x < 1:
		return float64(float64(float64(float64((a+2)*x)-(a+3))*x)*x) + 1
	case x < 2:
		return float64(float64(float64(float64(x-5)*x)+8)*x-4) * a
	}
	return 0
}

// lanczos is lanczos_filter there.
func lanczos(x float64) float64 {
	if x < -3 || x >= 3 {
		return 0
	}
	return sinc(x) * sinc(x/3)
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	x *= math.Pi
	return math.Sin(x) / x
}
