package qwen

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/gomlx/compute"

	"github.com/omnidocs/omnidocs/internal/nn"
)

// Visual are an image's visual tokens on the device.
type Visual struct {
	rows      compute.Buffer   // [padded, hidden]
	deepstack []compute.Buffer // of the same shape
	tokens    int
	order     []int32 // the token in each row, -1 for padding
}

// Tokens counts the visual tokens.
func (v *Visual) Tokens() int { return v.tokens }

// index says for each of the rows of a prompt which of the image's rows stands in it, -1 for none.
func (v *Visual) index(at Span, rows int) []int32 {
	index := make([]int32, rows)
	for i := range index {
		index[i] = -1
	}
	for row, token := range v.order {
		if token >= 0 {
			index[at.Start+int(token)] = int32(row)
		}
	}
	return index
}

// Close frees the rows.
func (v *Visual) Close() error {
	return buffers(append([]compute.Buffer{v.rows}, v.deepstack...)).free()
}

// bucket rounds a number of rows up so that few shapes are compiled: to a multiple of an eighth of the power of two below
// it, and of 32, which wastes an eighth at most of anything large.
func (m *Model) bucket(rows int) int {
	if m.runtime.ExactShapes {
		return rows
	}
	step := 32
	for step*16 <= rows {
		step *= 2
	}
	return (rows + step - 1) / step * step
}

// An image of more than stripeLimit patches goes through the tower in stripes of stripeRows patches, each against the keys
// and values of all. What is in memory at one time is then that of a stripe, and the context is obeyed between stripes.
const (
	defaultStripeLimit = 2048
	defaultStripeRows  = 512
)

// stripe is a part of an image's patches on their way through the tower.
type stripe struct {
	from, rows  int
	x, cos, sin compute.Buffer
	bias        compute.Buffer // of its own rows, for windowed blocks
}

// encoding is one call of Encode.
type encoding struct {
	m       *Model
	patches *Patches
	order   []int32 // the visual token in each place, -1 for padding
	rows    int     // patches, with padding
	stripes []stripe
	// padded says whether a bias hides padding: always where programs are compiled, so that there is one of a kind.
	padded  bool
	bias    compute.Buffer // of all rows
	scratch buffers
}

// Encode runs the vision tower on an image's patches. The context is checked before each call to the device, of which the
// longest is a block over one stripe.
func (m *Model) Encode(ctx context.Context, p *Patches) (_ *Visual, err error) {
	v := m.Spec.Vision
	n := p.GridH * p.GridW
	unit := v.MergeSize * v.MergeSize
	if n == 0 || p.GridH%v.MergeSize != 0 || p.GridW%v.MergeSize != 0 || len(p.Pixels) != n*v.PatchDim() {
		return nil, fmt.Errorf("qwen: encode: %d×%d patches with %d values do not fit this model", p.GridH, p.GridW, len(p.Pixels))
	}
	e := &encoding{m: m, patches: p, order: arrangement(v, Grid{p.GridH, p.GridW})}
	e.split(unit)
	out := &Visual{tokens: n / unit, order: e.order}
	err = e.run(ctx, out)
	for _, s := range e.stripes {
		err = errors.Join(err, buffers{s.x}.free())
	}
	if err = errors.Join(err, e.scratch.free()); err != nil {
		return nil, errors.Join(fmt.Errorf("qwen: encode: %w", err), out.Close())
	}
	return out, nil
}

// split divides the patches into stripes of whole visual tokens, or windows, and pads the last.
func (e *encoding) split(unit int) {
	r, v := e.m.runtime, e.m.Spec.Vision
	whole := unit * max(1, v.Window*v.Window)
	e.rows = e.m.bucket(len(e.order)) * unit
	limit, rows := r.StripeLimit, r.StripeRows
	if limit <= 0 {
		limit, rows = defaultStripeLimit, defaultStripeRows
	}
	if r.Workers > 1 {
		rows = min(rows, (e.rows+r.Workers-1)/r.Workers+whole-1)
	}
	rows = max(whole, rows/whole*whole)
	switch {
	case e.rows <= limit:
		rows = (e.rows + whole - 1) / whole * whole
		e.rows = rows
	case !r.ExactShapes: // so that all stripes have one shape
		e.rows = (e.rows + rows - 1) / rows * rows
	}
	for len(e.order) < e.rows/unit {
		e.order = append(e.order, -1)
	}
	e.padded = !r.ExactShapes || slices.Contains(e.order, -1)
	for from := 0; from < e.rows; from += rows {
		e.stripes = append(e.stripes, stripe{from: from, rows: min(rows, e.rows-from)})
	}
}

