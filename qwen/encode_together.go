package qwen

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/omnidocs/omnidocs/internal/nn"
	"github.com/omnidocs/omnidocs/internal/program"
)

// This file runs several small images through the vision tower in one call: on a GPU a small image leaves most of the device idle, and
// what a call costs by itself is then most of its time. The rows of the images stand one image behind the other, each padded to the same
// size. All but attention knows rows only, and runs on all of them together, as on one image that is as large. Attention goes image by
// image within the program, with the shapes that it has for one; windows are an axis of it anyhow. Nothing of one image comes into
// another's sums, and padding stays hidden: a row differs from that of the image alone only as far as the backend rounds a product of more
// rows otherwise. TestEncodeTogether finds that on XLA's CPU, in the last places of float32, and on the pure-Go backend with padding.

// smallTokens is the most visual tokens of an image that goes through the tower with others: larger ones fill a device by themselves.
const smallTokens = 256

// ImagesTogether is that of the runtime, 1 where it is 0.
func (m *Model) ImagesTogether() int { return max(1, m.runtime.ImagesTogether) }

// Together says how many images of this size may go through the vision tower in one call: see [Model.EncodeTogether]. 1 is none but it.
// Images of one group have all the same Rows.
func (m *Model) Together(p *Patches) (most, rows int) {
	v := m.Spec.Vision
	tokens := p.GridH * p.GridW / (v.MergeSize * v.MergeSize)
	rows, stripe := m.visionRows(len(arrangement(v, Grid{p.GridH, p.GridW})))
	most = min(m.runtime.ImagesTogether, m.runtime.stripeLimit()/max(1, rows))
	if tokens > smallTokens || stripe < rows || most < 2 {
		return 1, rows
	}
	return most, rows
}

// EncodeTogether is Encode for several images at once that [Model.Together] finds of one size. Their number is compiled for: callers
// keep to few, such as powers of two.
func (m *Model) EncodeTogether(ctx context.Context, pages []*Patches) (visual []*Visual, err error) {
	if len(pages) == 1 {
		v, err := m.Encode(ctx, pages[0])
		return []*Visual{v}, err
	}
	v := m.Spec.Vision
	unit := v.MergeSize * v.MergeSize
	e := &encoding{m: m, images: len(pages)}
	for _, p := range pages {
		if err := m.checkPatches(p); err != nil {
			return nil, err
		}
		most, rows := m.Together(p)
		if most < len(pages) || e.each != 0 && rows != e.each {
			return nil, fmt.Errorf("qwen: encode: %d images together, of which one has %d×%d patches: it goes with %d of its size", len(pages), p.GridH, p.GridW, most)
		}
		e.each = rows
		s := newPicture(v, p)
		for len(s.order) < rows/unit {
			s.order = append(s.order, -1)
		}
		e.pictures, e.order = append(e.pictures, s), append(e.order, s.order...)
	}
	e.rows = len(pages) * e.each
	e.padded = slices.Contains(e.order, -1)
	e.stripes = []stripe{{rows: e.rows}}
	var all Visual
	err = errors.Join(e.run(ctx, &all), buffers{e.stripes[0].x}.free(), e.scratch.free())
	var out []*Visual
	if err == nil {
		out, err = e.part(ctx, all)
	}
	if err = errors.Join(err, all.Close()); err != nil {
		return nil, fmt.Errorf("qwen: encode: %w", err)
	}
	return out, nil
}

// part gives each image its rows.
func (e *encoding) part(ctx context.Context, all Visual) (_ []*Visual, err error) {
	out := make([]*Visual, e.images)
	for i, s := range e.pictures {
		out[i] = &Visual{tokens: s.tokens, order: s.order}
	}
	defer func() {
		if err != nil {
			for _, v := range out {
				err = errors.Join(err, v.Close())
			}
		}
	}()
	rows, width := len(e.order), e.m.Spec.Vision.OutHidden
	for i, b := range append([]compute.Buffer{all.rows}, all.deepstack...) {
		parts, err := e.m.run(ctx, fmt.Sprintf("part %d %d", e.images, rows), partGraph(e.images, rows, width), []compute.Buffer{b})
		if err != nil {
			return nil, err
		}
		for image, part := range parts {
			if i == 0 {
				out[image].rows = part
			} else {
				out[image].deepstack = append(out[image].deepstack, part)
			}
		}
	}
	return out, nil
}

// partGraph cuts rows into as many parts as there are images.
func partGraph(images, rows, width int) func(b *program.Builder) []*Node {
	return func(b *program.Builder) []*Node {
		x := b.Input("x", dtypes.Float32, rows, width)
		parts := make([]*Node, images)
		for i := range parts {
			parts[i] = Slice(x, AxisRange(i*rows/images, (i+1)*rows/images))
		}
		return parts
	}
}

// imagesGraph is a block in which each image's patches see all of their own: as blockGraph, for so many images of so many rows.
func (m *Model) imagesGraph(images, each int, padded bool) func(b *program.Builder) []*Node {
	v := m.local.Vision
	return func(b *program.Builder) []*Node {
		rows := images * each
		x, cos, sin := blockInputs(b, v, rows)
		bias := optional(b, padded, "bias", rows)
		p := m.declare(b, blockParams(v))
		q, k, values := m.blockHeads(p, x, cos, sin)
		outs := make([]*Node, images)
		for i := range outs {
			at := AxisRange(i*each, (i+1)*each)
			part := func(x *Node) *Node { return Slice(x, AxisRange(), at) }
			var own *Node
			if bias != nil {
				own = Slice(bias, at)
			}
			outs[i] = nn.Attention(m.visionTraits(), part(q), part(k), part(values), false, own)
		}
		return []*Node{m.blockRest(p, x, Concatenate(outs, 0))}
	}
}
