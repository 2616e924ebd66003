package qwen

import (
	"context"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/dtypes/bfloat16"

	"github.com/omnidocs/omnidocs/internal/hostmath"
	"github.com/omnidocs/omnidocs/internal/program"
)

// This file is a step through a layer as the host runs it itself, in place of the programs of step.apart, with the same result: where
// host and device are one, most of a step of a small model is what a program costs beside its numbers, and the products of a large
// one use one core of all.

// hostStep is a step on its way through the layers, as the host runs them. It computes the rows of the active slots alone.
type hostStep struct {
	hostLayers
	cache    *Cache
	slots    []int     // that are active: n of them
	cos, sin []float32 // [n, rotaryDim/2]
}

// newHostStep is a step of the active slots, with the angles of all.
func newHostStep(m *Model, cache *Cache, active []bool, turn angles) *hostStep {
	s, half := &hostStep{hostLayers: hostLayers{m, stepRooms.take()}, cache: cache}, m.Spec.Text.RotaryDim/2
	for slot, on := range active {
		if on {
			s.slots = append(s.slots, slot)
			s.cos = append(s.cos, turn.cos[slot*half:][:half]...)
			s.sin = append(s.sin, turn.sin[slot*half:][:half]...)
		}
	}
	return s
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
	w, n, hidden := host.layers[i], len(s.slots), s.m.Spec.Text.Hidden
	program.Paced(ctx, func() {
		active := s.room.floats("active", n*hidden)
		for j, slot := range s.slots {
			copy(active[j*hidden:][:hidden], rows[slot*hidden:])
		}
		if w.delta != nil {
			err = s.delta(i, w, active)
		} else {
			err = s.attention(i, w, active)
		}
		if err != nil {
			return
		}
		s.feedForward(w, active, n)
		for j, slot := range s.slots {
			copy(rows[slot*hidden:][:hidden], active[j*hidden:])
		}
	})
	return err
}

// attention is the first part of a layer: all but the feed-forward network.
func (s *hostStep) attention(layer int, w hostLayerWeights, x []float32) error {
	n := len(s.slots)
	at := s.project(w.params, x, s.cos, s.sin, n)
	read := s.room.floats("read", len(at.queries))
	if err := s.attend(layer, read, at); err != nil {
		return err
	}
	s.attended(w.params, x, read, at.gate, n)
	return nil
}

// attend puts the new keys and values into the cache, and what the queries read there into read.
func (s *hostStep) attend(layer int, read []float32, at projected) error {
	if s.m.cacheType() == dtypes.BFloat16 {
		if err := appendRows(s.cache, layer, bfloat16.FromFloat32s(at.keys...), bfloat16.FromFloat32s(at.values...), s.slots); err != nil {
			return err
		}
		return attendRows[bfloat16.BFloat16](s, layer, read, at.queries)
	}
	if err := appendRows(s.cache, layer, at.keys, at.values, s.slots); err != nil {
		return err
	}
	return attendRows[float32](s, layer, read, at.queries)
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
