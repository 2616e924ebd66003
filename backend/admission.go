package backend

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/omnidocs/omnidocs/internal/bpe"
	"github.com/omnidocs/omnidocs/qwen"
)

// This file is the way of a page to its first token.

// prepare makes patches of the picture and token ids of the prompt. The answer and the prompt together have at most limit
// tokens.
func (j *job) prepare(m *qwen.Model, limit int) error {
	p, err := newPage(j.request)
	if err != nil {
		return err
	}
	lap := stopwatch()
	if p.stops, err = stopTokens(m.Tokenizer, p.request.Stops); err != nil {
		return fmt.Errorf("backend: %w", err)
	}
	patches, err := m.Processor.Process(j.ctx, p.request.Image, p.request.bounds(m.Processor))
	if err != nil {
		return fmt.Errorf("backend: %w", err)
	}
	r := p.request
	p.told = teller{to: r.Text, stream: func() *bpe.Stream { return m.Tokenizer.Stream(!r.KeepSpecialTokens) }}
	layout, err := m.Layout(r.prompt(), []qwen.Grid{{Height: patches.GridH, Width: patches.GridW}})
	if err != nil {
		return fmt.Errorf("backend: %w", err)
	}
	p.prompt, p.visual, p.width, p.height = len(layout.IDs), patches.VisualTokens(), patches.Width, patches.Height
	if p.prompt >= limit {
		return fmt.Errorf("backend: %w: the prompt has %d tokens, %d of them for the image, and the limit is %d with the answer: give a smaller MaxPixels or a larger MaxModelLen",
			qwen.ErrContextLength, p.prompt, p.visual, limit)
	}
	p.room, p.more = limit-p.prompt, r.MaxContinuations
	p.limit = min(p.limit, p.room)
	if !r.Repetition.Off {
		p.guard = newGuard(r.Repetition, p.limit, func(tokens []int32) string { return m.Tokenizer.Decode(tokens, false) })
	}
	p.timings.Preprocess = lap()
	j.page, j.patches, j.layout, j.key = p, patches, layout, keyOf(patches)
	return nil
}

// admit runs the page through the vision tower and its prompt through the text tower, so far as neither has earlier pages' to go on from, and
// chooses the first token.
func (j *job) admit(ctx context.Context, m *qwen.Model, c *caches, choose chooser) (err error) {
	p, lap := j.page, stopwatch()
	o := qwen.PromptOptions{Keep: c.prefix.limit > 0}
	o.Behind, o.Tokens = c.prefix.find(j.layout, j.key)
	p.cached = o.Tokens
	visual, kept, err := j.see(ctx, m, &c.vision)
	if err != nil {
		return fmt.Errorf("backend: %w", err)
	}
	if !kept {
		defer func() { err = errors.Join(err, visual.Close()) }()
	}
	j.patches = nil
	p.timings.Encode = lap() + j.encoded
	j.encoded = 0

	if j.prompted, err = m.PromptWith(ctx, j.layout, []*qwen.Visual{visual}, o); err != nil {
		return fmt.Errorf("backend: %w", err)
	}
	if err := c.prefix.keep(j.key, j.prompted); err != nil {
		return fmt.Errorf("backend: %w", err)
	}
	first, err := choose(ctx, j.prompted.Hidden, draw([]*page{p}))
	if err != nil {
		return fmt.Errorf("backend: %w", err)
	}
	p.add(first.Tokens[0], first.LogProbs[0], m)
	p.timings.Prefill = lap()
	p.decoding = time.Now()
	return nil
}

// see returns the page's visual tokens, and whether the cache keeps them; or nil where the prompt begins behind all of them.
func (j *job) see(ctx context.Context, m *qwen.Model, cache *visionCache) (visual *qwen.Visual, kept bool, err error) {
	visual = cache.get(j.key)
	if visual != nil || j.visual == nil && j.page.cached >= j.layout.AfterImages() {
		j.page.seen = true
		return visual, true, nil
	}
	if visual, j.visual = j.visual, nil; visual == nil {
		if visual, err = m.Encode(ctx, j.patches); err != nil {
			return nil, false, err
		}
	}
	kept, err = cache.put(j.key, visual)
	return visual, kept, err
}

// stopTokens are the ids of tokens that end an answer.
func stopTokens(tokenizer *bpe.Tokenizer, names []string) ([]int32, error) {
	var ids []int32
	for _, name := range names {
		id, ok := tokenizer.ID(name)
		if !ok {
			return nil, fmt.Errorf("the stop token %q is not in the model's tokenizer: name one that is, or none", name)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// prompt is what the model is asked.
func (r Request) prompt() qwen.Prompt {
	return qwen.Prompt{System: r.System, Text: r.Prompt, TextFirst: r.TextFirst}
}

// bounds are the request's, with the document budget where it names none. A bound that the request does name wins over a
// budget on its other side.
func (r Request) bounds(processor *qwen.Processor) qwen.Bounds {
	document := processor.DocumentBounds()
	if r.CheckpointBounds {
		document = processor.Bounds()
	}
	low, high := r.MinPixels, r.MaxPixels
	if low == 0 {
		low = document.MinPixels
		if high > 0 {
			low = min(low, high)
		}
	}
	if high == 0 {
		high = max(document.MaxPixels, low)
	}
	return qwen.Bounds{MinPixels: low, MaxPixels: high}
}
