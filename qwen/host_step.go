package qwen

import (
	"context"
	"fmt"
	"math"

	"github.com/gomlx/compute"

	"github.com/omnidocs/omnidocs/internal/hostmath"
	"github.com/omnidocs/omnidocs/internal/program"
)

// This file is a step through a layer as the host runs it itself, in place of the programs of step.apart, with the same result: where
// host and device are one, most of a step of a small model is what a program costs beside its numbers, and the products of a large
// one use one core of all.

// hostStep is what the host needs for a step beside the cache.
type hostStep struct {
	m        *Model
	cache    *Cache
	active   []bool
	cos, sin []float32 // [slots, rotaryDim/2]
	room     map[string][]float32
}

// floats are n numbers for a purpose, the same for each layer.
func (s *hostStep) floats(purpose string, n int) []float32 {
	if s.room[purpose] == nil {
		s.room[purpose] = make([]float32, n)
	}
	return s.room[purpose]
}

// layer runs one layer on x [slots, hidden], in place.
func (s *hostStep) layer(ctx context.Context, i int, x compute.Buffer) (err error) {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	rows, err := hostView[float32](x)
	if err != nil {
		return err
	}
	p, err := s.m.hostLayer(i)
	if err != nil {
		return err
	}
	program.Paced(ctx, func() {
		if err = s.attention(i, p, rows); err == nil {
			s.feedForward(p, rows)
		}
	})
	return err
}

// attention adds what the heads read to the residual x. See Model.project for the order in qkv.
func (s *hostStep) attention(layer int, p hostParams, x []float32) error {
	t, slots := s.m.Spec.Text, s.cache.slots
	dim, wide := t.HeadDim, t.Heads
	if t.OutputGate { // each head's query is followed by its gate
		wide *= 2
	}
	width := (wide + 2*t.KVHeads) * dim
	h, qkv := s.floats("normed", len(x)), s.floats("qkv", slots*width)
	queries := s.floats("queries", slots*t.Heads*dim)
	keys, values := s.floats("keys", slots*t.KVHeads*dim), s.floats("values", slots*t.KVHeads*dim)
	hostmath.RMSNorm(h, x, p.vector("input_layernorm.weight"), t.NormEps)
	p["qkv"].Mul(qkv, h, slots)
	bias := p.vector("qkv.bias")
	for slot := range slots {
		row := qkv[slot*width:][:width]
		add(row, bias)
		q, k, v := queries[slot*t.Heads*dim:][:t.Heads*dim], keys[slot*t.KVHeads*dim:][:t.KVHeads*dim], values[slot*t.KVHeads*dim:][:t.KVHeads*dim]
		for head := range t.Heads {
			copy(q[head*dim:][:dim], row[head*wide/t.Heads*dim:])
		}
		copy(k, row[wide*dim:])
		copy(v, row[(wide+t.KVHeads)*dim:])
		if t.QKNorm {
			hostmath.RMSNorm(q, q, p.vector("self_attn.q_norm.weight"), t.NormEps)
			hostmath.RMSNorm(k, k, p.vector("self_attn.k_norm.weight"), t.NormEps)
		}
		half := t.RotaryDim / 2
		cos, sin := s.cos[slot*half:][:half], s.sin[slot*half:][:half]
		hostmath.Rotate(q, dim, cos, sin)
		hostmath.Rotate(k, dim, cos, sin)
		scale(q, float32(1/math.Sqrt(float64(dim))))
	}
	if err := appendRows(s.cache, layer, keys, values, s.active); err != nil {
		return err
	}
	read := s.floats("read", slots*t.Heads*dim)
	if err := s.read(layer, read, queries); err != nil {
		return err
	}
	if t.OutputGate {
		for i := range read {
			slot, head, at := i/(t.Heads*dim), i/dim%t.Heads, i%dim
			read[i] *= hostmath.Sigmoid(qkv[slot*width+(2*head+1)*dim+at])
		}
	}
	p["self_attn.o_proj.weight"].Mul(h, read, slots)
	add(x, h)
	return nil
}

// read is the attention of each slot's query [heads, headDim] against the rows of its own sequence; idle slots read zeros.
func (s *hostStep) read(layer int, out, queries []float32) error {
	t := s.m.Spec.Text
	dim, longest, total := t.HeadDim, 0, 0
	rows := make([][2][]float32, s.cache.slots)
	for slot, on := range s.active {
		if !on {
			continue
		}
		for j, b := range s.cache.layers[layer].rows[slot].kept {
			var err error
			if rows[slot][j], err = hostView[float32](b); err != nil {
				return err
			}
		}
		longest, total = max(longest, int(s.cache.length[slot])+1), total+int(s.cache.length[slot])+1
	}
	tasks := s.cache.slots * t.Heads
	hostmath.Parallel(tasks, 2*dim*total/s.cache.slots, func(from, to int) {
		scores := make([]float32, longest)
		for task := from; task < to; task++ {
			slot, head := task/t.Heads, task%t.Heads
			y := out[task*dim:][:dim]
			if !s.active[slot] {
				clear(y)
				continue
			}
			n := s.cache.layers[layer].rows[slot].capacity * dim
			kv := head / (t.Heads / t.KVHeads)
			hostmath.Attend(y, queries[task*dim:][:dim], rows[slot][0][kv*n:][:n], rows[slot][1][kv*n:][:n], scores, int(s.cache.length[slot])+1)
		}
	})
	return nil
}

// feedForward adds the feed-forward network to the residual x.
func (s *hostStep) feedForward(p hostParams, x []float32) {
	t, slots := s.m.Spec.Text, s.cache.slots
	h, both := s.floats("normed", len(x)), s.floats("gate_up", 2*slots*t.Intermediate)
	inner := s.floats("inner", slots*t.Intermediate)
	hostmath.RMSNorm(h, x, p.vector("post_attention_layernorm.weight"), t.NormEps)
	p["gate_up"].Mul(both, h, slots)
	for slot := range slots {
		hostmath.SwiGLU(inner[slot*t.Intermediate:][:t.Intermediate], both[2*slot*t.Intermediate:][:2*t.Intermediate])
	}
	p["down"].Mul(h, inner, slots)
	add(x, h)
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

// hostLayer is a layer's parameters as the host sees them.
func (m *Model) hostLayer(i int) (hostParams, error) {
	m.hostOnce.Do(func() {
		t := m.Spec.Text
		m.hostLayers = make([]hostParams, t.Layers)
		for j := range m.hostLayers {
			if kind := t.kindAt(j); m.hostComputes(kind) && m.hostErr == nil {
				m.hostLayers[j], m.hostErr = m.hostGroup(groupLayer(j), layerParams(t, kind))
			}
		}
	})
	if m.hostErr != nil {
		return nil, fmt.Errorf("weights on the host: %w", m.hostErr)
	}
	return m.hostLayers[i], nil
}
