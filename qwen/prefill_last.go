package qwen

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/omnidocs/omnidocs/internal/hostmath"
	"github.com/omnidocs/omnidocs/internal/nn"
	"github.com/omnidocs/omnidocs/internal/program"
)

// This file is the last layer of a prompt. Only the state of the last token is wanted behind it, so that of the other rows it computes what
// is kept, their keys and values. Where host and device are one, the host's loops then take the row through the rest of the layer, as they do a
// step's: XLA's code reads the weights for a single row at a fraction of what memory gives.

// endsWithRow says whether only the last token's state is wanted behind a layer.
func (p *prompt) endsWithRow(layer int) bool {
	t := p.m.Spec.Text
	return !p.all && layer == t.Layers-1 && !t.kindAt(layer).linear &&
		!slices.ContainsFunc(p.visual, func(v *Visual) bool { return v != nil && len(v.deepstack) > layer })
}

// lastStripe is the stripe that has the last token, and the token's place in it.
func (p *prompt) lastStripe() (stripe, row int) {
	last := len(p.layout.IDs) - 1
	stripe = slices.IndexFunc(p.stripes, func(s promptStripe) bool { return last < s.from+s.rows })
	return stripe, last - p.stripes[stripe].from
}

// end takes the last token through the rest of a layer, of which all rows have been projected, and leaves its state in p.last.
func (p *prompt) end(ctx context.Context, layer int, projected [][]compute.Buffer, left []compute.Buffer) error {
	i, row := p.lastStripe()
	s, own := p.stripes[i], projected[i]
	if !p.hostEnds(layer) {
		return p.programEnd(ctx, layer, s, row, own, left)
	}
	r, err := p.hostRowOf(s, row, own, left)
	if err != nil {
		return err
	}
	return p.hostEnd(ctx, layer, r)
}

// programEnd is end as a program.
func (p *prompt) programEnd(ctx context.Context, layer int, s promptStripe, row int, own, left []compute.Buffer) (err error) {
	var scratch buffers
	defer func() { err = errors.Join(err, scratch.free()) }()
	at, err := scratch.keep(p.m, []int32{int32(row)}, 1)
	if err != nil {
		return err
	}
	in := append([]compute.Buffer{at, s.x, own[0], left[0], left[1]}, own[3:]...)
	kind := p.m.Spec.Text.kindAt(layer)
	name := fmt.Sprintf("attend last %d %d %d %v", s.rows, s.from, p.rows, kind)
	out, err := p.m.run(ctx, name, p.m.attendRowGraph(s.rows, s.from, p.rows, kind), in, groupLayer(layer))
	if err != nil {
		return err
	}
	if p.last = out[0]; len(out) > 1 {
		p.last, err = p.m.mix(ctx, layer, out[0], out[1], out[2], 1, []bool{true})
	}
	return err
}

// attendRowGraph is attendGraph for one row (int32 [1]) of a stripe that begins at the row from.
func (m *Model) attendRowGraph(rows, from, keys int, kind layerKind) func(b *program.Builder) []*Node {
	t := m.local.Text
	return func(b *program.Builder) []*Node {
		row := ExpandAxes(b.Input("row", dtypes.Int32, 1), -1)
		x := Gather(b.Input("x", dtypes.Float32, rows, t.Hidden), row)
		q := Gather(Transpose(b.Input("q", dtypes.Float32, t.Heads, rows, t.HeadDim), 0, 1), row) // [1, heads, headDim]
		k := b.Input("k", dtypes.Float32, t.KVHeads, keys, t.HeadDim)
		v := b.Input("v", dtypes.Float32, t.KVHeads, keys, t.HeadDim)
		gate := optional(b, t.OutputGate, "gate", rows, t.Heads*t.HeadDim)
		if gate != nil {
			gate = Gather(gate, row)
		}
		p := m.declare(b, layerParams(t, kind))
		seen := LessOrEqual(Iota(b.G, shapes.Make(dtypes.Int32, keys), 0), AddScalar(Reshape(row, 1), from))
		attention := nn.MaskedAttention(m.runtime.Traits, nn.HeadsFirst(q), k, v, seen)
		return m.feedForward(p, m.attended(p, x, attention, gate), kind)
	}
}

