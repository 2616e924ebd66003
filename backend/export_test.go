package backend

import (
	"context"

	"github.com/omnidocs/omnidocs/internal/bpe"
	"github.com/omnidocs/omnidocs/qwen"
)

// VisionHits counts the pages whose visual tokens were there. No page may be under way.
func VisionHits(e *Engine) int { return e.scheduler.vision.hits }

// Script puts another choice of tokens in the place of the model's. No page may have been submitted yet.
func Script(e *Engine, script func(choose func(context.Context, *qwen.Hidden, *qwen.Draw) (*qwen.Chosen, error)) func(context.Context, *qwen.Hidden, *qwen.Draw) (*qwen.Chosen, error)) {
	e.scheduler.choose = script(e.scheduler.choose)
}

// Tokenizer is the model's.
func Tokenizer(e *Engine) *bpe.Tokenizer { return e.scheduler.model.Tokenizer }

// DrawnSeed is the seed of a page's draws when it was taken back so often and its loop has come back.
func DrawnSeed(seed uint64, rewinds int) uint32 {
	seed ^= uint64(rewinds) * heatSeed
	return uint32(seed ^ seed>>32)
}
