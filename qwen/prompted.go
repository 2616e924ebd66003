package qwen

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/compute"
)

// Hidden is the last hidden state of one or more tokens on the device, [rows, hidden], before the last norm.
type Hidden struct {
	x    compute.Buffer
	rows int
	// active are the rows that stand for something, in order, or nil where all do.
	active []int
}

// Close frees the state.
func (h *Hidden) Close() error { return h.x.Finalize() }

// Prompted is a prompt that has gone through the text tower: what its layers keep of it, and the state of its last token.
type Prompted struct {
	// Hidden is the state that the first token is chosen from.
	Hidden *Hidden
	// Prefix is what it has left for other prompts, where [PromptOptions].Keep asked for it; nil if these can begin behind no more of it
	// than it did itself. It is closed with the rest: who keeps it sets this to nil.
	Prefix *Prefix
	length int
	next   int32
	rows   int
	left   *leftovers
}

// Length counts the tokens of the prompt.
func (p *Prompted) Length() int { return p.length }

// Close frees what the prompt has left behind, in so far as a cache has not taken it.
func (p *Prompted) Close() error {
	var errs []error
	if p.Hidden != nil {
		errs = append(errs, p.Hidden.Close())
		p.Hidden = nil
	}
	if p.Prefix != nil {
		errs = append(errs, p.Prefix.Close())
		p.Prefix = nil
	}
	errs = append(errs, p.left.free())
	p.left = nil
	return errors.Join(errs...)
}

// PromptOptions say what a prompt has in common with others. The zero value is nothing.
type PromptOptions struct {
	// Behind is what an earlier prompt has left, which stays the caller's: the layers run only the tokens behind the first Tokens of it, a
	// number that [Prefix.Behind] has told. 0 is to run all. With Keep the result is to the bit the same either way.
	Behind *Prefix
	Tokens int
	// Keep keeps what the prompt leaves for others, as [Prompted].Prefix. Where programs run the layers the prompt goes through them in two
	// or three parts, which is slower; where the host does it costs nothing.
	Keep bool
}

// Prompt runs a prompt through the text tower, with the visual tokens of its images. The context is checked before each half of
// a layer, or, where the host runs it, before each layer over 256 tokens.
func (m *Model) Prompt(ctx context.Context, l *Layout, visual []*Visual) (*Prompted, error) {
	return m.PromptWith(ctx, l, visual, PromptOptions{})
}

// PromptWith is Prompt for one that has tokens in common with others. Images that end among the tokens that it begins behind need not have
// their visual tokens: nil does for them.
func (m *Model) PromptWith(ctx context.Context, l *Layout, visual []*Visual, o PromptOptions) (prompted *Prompted, err error) {
	out := &Prompted{length: len(l.IDs), next: l.Next, left: &leftovers{}}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("qwen: prompt: %w", err), out.Close())
		}
	}()
	if len(l.IDs) > m.Spec.Text.MaxPositions {
		return nil, fmt.Errorf("%w: %d tokens, the model has positions for %d", ErrContextLength, len(l.IDs), m.Spec.Text.MaxPositions)
	}
	p, err := m.prompt(ctx, l, visual, o, false, func(_ int, left []compute.Buffer) error {
		out.left.layers = append(out.left.layers, left)
		return nil
	})
	if err != nil {
		return nil, err
	}
	out.rows = p.rows
	last, err := p.lastRow(ctx)
	if err == nil && o.Keep {
		out.Prefix = p.keep(out.left)
	}
	if err = errors.Join(err, p.free()); err != nil {
		return nil, errors.Join(err, buffers{last}.free())
	}
	out.Hidden = &Hidden{x: last, rows: 1}
	return out, nil
}

// Prefill runs a prompt through the text tower and leaves its keys and values in a slot of the cache, whose own length
// becomes the prompt's. It returns the state of the last token.
func (m *Model) Prefill(ctx context.Context, l *Layout, visual []*Visual, cache *Cache, slot int) (hidden *Hidden, err error) {
	if len(l.IDs) > cache.limit {
		return nil, fmt.Errorf("qwen: prefill: %w", cache.tooLong(slot, len(l.IDs)))
	}
	p, err := m.Prompt(ctx, l, visual)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if err := cache.Take(ctx, slot, p); err != nil {
		return nil, err
	}
	h := p.Hidden
	p.Hidden = nil
	return h, nil
}
