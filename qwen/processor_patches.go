package qwen

import (
	"context"

	"github.com/omnidocs/omnidocs/internal/imageproc"
)

const channels = 3

// Patches is a picture as the vision tower takes it.
type Patches struct {
	// Pixels holds the normalized values: [GridH*GridW, 3*T*P*P] with T the temporal patch size and P the patch size.
	// The patches of a merged square stand together, so the rows run over (GridH/Merge, GridW/Merge, Merge, Merge); the
	// values of a patch over (channel, T, y, x), the still picture repeated over T.
	Pixels []float32
	// GridH and GridW count the patches down and across.
	GridH, GridW int
	// Merge is how many patches, in each direction, make one visual token.
	Merge int
	// Width and Height are the size, in pixels, that the picture was scaled to.
	Width, Height int
	// SourceWidth and SourceHeight are its size before, to map boxes back.
	SourceWidth, SourceHeight int
}

// VisualTokens is the number of tokens that the picture takes in the prompt.
func (p *Patches) VisualTokens() int { return p.GridH * p.GridW / (p.Merge * p.Merge) }

// Grid is the row of image_grid_thw: frames (always 1), patches down, patches across.
func (p *Patches) Grid() [3]int { return [3]int{1, p.GridH, p.GridW} }

// normTable holds the normalized value of each of the 256 levels of each channel.
type normTable [channels][256]float32

// newNormTable computes in float32 what transformers' TorchvisionBackend.rescale_and_normalize computes for each pixel:
// rescaling is folded into mean and std, each rounded to float32 on its own, then (x - mean) / std.
func newNormTable(c processorConfig) (t normTable) {
	for ch := range t {
		mean, std := float32(c.ImageMean[ch]), float32(c.ImageStd[ch])
		if c.DoRescale && c.DoNormalize {
			unscale := float32(1 / c.RescaleFactor)
			mean, std = mean*unscale, std*unscale
		}
		for level := range t[ch] {
			v := float32(level)
			switch {
			case c.DoNormalize:
				v = float32(v-mean) / std
			case c.DoRescale:
				v *= float32(c.RescaleFactor)
			}
			t[ch][level] = v
		}
	}
	return t
}

// patchify cuts a raster, whose sides are multiples of the factor, into patches.
func (p *Processor) patchify(ctx context.Context, img *imageproc.RGB) (*Patches, error) {
	size, merge := p.conf.PatchSize, p.conf.MergeSize
	out := &Patches{GridH: img.H / size, GridW: img.W / size, Merge: merge, Width: img.W, Height: img.H}
	out.Pixels = make([]float32, out.GridH*out.GridW*p.PatchDim())
	bandLen := merge * out.GridW * p.PatchDim() // a band is a row of merged squares
	err := imageproc.ParallelRows(ctx, out.GridH/merge, bandLen, func(lo, hi int) {
		for band := lo; band < hi; band++ {
			p.patchBand(out.Pixels[band*bandLen:][:bandLen], img, band*merge*size)
		}
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// patchBand writes the patches of the merged squares whose top is at row top.
func (p *Processor) patchBand(dst []float32, img *imageproc.RGB, top int) {
	size, merge := p.conf.PatchSize, p.conf.MergeSize
	for left := 0; left < img.W; left += merge * size {
		for my := range merge {
			for mx := range merge {
				at := channels * ((top+my*size)*img.W + left + mx*size)
				p.patch(dst[:p.PatchDim()], img.Pix[at:], channels*img.W)
				dst = dst[p.PatchDim():]
			}
		}
	}
}

// patch writes one patch, whose first pixel is src[0], as (channel, T, y, x).
func (p *Processor) patch(dst []float32, src []uint8, stride int) {
	size := p.conf.PatchSize
	plane := size * size
	for ch := range channels {
		frames := dst[ch*p.conf.TemporalPatchSize*plane:][:p.conf.TemporalPatchSize*plane]
		table := &p.table[ch]
		for y := range size {
			row := src[y*stride:][:channels*size]
			for x := range frames[y*size:][:size] {
				frames[y*size+x] = table[row[channels*x+ch]]
			}
		}
		for t := plane; t < len(frames); t += plane {
			copy(frames[t:][:plane], frames[:plane])
		}
	}
}
