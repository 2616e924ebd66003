package qwen

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strings"
)

// Ranges of what a checkpoint may ask for: far beyond any that exists, and small enough that no product overflows and no
// small picture takes gigabytes.
const (
	maxPatchSize    = 256
	maxMergeSize    = 16
	maxTemporalSize = 4
	maxFactor       = maxPatchSize * maxMergeSize
	maxMinPixels    = 1 << 26
	maxMaxPixels    = 1 << 28
	resampleBicubic = 3 // PIL.Image.Resampling.BICUBIC
)

// processorConfig is the image processor's part of a checkpoint, defaults filled in.
type processorConfig struct {
	PatchSize         int
	MergeSize         int
	TemporalPatchSize int
	ImageMean         []float64 // per channel, of samples in [0, 1]
	ImageStd          []float64
	RescaleFactor     float64
	DoResize          bool
	DoRescale         bool
	DoNormalize       bool
	bounds            Bounds
}

// processorJSON has the keys of preprocessor_config.json that are looked at. A null is an absent key, as in Python.
type processorJSON struct {
	ImageProcessorType *string         `json:"image_processor_type"`
	PatchSize          *int            `json:"patch_size"`
	MergeSize          *int            `json:"merge_size"`
	TemporalPatchSize  *int            `json:"temporal_patch_size"`
	ImageMean          *perChannel     `json:"image_mean"`
	ImageStd           *perChannel     `json:"image_std"`
	RescaleFactor      *float64        `json:"rescale_factor"`
	Resample           *int            `json:"resample"`
	DoResize           *bool           `json:"do_resize"`
	DoRescale          *bool           `json:"do_rescale"`
	DoNormalize        *bool           `json:"do_normalize"`
	DoConvertRGB       *bool           `json:"do_convert_rgb"`
	MinPixels          *int            `json:"min_pixels"`
	MaxPixels          *int            `json:"max_pixels"`
	Size               map[string]*int `json:"size"`
}

// perChannel is one number for all channels, or one for each.
type perChannel []float64

// UnmarshalJSON implements [json.Unmarshaler].
func (p *perChannel) UnmarshalJSON(data []byte) error {
	var one float64
	if json.Unmarshal(data, &one) == nil {
		*p = slices.Repeat(perChannel{one}, channels)
		return nil
	}
	return json.Unmarshal(data, (*[]float64)(p))
}

// readProcessorConfig finds and reads the image processor's object in a checkpoint's folder. transformers prefers the
// nested one too.
func readProcessorConfig(fsys fs.FS) (processorConfig, error) {
	const nested, plain = "processor_config.json", "preprocessor_config.json"
	data, err := fs.ReadFile(fsys, nested)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return processorConfig{}, err
	}
	if err == nil {
		var both struct {
			ImageProcessor json.RawMessage `json:"image_processor"`
		}
		if err := json.Unmarshal(data, &both); err != nil {
			return processorConfig{}, fmt.Errorf("%s: %w", nested, err)
		}
		if len(both.ImageProcessor) > 0 && string(both.ImageProcessor) != "null" {
			return parseProcessorConfig(nested, both.ImageProcessor)
		}
	}
	data, err = fs.ReadFile(fsys, plain)
	if errors.Is(err, fs.ErrNotExist) {
		return processorConfig{}, fmt.Errorf("the checkpoint has no %s and no %s with an \"image_processor\": %w", plain, nested, err)
	}
	if err != nil {
		return processorConfig{}, err
	}
	return parseProcessorConfig(plain, data)
}

