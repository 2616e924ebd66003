package qwen

import (
	"context"
	"errors"
	"math"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"

	"github.com/omnidocs/omnidocs/internal/hostmath"
	"github.com/omnidocs/omnidocs/internal/program"
)

// hostRowsAtOnce is how many rows of a prompt or an image go through a layer on the host together: what is between its products is no larger
// then, and the context is obeyed between them.
const hostRowsAtOnce = 256

// hostQueries is how many queries of a head are multiplied with its keys together.
const hostQueries = 64

// hostTower says whether the host runs prompts and images itself, in so far as it can run a layer.
func (m *Model) hostTower() bool {
	r := m.runtime
	return r.HostPrompt && r.HostStep && r.HostCache && hostmath.HasVectors() && m.mesh.Size() == 1 && m.dtype != dtypes.Float16
}

// matrixElements bounds the elements of a buffer with a matrix, as the runtime has it for its programs; 0 is no bound.
func (m *Model) matrixElements() int {
	if m.hostTower() {
		return 0
	}
	return m.runtime.MatrixElements
}

// hostPrompts says whether the host runs prompts through layers of a kind.
func (m *Model) hostPrompts(kind layerKind) bool {
	return m.hostTower() && m.hostKind(kind)
}

// hostKind says whether the host's loops fit a kind of layer.
func (m *Model) hostKind(kind layerKind) bool {
	if kind.linear {
		return m.Spec.Text.Delta.ValueDim%hostmath.ColumnMultiple == 0
	}
	return m.Spec.Text.HeadDim%hostmath.ColumnMultiple == 0
}

// wide is how wide rows of n numbers are on the host, so that vectors fill them.
func wide(n int) int {
	return (n + hostmath.ColumnMultiple - 1) / hostmath.ColumnMultiple * hostmath.ColumnMultiple
}

// hostAttentionLayer is attentionLayer as the host runs it.
func (p *prompt) hostAttentionLayer(ctx context.Context, layer int) (left []compute.Buffer, err error) {
	l, left, err := p.hostLayer(layer)
	switch {
	case err != nil:
	case p.endsWithRow(layer):
		err = p.hostLastLayer(ctx, layer, l)
	default:
		err = p.hostRows(ctx, l.run)
	}
	if err != nil {
		err = errors.Join(err, buffers(left).free())
	}
	return left, err
}

// hostLayer is a layer as the host runs it, and its keys and values, which the caller frees, after an error too. Those of the prefix are in them.
func (p *prompt) hostLayer(layer int) (l *hostPrompt, left []compute.Buffer, err error) {
	m, t := p.m, p.m.Spec.Text
	var kept [2][]float32
	for i := range kept {
		b, flat, err := m.hostBuffer(t.KVHeads, p.rows, t.HeadDim)
		if err != nil {
			return nil, left, err
		}
		left, kept[i] = append(left, b), flat
	}
	host, err := m.onHost()
	if err != nil {
		return nil, left, err
	}
	l = &hostPrompt{hostLayers: hostLayers{m, p.room}, w: host.layers[layer], rows: p.rows, keys: kept[0], values: kept[1]}
	if !p.endsWithRow(layer) {
		l.columns = l.room.floats("columns", t.KVHeads*t.HeadDim*wide(p.rows))
	}
	if p.first > 0 {
		err = l.begin(p.behind, layer, p.first)
	}
	return l, left, err
}

// hostBuffer makes a buffer of zeros that the host can write, with its numbers.
func (m *Model) hostBuffer(dims ...int) (compute.Buffer, []float32, error) {
	b, _, err := m.mesh.Shared(shapes.Make(dtypes.Float32, dims...))
	if err != nil {
		return nil, nil, err
	}
	flat, err := hostView[float32](b)
	if err != nil {
		return nil, nil, errors.Join(err, b.Finalize())
	}
	clear(flat)
	return b, flat, nil
}

// hostRow is a copy of one row of x [rows, hidden].
func (p *prompt) hostRow(x compute.Buffer, row int) (compute.Buffer, error) {
	from, err := hostView[float32](x)
	if err != nil {
		return nil, err
	}
	hidden := p.m.Spec.Text.Hidden
	b, to, err := p.m.hostBuffer(1, hidden)
	if err != nil {
		return nil, err
	}
	copy(to, from[row*hidden:])
	return b, nil
}

// hostRows calls f for runs of n rows of the prompt, from the first on: x [n, hidden], and the cosines and sines of their angles.
func (p *prompt) hostRows(ctx context.Context, f func(x, cos, sin []float32, from, n int)) error {
	hidden, half := p.m.Spec.Text.Hidden, p.m.Spec.Text.RotaryDim/2
	for _, s := range p.stripes {
		var flat [3][]float32
		for i, b := range []compute.Buffer{s.x, s.cos, s.sin} {
			var err error
			if flat[i], err = hostView[float32](b); err != nil {
				return err
			}
		}
		end := min(s.rows, len(p.layout.IDs)-s.from) // what is behind is padding
		for from := 0; from < end; from += hostRowsAtOnce {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			to := min(end, from+hostRowsAtOnce)
			program.Paced(ctx, func() {
				f(flat[0][from*hidden:to*hidden], flat[1][from*half:to*half], flat[2][from*half:to*half], s.from+from, to-from)
			})
		}
	}
	return nil
}

