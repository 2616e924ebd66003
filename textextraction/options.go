package textextraction

import (
	"fmt"
	"log/slog"
	"math"

	"github.com/omnidocs/omnidocs/backend"
)

// Sampling says how tokens are drawn. The zero value is greedy decoding; as a field of [Options] it means the config's.
type Sampling = backend.Sampling

// Repetition says what becomes of an answer that runs into a loop. The zero value, as a field of a config, takes it back to before the
// loop and lets it go on; as a field of [Options] it means the config's.
type Repetition = backend.Repetition

// Greedy is an explicit greedy [Sampling], for single calls on an extractor whose config samples: its temperature is 0,
// and unlike the zero value it is not mistaken for "as the config says".
var Greedy = Sampling{TopK: 1}

// Bounds of fields, Python's where Python has them.
const (
	minConfigNewTokens = 256
	maxNewTokens       = 32768
	defaultNewTokens   = 8192
	maxContinuations   = 32
	maxTemperature     = 2
)

// Options are the choices of one call. The zero value asks for Markdown, with everything else as the extractor's config
// says.
type Options struct {
	// Format is the markup to write. The zero value is Markdown.
	Format Format
	// Prompt is the text of the user's turn. Empty means that of the extractor's preset for the format; the base models'
	// is [Format.Prompt]. The answer is read as Format and the preset say, whatever the prompt.
	Prompt string
	// SystemPrompt is the text of the system's turn. Empty means the config's.
	SystemPrompt string
	// MaxNewTokens bounds the answer, in tokens, from 1 to 32768. Zero means the config's.
	MaxNewTokens int
	// MaxContinuations is how often an answer that has reached MaxNewTokens is allowed as many more, up to the model's context; 0 to 32.
	// Zero means the config's.
	MaxContinuations int
	// MinPixels and MaxPixels bound the area in pixels to which the page is resized. Zero means the config's.
	// Either of them, here or in the config, takes the place of all that the preset says of the size of pages.
	MinPixels, MaxPixels int
	// TokenProgress is called after each token with the number of tokens written so far, which goes back when a loop is undone.
	// It must return soon: the pages beside it wait. Nil means nobody.
	TokenProgress func(tokens int)
	// RawDeltas makes Stream yield what the model writes, not cleaned; the last delta has the Content all the same, see [Delta].
	RawDeltas bool
	// Sampling says how tokens are drawn. The zero value means the config's; see [Greedy].
	Sampling Sampling
	// Repetition says what becomes of loops. The zero value means the config's.
	Repetition Repetition
	// ReadBlankPages asks the model even of a page with nothing on it; true here or in the config means so. See [FinishBlank].
	ReadBlankPages bool
	// DetectOrientation finds out which way up the page is before it is read; true here or in the config means so. See
	// QwenTextPyTorchConfig.DetectOrientation.
	DetectOrientation bool
}

// settings are a config's part in every call: the values that zero fields of Options stand for.
type settings struct {
	config    string  // the config's type, for messages
	batchSize int     // pages decoded together
	smaller   int     // times that a page is tried with fewer pixels for want of memory
	preset    *Preset // nil: the base models', which adds nothing
	options   Options
	logger    *slog.Logger
}

// resolve returns one call's options, with nothing left open.
func (s settings) resolve(o Options) (Options, error) {
	if err := o.validate(); err != nil {
		return Options{}, err
	}
	if o.Prompt == "" {
		var err error
		if o.Prompt, err = s.preset.prompt(o.Format); err != nil {
			return Options{}, err
		}
	}
	if o.SystemPrompt == "" {
		o.SystemPrompt = s.options.SystemPrompt
	}
	if o.MaxNewTokens == 0 {
		o.MaxNewTokens = s.options.MaxNewTokens
	}
	if o.MaxContinuations == 0 {
		o.MaxContinuations = s.options.MaxContinuations
	}
	if o.MinPixels == 0 {
		o.MinPixels = s.options.MinPixels
	}
	if o.MaxPixels == 0 {
		o.MaxPixels = s.options.MaxPixels
	}
	if o.Sampling == (Sampling{}) {
		o.Sampling = s.options.Sampling
	}
	if o.Repetition == (Repetition{}) {
		o.Repetition = s.options.Repetition
	}
	o.ReadBlankPages = o.ReadBlankPages || s.options.ReadBlankPages
	o.DetectOrientation = o.DetectOrientation || s.options.DetectOrientation
	// Each bound may be fine by itself, and the call's still not fit the config's.
	var f faults
	checkPixels(&f, o.MinPixels, o.MaxPixels)
	return o, f.err("Options over " + s.config)
}

// validate returns every fault of the options.
func (o Options) validate() error {
	if err := o.Format.check(); err != nil {
		return err
	}
	var f faults
	f.check(o.MaxNewTokens >= 0 && o.MaxNewTokens <= maxNewTokens, "MaxNewTokens", o.MaxNewTokens,
		fmt.Sprintf("is outside 1 to %d (0 means the config's)", maxNewTokens))
	checkContinuations(&f, o.MaxContinuations)
	checkPixels(&f, o.MinPixels, o.MaxPixels)
	checkSampling(&f, o.Sampling)
	f.add(o.Repetition.Validate())
	return f.err("Options")
}

func checkPixels(f *faults, minPixels, maxPixels int) {
	f.check(minPixels >= 0, "MinPixels", minPixels, "is negative (0 means the default)")
	f.check(maxPixels >= 0, "MaxPixels", maxPixels, "is negative (0 means the default)")
	f.check(minPixels <= 0 || maxPixels <= 0 || minPixels <= maxPixels, "MinPixels", minPixels,
		fmt.Sprintf("is more than MaxPixels, %d", maxPixels))
}

func checkContinuations(f *faults, n int) {
	f.check(n >= 0 && n <= maxContinuations, "MaxContinuations", n, fmt.Sprintf("is outside 0 to %d", maxContinuations))
}

func checkSampling(f *faults, s Sampling) {
	f.check(s.Temperature >= 0 && s.Temperature <= maxTemperature, "Temperature", s.Temperature,
		fmt.Sprintf("is outside 0 to %d (0 is greedy)", maxTemperature))
	f.check(s.TopP >= 0 && s.TopP <= 1, "TopP", s.TopP, "is outside 0 to 1 (0 means 1, all tokens)")
	f.check(s.TopK >= 0 && s.TopK <= math.MaxInt32, "TopK", s.TopK, "is outside 0 to 2147483647 (0 means all tokens)")
}
