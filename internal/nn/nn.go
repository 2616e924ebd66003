// Package nn holds the graph blocks that the towers of a vision-language model are made of: dense layers, norms,
// activations, rotary embeddings, attention and sampling.
//
// Like all GoMLX graph code its functions panic when they are given shapes that do not fit; the package program holds
// the fence that turns that into an error. Shapes stand in comments as [axis, axis]; all activations are float32.
package nn

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// Traits are the facts about a backend that decide how a block is written. The result is the same; the speed is not.
type Traits struct {
	// MulReduce writes the attention of a single query as multiply and reduce, which XLA fuses on CPUs, in place of
	// matrix products of one row, which it does not pack well.
	MulReduce bool
	// SwapRows is the largest number of rows for which a product in float32 is written with the matrix first and the rows padded with
	// zeros, (W·[x;0]ᵀ)ᵀ. XLA's CPU code then reads the matrix at the speed of the memory, three times faster. A single row is the
	// exception, which is fast as it is. 0 means never.
	SwapRows int
	// SwapNarrow is SwapRows for matrices in half precision and int8, single rows included. It pays where the processor has Intel's
	// AMX. Elsewhere XLA's CPU code first makes a copy of an int8 matrix for it, and has slower code for bfloat16. A row times
	// [151936, 2048] on two Zen 4 cores, in milliseconds: int8 121 swapped, 20 padded to two rows and 294 as it is; [12288, 2048] in
	// bfloat16 6.1 swapped, 3.1 padded to four rows and 31 as it is.
	SwapNarrow int
	// LeastHalf is how many rows there must be in a product with a matrix in half precision that is not swapped, and LeastInt8 in one
	// with int8: fewer are padded with zeros. For a single row XLA's CPU code has nothing but a naive loop, ten to twenty times slower.
	LeastHalf, LeastInt8 int
	// HalfAccumulator asks for the half-precision type as the accumulator of a dot product. It is needed on XLA's CPU,
	// where asking for float32 (the default of GoMLX) hides the weights behind a copy; the sums are float32 inside anyway.
	HalfAccumulator bool
	// HalfAttention multiplies queries, keys and values in bfloat16, as PyTorch does in a model of that type. A model of
	// float32 or float16 is loaded without it, whatever the backend.
	HalfAttention bool
	// Int8Dot multiplies int8 matrices with the inputs rounded to int8 too, a row at a time, which XLA's CPU code does several
	// times faster than float32. Without it such matrices are turned into float32 where they are used.
	Int8Dot bool
	// HalfInt8 multiplies int8 matrices with the inputs in bfloat16, which holds the numbers of int8 exactly: on GPUs the matrix is
	// then read as it is. Int8Dot comes before it.
	HalfInt8 bool
	// Flash hands the attention of whole sequences to the backend, where it has one that never holds all scores (cuDNN's on
	// CUDA, for bfloat16), and with HalfAttention only. A bias must then hide no keys but the last ones.
	Flash bool
	// BlockBytes bounds the attention scores, in bytes, that one block of queries may have. 0 means 256 MiB, which makes
	// blocks of 512 queries of the 8,192 patches of a large page.
	BlockBytes int
}

// Matrix is the weight W [out, in] of a dense layer, or a table of rows, in one or more parts whose rows follow each other.
type Matrix []Part

// Part is a run of rows of a matrix, [n, in]: floats, or int8 with a scale [n] for each row.
type Part struct{ W, Scale *Node }

// Dense is x·Wᵀ + bias, with x [rows, in], W [out, in] as a checkpoint has it, and bias [out], or nil for none. Returns
// [rows, out].
func Dense(t Traits, x *Node, w Matrix, bias *Node) *Node {
	parts := make([]*Node, len(w))
	for i, part := range w {
		if part.Scale != nil {
			parts[i] = quantizedMatmul(t, x, part)
		} else {
			parts[i] = matmul(t, x, part.W)
		}
	}
	y := parts[0]
	if len(parts) > 1 {
		y = Concatenate(parts, 1)
	}
	if bias != nil {
		y = Add(y, ExpandAxes(bias, 0))
	}
	return y
}

