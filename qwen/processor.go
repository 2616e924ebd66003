package qwen

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"

	"github.com/omnidocs/omnidocs/internal/imageproc"
)

// The area of a page that Qwen's document-parsing cookbook asks for, in visual tokens: what small print needs, and an
// eighth of what Qwen3-VL's own limit allows (16,384), which would cost a minute of prefill for nothing gained on a page.
const (
	DocumentMinTokens = 512
	DocumentMaxTokens = 2048
)

// Bounds limits the area, in pixels, that a picture is scaled to. A zero field means the checkpoint's own limit, moved
// where it would cross the other field. Limits beyond the checkpoint's own are taken as given (transformers does so too);
// [Processor.ClipBounds] keeps within them.
type Bounds struct {
	// MinPixels is the smallest area: a smaller picture is enlarged. From 1 to 2^26.
	MinPixels int
	// MaxPixels is the largest area: a larger picture is reduced. From MinPixels to 2^28.
	MaxPixels int
}

// Processor turns pictures into the patches that a Qwen-VL vision tower takes, as the checkpoint's image processor in
// transformers does. It is made by [LoadProcessor], does not change, and may be used from several goroutines at once.
type Processor struct {
	conf  processorConfig
	table normTable
}

// LoadProcessor reads the image processor of a checkpoint: the object "image_processor" of processor_config.json where
// there is one (as transformers 5 saves it), else preprocessor_config.json. Keys that are absent have the defaults of
// transformers' Qwen2VLImageProcessor. A value that is out of range, or asks for what is not done here, is an error that
// names key and value (an unsupported one wraps [ErrUnsupported]).
func LoadProcessor(fsys fs.FS) (*Processor, error) {
	conf, err := readProcessorConfig(fsys)
	if err != nil {
		return nil, fmt.Errorf("qwen: %w", err)
	}
	return &Processor{conf: conf, table: newNormTable(conf)}, nil
}

// Factor is the side, in pixels, of the square that becomes one visual token: patch size × merge size. The sides of a
// processed picture are multiples of it.
func (p *Processor) Factor() int { return p.conf.PatchSize * p.conf.MergeSize }

// PatchSize is the side of a patch in pixels.
func (p *Processor) PatchSize() int { return p.conf.PatchSize }

// MergeSize is how many patches, in each direction, are merged into one visual token.
func (p *Processor) MergeSize() int { return p.conf.MergeSize }

// TemporalPatchSize is how many times a still picture is repeated in a patch.
func (p *Processor) TemporalPatchSize() int { return p.conf.TemporalPatchSize }

// PatchDim is the number of values in a patch: 3 channels × temporal patch size × patch size².
func (p *Processor) PatchDim() int {
	return channels * p.conf.TemporalPatchSize * p.conf.PatchSize * p.conf.PatchSize
}

// Bounds returns the checkpoint's own limits.
func (p *Processor) Bounds() Bounds { return p.conf.bounds }

// DocumentBounds returns the limits that suit a page: [DocumentMinTokens] to [DocumentMaxTokens] visual tokens (for
// Qwen3-VL 524,288 to 2,097,152 pixels), brought within the checkpoint's own limits by [Processor.ClipBounds].
func (p *Processor) DocumentBounds() Bounds {
	area := p.Factor() * p.Factor()
	return p.ClipBounds(Bounds{MinPixels: DocumentMinTokens * area, MaxPixels: DocumentMaxTokens * area})
}

// ClipBounds returns the part of b within the checkpoint's own limits, and those limits if there is no such part. A zero
// field of b is the checkpoint's.
func (p *Processor) ClipBounds(b Bounds) Bounds {
	own := p.conf.bounds
	b = b.withDefaults(own)
	clipped := Bounds{MinPixels: max(b.MinPixels, own.MinPixels), MaxPixels: min(b.MaxPixels, own.MaxPixels)}
	if clipped.MinPixels > clipped.MaxPixels {
		return own
	}
	return clipped
}

func (b Bounds) withDefaults(own Bounds) Bounds {
	if b.MinPixels == 0 {
		b.MinPixels = own.MinPixels
		if b.MaxPixels > 0 { // a budget below the checkpoint's least area is still a budget
			b.MinPixels = min(own.MinPixels, b.MaxPixels)
		}
	}
	if b.MaxPixels == 0 {
		b.MaxPixels = max(own.MaxPixels, b.MinPixels)
	}
	return b
}

func (b Bounds) validate() error {
	var errs []error
	if b.MinPixels < 1 || b.MinPixels > maxMinPixels {
		errs = append(errs, fmt.Errorf("MinPixels (size.shortest_edge) %d: must be from 1 to %d", b.MinPixels, maxMinPixels))
	}
	if b.MaxPixels < b.MinPixels || b.MaxPixels > maxMaxPixels {
		errs = append(errs, fmt.Errorf("MaxPixels (size.longest_edge) %d: must be from MinPixels (%d) to %d", b.MaxPixels, b.MinPixels, maxMaxPixels))
	}
	return errors.Join(errs...)
}

// Size returns the width and height that Process would scale a picture of width × height pixels to.
func (p *Processor) Size(width, height int, b Bounds) (w, h int, err error) {
	b = b.withDefaults(p.conf.bounds)
	if err := b.validate(); err != nil {
		return 0, 0, fmt.Errorf("qwen: bounds: %w", err)
	}
	if !p.conf.DoResize {
		if width < 1 || height < 1 || width%p.Factor() != 0 || height%p.Factor() != 0 {
			return 0, 0, fmt.Errorf("qwen: picture of %d x %d pixels: do_resize is false in this checkpoint, so both sides must be multiples of %d",
				width, height, p.Factor())
		}
		return width, height, nil
	}
	h, w, err = SmartResize(height, width, p.Factor(), b.MinPixels, b.MaxPixels)
	return w, h, err
}

// Process scales a picture to within bounds and cuts it into normalized patches: convert to RGB over white, SmartResize,
// bicubic resize rounded to 8 bits, rescale and normalize in float32, patches in the order of the vision tower.
// transformers' torchvision backend gives the same values, bit for bit. The context is checked between blocks of rows.
func (p *Processor) Process(ctx context.Context, img image.Image, bounds Bounds) (*Patches, error) {
	if img == nil {
		return nil, fmt.Errorf("qwen: %w: the image is nil", imageproc.ErrEmpty)
	}
	source := img.Bounds().Size()
	if source.X < 1 || source.Y < 1 {
		return nil, fmt.Errorf("qwen: %w: the image is %d x %d pixels", imageproc.ErrEmpty, source.X, source.Y)
	}
	w, h, err := p.Size(source.X, source.Y, bounds) // before any work: a hopeless size is told at once
	if err != nil {
		return nil, err
	}
	rgb, err := imageproc.ToRGB(ctx, img)
	if err != nil {
		return nil, fmt.Errorf("qwen: %w", err)
	}
	rgb, err = imageproc.Resize(ctx, rgb, w, h)
	if err != nil {
		return nil, fmt.Errorf("qwen: %w", err)
	}
	out, err := p.patchify(ctx, rgb)
	if err != nil {
		return nil, fmt.Errorf("qwen: %w", err)
	}
	out.SourceWidth, out.SourceHeight = source.X, source.Y
	return out, nil
}