// hostEnds says whether the host's loops take the last row through the rest of a layer whose rows programs have projected.
func (p *prompt) hostEnds(layer int) bool {
	kind := p.m.Spec.Text.kindAt(layer)
	return hostmath.HasVectors() && p.m.hostComputes(kind) && p.m.hostKind(kind)
}

// hostLastLayer is the last layer where the host runs prompts.
func (p *prompt) hostLastLayer(ctx context.Context, layer int, l *hostPrompt) error {
	t, last := p.m.Spec.Text, len(p.layout.IDs)-1
	r := hostLastRow{keys: l.keys, values: l.values}
	err := p.hostRows(ctx, func(x, cos, sin []float32, from, n int) {
		at := l.project(l.w.params, x, cos, sin, n)
		l.keep(at, from, n)
		if last >= from && last < from+n {
			wide := t.Heads * t.HeadDim
			r.x, r.queries = x[(last-from)*t.Hidden:][:t.Hidden], at.queries[(last-from)*wide:][:wide]
			if at.gate != nil {
				r.gate = at.gate[(last-from)*wide:][:wide]
			}
		}
	})
	if err != nil {
		return err
	}
	return p.hostEnd(ctx, layer, r)
}

// hostLastRow is the last token before the attention of the last layer: its state x [hidden], its queries [heads, headDim], which are scaled
// already, and their gate or nil, and the keys and values [kvHeads, rows, headDim] that they read.
type hostLastRow struct{ x, queries, gate, keys, values []float32 }

// hostRowOf is a row of a stripe, of which programs have made own, as projectGraph returns it, and keys and values of all rows.
func (p *prompt) hostRowOf(s promptStripe, row int, own, left []compute.Buffer) (r hostLastRow, err error) {
	view := func(b compute.Buffer) (flat []float32) {
		if err == nil {
			flat, err = hostView[float32](b)
		}
		return flat
	}
	t := p.m.Spec.Text
	x, queries := view(s.x), view(own[0]) // [rows, hidden], and [heads, rows, headDim], not scaled
	r.keys, r.values = view(left[0]), view(left[1])
	wide := t.Heads * t.HeadDim
	var gate []float32 // [rows, heads·headDim]
	if t.OutputGate {
		gate = view(own[3])
	}
	if err != nil {
		return r, err
	}
	r.x, r.queries = x[row*t.Hidden:][:t.Hidden], p.room.floats("queries", wide)
	for head := range t.Heads {
		copy(r.queries[head*t.HeadDim:][:t.HeadDim], queries[(head*s.rows+row)*t.HeadDim:])
	}
	scale(r.queries, float32(1/math.Sqrt(float64(t.HeadDim))))
	if gate != nil {
		r.gate = gate[row*wide:][:wide]
	}
	return r, nil
}

// hostEnd is end by the host's loops.
func (p *prompt) hostEnd(ctx context.Context, layer int, r hostLastRow) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	m, t := p.m, p.m.Spec.Text
	host, err := m.onHost()
	if err != nil {
		return err
	}
	b, x, err := m.hostBuffer(1, t.Hidden)
	if err != nil {
		return err
	}
	p.last = b
	copy(x, r.x)
	dim, length := t.HeadDim, len(p.layout.IDs)
	width := t.Heads / t.KVHeads * dim
	l := hostLayers{m, p.room}
	program.Paced(ctx, func() {
		read := l.room.floats("read", t.Heads*dim)
		hostmath.Parallel(t.KVHeads, 2*width*length, func(from, to int) {
			scores := make([]float32, t.Heads/t.KVHeads*length)
			for head := from; head < to; head++ {
				n := p.rows * dim
				hostmath.AttendRows(read[head*width:][:width], r.queries[head*width:][:width], r.keys[head*n:][:n], r.values[head*n:][:n], scores, dim, length)
			}
		})
		l.attended(host.layers[layer].params, x, read, r.gate, 1)
		l.feedForward(host.layers[layer], x, 1)
	})
	return nil
}
