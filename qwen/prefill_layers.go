package qwen

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/compute"
)

// finish puts what feedForward returned in the place of a stripe's state, with the experts' part where the layer has any. It
// takes the buffers.
func (p *prompt) finish(ctx context.Context, layer int, s *promptStripe, out []compute.Buffer) error {
	x := out[0]
	if len(out) > 1 {
		var err error
		if x, err = p.m.mix(ctx, layer, out[0], out[1], out[2], s.rows, s.live); err != nil {
			return err
		}
	}
	return s.replace(x)
}

// projected is the first half of a layer: of each stripe what projectGraph returns, out of which keys and values may have been taken, and those of all
// rows [kvHeads, rows, headDim]. The caller frees both, after an error too.
func (p *prompt) projected(ctx context.Context, layer int) (stripes [][]compute.Buffer, left []compute.Buffer, err error) {
	m, kind := p.m, p.m.Spec.Text.kindAt(layer)
	stripes = make([][]compute.Buffer, len(p.stripes))
	err = m.each(len(p.stripes), func(i int) error {
		s := p.stripes[i]
		out, err := m.run(ctx, fmt.Sprintf("project %d %v", s.rows, kind), m.projectGraph(s.rows, kind), []compute.Buffer{s.x, s.cos, s.sin}, groupLayer(layer))
		stripes[i] = out
		return err
	})
	for j := 1; j <= 2 && err == nil; j++ {
		var all compute.Buffer
		if all, err = p.joined(ctx, layer, stripes, j); err == nil {
			left = append(left, all)
		}
	}
	return stripes, left, err
}

// attentionLayer runs a layer and returns its keys and values [kvHeads, rows, headDim].
func (p *prompt) attentionLayer(ctx context.Context, layer int) (left []compute.Buffer, err error) {
	m, kind, n := p.m, p.m.Spec.Text.kindAt(layer), len(p.stripes)
	projected, left, err := p.projected(ctx, layer)
	defer func() {
		for _, b := range projected {
			err = errors.Join(err, buffers(b).free())
		}
		if err != nil {
			err = errors.Join(err, buffers(left).free())
		}
	}()
	if err != nil {
		return left, err
	}
	if p.endsWithRow(layer) {
		return left, p.end(ctx, layer, projected, left)
	}
	return left, m.each(n, func(i int) error {
		s := &p.stripes[i]
		in := []compute.Buffer{s.x, projected[i][0], left[0], left[1]}
		if len(projected[i]) > 3 {
			in = append(in, projected[i][3])
		}
		to := s.from + s.rows
		name := fmt.Sprintf("attend %d %d %d %v", s.rows, to, p.rows, kind)
		out, err := m.run(ctx, name, m.attendGraph(s.rows, to, p.rows, kind), in, groupLayer(layer))
		if err != nil {
			return err
		}
		return p.finish(ctx, layer, s, out)
	})
}

// joined puts the j-th of what the stripes have made, keys or values, end to end, behind those of the prefix if there is one. What it takes
// out of them it leaves nil.
func (p *prompt) joined(ctx context.Context, layer int, made [][]compute.Buffer, j int) (compute.Buffer, error) {
	var parts buffers
	for _, b := range made {
		parts = append(parts, b[j])
	}
	if p.first > 0 {
		return p.joinBehind(ctx, p.behind.left.layers[layer][j-1], parts)
	}
	if len(parts) == 1 {
		made[0][j] = nil
		return parts[0], nil
	}
	return p.m.join(ctx, 1, parts)
}

// joinBehind puts keys or values of stripes [kvHeads, rows, headDim] end to end behind those of the prefix, of which the first count.
func (p *prompt) joinBehind(ctx context.Context, prefix compute.Buffer, parts []compute.Buffer) (compute.Buffer, error) {
	var rows []int
	for _, s := range p.stripes {
		rows = append(rows, s.rows)
	}
	name := fmt.Sprintf("behind %d of %d: %v", p.first, p.behind.rows, rows)
	out, err := p.m.run(ctx, name, p.m.behindGraph(p.first, p.behind.rows, rows), append([]compute.Buffer{prefix}, parts...))
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// deltaLayer runs a layer with a recurrent state, one stripe after the other, and returns the history and state behind them.
func (p *prompt) deltaLayer(ctx context.Context, layer int) (left []compute.Buffer, err error) {
	m, kind := p.m, p.m.Spec.Text.kindAt(layer)
	defer func() {
		if err != nil {
			err = errors.Join(err, buffers(left).free())
		}
	}()
	before := p.before(layer)
	if before == nil {
		for _, dims := range m.stateDims() {
			b, err := m.upload(make([]float32, elements(dims)), dims...)
			if err != nil {
				return left, err
			}
			left = append(left, b)
		}
		before = left
	}
	for i := range p.stripes {
		s := &p.stripes[i]
		in := []compute.Buffer{s.x, s.valid, before[0], before[1]}
		out, err := m.run(ctx, fmt.Sprintf("delta %d %v", s.rows, kind), m.deltaPromptGraph(s.rows, kind), in, groupLayer(layer))
		if err != nil {
			return left, err
		}
		old := left
		left, before = out[len(out)-2:], out[len(out)-2:]
		if mark := p.markAt(s.from + s.rows); mark != nil {
			mark.layers[layer], left = left, nil
		}
		if err := errors.Join(buffers(old).free(), p.finish(ctx, layer, s, out[:len(out)-2])); err != nil {
			return left, err
		}
	}
	return left, nil
}

// before are the history and state of a layer that the prefix has left, nil where there is none.
func (p *prompt) before(layer int) []compute.Buffer {
	if p.first == 0 {
		return nil
	}
	return p.behind.states(p.first).layers[layer]
}
