package textextraction

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/omnidocs/omnidocs/backend"
)

// FinishReason says why a page's text ended.
type FinishReason = backend.FinishReason

// The reasons.
const (
	// FinishStop means that the model ended its answer itself.
	FinishStop = backend.FinishStop
	// FinishLength means that the answer reached the bound on its tokens: the text is cut short.
	FinishLength = backend.FinishLength
	// FinishRepetition means that the answer ran into a loop that it could not be brought out of, see [Repetition]: the text is what
	// came before.
	FinishRepetition = backend.FinishRepetition
	// FinishBlank means that the page has nothing on it, and that the model was not asked: there is no text. What counts as nothing is
	// noise, dust, slow changes of light, and the dark edges of a scan, on paper of any color. A small line or a page number is
	// something, as are 10 pixels of a page that is averaged down to 1.5 megapixels, in marks of 8 and more, that differ from the paper
	// around them by 3.5 standard deviations of its noise and by 8 of 255 steps.
	FinishBlank FinishReason = "blank"
	// FinishCanceled means that the context ended; the text is what there was by then.
	FinishCanceled = backend.FinishCanceled
)

// ExtractResult is the text of one page: all that Python's TextOutput has, and how the text came to be.
//
// In JSON it has Python's names. Unknown names are errors, and WordCount and ContentLength are counted when they are not
// there, so that what Python's TextOutput.model_dump_json writes can be read too.
type ExtractResult struct {
	// Content is the text in Format, cleaned of the model's coordinates, see [Clean], or read as the preset says.
	Content string `json:"content"`
	// Format is the markup of Content.
	Format Format `json:"format"`
	// RawOutput is what the model wrote.
	RawOutput string `json:"raw_output"`
	// PlainText is the text without markup, see [PlainText]: of RawOutput, and of Content where a preset's parser made it.
	PlainText string `json:"plain_text"`
	// ImageWidth and ImageHeight are the size of the source image in pixels.
	ImageWidth  int `json:"image_width,omitzero"`
	ImageHeight int `json:"image_height,omitzero"`
	// Turn is how far the source image was turned clockwise to be read, in degrees, where its orientation was detected: 0, 90, 180 or
	// 270. ImageWidth, ImageHeight and the boxes of elements are those of the image as it came.
	Turn int `json:"turn,omitzero"`
	// ModelName is the id or folder of the model. (Python has "Qwen3-VL (QwenTextPyTorchConfig)" here.)
	ModelName string `json:"model_name,omitzero"`
	// Revision is the model's revision, where one is known.
	Revision string `json:"revision,omitzero"`

	// WordCount counts the words of PlainText, or of Content if that is empty, divided at Unicode white space.
	WordCount int `json:"word_count"`
	// ContentLength counts the code points of Content.
	ContentLength int `json:"content_length"`

	// FinishReason says why the text ended.
	FinishReason FinishReason `json:"finish_reason,omitzero"`
	// Truncated is set when the text ended before the model ended it: at the bound on tokens, at a loop, or by cancellation.
	Truncated bool `json:"truncated"`
	// Recoveries counts the loops that the answer was brought out of, or was tried to be, see [Repetition].
	Recoveries int `json:"recoveries,omitzero"`
	// Continuations counts how often the answer went on beyond its bound on tokens, see [Options].MaxContinuations.
	Continuations int `json:"continuations,omitzero"`
	// PromptTokens counts the tokens of the prompt, the image's included; VisualTokens those of the image alone.
	PromptTokens int `json:"prompt_tokens"`
	VisualTokens int `json:"visual_tokens"`
	// CachedTokens counts the tokens of the prompt that were not run again, since an earlier prompt began with them.
	CachedTokens int `json:"cached_tokens,omitzero"`
	// CompletionTokens counts the tokens of RawOutput.
	CompletionTokens int `json:"completion_tokens"`
	// Timings says where the time went.
	Timings Timings `json:"timings,omitzero"`
	// Device is what the page ran on, for example "go", "xla:cpu" or "cuda".
	Device string `json:"device,omitzero"`
	// DType is the type of the weights that it ran with, for example "bfloat16".
	DType string `json:"dtype,omitzero"`

	// Worker is who read the page, where a [Pool] has several.
	Worker string `json:"worker,omitzero"`

	// FrontMatter is what the model said of the page, where its preset has front matter; otherwise nil.
	FrontMatter *FrontMatter `json:"front_matter,omitempty"`
	// Elements are the parts of the page in the order of reading, with their places where the model gave them.
	Elements []Element `json:"elements,omitempty"`

	// Run says what else the page was read with, so that it can be read again in the same way; nil where that is not known.
	Run *Run `json:"run,omitempty"`

	// Confidence says how sure the model was of all that it wrote; nil where that is not known. [ExtractResult.Words] and
	// [ExtractResult.ConfidenceOf] tell it of a part.
	Confidence *Confidence `json:"confidence,omitempty"`
	// UncertainSpans are the words with a token whose probability was below [UncertainBelow], those next to each other as one.
	UncertainSpans []TextSpan `json:"uncertain_spans,omitempty"`

	scores *scores // of the tokens; nil where they are not known
}