// hostPrompt is a layer that the rows of a prompt go through one after the other, and what it keeps of them.
type hostPrompt struct {
	hostLayers
	w    hostLayerWeights
	rows int // of the prompt
	// keys and values are [kvHeads, rows, headDim], and columns the keys again, on their side, [kvHeads, headDim, wide(rows)], or nil where they
	// are not needed.
	keys, values, columns []float32
}

// begin takes the keys and values of a prefix's first tokens.
func (l *hostPrompt) begin(x *Prefix, layer, tokens int) error {
	t := l.m.Spec.Text
	var from [2][]float32
	for i, b := range x.left.layers[layer] {
		var err error
		if from[i], err = hostView[float32](b); err != nil {
			return err
		}
	}
	eachHostRow(t.KVHeads, tokens*t.HeadDim, func(head int) {
		keys := from[0][head*x.rows*t.HeadDim:][:tokens*t.HeadDim]
		copy(l.keys[head*l.rows*t.HeadDim:], keys)
		copy(l.values[head*l.rows*t.HeadDim:], from[1][head*x.rows*t.HeadDim:][:tokens*t.HeadDim])
		l.turn(head, 0, tokens)
	})
	return nil
}

// turn puts a head's keys of n rows on their side.
func (l *hostPrompt) turn(head, from, n int) {
	if l.columns == nil {
		return
	}
	dim := l.m.Spec.Text.HeadDim
	columns := l.columns[head*dim*wide(l.rows)+from:]
	for i := range n {
		for d, v := range l.keys[(head*l.rows+from+i)*dim:][:dim] {
			columns[d*wide(l.rows)+i] = v
		}
	}
}

// keep puts the keys and values of n rows where they belong.
func (l *hostPrompt) keep(at projected, from, n int) {
	t := l.m.Spec.Text
	dim := t.HeadDim
	eachHostRow(t.KVHeads, n*dim, func(head int) {
		for i := range n {
			row := (i*t.KVHeads + head) * dim
			copy(l.keys[(head*l.rows+from+i)*dim:][:dim], at.keys[row:])
			copy(l.values[(head*l.rows+from+i)*dim:][:dim], at.values[row:])
		}
		l.turn(head, from, n)
	})
}

// run runs rows of the prompt, x [n, hidden], through the layer, in place, when those before them have gone.
func (l *hostPrompt) run(x, cos, sin []float32, from, n int) {
	t := l.m.Spec.Text
	dim, group := t.HeadDim, t.Heads/t.KVHeads
	at := l.project(l.w.params, x, cos, sin, n)
	l.keep(at, from, n)
	read := l.room.floats("read", len(at.queries))
	hostAttention(read, at.queries, n, t.Heads, dim, func(head, first int) hostKeys {
		head /= group
		return hostKeys{
			keys:   l.columns[head*dim*wide(l.rows):][:dim*wide(l.rows)],
			values: l.values[head*l.rows*dim:][:l.rows*dim],
			n:      from + min(first+hostQueries, n),
			mask: func(i int, scores []float32) { // a token sees itself and those before it
				for j := from + first + i + 1; j < len(scores); j++ {
					scores[j] = float32(math.Inf(-1))
				}
			},
		}
	})
	l.attended(l.w.params, x, read, at.gate, n)
	l.feedForward(l.w, x, n)
}

// hostKeys are what some queries of a head read: keys on their side, [wide(dim), capacity], and values [capacity, wide(dim)], of which n
// count, and what hides some from the i-th query, or nil.
type hostKeys struct {
	keys, values []float32
	n            int
	mask         func(i int, scores []float32)
}

// hostAttention is the attention of queries [n, heads, dim], hostQueries at a time, against what seen gives for those of a head from the first on.
func hostAttention(read, queries []float32, n, heads, dim int, seen func(head, first int) hostKeys) {
	blocks, width, longest := (n+hostQueries-1)/hostQueries, heads*dim, 0
	for block := range blocks {
		longest = max(longest, seen(0, block*hostQueries).n)
	}
	hostmath.Parallel(heads*blocks, 2*dim*longest*min(n, hostQueries), func(from, to int) {
		room, wide := attentionRooms.take(), wide(dim)
		defer attentionRooms.put(room)
		scores := room.floats("scores", hostQueries*(longest+hostmath.ColumnMultiple))
		q, out := room.floats("queries", hostQueries*wide), room.floats("read", hostQueries*wide)
		for task := from; task < to; task++ {
			head, first := task/blocks, task%blocks*hostQueries
			few := min(hostQueries, n-first)
			for i := range few {
				copy(q[i*wide:][:dim], queries[(first+i)*width+head*dim:])
				clear(q[i*wide+dim : (i+1)*wide])
			}
			k := seen(head, first)
			hostmath.AttendColumns(out, wide, q[:few*wide], k.keys, k.values, scores, wide, k.n, k.mask)
			for i := range few {
				copy(read[(first+i)*width+head*dim:][:dim], out[i*wide:])
			}
		}
	})
}
