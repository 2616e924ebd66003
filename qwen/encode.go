package qwen

import (
	"context"
	"errors"
	"fmt"
	"slices"

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

// Bytes is the memory of the device that they take.
func (v *Visual) Bytes() int64 {
	var n int64
	for _, b := range append([]compute.Buffer{v.rows}, v.deepstack...) {
		if shape, err := b.Shape(); err == nil {
			n += shape.ByteSize()
		}
	}
	return n
}

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

// stripe is a part of an image's patches on their way through the tower.
type stripe struct {
	from, rows  int
	x, cos, sin compute.Buffer
	bias        compute.Buffer // of its own rows, for windowed blocks
}

// encoding is one call of Encode, or of EncodeTogether.
type encoding struct {
	m        *Model
	images   int
	pictures []picture
	order    []int32 // the visual token in each place, -1 for padding, one image after the other
	rows     int     // patches, with padding
	each     int     // of one image, where there are several
	stripes  []stripe
	// padded says whether there is padding, for a bias to hide.
	padded  bool
	bias    compute.Buffer // of all rows
	scratch buffers
}

// Encode runs the vision tower on an image's patches. The context is checked before each call to the device, of which the
// longest is a block over one stripe, or, where the host runs it, before each half of a block over 256 patches.
func (m *Model) Encode(ctx context.Context, p *Patches) (visual *Visual, err error) {
	if err := m.checkPatches(p); err != nil {
		return nil, err
	}
	s := newPicture(m.Spec.Vision, p)
	e := &encoding{m: m, images: 1, pictures: []picture{s}, order: s.order}
	e.split(m.Spec.Vision.MergeSize * m.Spec.Vision.MergeSize)
	out := &Visual{tokens: s.tokens, order: e.order}
	err = e.run(ctx, out)
	for _, s := range e.stripes {
		err = errors.Join(err, buffers{s.x}.free())
	}
	if err = errors.Join(err, e.scratch.free()); err != nil {
		return nil, errors.Join(fmt.Errorf("qwen: encode: %w", err), out.Close())
	}
	return out, nil
}

// checkPatches returns what is wrong with patches.
func (m *Model) checkPatches(p *Patches) error {
	v, n := m.Spec.Vision, p.GridH*p.GridW
	if n == 0 || p.GridH%v.MergeSize != 0 || p.GridW%v.MergeSize != 0 || len(p.Pixels) != n*v.PatchDim() {
		return fmt.Errorf("qwen: encode: %d×%d patches with %d values do not fit this model", p.GridH, p.GridW, len(p.Pixels))
	}
	return nil
}

// picture is an image that goes through the tower, and what its patches need beside their pixels.
type picture struct {
	patches *Patches
	tokens  int
	order   []int32 // the visual token in each place, -1 for padding
	turn    angles
	taps    taps // where positions are learned
}

func newPicture(v VisionSpec, p *Patches) picture {
	grid := Grid{p.GridH, p.GridW}
	s := picture{patches: p, tokens: p.GridH * p.GridW / (v.MergeSize * v.MergeSize), order: arrangement(v, grid), turn: visionAngles(v, grid)}
	if v.PositionSide > 0 {
		s.taps = positionTaps(v, grid)
	}
	return s
}

// placed is what stands in a run of places of the tower.
type placed struct {
	cos, sin, pixels []float32
	at               taps
}

// place adds what an image has for the places of order.
func (to *placed) place(v VisionSpec, s picture, order []int32) {
	unit, half := v.MergeSize*v.MergeSize, v.HeadDim()/2
	to.cos = behind(to.cos, arrange(s.turn.cos, unit*half, order))
	to.sin = behind(to.sin, arrange(s.turn.sin, unit*half, order))
	to.pixels = behind(to.pixels, arrange(s.patches.Pixels, unit*v.PatchDim(), order))
	if v.PositionSide > 0 {
		to.at.index = behind(to.at.index, arrange(s.taps.index, unit*4, order))
		to.at.weight = behind(to.at.weight, arrange(s.taps.weight, unit*4, order))
	}
}

// behind puts fresh behind what is there, without a copy of it where it is the first.
func behind[T any](there, fresh []T) []T {
	if len(there) == 0 {
		return fresh
	}
	return append(there, fresh...)
}

// split divides the patches into stripes of whole visual tokens, or windows, and pads the last.
func (e *encoding) split(unit int) {
	var rows int
	e.rows, rows = e.m.visionRows(len(e.order))
	for len(e.order) < e.rows/unit {
		e.order = append(e.order, -1)
	}
	e.padded = slices.Contains(e.order, -1)
	for from := 0; from < e.rows; from += rows {
		e.stripes = append(e.stripes, stripe{from: from, rows: min(rows, e.rows-from)})
	}
}

func (e *encoding) run(ctx context.Context, out *Visual) (err error) {
	if e.m.hostTower() {
		return e.runHost(ctx, out)
	}
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

// there says which of the rows are no padding.
func (e *encoding) there() []bool {
	unit := e.m.Spec.Vision.MergeSize * e.m.Spec.Vision.MergeSize
	there := make([]bool, e.rows)
	for i := range there {
		there[i] = e.order[i/unit] >= 0
	}
	return there
}

// embed embeds the patches of each stripe and puts its angles on the device.
func (e *encoding) embed(ctx context.Context) (err error) {
	v := e.m.Spec.Vision
	unit, half, there := v.MergeSize*v.MergeSize, v.HeadDim()/2, e.there()
	if e.padded {
		if e.bias, err = e.scratch.keep(e.m, nn.Hide(there), e.rows); err != nil {
			return err
		}
	}
	for i := range e.stripes {
		s := &e.stripes[i]
		var in placed
		if e.images == 1 {
			in.place(v, e.pictures[0], e.order[s.from/unit:(s.from+s.rows)/unit])
		} else {
			for _, image := range e.pictures {
				in.place(v, image, image.order)
			}
		}
		if s.cos, err = e.scratch.keep(e.m, in.cos, s.rows, half); err != nil {
			return err
		}
		if s.sin, err = e.scratch.keep(e.m, in.sin, s.rows, half); err != nil {
			return err
		}
		if e.padded && v.Window > 0 {
			if s.bias, err = e.scratch.keep(e.m, nn.Hide(there[s.from:s.from+s.rows]), s.rows); err != nil {
				return err
			}
		}
		if s.x, err = e.embedStripe(ctx, s.rows, in.pixels, in.at); err != nil {
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