func (e *encoding) run(ctx context.Context, out *Visual) (err error) {
	v := e.m.Spec.Vision
	if err := e.embed(ctx); err != nil {
		return err
	}
	for i := range v.Depth {
		if err := e.block(ctx, i); err != nil {
			return err
		}
		if j := slices.Index(v.Deepstack, i); j >= 0 {
			rows, err := e.merge(ctx, groupDeepstack(j), true)
			if err != nil {
				return err
			}
			out.deepstack = append(out.deepstack, rows)
		}
	}
	out.rows, err = e.merge(ctx, groupMerger, false)
	return err
}

// embed embeds the patches of each stripe and puts its angles on the device.
func (e *encoding) embed(ctx context.Context) (err error) {
	v, p := e.m.Spec.Vision, e.patches
	grid := Grid{p.GridH, p.GridW}
	unit, dim, half := v.MergeSize*v.MergeSize, v.PatchDim(), v.HeadDim()/2
	turn := visionAngles(v, grid)
	var t taps
	if v.PositionSide > 0 {
		t = positionTaps(v, grid)
	}
	there := make([]bool, e.rows)
	for i := range there {
		there[i] = e.order[i/unit] >= 0
	}
	if e.padded {
		if e.bias, err = e.scratch.keep(e.m, nn.Hide(there), e.rows); err != nil {
			return err
		}
	}
	for i := range e.stripes {
		s := &e.stripes[i]
		order := e.order[s.from/unit : (s.from+s.rows)/unit]
		if s.cos, err = e.scratch.keep(e.m, arrange(turn.cos, unit*half, order), s.rows, half); err != nil {
			return err
		}
		if s.sin, err = e.scratch.keep(e.m, arrange(turn.sin, unit*half, order), s.rows, half); err != nil {
			return err
		}
		if e.padded && v.Window > 0 {
			if s.bias, err = e.scratch.keep(e.m, nn.Hide(there[s.from:s.from+s.rows]), s.rows); err != nil {
				return err
			}
		}
		var at taps
		if v.PositionSide > 0 {
			at = taps{arrange(t.index, unit*4, order), arrange(t.weight, unit*4, order)}
		}
		if s.x, err = e.embedStripe(ctx, s.rows, arrange(p.Pixels, unit*dim, order), at); err != nil {
			return err
		}
	}
	return nil
}

func (e *encoding) embedStripe(ctx context.Context, rows int, pixels []float32, at taps) (_ compute.Buffer, err error) {
	v := e.m.Spec.Vision
	var scratch buffers
	defer func() { err = errors.Join(err, scratch.free()) }()
	if _, err := scratch.keep(e.m, pixels, rows, v.PatchDim()); err != nil {
		return nil, err
	}
	if v.PositionSide > 0 {
		if _, err := scratch.keep(e.m, at.index, rows, 4); err != nil {
			return nil, err
		}
		if _, err := scratch.keep(e.m, at.weight, rows, 4); err != nil {
			return nil, err
		}
	}
	x, err := e.m.run(ctx, fmt.Sprintf("patch %d", rows), e.m.patchGraph(rows), scratch, groupPatch)
	if err != nil {
		return nil, err
	}
	return x[0], nil
}

