package qwen

import (
	"context"
	"errors"
	"math"

	"github.com/gomlx/compute"

	"github.com/omnidocs/omnidocs/internal/hostmath"
	"github.com/omnidocs/omnidocs/internal/nn"
)

// This file is a layer with a recurrent state as the host runs it, in place of the programs of delta.go and with the same result.

// hostDelta is what the host makes of such a layer's parameters, for it and not for the programs.
type hostDelta struct {
	taps []float32 // of the convolution, [kernel, channels]
	rate []float32 // exp(A_log), [valueHeads]
}

func newHostDelta(p hostParams, d DeltaSpec) *hostDelta {
	w := &hostDelta{taps: make([]float32, d.Kernel*d.Channels()), rate: make([]float32, d.ValueHeads)}
	for channel := range d.Channels() {
		row := make([]float32, d.Kernel)
		p["linear_attn.conv1d.weight"].Row(row, channel)
		for i, tap := range row {
			w.taps[i*d.Channels()+channel] = tap
		}
	}
	for head, log := range p.vector("linear_attn.A_log") {
		w.rate[head] = float32(math.Exp(float64(log)))
	}
	return w
}

// hostSequence is a run of rows that belong to one sequence, and what the layer keeps of it: the history [kernel-1, channels] and the
// state [valueHeads, keyDim, valueDim].
type hostSequence struct {
	from, rows     int
	history, state []float32
}

// delta is the first part of the layer for x [n, hidden], in place: all but the feed-forward network. See Model.deltaInputs, deltaHeads and
// deltaOutput.
func (l *hostLayers) delta(w hostLayerWeights, x []float32, n int, sequences []hostSequence) {
	t, d, p := l.m.Spec.Text, l.m.Spec.Text.Delta, w.params
	channels, keys, inner, heads := d.Channels(), d.KeyHeads*d.KeyDim, d.ValueHeads*d.ValueDim, d.ValueHeads
	width, group := channels+inner, d.ValueHeads/d.KeyHeads
	h, in, rates := l.room.floats("normed", len(x)), l.room.floats("in", n*width), l.room.floats("rates", n*2*heads)
	l.norm(h, x, p.vector("input_layernorm.weight"))
	p["in"].Mul(in, h, n)
	p["rates"].Mul(rates, h, n) // how much is written, then how much is forgotten

	mixed, read := l.room.floats("mixed", n*channels), l.room.floats("read", n*inner)
	past := d.Kernel - 1
	for _, s := range sequences {
		eachHostRow(s.rows, (d.Kernel+32)*channels, func(i int) {
			row := mixed[(s.from+i)*channels:][:channels]
			clear(row)
			for j := range d.Kernel {
				tap, at := w.delta.taps[j*channels:][:channels], s.history
				if i+j < past {
					at = at[(i+j)*channels:]
				} else {
					at = in[(s.from+i+j-past)*width:]
				}
				for c, v := range at[:channels] {
					row[c] += tap[c] * v
				}
			}
			hostmath.SiLU(row)
			unitLength(row[:keys], d.KeyDim, float32(nn.DeltaScale(d.KeyDim)))
			unitLength(row[keys:2*keys], d.KeyDim, 1)
		})
		for i := range past {
			to := s.history[i*channels:][:channels]
			if i+s.rows < past {
				copy(to, s.history[(i+s.rows)*channels:])
			} else {
				copy(to, in[(s.from+i+s.rows-past)*width:])
			}
		}
	}

	bias, norm, size := p.vector("linear_attn.dt_bias"), p.vector("linear_attn.norm.weight"), d.KeyDim*d.ValueDim
	hostmath.Parallel(len(sequences)*heads, 4*size*n/len(sequences), func(from, to int) {
		var room hostmath.DeltaRoom
		for task := from; task < to; task++ {
			s, head := sequences[task/heads], task%heads
			state := s.state[head*size:][:size]
			for i := s.from; i < s.from+s.rows; i++ {
				row, rate, out := mixed[i*channels:], rates[i*2*heads:], read[(i*heads+head)*d.ValueDim:][:d.ValueDim]
				step := math.Log1p(math.Exp(float64(rate[heads+head] + bias[head]))) // softplus
				if math.IsInf(step, 1) {
					step = float64(rate[heads+head] + bias[head])
				}
				decay := float32(math.Exp(-float64(w.delta.rate[head]) * step))
				q, k := row[head/group*d.KeyDim:][:d.KeyDim], row[keys+head/group*d.KeyDim:][:d.KeyDim]
				v := row[2*keys+head*d.ValueDim:][:d.ValueDim]
				hostmath.GatedDelta(out, state, q, k, v, decay, hostmath.Sigmoid(rate[head]), &room)
				hostmath.RMSNorm(out, out, norm, t.NormEps)
			}
		}
	})
	eachHostRow(n, 32*inner, func(i int) {
		gate, row := in[i*width+channels:][:inner], read[i*inner:][:inner]
		hostmath.SiLU(gate)
		for j, g := range gate {
			row[j] *= g
		}
	})
	p["linear_attn.out_proj.weight"].Mul(h, read, n)
	add(x, h)
}

