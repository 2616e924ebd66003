package backend

import (
	"errors"
	"fmt"
	"image"
	"time"
)

// Request is one page to be read.
type Request struct {
	// Image is the page, upright, of any color model. Transparent parts are laid over white.
	Image image.Image
	// Prompt is the text of the user's turn, after the image, for example "qwenvl markdown".
	Prompt string
	// TextFirst puts Prompt before the image.
	TextFirst bool
	// System is the text of a system turn before it. Empty means that no system turn is given to the chat template.
	System string
	// MaxNewTokens bounds the answer, in tokens. Zero means 8192.
	MaxNewTokens int
	// MaxContinuations is how often an answer that has reached MaxNewTokens is allowed as many more, as far as the context goes. Its cache
	// is kept, so that it goes on as if there had been no bound. Zero means that it ends there.
	MaxContinuations int
	// Sampling says how tokens are chosen. The zero value is greedy.
	Sampling Sampling
	// MinPixels and MaxPixels bound the area, in pixels, to which the page is resized. Zero means the engine's own bounds,
	// the budget for documents.
	MinPixels, MaxPixels int
	// CheckpointBounds makes a zero MinPixels or MaxPixels mean the bound of the checkpoint's own processor, and not that
	// of the engine's budget for documents.
	CheckpointBounds bool
	// OutOfMemoryRetries is how many times a page that the device's memory has no room for is tried again, each time with half the
	// pixels. Zero means that it fails, with an error that matches [ErrOutOfMemory]. Pages that merely have no room beside others wait,
	// or, if they have begun, begin again, whatever this says.
	OutOfMemoryRetries int
	// Stops are tokens, as the tokenizer spells them ("<|im_end|>"), that end the answer beside those of the checkpoint. A
	// token that the tokenizer does not have is an error.
	Stops []string
	// KeepSpecialTokens leaves special tokens in the text of the answer.
	KeepSpecialTokens bool
	// Repetition says what becomes of an answer that runs into a loop. The zero value takes it back and lets it go on.
	Repetition Repetition
	// Progress, if set, is called with the number of tokens written so far, after each of them, from the engine's own
	// goroutine: it must return soon. The number goes back when a loop is undone, and when the page has
	// lost its slot and begins again.
	Progress func(tokens int)
	// Text, if set, is called with the answer's text as it is written, whole characters of it: what follows its first offset bytes. The
	// offset is the length of the text so far, or less when a loop is undone, or the page begins again, and with it what was told from there on. In the end all of
	// [Output.Text] has been told. It must return soon, as Progress.
	Text func(offset int, text string)
}

// Sampling says how the next token is drawn from the logits. The order of the steps is that of transformers' generation:
// temperature, then top-k, then top-p. The zero value is greedy decoding.
type Sampling struct {
	// Temperature divides the logits. Zero means greedy: the most likely token, whatever the other fields say.
	Temperature float64 `json:"temperature"`
	// TopK keeps the k most likely tokens. Zero means all of them.
	TopK int `json:"top_k,omitzero"`
	// TopP keeps the smallest set of most likely tokens whose probabilities add up to at least TopP. Zero means 1, all of them.
	TopP float64 `json:"top_p,omitzero"`
	// Seed makes a draw repeatable: the same page, seed and sampling give the same tokens, alone or in a batch.
	Seed uint64 `json:"seed"`
}

