package qwen

import (
	"math"
	"sync"

	"github.com/omnidocs/omnidocs/internal/hostmath"
)

// hostLayers runs the layers of the text tower on the host itself, in place of programs and with the same result, on n rows of tokens: one of
// each sequence, or some of one prompt. Attention is what differs between the two, and is theirs.
type hostLayers struct {
	m    *Model
	room hostRoom
}

// hostRoom is memory for numbers of several purposes, used again.
type hostRoom map[string][]float32

// roomPool keeps rooms for the next use, until the garbage collector finds them idle. The zero value is ready.
type roomPool struct{ kept sync.Pool }

func (p *roomPool) take() hostRoom {
	if room, ok := p.kept.Get().(hostRoom); ok {
		return room
	}
	return hostRoom{}
}

func (p *roomPool) put(room hostRoom) { p.kept.Put(room) }

// Rooms grow to what they are used for, so that each use has its own: pages, the attention of a page on a core, and steps.
var pageRooms, attentionRooms, stepRooms roomPool

// floats are n numbers for a purpose, whatever they are.
func (r hostRoom) floats(purpose string, n int) []float32 {
	if cap(r[purpose]) < n {
		r[purpose] = make([]float32, n)
	}
	return r[purpose][:n]
}

// eachHostRow calls f for each of n rows, on all cores where each costs so many multiplications that it is worth it.
func eachHostRow(n, cost int, f func(i int)) {
	hostmath.Parallel(n, cost, func(from, to int) {
		for i := from; i < to; i++ {
			f(i)
		}
	})
}

// projected are rotated queries [n, heads, headDim], which are scaled already, keys and values [n, kvHeads, headDim], and the gate of
// what the queries read, as large as they, or nil.
type projected struct{ queries, keys, values, gate []float32 }

// project is the first part of a layer for x [n, hidden], with the cosines and sines of each row's angles [n, rotaryDim/2]. See
// Model.project for the order in qkv.
func (l *hostLayers) project(p hostParams, x, cos, sin []float32, n int) projected {
	t := l.m.Spec.Text
	dim, wide := t.HeadDim, t.Heads
	if t.OutputGate { // each head's query is followed by its gate
		wide *= 2
	}
	width := (wide + 2*t.KVHeads) * dim
	h, qkv := l.room.floats("normed", len(x)), l.room.floats("qkv", n*width)
	out := projected{
		queries: l.room.floats("queries", n*t.Heads*dim),
		keys:    l.room.floats("keys", n*t.KVHeads*dim),
		values:  l.room.floats("values", n*t.KVHeads*dim),
	}
	if t.OutputGate {
		out.gate = l.room.floats("gate", n*t.Heads*dim)
	}
	l.norm(h, x, p.vector("input_layernorm.weight"))
	p["qkv"].Mul(qkv, h, n)
	bias, half := p.vector("qkv.bias"), t.RotaryDim/2
	eachHostRow(n, 4*width, func(i int) {
		row := qkv[i*width:][:width]
		add(row, bias)
		q, k, v := out.queries[i*t.Heads*dim:][:t.Heads*dim], out.keys[i*t.KVHeads*dim:][:t.KVHeads*dim], out.values[i*t.KVHeads*dim:][:t.KVHeads*dim]
		for head := range t.Heads {
			from := row[head*wide/t.Heads*dim:]
			copy(q[head*dim:][:dim], from)
			if out.gate != nil {
				copy(out.gate[(i*t.Heads+head)*dim:][:dim], from[dim:])
			}
		}
		copy(k, row[wide*dim:])
		copy(v, row[(wide+t.KVHeads)*dim:])
		if t.QKNorm {
			hostmath.RMSNorm(q, q, p.vector("self_attn.q_norm.weight"), t.NormEps)
			hostmath.RMSNorm(k, k, p.vector("self_attn.k_norm.weight"), t.NormEps)
		}
		c, s := cos[i*half:][:half], sin[i*half:][:half]
		hostmath.Rotate(q, dim, c, s)
		hostmath.Rotate(k, dim, c, s)
		scale(q, float32(1/math.Sqrt(float64(dim))))
	})
	return out
}

// attended adds what the heads have read, [n, heads·headDim], of which nothing is left, to the residual x [n, hidden].
func (l *hostLayers) attended(p hostParams, x, read, gate []float32, n int) {
	h := l.room.floats("normed", len(x))
	if gate != nil {
		wide := len(gate) / n
		eachHostRow(n, 16*wide, func(i int) {
			row := read[i*wide:][:wide]
			for j, g := range gate[i*wide:][:wide] {
				row[j] *= hostmath.Sigmoid(g)
			}
		})
	}
	p["self_attn.o_proj.weight"].Mul(h, read, n)
	add(x, h)
}

// feedForward adds the feed-forward network, or the experts, to the residual x [n, hidden].
func (l *hostLayers) feedForward(w hostLayerWeights, x []float32, n int) {
	h := l.room.floats("normed", len(x))
	l.norm(h, x, w.params.vector("post_attention_layernorm.weight"))
	if w.experts != nil {
		l.mix(w.params, w.experts, x, h, n)
		return
	}
	add(x, l.network(w.params, h, n, l.m.Spec.Text.Intermediate))
}

// network is a gated feed-forward network of an inner width, for h [n, hidden].
func (l *hostLayers) network(p hostParams, h []float32, n, inner int) []float32 {
	both, gated, y := l.room.floats("gate_up", 2*n*inner), l.room.floats("inner", n*inner), l.room.floats("down", len(h))
	p["gate_up"].Mul(both, h, n)
	eachHostRow(n, 32*inner, func(i int) { // an exponential function costs as much as some products
		hostmath.SwiGLU(gated[i*inner:][:inner], both[2*i*inner:][:2*inner])
	})
	p["down"].Mul(y, gated, n)
	return y
}

// norm normalizes each row of x.
func (l *hostLayers) norm(out, x, weight []float32) {
	n, eps := len(weight), l.m.Spec.Text.NormEps
	eachHostRow(len(x)/n, 4*n, func(i int) { hostmath.RMSNorm(out[i*n:][:n], x[i*n:][:n], weight, eps) })
}

func add(x, y []float32) {
	for i, v := range y {
		x[i] += v
	}
}

func scale(x []float32, by float32) {
	for i := range x {
		x[i] *= by
	}
}