// unitLength gives each head of a row the length one, and then the factor. See nn.UnitLength.
func unitLength(row []float32, dim int, factor float32) {
	for ; len(row) > 0; row = row[dim:] {
		var sum float32
		for _, v := range row[:dim] {
			sum += v * v
		}
		scale(row[:dim], factor/float32(math.Sqrt(float64(sum)+1e-6)))
	}
}

// delta runs such a layer on a new token of each active slot.
func (s *hostStep) delta(layer int, w hostLayerWeights, x []float32) error {
	var kept [2][]float32
	for i, b := range s.cache.layers[layer].kept {
		var err error
		if kept[i], err = hostView[float32](b); err != nil {
			return err
		}
	}
	var sequences []hostSequence
	history, state := len(kept[0])/s.cache.slots, len(kept[1])/s.cache.slots
	for i, slot := range s.slots {
		sequences = append(sequences, hostSequence{i, 1, kept[0][slot*history:][:history], kept[1][slot*state:][:state]})
	}
	s.hostLayers.delta(w, x, len(s.slots), sequences)
	return nil
}

// hostDeltaLayer is deltaLayer as the host runs it.
func (p *prompt) hostDeltaLayer(ctx context.Context, layer int) (left []compute.Buffer, err error) {
	m := p.m
	defer func() {
		if err != nil {
			err = errors.Join(err, buffers(left).free())
		}
	}()
	left, kept, err := m.hostStates(p.before(layer))
	if err != nil {
		return left, err
	}
	host, err := m.onHost()
	if err != nil {
		return left, err
	}
	l, w := hostLayers{m, p.room}, host.layers[layer]
	var markErr error
	err = p.hostRows(ctx, func(x, _, _ []float32, from, n int) {
		l.delta(w, x, n, []hostSequence{{0, n, kept[0], kept[1]}})
		l.feedForward(w, x, n)
		if mark := p.markAt(from + n); mark != nil {
			var err error
			mark.layers[layer], _, err = m.hostStates(left)
			markErr = errors.Join(markErr, err)
		}
	})
	return left, errors.Join(err, markErr)
}

// hostStates are a layer's history and state that the host can write, with their numbers: copies of others, or zeros in place of none. With
// an error there may be some of them.
func (m *Model) hostStates(of []compute.Buffer) (states []compute.Buffer, flats [2][]float32, err error) {
	for i, dims := range m.stateDims() {
		b, flat, err := m.hostBuffer(dims...)
		if err != nil {
			return states, flats, err
		}
		states, flats[i] = append(states, b), flat
		if of != nil {
			from, err := hostView[float32](of[i])
			if err != nil {
				return states, flats, err
			}
			copy(flat, from)
		}
	}
	return states, flats, nil
}
