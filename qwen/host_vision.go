package qwen

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/gomlx/compute"

	"github.com/omnidocs/omnidocs/internal/hostmath"
	"github.com/omnidocs/omnidocs/internal/nn"
	"github.com/omnidocs/omnidocs/internal/program"
)

// This file is the vision tower as the host runs it itself, in place of the programs of vision.go and with the same result.

// hostActivations are activations as the host computes them.
var hostActivations = map[string]hostmath.Activation{
	"quick_gelu": hostmath.QuickGELU, "gelu_pytorch_tanh": hostmath.GELUTanh, "gelu": hostmath.GELU, "silu": hostmath.SiLU,
}

// hostEncoding is an encoding on the host.
type hostEncoding struct {
	*encoding
	host hostWeights
	room hostRoom
	in   placed
	hide []float32 // see nn.Hide; nil where there is no padding
	x    []float32 // [rows, hidden]
	// segment is how many rows see each other in the block that is run. Queries are [rows, heads, headDim] and scaled, keys, on their side,
	// [segments, heads, wide(headDim), wide(segment)], and values [segments, heads, wide(segment), wide(headDim)].
	segment               int
	queries, keys, values []float32
}

// runHost is run as the host does it.
func (e *encoding) runHost(ctx context.Context, out *Visual) error {
	host, err := e.m.onHost()
	if err != nil {
		return err
	}
	v := e.m.Spec.Vision
	room := pageRooms.take()
	defer pageRooms.put(room)
	h := &hostEncoding{
		encoding: e, host: host, room: room, x: room.floats("patches", e.rows*v.Hidden), queries: room.floats("queries", e.rows*v.Hidden),
	}
	if e.images == 1 {
		h.in.place(v, e.pictures[0], e.order)
	} else {
		for _, image := range e.pictures {
			h.in.place(v, image, image.order)
		}
	}
	if e.padded {
		h.hide = nn.Hide(e.there())
	}
	if err := h.eachRows(ctx, h.embed); err != nil {
		return err
	}
	h.in.pixels = nil
	for i := range v.Depth {
		if err := h.block(ctx, i); err != nil {
			return err
		}
		if j := slices.Index(v.Deepstack, i); j >= 0 {
			rows, err := h.merge(ctx, host.deepstack[j])
			if err != nil {
				return err
			}
			out.deepstack = append(out.deepstack, rows)
		}
	}
	out.rows, err = h.merge(ctx, host.merger)
	return err
}

// eachRows calls f for runs of the patches, each of whole visual tokens.
func (e *hostEncoding) eachRows(ctx context.Context, f func(from, to int)) error {
	unit := e.m.Spec.Vision.MergeSize * e.m.Spec.Vision.MergeSize
	step := max(1, hostRowsAtOnce/unit) * unit
	for from := 0; from < e.rows; from += step {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		program.Paced(ctx, func() { f(from, min(e.rows, from+step)) })
	}
	return nil
}

// linear applies the linear layer of that key to x [n, in].
func (e *hostEncoding) linear(purpose string, p hostParams, key string, x []float32, n int, act hostmath.Activation) []float32 {
	w, bias := p[key+".weight"], p.vector(key+".bias")
	out := w.Out()
	y := e.room.floats(purpose, n*out)
	w.Mul(y, x, n)
	eachHostRow(n, 16*out, func(i int) {
		row := y[i*out:][:out]
		add(row, bias)
		if act != nil {
			act(row)
		}
	})
	return y
}

// norm applies the norm of that key to x [n, hidden].
func (e *hostEncoding) norm(p hostParams, key string, x []float32) []float32 {
	weight, bias := p.vector(key+".weight"), p.vector(key+".bias")
	out, n := e.room.floats("normed", len(x)), len(weight)
	hostmath.Parallel(len(x)/n, 8*n, func(from, to int) {
		if e.m.Spec.Vision.RMSNorm {
			hostmath.RMSNorm(out[from*n:to*n], x[from*n:to*n], weight, visionNormEps)
		} else {
			hostmath.LayerNorm(out[from*n:to*n], x[from*n:to*n], weight, bias, visionNormEps)
		}
	})
	return out
}

// embed is patchGraph for some rows.
func (e *hostEncoding) embed(from, to int) {
	v, p := e.m.Spec.Vision, e.host.patch
	pixels, x := e.in.pixels[from*v.PatchDim():to*v.PatchDim()], e.x[from*v.Hidden:to*v.Hidden]
	copy(x, e.linear("embedded", p, "patch_embed.proj", pixels, to-from, nil))
	if v.PositionSide == 0 {
		return
	}
	table := p["pos_embed.weight"]
	hostmath.Parallel(to-from, 8*v.Hidden, func(first, last int) {
		tap := make([]float32, v.Hidden)
		for i := first; i < last; i++ {
			row := x[i*v.Hidden:][:v.Hidden]
			for j := (from + i) * 4; j < (from+i+1)*4; j++ {
				table.Row(tap, int(e.in.at.index[j]))
				weight := e.in.at.weight[j]
				for d, value := range tap {
					row[d] += weight * value
				}
			}
		}
	})
}