// block runs one transformer block.
func (e *encoding) block(ctx context.Context, i int) error {
	windowed := e.m.Spec.Vision.windowedAt(i)
	if len(e.stripes) > 1 && !windowed {
		return e.stripedBlock(ctx, i)
	}
	return e.each(func(j int) error {
		s := &e.stripes[j]
		in := []compute.Buffer{s.x, s.cos, s.sin}
		switch {
		case e.padded && windowed:
			in = append(in, s.bias)
		case e.padded:
			in = append(in, e.bias)
		}
		name := fmt.Sprintf("block %d %t %t", s.rows, windowed, e.padded)
		out, err := e.m.run(ctx, name, e.m.blockGraph(s.rows, windowed, e.padded), in, groupBlock(i))
		if err != nil {
			return err
		}
		return s.replace(out[0])
	})
}

// each calls f for every stripe, runtime.Workers at a time, and returns their errors. With one worker the first error ends it.
func (e *encoding) each(f func(i int) error) error {
	if e.m.runtime.Workers <= 1 {
		for i := range e.stripes {
			if err := f(i); err != nil {
				return err
			}
		}
		return nil
	}
	errs := make([]error, len(e.stripes))
	free := make(chan struct{}, e.m.runtime.Workers)
	var running sync.WaitGroup
	for i := range e.stripes {
		free <- struct{}{}
		running.Go(func() {
			errs[i] = f(i)
			<-free
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// replace puts the next state in the place of the last.
func (s *stripe) replace(x compute.Buffer) error {
	old := s.x
	s.x = x
	return old.Finalize()
}

func (e *encoding) stripedBlock(ctx context.Context, i int) (err error) {
	n := len(e.stripes)
	queries, keys, values := make(buffers, n), make(buffers, n), make(buffers, n)
	var all [2]compute.Buffer
	defer func() { err = errors.Join(err, queries.free(), keys.free(), values.free(), buffers(all[:]).free()) }()
	err = e.each(func(j int) error {
		s := e.stripes[j]
		out, err := e.m.run(ctx, fmt.Sprintf("heads %d", s.rows), e.m.headsGraph(s.rows), []compute.Buffer{s.x, s.cos, s.sin}, groupBlock(i))
		if err != nil {
			return err
		}
		queries[j], keys[j], values[j] = out[0], out[1], out[2]
		return nil
	})
	if err != nil {
		return err
	}
	for j, parts := range []buffers{keys, values} {
		if all[j], err = e.m.join(ctx, 1, parts); err != nil {
			return err
		}
	}
	return e.each(func(j int) error {
		s := &e.stripes[j]
		in := []compute.Buffer{s.x, queries[j], all[0], all[1]}
		if e.padded {
			in = append(in, e.bias)
		}
		name := fmt.Sprintf("rest %d %d %t", s.rows, e.rows, e.padded)
		out, err := e.m.run(ctx, name, e.m.restGraph(s.rows, e.rows, e.padded), in, groupBlock(i))
		if err != nil {
			return err
		}
		return s.replace(out[0])
	})
}

// merge runs a merger on all stripes and joins what it makes of them.
func (e *encoding) merge(ctx context.Context, group string, deepstack bool) (_ compute.Buffer, err error) {
	parts := make(buffers, len(e.stripes))
	err = e.each(func(i int) error {
		s := e.stripes[i]
		out, err := e.m.run(ctx, fmt.Sprintf("merger %d %t", s.rows, deepstack), e.m.mergerGraph(s.rows, deepstack), []compute.Buffer{s.x}, group)
		if err != nil {
			return err
		}
		parts[i] = out[0]
		return nil
	})
	if err == nil && len(parts) == 1 {
		return parts[0], nil
	}
	var joined compute.Buffer
	if err == nil {
		joined, err = e.m.join(ctx, 0, parts)
	}
	return joined, errors.Join(err, parts.free())
}

// join puts buffers end to end along an axis.
func (m *Model) join(ctx context.Context, axis int, parts []compute.Buffer) (compute.Buffer, error) {
	var shapes [][]int
	for _, p := range parts {
		shape, err := p.Shape()
		if err != nil {
			return nil, err
		}
		shapes = append(shapes, shape.Dimensions)
	}
	out, err := m.run(ctx, fmt.Sprintf("join %d %v", axis, shapes), joinGraph(axis, shapes), parts)
	if err != nil {
		return nil, err
	}
	return out[0], nil
}