// Repetition says what becomes of an answer that runs into a loop: a piece of text of up to MaxPeriod tokens repeated without end.
// What may repeat honestly, as rows of a table, dot leaders, forms and code, is given more room than sentences are.
//
// When one is found the page is taken back to behind the first copy, in the cache: nothing is read again. There the token that went
// on with the repetition is barred, and, if the loop comes back, what came to it then too, and the next [HeatTokens] tokens are drawn
// at a temperature that rises from 0.3 by 0.3. When that is of no avail, the text before the loop is kept and ends as
// [FinishRepetition]. All of that is a function of the page's own tokens and its seed.
type Repetition struct {
	// Off lets loops run to the bound on tokens.
	Off bool `json:"off,omitzero"`
	// MaxRewinds is how often a page may be taken back, up to 8. Zero means 4, -1 not at all: the first loop ends it. What is thrown
	// away by that is never more than MaxNewTokens in all.
	MaxRewinds int `json:"max_rewinds,omitzero"`
	// MaxPeriod is the longest period, in tokens, that is looked for, up to 1024. Zero means 1024.
	MaxPeriod int `json:"max_period,omitzero"`
	// EqualRows is how many equal rows of a table, one after the other, or lines of a form, are still taken to be on the page. Zero
	// means 80. Rows of zeros and dashes may be twice as many.
	EqualRows int `json:"equal_rows,omitzero"`
}

const (
	defaultMaxRewinds = 4
	mostRewinds       = 8
	mostPeriod        = 1024
)

// Validate returns every fault of r.
func (r Repetition) Validate() error {
	var errs []error
	if r.MaxRewinds < -1 || r.MaxRewinds > mostRewinds {
		errs = append(errs, fmt.Errorf("Repetition.MaxRewinds is %d, want -1 (none) to %d, 0 means %d", r.MaxRewinds, mostRewinds, defaultMaxRewinds))
	}
	if r.MaxPeriod < 0 || r.MaxPeriod > mostPeriod {
		errs = append(errs, fmt.Errorf("Repetition.MaxPeriod is %d, want 1 to %d, or 0 for that", r.MaxPeriod, mostPeriod))
	}
	if r.EqualRows < 0 {
		errs = append(errs, fmt.Errorf("Repetition.EqualRows is %d, want 1 or more, or 0 for 80", r.EqualRows))
	}
	return errors.Join(errs...)
}

// FinishReason says why a page's text ended.
type FinishReason string

const (
	// FinishStop means that the model ended its answer itself.
	FinishStop FinishReason = "stop"
	// FinishLength means that the answer reached MaxNewTokens or the end of the context.
	FinishLength FinishReason = "length"
	// FinishRepetition means that the answer ran into a loop that it could not be brought out of; the text is what came before.
	FinishRepetition FinishReason = "repetition"
	// FinishCanceled means that the context was canceled; the text is what there was by then.
	FinishCanceled FinishReason = "canceled"
)

// Output is what the model wrote for one page.
type Output struct {
	// Text is the decoded answer, without special tokens unless the request keeps them, otherwise as the model wrote it.
	Text string
	// Tokens are the ids of the answer, without the token that ended it.
	Tokens []int32
	// LogProbs are the natural logarithms of the probabilities that the model gave to the Tokens, see [qwen.Chosen]: the same
	// whatever the sampling was. They come from the logits on the device, without another pass.
	LogProbs []float32
	// Offsets say where in Text each of the Tokens begins, in bytes. A character that several tokens make up begins with each of
	// them; a token that is not in Text, as special ones, is empty.
	Offsets []int
	// Finish says why the answer ended.
	Finish FinishReason
	// Recoveries counts how often the answer was taken back to before a loop and went on.
	Recoveries int
	// Continuations counts how often the answer went on beyond MaxNewTokens.
	Continuations int
	// PromptTokens counts the tokens of the prompt, the image's included; VisualTokens those of the image alone.
	PromptTokens, VisualTokens int
	// CachedTokens counts the tokens of the prompt that were not run again, since an earlier prompt began with them.
	CachedTokens int
	// CompletionTokens counts the tokens of an answer by a model that runs elsewhere and names none in Tokens.
	CompletionTokens int
	// ImageWidth and ImageHeight are the size in pixels to which the image was scaled for the model. Qwen2.5-VL's coordinates are
	// pixels of that.
	ImageWidth, ImageHeight int
	// Timings says where the time went.
	Timings Timings
}

// Timings are the wall-clock times of a page's stages. Pages that ran together share the time of their common calls.
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