// block runs one transformer block.
func (e *hostEncoding) block(ctx context.Context, i int) error {
	v, p := e.m.Spec.Vision, e.host.blocks[i]
	e.segment = e.rows / e.images
	if v.windowedAt(i) {
		e.segment = v.Window * v.MergeSize * v.Window * v.MergeSize
	}
	size := e.rows / e.segment * v.Heads * e.headSize()
	e.keys, e.values = e.room.floats("keys", size), e.room.floats("values", size)
	if err := e.eachRows(ctx, func(from, to int) { e.heads(p, from, to) }); err != nil {
		return err
	}
	return e.eachRows(ctx, func(from, to int) { e.rest(p, from, to) })
}

// headSize is how large the keys of a segment's head are, and its values.
func (e *hostEncoding) headSize() int { return wide(e.m.Spec.Vision.HeadDim()) * wide(e.segment) }

// heads is blockHeads for some rows.
func (e *hostEncoding) heads(p hostParams, from, to int) {
	v := e.m.Spec.Vision
	dim, half := v.HeadDim(), v.HeadDim()/2
	qkv := e.linear("qkv", p, "attn.qkv", e.norm(p, "norm1", e.x[from*v.Hidden:to*v.Hidden]), to-from, nil)
	eachHostRow(v.Heads, 8*dim*(to-from), func(head int) {
		turned := make([]float32, dim)
		for row := from; row < to; row++ {
			at := qkv[(row-from)*3*v.Hidden+head*dim:]
			cos, sin := e.in.cos[row*half:][:half], e.in.sin[row*half:][:half]
			q := e.queries[row*v.Hidden+head*dim:][:dim]
			copy(q, at)
			hostmath.Rotate(q, dim, cos, sin)
			scale(q, float32(1/math.Sqrt(float64(dim))))
			copy(turned, at[v.Hidden:])
			hostmath.Rotate(turned, dim, cos, sin)
			place := (row/e.segment*v.Heads + head) * e.headSize()
			keys, values := e.keys[place+row%e.segment:], e.values[place+row%e.segment*wide(dim):]
			for d, value := range turned {
				keys[d*wide(e.segment)] = value
			}
			copy(values[:dim], at[2*v.Hidden:])
		}
	})
}

// rest is blockRest for some rows, with their attention.
func (e *hostEncoding) rest(p hostParams, from, to int) {
	v, n := e.m.Spec.Vision, to-from
	read, x := e.room.floats("read", n*v.Hidden), e.x[from*v.Hidden:to*v.Hidden]
	for first := from; first < to; { // the rows of one segment at a time
		segment := first / e.segment
		own, last := segment*e.segment, min(to, (segment+1)*e.segment)
		var mask func(i int, scores []float32)
		if e.hide != nil {
			mask = func(_ int, scores []float32) { add(scores, e.hide[own:own+e.segment]) }
		}
		hostAttention(read[(first-from)*v.Hidden:], e.queries[first*v.Hidden:last*v.Hidden], last-first, v.Heads, v.HeadDim(), func(head, _ int) hostKeys {
			at := (segment*v.Heads + head) * e.headSize()
			return hostKeys{keys: e.keys[at:][:e.headSize()], values: e.values[at:][:e.headSize()], n: e.segment, mask: mask}
		})
		first = last
	}
	add(x, e.linear("projected", p, "attn.proj", read, n, nil))
	h, act := e.norm(p, "norm2", x), hostActivations[v.Activation]
	if !v.Gated {
		first, second := v.feedForwardKeys()
		add(x, e.linear("projected", p, second, e.linear("inner", p, first, h, n, act), n, nil))
		return
	}
	both, wide := e.linear("inner", p, "gate_up", h, n, nil), v.Intermediate
	inner := e.room.floats("gated", n*wide)
	eachHostRow(n, 16*wide, func(i int) {
		gate, up, to := both[2*i*wide:][:wide], both[(2*i+1)*wide:][:wide], inner[i*wide:][:wide]
		act(gate)
		for j, g := range gate {
			to[j] = g * up[j]
		}
	})
	add(x, e.linear("projected", p, "mlp.down_proj", inner, n, nil))
}

// merge is mergerGraph for all rows.
func (e *hostEncoding) merge(ctx context.Context, p hostParams) (compute.Buffer, error) {
	v := e.m.Spec.Vision
	unit := v.MergeSize * v.MergeSize
	b, rows, err := e.m.hostBuffer(e.rows/unit, v.OutHidden)
	if err != nil {
		return nil, err
	}
	norm, first, second := v.mergerKeys()
	err = e.eachRows(ctx, func(from, to int) {
		x, n := e.norm(p, norm, e.x[from*v.Hidden:to*v.Hidden]), (to-from)/unit
		inner := e.linear("inner", p, first, x, n, hostmath.GELU)
		copy(rows[from/unit*v.OutHidden:], e.linear("merged", p, second, inner, n, nil))
	})
	if err != nil {
		return nil, errors.Join(err, b.Finalize())
	}
	return b, nil
}
