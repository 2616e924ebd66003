package qwen

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/compute"
)

// storeFunc takes what a layer keeps of a prompt: its keys and values [kvHeads, rows, headDim], or its history and state.
type storeFunc func(layer int, left []compute.Buffer) error

// prompt is a prompt on its way through the text tower.
type prompt struct {
	m       *Model
	layout  *Layout
	visual  []*Visual
	behind  *Prefix
	first   int // row that is run: those before it are behind's
	rows    int // tokens, with padding
	stripes []promptStripe
	marks   []prefixMark   // to be made
	all     bool           // the states of all rows are wanted, in place of the last token's
	last    compute.Buffer // the state of the last token where the last layer has run no others
	scratch buffers
	room    hostRoom // of run
}

// promptStripe is a run of rows of a prompt.
type promptStripe struct {
	from, rows  int
	x, cos, sin compute.Buffer
	valid       compute.Buffer   // the number of its rows that are real
	index       []compute.Buffer // for each image, see visualGraph
	live        []bool
}

// prompt runs a prompt through all layers, and the last one, unless the states of all rows are wanted, for the last token. The caller frees it.
func (m *Model) prompt(ctx context.Context, l *Layout, visual []*Visual, o PromptOptions, all bool, store storeFunc) (*prompt, error) {
	if err := o.check(m, l); err != nil {
		return nil, err
	}
	if len(visual) != len(l.Images) {
		return nil, fmt.Errorf("%d images given, the prompt has %d", len(visual), len(l.Images))
	}
	for i, v := range visual {
		switch at := l.Images[i]; {
		case v == nil && at.Start+at.Count > o.Tokens:
			return nil, fmt.Errorf("image %d has no visual tokens, and the prompt begins before it ends", i)
		case v != nil && v.tokens != at.Count:
			return nil, fmt.Errorf("image %d has %d visual tokens, its place in the prompt has %d", i, v.tokens, at.Count)
		}
	}
	p := &prompt{m: m, layout: l, visual: visual, behind: o.Behind, first: o.Tokens, all: all}
	if o.Keep && m.Spec.Text.Linear != nil {
		p.mark()
	}
	p.cut(o.Keep || o.Tokens > 0)
	if err := p.run(ctx, store); err != nil {
		return nil, errors.Join(err, p.free())
	}
	return p, nil
}

// cut makes the stripes. Where others may share the prompt they end at the places that these begin behind: what comes after such a place goes
// through the same programs whether what comes before it is run or not, and comes out the same to the bit. The host's loops do so anyhow.
func (p *prompt) cut(shared bool) {
	from, end := p.first, len(p.layout.IDs)
	if shared && (p.m.Spec.Text.Linear != nil || !p.m.hostRunsPrompts()) {
		for _, to := range p.m.prefixEnds(p.layout) {
			if to <= from {
				continue
			}
			for _, rows := p.m.promptRows(to - from); from < to; {
				n := min(rows, to-from)
				p.stripes = append(p.stripes, promptStripe{from: from, rows: n})
				from += n
			}
		}
	}
	rest, rows := p.m.promptRows(end - from)
	for p.rows = from + rest; from < p.rows; from += rows {
		p.stripes = append(p.stripes, promptStripe{from: from, rows: min(rows, p.rows-from)})
	}
}

// states are the hidden states of the stripes, behind the last layer only where p.all.
func (p *prompt) states() buffers {
	var all buffers
	for _, s := range p.stripes {
		all = append(all, s.x)
	}
	return all
}

func (p *prompt) free() error {
	err := errors.Join(p.states().free(), p.scratch.free(), buffers{p.last}.free())
	for _, mark := range p.marks {
		err = errors.Join(err, mark.states.free())
	}
	return err
}

