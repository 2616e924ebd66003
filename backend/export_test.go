package backend

import (
	"context"
	"errors"
	"slices"

	"github.com/omnidocs/omnidocs/internal/bpe"
	"github.com/omnidocs/omnidocs/qwen"
)

// NewEngine makes an engine of a model.
func NewEngine(m *qwen.Model, d *Device, o LoadOptions) *Engine {
	plan, err := newPlan(context.Background(), o, d, m.Planner(), "")
	if err != nil {
		panic(err)
	}
	return newEngine(m, d, nil, Info{}, plan, newStatsCollector(o.Observer, plan.Slots))
}

// Exhausted says whether an error is that of a device without memory.
var Exhausted = exhausted

// SetRoom says how much memory there is for the cache and a page on its way. No page may have been submitted yet.
func SetRoom(e *Engine, bytes int64) { e.scheduler.room.limit = bytes }

// Taken is the memory that a page takes alone, with a cache for its prompt.
func Taken(ctx context.Context, e *Engine, r Request) int64 {
	j := newJob(ctx, r, nil)
	if err := j.prepare(e.scheduler.model, e.scheduler.limit); err != nil {
		panic(err)
	}
	p := e.scheduler.room.planner.PageOf(j.patches, j.layout)
	return p.Peak() + e.scheduler.room.planner.Cache(1, p.PromptTokens+1).Most()
}

// Script puts another choice of tokens in the place of the model's, and writes up to so many of them in a round, as devices do that
// have a loop in the graph. No page may have been submitted yet.
func Script(e *Engine, rounds int, script func(choose func(context.Context, *qwen.Hidden, *qwen.Draw) (*qwen.Chosen, error)) func(context.Context, *qwen.Hidden, *qwen.Draw) (*qwen.Chosen, error)) {
	s := e.scheduler
	s.choose = script(s.choose)
	s.decode = func(ctx context.Context, cache *qwen.Cache, turn qwen.Turn) ([]qwen.Chosen, error) {
		out, n := make([]qwen.Chosen, cache.Slots()), rounds
		for slot, on := range turn.Active {
			if on {
				n = min(n, turn.Limit[slot])
			}
		}
		for range max(1, n) {
			h, err := s.model.Step(ctx, cache, turn.Tokens, turn.Active)
			if err != nil {
				return nil, err
			}
			next, err := s.choose(ctx, h, turn.Draw)
			if err := errors.Join(err, h.Close()); err != nil {
				return nil, err
			}
			ended := false
			for slot, token := range next.Tokens {
				if turn.Active[slot] {
					out[slot].Tokens, out[slot].LogProbs = append(out[slot].Tokens, token), append(out[slot].LogProbs, next.LogProbs[slot])
					ended = ended || slices.Contains(s.model.Spec.EOS, token) || slices.Contains(turn.Stops[slot], token)
				}
				turn.Draw.Step[slot]++
			}
			if ended {
				break
			}
			turn.Tokens, turn.Draw.Barred = next.Tokens, make([][]int32, len(out))
		}
		return out, nil
	}
}

// Tokenizer is the model's.
func Tokenizer(e *Engine) *bpe.Tokenizer { return e.scheduler.model.Tokenizer }

// DrawnSeed is the seed of a page's draws when it was taken back so often and its loop has come back.
func DrawnSeed(seed uint64, rewinds int) uint32 {
	seed ^= uint64(rewinds) * heatSeed
	return uint32(seed ^ seed>>32)
}
