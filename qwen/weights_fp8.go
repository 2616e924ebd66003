package qwen

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes/float16"

	"github.com/omnidocs/omnidocs/internal/checkpoint"
)

// A quantized weight is two tensors: numbers of 8 bits in the weight's own shape and, beside them, a grid of scales, one for each
// block of its last two dimensions. The weight is their product, in float32, which is then rounded to the model's type. That is what
// transformers computes where it dequantizes (integrations/finegrained_fp8.py, Fp8Dequantize; integrations/compressed_tensors.py),
// with two things to know:
//
//   - Its Fp8Dequantize divides the weight evenly among the scales, which is wrong where the weight's sides are no multiples of the
//     block's. Here the blocks have the size that the configuration says and the last ones are cut off, as its FP8Linear has it.
//   - compressed-tensors multiplies in the type of the scales, most often bfloat16; transformers multiplies experts in float32.
//     Both are followed, so that a model in float32 has the same weights here and there.

// weightFile reads the weights of a checkpoint as floats, whatever they are stored as. Its ReadFloat32, ReadBFloat16 and
// ReadFloat16 are the checkpoint's own with quantized weights multiplied by their scales: From and To count the weight's
// elements, and any part can be read without the rest. They stream through small buffers, and may be called concurrently.
type weightFile struct {
	*checkpoint.Checkpoint
	quantization *QuantizedWeights
}

// ReadFloat32 reads a part of a weight as float32.
func (w weightFile) ReadFloat32(ctx context.Context, name string, dst []float32, opts checkpoint.ReadOptions) error {
	return readWeight(ctx, w, name, dst, opts, w.Checkpoint.ReadFloat32)
}

// ReadBFloat16 reads a part of a weight as the bits of bfloat16.
func (w weightFile) ReadBFloat16(ctx context.Context, name string, dst []uint16, opts checkpoint.ReadOptions) error {
	return readWeight(ctx, w, name, dst, opts, w.Checkpoint.ReadBFloat16)
}

// ReadFloat16 reads a part of a weight as the bits of half precision.
func (w weightFile) ReadFloat16(ctx context.Context, name string, dst []uint16, opts checkpoint.ReadOptions) error {
	return readWeight(ctx, w, name, dst, opts, w.Checkpoint.ReadFloat16)
}

func readWeight[T uint16 | float32](ctx context.Context, w weightFile, name string, dst []T, opts checkpoint.ReadOptions,
	read readFunc[T]) error {
	t, ok := w.Lookup(name)
	if !ok || !isFloat8(t) {
		return read(ctx, name, dst, opts)
	}
	grid, err := w.grid(ctx, t, opts)
	if err != nil {
		return fmt.Errorf("read weight %q: %w", name, err)
	}
	opts.Map = grid.multiply
	return read(ctx, name, dst, opts)
}

// isFloat8 says whether a tensor is stored as numbers that mean nothing without a scale.
func isFloat8(t checkpoint.Tensor) bool {
	return t.DType == checkpoint.F8E4M3 || t.DType == checkpoint.F8E5M2
}

// scaleGrid are the scales of a part of a weight.
type scaleGrid struct {
	rows, cols           int // of a matrix of the weight: its last two dimensions
	blockRows, blockCols int
	scaleRows, scaleCols int // how many scales a matrix has in each direction
	first                int // the index of scales[0] among the weight's scales, all matrices one after the other
	scales               []float32
	// round, if not nil, rounds products to the type of the scales.
	round func(values []float32)
}

// newScaleGrid says how the scales of a weight of that shape lie for a block of that size, and the shape that they are stored in.
func newScaleGrid(shape []int, block [2]int) (scaleGrid, []int) {
	g := scaleGrid{rows: 1, cols: 1}
	n := len(shape)
	if n > 0 {
		g.cols = shape[n-1]
	}
	if n > 1 {
		g.rows = shape[n-2]
	}
	side := func(block, size int) int {
		if block == 0 {
			block = size
		}
		return max(1, min(block, size))
	}
	g.blockRows, g.blockCols = side(block[0], g.rows), side(block[1], g.cols)
	g.scaleRows, g.scaleCols = (g.rows+g.blockRows-1)/g.blockRows, (g.cols+g.blockCols-1)/g.blockCols
	return g, append(slices.Clone(shape[:max(0, n-2)]), g.scaleRows, g.scaleCols)
}

// scaleFor finds the block among those of the configuration for which the scales of a weight have the right shape. Scales that are
// one in all may be stored without dimensions, or with one; those of rows without the last dimension.
func (q *QuantizedWeights) scaleFor(weight, scale checkpoint.Tensor) (scaleGrid, error) {
	var found []scaleGrid
	var wanted []string
	for _, block := range q.Blocks {
		g, shape := newScaleGrid(weight.Shape, block)
		single := block == [2]int{} && scale.Elements() == 1
		rows := block[1] == 0 && len(shape) > 0 && slices.Equal(scale.Shape, shape[:len(shape)-1])
		if single { // for all matrices of the weight together
			g.rows, g.blockRows, g.scaleRows = weight.Elements()/max(1, g.cols), max(1, weight.Elements()/max(1, g.cols)), 1
		}
		if (single || rows || slices.Equal(scale.Shape, shape)) && !slices.ContainsFunc(found, g.same) {
			found = append(found, g)
		}
		wanted = append(wanted, fmt.Sprint(shape))
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return scaleGrid{}, fmt.Errorf("%s is %v, want %s for %s of %v",
			scale.Name, scale.Shape, strings.Join(wanted, " or "), weight.Name, weight.Shape)
	default:
		return scaleGrid{}, fmt.Errorf("%s of %v may have blocks of %d×%d or of %d×%d: the configuration has both, and both fit",
			scale.Name, scale.Shape, found[0].blockRows, found[0].blockCols, found[1].blockRows, found[1].blockCols)
	}
}

