package jetstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/omnidocs/jobs"
	"github.com/omnidocs/omnidocs/textextraction"
)

// JobOptions are the choices of a job: those of the same names of [jobs.Options], and how it is handed out. The zero value consists entirely of default values.
type JobOptions struct {
	// Priority says which jobs come first. Empty means [Normal].
	Priority Priority `json:"priority,omitzero"`
	// Page says how each page is read: the format, the prompt and so on.
	Page PageOptions `json:"page,omitzero"`
	// Load says how documents are opened. Passwords do not travel: a worker's opener may have them.
	Load omnidocs.LoadOptions `json:"load,omitzero"`
	// PageTimeout bounds the time that a worker takes for a page, with all attempts. Zero means 15 minutes: without a bound, a page that hangs its reader would be its for
	// ever.
	PageTimeout time.Duration `json:"page_timeout,omitzero"`
	// Attempts is how often a worker tries a page, see [jobs.Retry]; Workers how many do, one after the other, if the error may pass. Zero means 3 of both.
	Attempts int `json:"attempts,omitzero"`
	Workers  int `json:"workers,omitzero"`
	// PagesPerTask is how many pages of a document are handed out together. More mean fewer messages, and fewer workers that fetch the document; a worker that dies costs the
	// others more. Zero means 1.
	PagesPerTask int `json:"pages_per_task,omitzero"`
	// CrossCheck and TextLayerFallback are as in [jobs.Options].
	CrossCheck        bool `json:"cross_check,omitzero"`
	TextLayerFallback bool `json:"text_layer_fallback,omitzero"`
}

// DefaultPageTimeout bounds the time of a page.
const DefaultPageTimeout = 15 * time.Minute

func (o JobOptions) withDefaults() (JobOptions, error) {
	o.Priority = or(o.Priority, Normal)
	o.PageTimeout = or(o.PageTimeout, DefaultPageTimeout)
	o.Attempts, o.Workers, o.PagesPerTask = or(o.Attempts, 3), or(o.Workers, 3), or(o.PagesPerTask, 1)
	var faults []error
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"PageTimeout", int64(o.PageTimeout)}, {"Attempts", int64(o.Attempts)}, {"Workers", int64(o.Workers)}, {"PagesPerTask", int64(o.PagesPerTask)},
	} {
		if f.value < 0 {
			faults = append(faults, fmt.Errorf("%s: %d is negative (0 means the default)", f.name, f.value))
		}
	}
	if o.Priority != High && o.Priority != Normal && o.Priority != Low {
		faults = append(faults, fmt.Errorf("Priority: %q is none of high, normal, low", o.Priority))
	}
	if dpi := o.Load.DPI; dpi != 0 && (dpi < omnidocs.MinDPI || dpi > omnidocs.MaxDPI) {
		faults = append(faults, fmt.Errorf("Load.DPI: %d must be from %d to %d", dpi, omnidocs.MinDPI, omnidocs.MaxDPI))
	}
	if o.Load.Password != "" {
		faults = append(faults, errors.New("Load.Password: passwords do not travel in messages; give the workers an opener that has them"))
	}
	return o, optionsError("JobOptions", faults)
}

// local are the options with which a worker reads a page of the job.
func (o JobOptions) local() jobs.Options {
	return jobs.Options{
		Page: textextraction.Options(o.Page), Workers: 1, PageTimeout: o.PageTimeout, Retry: jobs.Retry{Attempts: o.Attempts},
		CrossCheck: o.CrossCheck, TextLayerFallback: o.TextLayerFallback,
	}
}

// PageOptions are [textextraction.Options] that travel. Its functions do not.
type PageOptions textextraction.Options

// pageOptionsJSON has Python's names.
type pageOptionsJSON struct {
	Format            textextraction.Format     `json:"format"`
	Prompt            string                    `json:"prompt,omitzero"`
	SystemPrompt      string                    `json:"system_prompt,omitzero"`
	MaxNewTokens      int                       `json:"max_new_tokens,omitzero"`
	MaxContinuations  int                       `json:"max_continuations,omitzero"`
	MinPixels         int                       `json:"min_pixels,omitzero"`
	MaxPixels         int                       `json:"max_pixels,omitzero"`
	RawDeltas         bool                      `json:"raw_deltas,omitzero"`
	Sampling          textextraction.Sampling   `json:"sampling,omitzero"`
	Repetition        textextraction.Repetition `json:"repetition,omitzero"`
	ReadBlankPages    bool                      `json:"read_blank_pages,omitzero"`
	DetectOrientation bool                      `json:"detect_orientation,omitzero"`
}

// MarshalJSON writes all but the functions.
func (o PageOptions) MarshalJSON() ([]byte, error) {
	return json.Marshal(pageOptionsJSON{
		o.Format, o.Prompt, o.SystemPrompt, o.MaxNewTokens, o.MaxContinuations, o.MinPixels, o.MaxPixels, o.RawDeltas, o.Sampling, o.Repetition,
		o.ReadBlankPages, o.DetectOrientation,
	})
}

// UnmarshalJSON reads what MarshalJSON writes. Unknown names are errors.
func (o *PageOptions) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil // as encoding/json asks of every UnmarshalJSON
	}
	var read pageOptionsJSON
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&read); err != nil {
		return err
	}
	*o = PageOptions{
		Format: read.Format, Prompt: read.Prompt, SystemPrompt: read.SystemPrompt, MaxNewTokens: read.MaxNewTokens, MaxContinuations: read.MaxContinuations,
		MinPixels: read.MinPixels, MaxPixels: read.MaxPixels, RawDeltas: read.RawDeltas, Sampling: read.Sampling, Repetition: read.Repetition,
		ReadBlankPages: read.ReadBlankPages, DetectOrientation: read.DetectOrientation,
	}
	return nil
}