// NewExtractResult returns the result for what a model wrote: RawOutput, and what follows from it. Everything else is
// left to the caller. It is for implementations of [TextExtractor]; [Preset.ReadAnswer] reads the answers of finetunes, and
// tells the places of elements. Bytes of raw that are not UTF-8 become U+FFFD.
func NewExtractResult(raw string, format Format) *ExtractResult {
	return (*Preset)(nil).readAnswer(raw, format, Sizes{})
}

func (r *ExtractResult) countWords() int {
	text := r.PlainText
	if text == "" {
		text = r.Content
	}
	return len(strings.FieldsFunc(text, isSpace))
}

func (r *ExtractResult) countLength() int { return utf8.RuneCountInString(r.Content) }

// UnmarshalJSON reads what json.Marshal writes for a result, and what Python writes for a TextOutput.
func (r *ExtractResult) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil // as encoding/json asks of every UnmarshalJSON
	}
	type plain ExtractResult // without this method
	read := struct {
		// Pointers tell a field that is not there from one that is zero; being less deep they win over plain's.
		Content       *string `json:"content"`
		Format        *Format `json:"format"`
		WordCount     *int    `json:"word_count"`
		ContentLength *int    `json:"content_length"`
		plain
	}{}
	if err := unmarshalStrict(data, &read); err != nil {
		return fmt.Errorf("textextraction: ExtractResult: %w", err)
	}
	if read.Content == nil || read.Format == nil {
		return errors.New("textextraction: ExtractResult: content and format must be there")
	}
	if read.ImageWidth < 0 || read.ImageHeight < 0 {
		return fmt.Errorf("textextraction: ExtractResult: image of %dx%d pixels", read.ImageWidth, read.ImageHeight)
	}
	got := ExtractResult(read.plain)
	got.Content, got.Format = *read.Content, *read.Format
	got.WordCount, got.ContentLength = got.countWords(), got.countLength()
	if read.WordCount != nil {
		got.WordCount = *read.WordCount
	}
	if read.ContentLength != nil {
		got.ContentLength = *read.ContentLength
	}
	*r = got
	return nil
}

// Timings are the wall-clock times of a page's stages. Pages that ran together share the time of their common calls. In
// JSON they are seconds.
type Timings struct {
	// Preprocess is the resizing and cutting of the image into patches, and the tokenizing of the prompt.
	Preprocess time.Duration
	// Encode is the vision tower.
	Encode time.Duration
	// Prefill is the prompt's pass through the text tower, to the first token.
	Prefill time.Duration
	// Decode is all tokens after the first.
	Decode time.Duration
	// Total is from the request to its last token.
	Total time.Duration
}

// seconds is Timings in JSON.
type seconds struct {
	Preprocess float64 `json:"preprocess"`
	Encode     float64 `json:"encode"`
	Prefill    float64 `json:"prefill"`
	Decode     float64 `json:"decode"`
	Total      float64 `json:"total"`
}

// MarshalJSON writes seconds.
func (t Timings) MarshalJSON() ([]byte, error) {
	return json.Marshal(seconds{
		t.Preprocess.Seconds(), t.Encode.Seconds(), t.Prefill.Seconds(), t.Decode.Seconds(),
		t.Total.Seconds(),
	})
}

// UnmarshalJSON reads seconds.
func (t *Timings) UnmarshalJSON(data []byte) error {
	var s seconds
	if err := unmarshalStrict(data, &s); err != nil {
		return err
	}
	var got Timings
	for _, f := range []struct {
		to   *time.Duration
		from float64
		name string
	}{
		{&got.Preprocess, s.Preprocess, "preprocess"},
		{&got.Encode, s.Encode, "encode"},
		{&got.Prefill, s.Prefill, "prefill"},
		{&got.Decode, s.Decode, "decode"},
		{&got.Total, s.Total, "total"},
	} {
		ns := math.Round(f.from * float64(time.Second))
		if math.Abs(ns) >= math.MaxInt64 {
			return fmt.Errorf("timings: %s: %g seconds is too long", f.name, f.from)
		}
		*f.to = time.Duration(ns)
	}
	*t = got
	return nil
}
