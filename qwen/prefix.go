package qwen

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/gomlx/compute"
)

// This file keeps what a prompt has left in the layers for prompts that begin with the same tokens, of which the tower then runs only the
// rest: HTML after Markdown of one page is a few tokens behind the same picture. Prompts part from others before their first image or behind
// their last, and begin there. Nothing is copied: the keys and values are those that the prompt's own slot was filled from, and recurrent
// states are kept at these places as they are come by.

// leastPrefix is the fewest tokens that are worth beginning behind.
const leastPrefix = 32

// leftovers are what a prompt has left in the layers: of each, keys and values [kvHeads, rows, headDim], or history and state. The last of
// their owners frees them.
type leftovers struct {
	layers [][]compute.Buffer
	owners atomic.Int32 // beside the first
}

// share makes another owner.
func (l *leftovers) share() *leftovers {
	l.owners.Add(1)
	return l
}

// shared says whether there are other owners.
func (l *leftovers) shared() bool { return l.owners.Load() > 0 }

// free ends the share of an owner.
func (l *leftovers) free() error {
	if l == nil || l.owners.Add(-1) >= 0 {
		return nil
	}
	var errs []error
	for _, layer := range l.layers {
		errs = append(errs, buffers(layer).free())
	}
	l.layers = nil
	return errors.Join(errs...)
}

// Prefix is what the tokens of a prompt have left in the layers of the text tower, for prompts that begin with the same ones. It may be used
// by several prompts at once.
type Prefix struct {
	m      *Model
	layout *Layout // of the prompt
	rows   int     // of its keys and values, with padding
	left   *leftovers
	marks  []prefixMark // where the model has recurrent states
}

// prefixMark is what the recurrent layers had kept behind so many tokens; other layers have nothing there.
type prefixMark struct {
	tokens int
	states *leftovers
}

// Close frees it, in so far as no cache is still to take it.
func (x *Prefix) Close() error {
	err := x.left.free()
	for _, mark := range x.marks {
		err = errors.Join(err, mark.states.free())
	}
	x.left, x.marks = nil, nil
	return err
}

// Bytes is the memory of the device, or of each of several, that it takes until it is closed.
func (x *Prefix) Bytes() int64 {
	p := x.m.Planner()
	n := p.bytesOf(x.left)
	for _, mark := range x.marks {
		n += p.bytesOf(mark.states)
	}
	return n
}

func (p *Planner) bytesOf(left *leftovers) int64 {
	var n int64
	if left == nil {
		return 0
	}
	for _, layer := range left.layers {
		for _, b := range layer {
			if shape, err := b.Shape(); err == nil {
				n += p.round(shape.ByteSize())
			}
		}
	}
	return n
}

// Behind says behind how many of its tokens a prompt can begin, for [PromptOptions].Tokens: those up to the end of its last image, or those
// before the first, if the prefix's prompt begins with them. sameImage says whether the i-th image of both is one picture. 0 means that it
// cannot: they are others, or there are too few of them.
func (x *Prefix) Behind(l *Layout, sameImage func(i int) bool) int {
	best, common := 0, l.common(x.layout, sameImage)
	for _, tokens := range x.m.prefixEnds(l) {
		if tokens <= common && (x.m.Spec.Text.Linear == nil || x.states(tokens) != nil) {
			best = tokens
		}
	}
	return best
}

// states are those of the recurrent layers behind so many tokens.
func (x *Prefix) states(tokens int) *leftovers {
	for _, mark := range x.marks {
		if mark.tokens == tokens {
			return mark.states
		}
	}
	return nil
}