// Lookup reads rows of a table [n, width], which may come in parts as the matrix of Dense does: int32 ids [rows] → float32
// [rows, width].
func Lookup(table Matrix, ids *Node) *Node {
	var out *Node
	from := 0
	for _, part := range table {
		n := part.W.Shape().Dim(0)
		local := ids
		if len(table) > 1 {
			local = Clamp(ConstAs(ids, 0), SubScalar(ids, from), ConstAs(ids, n-1))
		}
		local = ExpandAxes(local, -1)
		rows := ConvertDType(Gather(part.W, local), dtypes.Float32)
		if part.Scale != nil {
			rows = Mul(rows, ExpandAxes(Gather(part.Scale, local), -1))
		}
		if out != nil {
			here := ExpandAxes(GreaterOrEqual(ids, ConstAs(ids, from)), -1)
			rows = Where(BroadcastToDims(here, rows.Shape().Dimensions...), rows, out)
		}
		out = rows
		from += n
	}
	return out
}

// RMSNorm normalizes the last axis of x to a root mean square of one and scales it by weight
// (transformers' Qwen3VLTextRMSNorm).
func RMSNorm(x, weight *Node, eps float64) *Node {
	inv := Rsqrt(AddScalar(ReduceAndKeep(Square(x), ReduceMean, -1), eps))
	return Mul(Mul(x, inv), ExpandLeftToRank(weight, x.Rank()))
}

// LayerNorm normalizes the last axis of x to mean zero and variance one, then scales and shifts it (torch.nn.LayerNorm).
func LayerNorm(x, weight, bias *Node, eps float64) *Node {
	decomposed := func() *Node {
		centered := Sub(x, ReduceAndKeep(x, ReduceMean, -1))
		inv := Rsqrt(AddScalar(ReduceAndKeep(Square(centered), ReduceMean, -1), eps))
		y := Mul(centered, inv)
		return Add(Mul(y, ExpandLeftToRank(weight, x.Rank())), ExpandLeftToRank(bias, x.Rank()))
	}
	y, _ := InternalFusedOpCaller(func() *Node { return BackendFusedLayerNorm(x, []int{x.Rank() - 1}, eps, weight, bias) },
		decomposed, false)
	return y
}

// Activation is a function applied to each element.
type Activation func(x *Node) *Node

// GELU is the exact form with the error function (torch.nn.GELU()).
func GELU(x *Node) *Node {
	decomposed := func() *Node { return Mul(x, MulScalar(OnePlus(Erf(MulScalar(x, 1/math.Sqrt2))), 0.5)) }
	y, _ := InternalFusedOpCaller(func() *Node { return BackendFusedGelu(x, true) }, decomposed, false)
	return y
}

// GELUTanh is the tanh approximation (transformers' "gelu_pytorch_tanh").
func GELUTanh(x *Node) *Node {
	decomposed := func() *Node {
		inner := MulScalar(Mul(x, OnePlus(MulScalar(Square(x), 0.044715))), math.Sqrt(2/math.Pi))
		return Mul(x, MulScalar(OnePlus(Tanh(inner)), 0.5))
	}
	y, _ := InternalFusedOpCaller(func() *Node { return BackendFusedGelu(x, false) }, decomposed, false)
	return y
}

// QuickGELU is x·sigmoid(1.702·x) (transformers' "quick_gelu").
func QuickGELU(x *Node) *Node { return Mul(x, Sigmoid(MulScalar(x, 1.702))) }

// SiLU is x·sigmoid(x).
func SiLU(x *Node) *Node { return Mul(x, Sigmoid(x)) }

// SwiGLU splits x [rows, 2·n] into a gate and a value and returns silu(gate)·value, [rows, n].
func SwiGLU(x *Node) *Node {
	n := x.Shape().Dim(1) / 2
	return Mul(SiLU(Slice(x, AxisRange(), AxisRange(0, n))), Slice(x, AxisRange(), AxisRange(n)))
}

// Rotate applies a rotary embedding to x [rows, heads, dim] in the half-split form (transformers' rotate_half), with the
// cosines and sines of each row's angles, [rows, n] each. It turns the first 2·n of the dim; what is behind them stays.
func Rotate(x, cos, sin *Node) *Node {
	half := cos.Shape().Dim(1)
	cos, sin = ExpandAxes(cos, 1), ExpandAxes(sin, 1) // [rows, 1, n]
	a := Slice(x, AxisRange(), AxisRange(), AxisRange(0, half))
	b := Slice(x, AxisRange(), AxisRange(), AxisRange(half, 2*half))
	turned := []*Node{Sub(Mul(a, cos), Mul(b, sin)), Add(Mul(b, cos), Mul(a, sin))}
	if 2*half < x.Shape().Dim(2) {
		turned = append(turned, Slice(x, AxisRange(), AxisRange(), AxisRange(2*half)))
	}
	return Concatenate(turned, -1)
}
