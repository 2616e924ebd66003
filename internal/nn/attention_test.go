package nn_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/nn"
)

// matrix is a matrix in parts of floats.
func matrix(parts []*graph.Node) nn.Matrix {
	var m nn.Matrix
	for _, p := range parts {
		m = append(m, nn.Part{W: p})
	}
	return m
}

func random(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// attend is the definition: one query head of dim against the keys that it may see.
func attend(q []float32, keys, values [][]float32) []float64 {
	scores := make([]float64, len(keys))
	sum := 0.0
	for i, k := range keys {
		for j := range q {
			scores[i] += float64(q[j]) * float64(k[j])
		}
		scores[i] = math.Exp(scores[i] / math.Sqrt(float64(len(q))))
		sum += scores[i]
	}
	out := make([]float64, len(q))
	for i, v := range values {
		for j := range out {
			out[j] += scores[i] / sum * float64(v[j])
		}
	}
	return out
}

// Attention in blocks of any size, causal or not, with padding and with grouped heads, is the definition of attention.
func TestAttention(t *testing.T) {
	const rows, heads, kv, dim, valid = 37, 4, 2, 6, 29
	b := goBackend(t)
	r := rand.New(rand.NewPCG(3, 4))
	q, k, v := random(r, rows*heads*dim), random(r, rows*kv*dim), random(r, rows*kv*dim)
	there := make([]bool, rows)
	for i := range valid {
		there[i] = true
	}
	for _, causal := range []bool{false, true} {
		for _, padded := range []bool{false, true} {
			for _, traits := range []nn.Traits{{}, {BlockBytes: 1}, {BlockBytes: 4 * heads * rows * 20}, {Flash: true}} {
				got := run(t, b, []input{
					floats(q, rows, heads, dim), floats(k, rows, kv, dim), floats(v, rows, kv, dim),
					floats(nn.Hide(there), rows),
				}, func(in []*graph.Node) *graph.Node {
					bias := in[3]
					if !padded {
						bias = nil
					}
					return nn.Attention(traits, nn.HeadsFirst(in[0]), nn.HeadsFirst(in[1]), nn.HeadsFirst(in[2]), causal, bias)
				})
				for row := range rows {
					seen := rows
					if padded {
						seen = valid
					}
					if causal {
						seen = min(seen, row+1)
					}
					for head := range heads {
						var keys, values [][]float32
						for i := range seen {
							at := (i*kv + head*kv/heads) * dim
							keys, values = append(keys, k[at:at+dim]), append(values, v[at:at+dim])
						}
						want := attend(q[(row*heads+head)*dim:][:dim], keys, values)
						for j, w := range want {
							require.InDelta(t, w, got[(row*heads+head)*dim+j], 1e-5, "causal %t padded %t %+v row %d", causal, padded, traits, row)
						}
					}
				}
			}
		}
	}
}

// A step against a cache is the last row of the whole attention, for sequences of different lengths in one batch; in bfloat16 but for
// the rounding.
func TestCachedAttention(t *testing.T) {
	const batch, heads, kv, dim, capacity = 3, 4, 2, 6, 16
	b := goBackend(t)
	r := rand.New(rand.NewPCG(5, 7))
	lengths := []int32{1, 16, 8}
	q := random(r, batch*heads*dim)
	keys, values := random(r, batch*kv*capacity*dim), random(r, batch*kv*capacity*dim)
	for _, form := range []struct {
		traits nn.Traits
		cache  dtypes.DType
		delta  float64 // 2^-9 a factor of each product, for keys and values of up to 3
	}{
		{nn.Traits{}, dtypes.Float32, 1e-5},
		{nn.Traits{MulReduce: true}, dtypes.Float32, 1e-5},
		{nn.Traits{HalfAttention: true}, dtypes.BFloat16, 3e-2},
		{nn.Traits{MulReduce: true, HalfAttention: true, HalfAccumulator: true}, dtypes.BFloat16, 6e-2},
	} {
		got := run(t, b, []input{
			floats(q, batch, heads, dim), floats(keys, batch, kv, capacity, dim), floats(values, batch, kv, capacity, dim),
			{lengths, dtypes.Int32, []int{batch}},
		}, func(in []*graph.Node) *graph.Node {
			return nn.CachedAttention(form.traits, in[0], graph.ConvertDType(in[1], form.cache), graph.ConvertDType(in[2], form.cache), in[3])
		})
		for i := range batch {
			for head := range heads {
				var ks, vs [][]float32
				for n := range lengths[i] {
					at := ((i*kv+head*kv/heads)*capacity + int(n)) * dim
					ks, vs = append(ks, keys[at:at+dim]), append(vs, values[at:at+dim])
				}
				want := attend(q[(i*heads+head)*dim:][:dim], ks, vs)
				for j, w := range want {
					require.InDelta(t, w, got[(i*heads+head)*dim+j], form.delta, "%+v", form)
				}
			}
		}
	}
}

// A token against the rows of its own sequence is the last row of the whole attention, however the products are written; what is in
// the memory behind the sequence does not matter.
func TestRowAttention(t *testing.T) {
	const heads, kv, dim, capacity = 4, 2, 6, 16
	b := goBackend(t)
	r := rand.New(rand.NewPCG(5, 6))
	q, keys, values := random(r, heads*dim), random(r, kv*capacity*dim), random(r, kv*dim*capacity)
	for _, traits := range []nn.Traits{{}, {SwapRows: 64, SwapNarrow: 64}, {LeastHalf: 4}} {
		for _, half := range []bool{false, true} {
			for _, length := range []int32{1, 7, capacity} {
				got := run(t, b, []input{
					floats(q, heads, dim), floats(keys, kv, capacity, dim), floats(values, kv, dim, capacity), {[]int32{length}, dtypes.Int32, nil},
				}, func(in []*graph.Node) *graph.Node {
					if half {
						in[1], in[2] = graph.ConvertDType(in[1], dtypes.BFloat16), graph.ConvertDType(in[2], dtypes.BFloat16)
					}
					return nn.RowAttention(traits, in[0], in[1], in[2], in[3])
				})
				allowed := 1e-5
				if half { // three factors are rounded to 8 bits
					allowed = 0.03
				}
				for head := range heads {
					group := head * kv / heads
					var ks, vs [][]float32
					for n := range int(length) {
						value := make([]float32, dim)
						for i := range value {
							value[i] = values[(group*dim+i)*capacity+n]
						}
						ks, vs = append(ks, keys[(group*capacity+n)*dim:][:dim]), append(vs, value)
					}
					for j, w := range attend(q[head*dim:][:dim], ks, vs) {
						require.InDelta(t, w, got[head*dim+j], allowed, "%+v half %t length %d", traits, half, length)
					}
				}
			}
		}
	}
}

// The forms of a product that the traits choose between, and a matrix in parts, are the same product.
func TestDenseForms(t *testing.T) {
	const in, out = 5, 7
	b := goBackend(t)
	r := rand.New(rand.NewPCG(7, 8))
	w, bias := random(r, in*out), random(r, out)
	for _, rows := range []int{1, 2, 3, 9} {
		x := random(r, rows*in)
		for _, traits := range []nn.Traits{{}, {SwapRows: 4}, {SwapNarrow: 4}, {LeastHalf: 4}} {
			for _, parts := range [][]int{{7}, {3, 4}, {1, 5, 1}} {
				inputs, at := []input{floats(x, rows, in), floats(bias, out)}, 0
				for _, n := range parts {
					inputs = append(inputs, floats(w[at*in:(at+n)*in], n, in))
					at += n
				}
				got := run(t, b, inputs, func(n []*graph.Node) *graph.Node { return nn.Dense(traits, n[0], matrix(n[2:]), n[1]) })
				half := run(t, b, inputs, func(n []*graph.Node) *graph.Node {
					var narrow []*graph.Node
					for _, part := range n[2:] {
						narrow = append(narrow, graph.ConvertDType(part, dtypes.BFloat16))
					}
					return nn.Dense(traits, n[0], matrix(narrow), n[1])
				})
				for row := range rows {
					for i := range out {
						want := float64(bias[i])
						for j := range in {
							want += float64(x[row*in+j]) * float64(w[i*in+j])
						}
						require.InDelta(t, want, got[row*out+i], 1e-5, "%+v, %d rows, %v", traits, rows, parts)
						// Two factors are rounded by 2^-9 each; the sum of five products is below 10.
						require.InDelta(t, want, half[row*out+i], 0.05, "bfloat16: %+v, %d rows, %v", traits, rows, parts)
					}
				}
			}
		}
	}
}

func TestLookup(t *testing.T) {
	const width = 3
	b := goBackend(t)
	table := random(rand.New(rand.NewPCG(9, 10)), 10*width)
	ids := []int32{9, 0, 4, 3, 5, 7, 3}
	for _, parts := range [][]int{{10}, {4, 6}, {3, 1, 2, 4}} {
		inputs, at := []input{{ids, dtypes.Int32, []int{len(ids)}}}, 0
		for _, n := range parts {
			inputs = append(inputs, floats(table[at*width:(at+n)*width], n, width))
			at += n
		}
		got := run(t, b, inputs, func(n []*graph.Node) *graph.Node { return nn.Lookup(matrix(n[1:]), n[0]) })
		for i, id := range ids {
			require.Equal(t, table[id*width:(id+1)*width], got[i*width:(i+1)*width])
		}
	}
}