// prefixEnds are the numbers of tokens that prompts can begin behind which begin as this one: those before its first image, and those up to
// the end of its last. What programs run ends at multiples of a step, so that few shapes are compiled.
func (m *Model) prefixEnds(l *Layout) []int {
	if len(l.Images) == 0 {
		return nil
	}
	var ends []int
	for _, tokens := range []int{l.Images[0].Start, l.AfterImages()} {
		if !m.hostRunsPrompts() {
			step := max(64, bucketStep(tokens))
			tokens = tokens / step * step
		}
		// The last token's state is what the answer begins from.
		if tokens >= leastPrefix && tokens < len(l.IDs) && !slices.Contains(ends, tokens) {
			ends = append(ends, tokens)
		}
	}
	return ends
}

// hostRunsPrompts says whether the host runs prompts through all layers.
func (m *Model) hostRunsPrompts() bool {
	return m.hostPrompts(layerKind{}) && (m.Spec.Text.Linear == nil || m.hostPrompts(layerKind{linear: true}))
}

// AfterImages is the number of tokens up to the end of the last image, 0 where there is none.
func (l *Layout) AfterImages() int {
	if len(l.Images) == 0 {
		return 0
	}
	last := l.Images[len(l.Images)-1]
	return last.Start + last.Count
}

// common counts the first tokens that are the same in two prompts. Those of an image are if sameImage says so.
func (l *Layout) common(o *Layout, sameImage func(i int) bool) int {
	n := min(len(l.IDs), len(o.IDs))
	for i := range n {
		if l.IDs[i] != o.IDs[i] || l.Positions[0][i] != o.Positions[0][i] || l.Positions[1][i] != o.Positions[1][i] || l.Positions[2][i] != o.Positions[2][i] {
			n = i
			break
		}
	}
	for i, span := range l.Images {
		if span.Start >= n {
			break
		}
		if i >= len(o.Images) || o.Images[i] != span || !sameImage(i) {
			return span.Start
		}
	}
	return n
}

// check returns what is wrong with the options for a prompt.
func (o PromptOptions) check(m *Model, l *Layout) error {
	switch {
	case o.Behind == nil && o.Tokens != 0:
		return fmt.Errorf("it is to begin behind %d tokens of no prefix", o.Tokens)
	case o.Tokens == 0:
		return nil
	case o.Behind.left == nil:
		return errors.New("the prefix that it is to begin behind is closed")
	case o.Behind.m != m:
		return errors.New("the prefix that it is to begin behind is another model's")
	case !slices.Contains(m.prefixEnds(l), o.Tokens) || l.common(o.Behind.layout, func(int) bool { return true }) < o.Tokens,
		m.Spec.Text.Linear != nil && o.Behind.states(o.Tokens) == nil:
		return fmt.Errorf("it cannot begin behind %d tokens of that prefix: ask Prefix.Behind", o.Tokens)
	}
	return nil
}

// keep makes the prefix of a prompt that has gone through the layers, nil if others can begin behind no more of it than it did itself. What
// it began behind is in it too.
func (p *prompt) keep(left *leftovers) *Prefix {
	if ends := p.m.prefixEnds(p.layout); len(ends) == 0 || ends[len(ends)-1] <= p.first {
		return nil
	}
	x := &Prefix{m: p.m, layout: p.layout, rows: p.rows, left: left.share(), marks: p.marks}
	p.marks = nil
	if p.behind != nil {
		if states := p.behind.states(p.first); states != nil {
			x.marks = append(x.marks, prefixMark{p.first, states.share()})
		}
	}
	return x
}

// mark has the recurrent states kept behind which others can begin.
func (p *prompt) mark() {
	for _, tokens := range p.m.prefixEnds(p.layout) {
		if tokens > p.first {
			p.marks = append(p.marks, prefixMark{tokens, &leftovers{layers: make([][]compute.Buffer, p.m.Spec.Text.Layers)}})
		}
	}
}

// markAt is what the layers are to keep behind so many tokens, nil where nothing is.
func (p *prompt) markAt(tokens int) *leftovers {
	for _, mark := range p.marks {
		if mark.tokens == tokens {
			return mark.states
		}
	}
	return nil
}