func (p *prompt) run(ctx context.Context, store storeFunc) error {
	p.room = pageRooms.take()
	defer pageRooms.put(p.room)
	if err := p.embed(ctx); err != nil {
		return err
	}
	for i, v := range p.visual {
		if v == nil {
			continue
		}
		if err := p.addVisual(ctx, i, v.rows, false); err != nil {
			return err
		}
	}
	for i := range p.m.Spec.Text.Layers {
		layer, kind := p.attentionLayer, p.m.Spec.Text.kindAt(i)
		switch host := p.m.hostPrompts(kind); {
		case host && kind.linear:
			layer = p.hostDeltaLayer
		case host:
			layer = p.hostAttentionLayer
		case kind.linear:
			layer = p.deltaLayer
		}
		left, err := layer(ctx, i)
		if err != nil {
			return err
		}
		if err := store(i, left); err != nil {
			return err
		}
		for j, v := range p.visual {
			if v != nil && i < len(v.deepstack) {
				if err := p.addVisual(ctx, j, v.deepstack[i], true); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// embed looks up the tokens of each stripe and puts what else it needs on the device.
func (p *prompt) embed(ctx context.Context) (err error) {
	m, half := p.m, p.m.Spec.Text.RotaryDim/2
	turn := textAngles(m.Spec.Text, p.layout.Positions, p.rows)
	ids := append(make([]int32, 0, p.rows), p.layout.IDs...)[:p.rows]
	for i := range p.stripes {
		s := &p.stripes[i]
		to := s.from + s.rows
		real := min(max(0, len(p.layout.IDs)-s.from), s.rows)
		s.live = make([]bool, s.rows)
		for j := range real {
			s.live[j] = true
		}
		if s.cos, err = p.scratch.keep(m, turn.cos[s.from*half:to*half], s.rows, half); err != nil {
			return err
		}
		if s.sin, err = p.scratch.keep(m, turn.sin[s.from*half:to*half], s.rows, half); err != nil {
			return err
		}
		if s.valid, err = p.scratch.keep(m, []int32{int32(real)}); err != nil {
			return err
		}
		for j, v := range p.visual {
			if v == nil {
				s.index = append(s.index, nil)
				continue
			}
			index, err := p.scratch.keep(m, v.index(p.layout.Images[j], p.rows)[s.from:to], s.rows)
			if err != nil {
				return err
			}
			s.index = append(s.index, index)
		}
		if s.x, err = m.embedTokens(ctx, ids[s.from:to]); err != nil {
			return err
		}
	}
	return nil
}

// replace puts the next state in the place of the last.
func (s *promptStripe) replace(x compute.Buffer) error {
	old := s.x
	s.x = x
	return old.Finalize()
}

// addVisual puts rows of an image where they belong.
func (p *prompt) addVisual(ctx context.Context, image int, features compute.Buffer, add bool) error {
	at, n := p.layout.Images[image], len(p.visual[image].order)
	for i := range p.stripes {
		s := &p.stripes[i]
		if at.Start >= s.from+s.rows || at.Start+at.Count <= s.from {
			continue
		}
		name := fmt.Sprintf("visual %d %d %t", s.rows, n, add)
		out, err := p.m.run(ctx, name, p.m.visualGraph(s.rows, n, add), []compute.Buffer{s.x, features, s.index[image]})
		if err != nil {
			return err
		}
		if err := s.replace(out[0]); err != nil {
			return err
		}
	}
	return nil
}

// lastRow is the state of the last token, which is then the caller's.
func (p *prompt) lastRow(ctx context.Context) (_ compute.Buffer, err error) {
	if last := p.last; last != nil {
		p.last = nil
		return last, nil
	}
	var scratch buffers
	defer func() { err = errors.Join(err, scratch.free()) }()
	i, row := p.lastStripe()
	s := p.stripes[i]
	if p.m.runtime.HostCache { // no program for each number of rows
		return p.hostRow(s.x, row)
	}
	at, err := scratch.keep(p.m, []int32{int32(row)}, 1)
	if err != nil {
		return nil, err
	}
	out, err := p.m.run(ctx, fmt.Sprintf("row %d", s.rows), p.m.rowGraph(s.rows), []compute.Buffer{s.x, at})
	if err != nil {
		return nil, err
	}
	return out[0], nil
}
