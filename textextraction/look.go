package textextraction

import (
	"context"
	"fmt"
	"image"
	"math"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/internal/imageproc"
)

// look looks at a page before it is read: whether there is anything on it, and which way up it is. Of a blank page it makes the
// result. callCtx is that of the call.
func (x *QwenTextExtractor) look(ctx, callCtx context.Context, p *page) {
	blank, err := x.lookAt(callCtx, p)
	if err != nil && callCtx.Err() != nil {
		err = context.Cause(callCtx) // the extractor is closed, perhaps
	}
	if err != nil || blank {
		x.finish(ctx, p, backend.Output{Finish: FinishBlank}, err)
	}
}

func (x *QwenTextExtractor) lookAt(ctx context.Context, p *page) (blank bool, err error) {
	if !p.opts.ReadBlankPages {
		if ink, err := imageproc.HasInk(ctx, p.img); err != nil || !ink {
			return true, err
		}
	}
	if p.opts.DetectOrientation {
		return false, x.turnUpright(ctx, p)
	}
	return false, nil
}

// The bounds of a page that is read to see which way up it is: a few hundred visual tokens, and enough words to tell a text from none.
const (
	probePixels = 512 * 1024
	probeTokens = 32
	// probeMargin is by how much the score of another way must be better than that of the page as it came.
	probeMargin = 0.05
)

// turnUpright finds out which way up a page is, and turns it in its request.
func (x *QwenTextExtractor) turnUpright(ctx context.Context, p *page) error {
	source, err := imageproc.ToRGB(ctx, p.img)
	if err != nil {
		return err
	}
	small, err := shrink(ctx, source, probePixels)
	if err != nil {
		return err
	}
	turns := []int{0, 90, 180, 270}
	requests := make([]backend.Request, len(turns))
	for i, turn := range turns {
		img, err := turned(ctx, small, turn)
		if err != nil {
			return err
		}
		requests[i] = backend.Request{
			Image: img, Prompt: p.request.Prompt, System: p.request.System, TextFirst: p.request.TextFirst, MaxNewTokens: probeTokens,
			MinPixels: 1, MaxPixels: probePixels, Stops: p.request.Stops, Repetition: Repetition{Off: true},
		}
	}
	scores := make([]float64, len(turns))
	err = x.engine.Generate(ctx, requests, func(i int, out backend.Output, err error) { scores[i] = probeScore(out, p.opts.Format, err) })
	if err != nil {
		return err
	}
	best := 0
	for i, score := range scores {
		if math.IsNaN(score) {
			return fmt.Errorf("%w: DetectOrientation: the model's server tells no log-probabilities", ErrConfig)
		}
		if score > scores[best] && score > scores[0]+probeMargin {
			best = i
		}
	}
	x.settings.logger.DebugContext(ctx, "orientation", "turn", turns[best], "scores", scores)
	if best == 0 {
		return nil
	}
	upright, err := turned(ctx, source, turns[best])
	if err != nil {
		return err
	}
	text := p.request.Text
	p.request, err = x.requestFor(ctx, upright, p.opts)
	p.request.Text, p.turn = text, turns[best]
	return err
}

// What is added to the tokens of a probe, so that a few sure ones do not count for more than many that are almost as sure.
const (
	priorTokens  = 4
	priorLogProb = -2.0
)

// probeScore is how sure the model was of the words that it began to write: the mean log-probability of their tokens, tags and
// coordinates left out, drawn to a low one where there are few. A page of which it could write nothing is the worst there is. It is
// NaN where nothing is known.
func probeScore(out backend.Output, format Format, err error) float64 {
	switch {
	case err != nil, len(out.Tokens) == 0 && out.Text == "":
		return math.Inf(-1)
	case len(out.LogProbs) == 0:
		return math.NaN()
	}
	r := NewExtractResult(out.Text, format)
	r.score(out.Offsets, out.LogProbs)
	sum, tokens := priorLogProb*priorTokens, priorTokens
	for _, w := range r.Words() {
		sum += w.Mean * float64(w.Tokens)
		tokens += w.Tokens
	}
	return sum / float64(tokens)
}

// shrink returns an image of no more pixels than so many.
func shrink(ctx context.Context, img *imageproc.RGB, pixels int) (*imageproc.RGB, error) {
	scale := math.Sqrt(float64(pixels) / (float64(img.W) * float64(img.H)))
	if scale >= 1 {
		return img, nil
	}
	size := func(side int) int { return max(1, int(float64(side)*scale)) }
	return imageproc.ResizePillow(ctx, img, size(img.W), size(img.H), imageproc.Bicubic)
}

// turned returns an image turned clockwise by 0, 90, 180 or 270 degrees.
func turned(ctx context.Context, img *imageproc.RGB, degrees int) (image.Image, error) {
	orientation := map[int]int{90: 6, 180: 3, 270: 8}[degrees] // EXIF's names for it
	return img.Oriented(ctx, orientation)
}
