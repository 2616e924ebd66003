package backend

import (
	"context"
	"errors"
	"fmt"
	"image"
	"slices"

	"github.com/omnidocs/omnidocs/qwen"
)

// warmSide is the side in pixels of the page that is read where no size is planned.
const warmSide = 256

// Warmup compiles what pages of the planned size need ([LoadOptions].Page), or, where no size is planned, small ones, so that those which
// come need not wait for it: it reads a blank page, twice where prompts are kept for others, and writes tokens in each number of slots that a
// batch goes through, for each capacity of the cache up to that of the page with PlannedAnswer tokens. What pages of other sizes have of
// their own is compiled when they come, and so is what only a lack of memory leads to. It is for an idle engine: what it takes of the
// device's memory is not counted against pages that are there.
func (e *Engine) Warmup(ctx context.Context) error {
	page := e.plan.asked.Page
	request := Request{Prompt: "x", MaxNewTokens: 2, CheckpointBounds: true}
	named := page.Width > 0 && page.Height > 0
	if named {
		request = Request{
			Prompt: page.prompt(), System: page.System, MaxNewTokens: 2,
			MinPixels: page.MinPixels, MaxPixels: page.MaxPixels, CheckpointBounds: page.CheckpointBounds,
		}
	} else {
		page.Width, page.Height = warmSide, warmSide
	}
	request.Image = image.NewGray(image.Rect(0, 0, page.Width, page.Height))
	out, err := e.Read(ctx, request)
	if err != nil {
		return err
	}
	if e.plan.PrefixCache > 0 { // behind itself, as a page with another prompt
		if _, err := e.Read(ctx, request); err != nil {
			return err
		}
	}
	w := warming{e: e, most: min(out.PromptTokens+2, e.plan.MaxModelLen)}
	if named {
		w.most = min(out.PromptTokens+PlannedAnswer, e.plan.MaxModelLen)
	}
	if err = w.encode(ctx, request); err == nil {
		err = w.run(ctx)
	}
	if err != nil {
		return fmt.Errorf("backend: warm up: %w", err)
	}
	return nil
}

// warming is one call of Warmup, behind the page: sequences of nothing go through what the cache goes through.
type warming struct {
	e      *Engine
	prompt *qwen.Layout // of the page
	most   int          // tokens of a sequence
}

// encode runs the page through the vision tower in each number that small ones go through it together.
func (w *warming) encode(ctx context.Context, r Request) error {
	m := w.e.model
	p, err := m.Processor.Process(ctx, r.Image, r.bounds(m.Processor))
	if err != nil {
		return err
	}
	if w.prompt, err = m.Layout(r.prompt(), []qwen.Grid{{Height: p.GridH, Width: p.GridW}}); err != nil {
		return err
	}
	most, _ := m.Together(p)
	for n := 2; n <= most; n *= 2 {
		visual, err := m.EncodeTogether(ctx, slices.Repeat([]*qwen.Patches{p}, n))
		for _, v := range visual {
			err = errors.Join(err, v.Close())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w warming) run(ctx context.Context) error {
	lengths := w.e.scheduler.room.planner.Lengths(len(w.prompt.IDs), w.most)
	rungs := rungs(w.e.plan.Slots)
	for i, slots := range rungs {
		if err := w.write(ctx, slots, lengths, i > 0); err != nil {
			return err
		}
		if i == 0 {
			continue
		}
		if err := errors.Join(w.change(ctx, rungs[i-1], slots, lengths), w.change(ctx, slots, rungs[i-1], lengths)); err != nil {
			return err
		}
	}
	return nil
}

// write writes a token behind a sequence of each length in turn, in a cache of so many slots.
func (w warming) write(ctx context.Context, slots int, lengths []int, shared bool) (err error) {
	m := w.e.model
	cache := m.NewCache(slots, w.e.plan.MaxModelLen)
	defer func() { err = errors.Join(err, cache.Close()) }()
	for i, tokens := range lengths {
		if cache.Apart() && shared && i > 0 { // what a single slot needs, each of several does
			break
		}
		if !cache.Apart() || i == 0 {
			if err := errors.Join(cache.Stretch(ctx, 0, tokens), w.take(ctx, cache)); err != nil {
				return err
			}
		}
		if err := cache.Stretch(ctx, 0, tokens); err != nil {
			return err
		}
		pages := make([]*page, slots)
		turn := qwen.Turn{Tokens: make([]int32, slots), Active: make([]bool, slots), Limit: make([]int, slots), Stops: make([][]int32, slots)}
		turn.Tokens[0], turn.Active[0], turn.Limit[0], turn.Draw = m.Spec.EOS[0], true, 1, draw(pages)
		for _, temperature := range []float32{0, 1} { // pages that have run into a loop go on sampled
			if temperature > 0 && i > 0 { // in longer caches that is rare, and a loop in the graph takes long to compile
				break
			}
			turn.Draw.Temperature[0] = temperature
			if _, err := m.Decode(ctx, cache, turn); err != nil {
				return err
			}
			if err := cache.Stretch(ctx, 0, tokens); err != nil {
				return err
			}
		}
		if m.Spec.Text.Linear != nil {
			mark, err := cache.Mark(ctx, 0)
			if err != nil {
				return err
			}
			if err := mark.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}

// take puts a prompt into the first slot.
func (w warming) take(ctx context.Context, cache *qwen.Cache) error {
	p, err := w.e.model.Blank(w.prompt, w.e.plan.PrefixCache > 0)
	if err != nil {
		return err
	}
	return errors.Join(cache.Take(ctx, 0, p), p.Close())
}

// change has a cache go from one number of slots to another, as long as it was or shorter, where its longest sequence has left.
func (w warming) change(ctx context.Context, slots, to int, lengths []int) error {
	for i, long := range lengths {
		for _, left := range lengths[:i+1] {
			cache := w.e.model.NewCache(slots, w.e.plan.MaxModelLen)
			if i > 0 && cache.Apart() {
				return nil
			}
			err := w.take(ctx, cache)
			for _, tokens := range []int{long, left} {
				err = errors.Join(err, cache.Stretch(ctx, 0, tokens))
			}
			if err == nil {
				err = cache.Fit(ctx, firstOf(to))
			}
			if err = errors.Join(err, cache.Close()); err != nil {
				return err
			}
		}
	}
	return nil
}

// firstOf is for [qwen.Cache.Fit]: the first slot goes to the first of so many, and the others are empty.
func firstOf(slots int) []int {
	from := make([]int, slots)
	for i := range from[1:] {
		from[i+1] = -1
	}
	return from
}

// rungs are the numbers of slots that a batch goes through, up and down, one after the other: the powers of two, and the most.
func rungs(most int) []int {
	all := []int{1}
	for n := 2; n < most; n *= 2 {
		all = append(all, n)
	}
	if most > 1 {
		all = append(all, most)
	}
	return all
}
