package qwen

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/compute"
)

// Visual are an image's visual tokens on the device.
type Visual struct {
	rows      compute.Buffer   // [padded, hidden]
	deepstack []compute.Buffer // of the same shape
	tokens    int
	padded    int
}

// Tokens counts the visual tokens.
func (v *Visual) Tokens() int { return v.tokens }

// Close frees the rows.
func (v *Visual) Close() error {
	return buffers(append([]compute.Buffer{v.rows}, v.deepstack...)).free()
}

// bucket rounds a number of rows up so that few shapes are compiled: to a multiple of an eighth of the power of two below
// it, and of 64, which wastes an eighth at most of anything large.
func (m *Model) bucket(rows int) int {
	if m.runtime.ExactShapes {
		return rows
	}
	step := 64
	for step*16 <= rows {
		step *= 2
	}
	return (rows + step - 1) / step * step
}

// Encode runs the vision tower on an image's patches. The context is checked before each block.
func (m *Model) Encode(ctx context.Context, p *Patches) (_ *Visual, err error) {
	v := m.Spec.Vision
	n := p.GridH * p.GridW
	unit := v.MergeSize * v.MergeSize
	if n == 0 || p.GridH%v.MergeSize != 0 || p.GridW%v.MergeSize != 0 || len(p.Pixels) != n*v.PatchDim() {
		return nil, fmt.Errorf("qwen: encode: %d×%d patches with %d values do not fit this model", p.GridH, p.GridW, len(p.Pixels))
	}
	padded := m.bucket(n/unit) * unit
	var scratch buffers
	defer func() { err = errors.Join(err, scratch.free()) }()

	x, err := m.embedPatches(ctx, p, padded)
	if err != nil {
		return nil, fmt.Errorf("qwen: encode: %w", err)
	}
	turn := visionAngles(v, p.GridH, p.GridW, padded)
	var cos, sin, valid compute.Buffer
	cos, err = scratch.keep(m, turn.cos, padded, v.HeadDim()/2)
	if err == nil {
		sin, err = scratch.keep(m, turn.sin, padded, v.HeadDim()/2)
	}
	if err == nil {
		valid, err = scratch.keep(m, []int32{int32(n)})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("qwen: encode: %w", err), x.Finalize())
	}
	out := &Visual{tokens: n / unit, padded: padded / unit}
	fail := func(err error) (*Visual, error) {
		return nil, errors.Join(fmt.Errorf("qwen: encode: %w", err), buffers(append(out.deepstack, x)).free())
	}
	block := m.blockGraph(padded)
	for i := range v.Depth {
		y, err := m.run(ctx, fmt.Sprintf("block %d", padded), block, []compute.Buffer{x, cos, sin, valid}, groupBlock(i))
		if err != nil {
			return fail(err)
		}
		if err := errors.Join(x.Finalize()); err != nil {
			return fail(err)
		}
		x = y[0]
		if j := slices.Index(v.Deepstack, i); j >= 0 {
			rows, err := m.run(ctx, fmt.Sprintf("deepstack %d", padded), m.mergerGraph(padded, true), []compute.Buffer{x}, groupDeepstack(j))
			if err != nil {
				return fail(err)
			}
			out.deepstack = append(out.deepstack, rows[0])
		}
	}
	rows, err := m.run(ctx, fmt.Sprintf("merger %d", padded), m.mergerGraph(padded, false), []compute.Buffer{x}, groupMerger)
	if err != nil {
		return fail(err)
	}
	out.rows = rows[0]
	return out, x.Finalize()
}

func (m *Model) embedPatches(ctx context.Context, p *Patches, padded int) (_ compute.Buffer, err error) {
	v := m.Spec.Vision
	var scratch buffers
	defer func() { err = errors.Join(err, scratch.free()) }()
	pixels := p.Pixels
	if rows := p.GridH * p.GridW; rows < padded {
		pixels = make([]float32, padded*v.PatchDim())
		copy(pixels, p.Pixels)
	}
	t := positionTaps(v, p.GridH, p.GridW, padded)
	if _, err := scratch.keep(m, pixels, padded, v.PatchDim()); err != nil {
		return nil, err
	}
	if _, err := scratch.keep(m, t.index, padded, 4); err != nil {
		return nil, err
	}
	if _, err := scratch.keep(m, t.weight, padded, 4); err != nil {
		return nil, err
	}
	x, err := m.run(ctx, fmt.Sprintf("patch %d", padded), m.patchGraph(padded), scratch, groupPatch)
	if err != nil {
		return nil, err
	}
	return x[0], nil
}
