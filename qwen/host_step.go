package qwen

import (
	"context"
	"math"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/dtypes/bfloat16"

	"github.com/omnidocs/omnidocs/internal/hostmath"
	"github.com/omnidocs/omnidocs/internal/program"
)

// This file is a step through a layer as the host runs it itself, in place of the programs of step.apart, with the same result: where
// host and device are one, most of a step of a small model is what a program costs beside its numbers, and the products of a large
// one use one core of all.

// hostStep is what the host needs for a step beside the cache. It computes the rows of the active slots alone.
type hostStep struct {
	m        *Model
	cache    *Cache
	slots    []int     // that are active: n of them
	cos, sin []float32 // [all slots, rotaryDim/2]
	room     map[string][]float32
}

// floats are n numbers for a purpose, the same for each layer.
func (s *hostStep) floats(purpose string, n int) []float32 {
	if s.room[purpose] == nil {
		s.room[purpose] = make([]float32, n)
	}
	return s.room[purpose]
}

// layer runs one layer on the active rows of x [all slots, hidden], in place.
func (s *hostStep) layer(ctx context.Context, i int, x compute.Buffer) (err error) {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if len(s.slots) == 0 {
		return nil
	}
	rows, err := hostView[float32](x)
	if err != nil {
		return err
	}
	host, err := s.m.onHost()
	if err != nil {
		return err
	}
	p, hidden := host.layers[i], s.m.Spec.Text.Hidden
	program.Paced(ctx, func() {
		active := s.floats("active", len(s.slots)*hidden)
		for j, slot := range s.slots {
			copy(active[j*hidden:][:hidden], rows[slot*hidden:])
		}
		if err = s.attention(i, p, active); err != nil {
			return
		}
		s.feedForward(p, active)
		for j, slot := range s.slots {
			copy(rows[slot*hidden:][:hidden], active[j*hidden:])
		}
	})
	return err
}

// attention adds what the heads read to the residual x [n, hidden]. See Model.project for the order in qkv.
func (s *hostStep) attention(layer int, p hostParams, x []float32) error {
	t, n := s.m.Spec.Text, len(s.slots)
	dim, wide := t.HeadDim, t.Heads
	if t.OutputGate { // each head's query is followed by its gate
		wide *= 2
	}
	width := (wide + 2*t.KVHeads) * dim
	h, qkv := s.floats("normed", len(x)), s.floats("qkv", n*width)
	queries := s.floats("queries", n*t.Heads*dim)
	keys, values := s.floats("keys", n*t.KVHeads*dim), s.floats("values", n*t.KVHeads*dim)
	hostmath.RMSNorm(h, x, p.vector("input_layernorm.weight"), t.NormEps)
	p["qkv"].Mul(qkv, h, n)
	bias := p.vector("qkv.bias")
	for i, slot := range s.slots {
		row := qkv[i*width:][:width]
		add(row, bias)
		q, k, v := queries[i*t.Heads*dim:][:t.Heads*dim], keys[i*t.KVHeads*dim:][:t.KVHeads*dim], values[i*t.KVHeads*dim:][:t.KVHeads*dim]
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
	read := s.floats("read", n*t.Heads*dim)
	var err error
	if s.m.cacheType() == dtypes.BFloat16 {
		if err = appendRows(s.cache, layer, bfloat16.FromFloat32s(keys...), bfloat16.FromFloat32s(values...), s.slots); err == nil {
			err = attendRows[bfloat16.BFloat16](s, layer, read, queries)
		}
	} else if err = appendRows(s.cache, layer, keys, values, s.slots); err == nil {
		err = attendRows[float32](s, layer, read, queries)
	}
	if err != nil {
		return err
	}
	if t.OutputGate {
		for i := range read {
			row, head, at := i/(t.Heads*dim), i/dim%t.Heads, i%dim
			read[i] *= hostmath.Sigmoid(qkv[row*width+(2*head+1)*dim+at])
		}
	}
	p["self_attn.o_proj.weight"].Mul(h, read, n)
	add(x, h)
	return nil
}

// attendRows is the attention of each active slot's queries [n, heads, headDim] against the rows of its own sequence. The heads that share keys
// and values read them together.
func attendRows[T float32 | bfloat16.BFloat16](s *hostStep, layer int, out, queries []float32) error {
	t := s.m.Spec.Text
	dim, longest, total := t.HeadDim, 0, 0
	rows := make([][2][]T, len(s.slots))
	for i, slot := range s.slots {
		for j, b := range s.cache.layers[layer].rows[slot].kept {
			var err error
			if rows[i][j], err = hostView[T](b); err != nil {
				return err
			}
		}
		length := int(s.cache.length[slot]) + 1
		longest, total = max(longest, length), total+length
	}
	group := t.Heads / t.KVHeads
	width := group * dim
	hostmath.Parallel(len(s.slots)*t.KVHeads, 2*width*total/len(s.slots), func(from, to int) {
		scores := make([]float32, group*longest)
		for task := from; task < to; task++ {
			i, head := task/t.KVHeads, task%t.KVHeads
			n := s.cache.layers[layer].rows[s.slots[i]].capacity * dim
			keys, values := rows[i][0][head*n:][:n], rows[i][1][head*n:][:n]
			length := int(s.cache.length[s.slots[i]]) + 1
			hostmath.Attend(out[task*width:][:width], queries[task*width:][:width], keys, values, scores, dim, length)
		}
	})
	return nil
}

// feedForward adds the feed-forward network to the residual x [n, hidden].
func (s *hostStep) feedForward(p hostParams, x []float32) {
	t, n := s.m.Spec.Text, len(s.slots)
	h, both := s.floats("normed", len(x)), s.floats("gate_up", 2*n*t.Intermediate)
	inner := s.floats("inner", n*t.Intermediate)
	hostmath.RMSNorm(h, x, p.vector("post_attention_layernorm.weight"), t.NormEps)
	p["gate_up"].Mul(both, h, n)
	hostmath.Parallel(n, 32*t.Intermediate, func(from, to int) { // an exponential function costs as much as some products
		for row := from; row < to; row++ {
			hostmath.SwiGLU(inner[row*t.Intermediate:][:t.Intermediate], both[2*row*t.Intermediate:][:2*t.Intermediate])
		}
	})
	p["down"].Mul(h, inner, n)
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
