package backend

import (
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
	// Sampling says how tokens are chosen. The zero value is greedy.
	Sampling Sampling
	// MinPixels and MaxPixels bound the area, in pixels, to which the page is resized. Zero means the engine's own bounds,
	// the budget for documents.
	MinPixels, MaxPixels int
	// CheckpointBounds makes a zero MinPixels or MaxPixels mean the bound of the checkpoint's own processor, and not that
	// of the engine's budget for documents.
	CheckpointBounds bool
	// Stops are tokens, as the tokenizer spells them ("<|im_end|>"), that end the answer beside those of the checkpoint. A
	// token that the tokenizer does not have is an error.
	Stops []string
	// KeepSpecialTokens leaves special tokens in the text of the answer.
	KeepSpecialTokens bool
	// Progress, if set, is called with the number of tokens written so far, after each of them, from the engine's own
	// goroutine: it must return soon.
	Progress func(tokens int)
}

// Sampling says how the next token is drawn from the logits. The order of the steps is that of transformers' generation:
// temperature, then top-k, then top-p. The zero value is greedy decoding.
type Sampling struct {
	// Temperature divides the logits. Zero means greedy: the most likely token, whatever the other fields say.
	Temperature float64
	// TopK keeps the k most likely tokens. Zero means all of them.
	TopK int
	// TopP keeps the smallest set of most likely tokens whose probabilities add up to at least TopP. Zero means 1, all of them.
	TopP float64
	// Seed makes a draw repeatable: the same page, seed and sampling give the same tokens, alone or in a batch.
	Seed uint64
}

// FinishReason says why a page's text ended.
type FinishReason string

const (
	// FinishStop means that the model ended its answer itself.
	FinishStop FinishReason = "stop"
	// FinishLength means that the answer reached MaxNewTokens or the end of the context.
	FinishLength FinishReason = "length"
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
	// PromptTokens counts the tokens of the prompt, the image's included; VisualTokens those of the image alone.
	PromptTokens, VisualTokens int
	// CompletionTokens counts the tokens of an answer by a model that runs elsewhere and names none in Tokens.
	CompletionTokens int
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