// same says whether two layouts of scales for the same weight are the same.
func (g scaleGrid) same(other scaleGrid) bool {
	return g.rows == other.rows && g.blockRows == other.blockRows && g.blockCols == other.blockCols
}

// index is the place of the scale of a row's first element among the weight's scales. Rows are counted through all matrices.
func (g scaleGrid) index(row int) int {
	return (row/g.rows*g.scaleRows + row%g.rows/g.blockRows) * g.scaleCols
}

// multiply multiplies values, of which the first is the element at of the weight, with their scales.
func (g scaleGrid) multiply(values []float32, at int) {
	for len(values) > 0 {
		row, col := at/g.cols, at%g.cols
		scales := g.scales[g.index(row)-g.first:]
		line := values[:min(len(values), g.cols-col)]
		values, at = values[len(line):], at+len(line)
		for len(line) > 0 {
			block := line[:min(len(line), g.blockCols-col%g.blockCols)]
			scale := scales[col/g.blockCols]
			for i := range block {
				block[i] *= scale
			}
			if g.round != nil {
				g.round(block)
			}
			line, col = line[len(block):], col+len(block)
		}
	}
}

// grid reads the scales of the elements of a weight that are asked for.
func (w weightFile) grid(ctx context.Context, t checkpoint.Tensor, opts checkpoint.ReadOptions) (scaleGrid, error) {
	if w.quantization == nil {
		return scaleGrid{}, fmt.Errorf("it is stored as %s, and config.json has no quantization_config", t.DType)
	}
	scale, ok := w.Lookup(t.Name + w.quantization.scaleSuffix())
	if !ok {
		return scaleGrid{}, fmt.Errorf("it is stored as %s, and %s is missing", t.DType, t.Name+w.quantization.scaleSuffix())
	}
	g, err := w.quantization.scaleFor(t, scale)
	if err != nil {
		return scaleGrid{}, err
	}
	from, to := opts.From, opts.To
	if to == 0 {
		to = t.Elements()
	}
	if from < 0 || to <= from || to > t.Elements() {
		return g, nil // nothing to multiply; the reading itself says what is wrong
	}
	if w.quantization.Method == methodCompressedTensors && !strings.Contains(t.Name, ".experts.") {
		g.round = rounding[scale.DType]
	}
	g.first = g.index(from / g.cols)
	last := g.index((to-1)/g.cols) + g.scaleCols
	g.scales = make([]float32, last-g.first)
	return g, w.Checkpoint.ReadFloat32(ctx, scale.Name, g.scales, checkpoint.ReadOptions{From: g.first, To: last})
}

// rounding has, for the types of scales that are narrower than float32, how products are rounded to them, to nearest even.
var rounding = map[checkpoint.DType]func(values []float32){
	checkpoint.BF16: func(values []float32) {
		for i, v := range values {
			b := math.Float32bits(v)
			values[i] = math.Float32frombits((b + 0x7fff + b>>16&1) &^ 0xffff) // the only NaN of FP8 stays one
		}
	},
	checkpoint.F16: func(values []float32) {
		for i, v := range values {
			values[i] = float16.FromFloat32(v).Float32()
		}
	},
}

// checkStored looks at how a weight is stored, and adds to e what is wrong with it and its scales, which are marked as used. A
// weight that is marked already has been looked at.
func (q *QuantizedWeights) checkStored(c *checkpoint.Checkpoint, t checkpoint.Tensor, used map[string]bool, e *WeightsError) {
	switch {
	case used[t.Name]:
		return
	case !isFloat8(t) && t.DType.Converts():
		return // plain: a scale beside it is unexpected
	case !isFloat8(t):
		e.Type = append(e.Type, fmt.Sprintf("%s is %s", t.Name, t.DType))
		return
	case q == nil:
		e.Type = append(e.Type, fmt.Sprintf("%s is %s without quantization_config", t.Name, t.DType))
		return
	}
	name := t.Name + q.scaleSuffix()
	scale, ok := c.Lookup(name)
	if !ok {
		e.Missing = append(e.Missing, name)
		return
	}
	used[name] = true
	switch _, err := q.scaleFor(t, scale); {
	case isFloat8(scale) || !scale.DType.Converts():
		e.Type = append(e.Type, fmt.Sprintf("%s is %s", name, scale.DType))
	case err != nil:
		e.Shape = append(e.Shape, err.Error())
	}
	// The scales of activations are of no use here, where activations are not quantized.
	module := strings.TrimSuffix(t.Name, ".weight")
	for _, unused := range []string{"_activation_scale", ".activation_scale", ".input_scale", ".output_scale"} {
		used[module+unused] = true
	}
}

// unused says whether a tensor is one that a quantized checkpoint may have and that nothing here needs.
func (q *QuantizedWeights) unused(name string) bool {
	return q != nil && q.KVCache && (strings.HasSuffix(name, ".k_scale") || strings.HasSuffix(name, ".v_scale"))
}