func parseProcessorConfig(name string, data []byte) (processorConfig, error) {
	var raw processorJSON
	if err := json.Unmarshal(data, &raw); err != nil {
		return processorConfig{}, fmt.Errorf("%s: %w", name, err)
	}
	var keys map[string]any
	if err := json.Unmarshal(data, &keys); err != nil {
		return processorConfig{}, fmt.Errorf("%s: %w", name, err)
	}
	c := raw.withDefaults()
	if err := errors.Join(raw.unsupported(keys), c.validate()); err != nil {
		return processorConfig{}, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// withDefaults fills what is absent with the defaults of transformers' Qwen2VLImageProcessor.
func (r processorJSON) withDefaults() processorConfig {
	return processorConfig{
		PatchSize:         fieldOr(r.PatchSize, 14),
		MergeSize:         fieldOr(r.MergeSize, 2),
		TemporalPatchSize: fieldOr(r.TemporalPatchSize, 2),
		ImageMean:         fieldOr(r.ImageMean, perChannel{0.48145466, 0.4578275, 0.40821073}), // CLIP's
		ImageStd:          fieldOr(r.ImageStd, perChannel{0.26862954, 0.26130258, 0.27577711}),
		RescaleFactor:     fieldOr(r.RescaleFactor, 1.0/255),
		DoResize:          fieldOr(r.DoResize, true),
		DoRescale:         fieldOr(r.DoRescale, true),
		DoNormalize:       fieldOr(r.DoNormalize, true),
		bounds: Bounds{
			MinPixels: r.area(r.MinPixels, "shortest_edge", "min_pixels", 56*56),
			MaxPixels: r.area(r.MaxPixels, "longest_edge", "max_pixels", 28*28*1280),
		},
	}
}

func fieldOr[T any](p *T, fallback T) T {
	if p == nil {
		return fallback
	}
	return *p
}

// area finds a limit: the plain key wins over the one in "size", as in transformers; transformers up to 4.48 spelled the
// latter like the former. Edges they are not, whatever the keys say: both are areas.
func (r processorJSON) area(plain *int, edge, old string, fallback int) int {
	if plain != nil {
		return *plain
	}
	for _, key := range []string{edge, old} {
		if v := r.Size[key]; v != nil {
			return *v
		}
	}
	return fallback
}

// unsupported refuses what would give other pixels than are made here.
func (r processorJSON) unsupported(keys map[string]any) error {
	var errs []error
	refuse := func(key string, value any, why string) {
		errs = append(errs, fmt.Errorf("%s %v: %s: %w", key, value, why, ErrUnsupported))
	}
	if t := fieldOr(r.ImageProcessorType, ""); t != "" {
		// The suffixes are the same processor's other backends; 2.5's was dropped for 2's, to which it was equal.
		family := strings.TrimSuffix(strings.TrimSuffix(t, "Fast"), "Pil")
		if family != "Qwen2VLImageProcessor" && family != "Qwen2_5_VLImageProcessor" {
			refuse("image_processor_type", fmt.Sprintf("%q", t), "only the Qwen-VL image processors are known")
		}
	}
	if v := fieldOr(r.Resample, resampleBicubic); v != resampleBicubic {
		refuse("resample", v, "only 3 (bicubic) is known")
	}
	for _, key := range []string{"height", "width", "max_height", "max_width"} {
		if v := r.Size[key]; v != nil {
			refuse("size."+key, *v, "only shortest_edge and longest_edge (areas) are known")
		}
	}
	known := []string{"do_resize", "do_rescale", "do_normalize", "do_convert_rgb"} // pages are always converted to RGB
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if on, ok := keys[key].(bool); ok && on && strings.HasPrefix(key, "do_") && !slices.Contains(known, key) {
			refuse(key, on, "this step is not known")
		}
	}
	return errors.Join(errs...)
}

func (c processorConfig) validate() error {
	var errs []error
	between := func(key string, value, most int) {
		if value < 1 || value > most {
			errs = append(errs, fmt.Errorf("%s %d: must be from 1 to %d", key, value, most))
		}
	}
	between("patch_size", c.PatchSize, maxPatchSize)
	between("merge_size", c.MergeSize, maxMergeSize)
	between("temporal_patch_size", c.TemporalPatchSize, maxTemporalSize)
	if len(c.ImageMean) != channels {
		errs = append(errs, fmt.Errorf("image_mean %v: must have %d values", c.ImageMean, channels))
	}
	if len(c.ImageStd) != channels {
		errs = append(errs, fmt.Errorf("image_std %v: must have %d values", c.ImageStd, channels))
	}
	for _, v := range c.ImageStd {
		if c.DoNormalize && math.Abs(v) < 1e-6 {
			errs = append(errs, fmt.Errorf("image_std %v: no value may be 0", c.ImageStd))
			break
		}
	}
	if c.RescaleFactor < 1e-9 || c.RescaleFactor > 1e9 {
		errs = append(errs, fmt.Errorf("rescale_factor %v: must be from 1e-9 to 1e9 (usually 1/255)", c.RescaleFactor))
	}
	return errors.Join(append(errs, c.bounds.validate())...)
}
