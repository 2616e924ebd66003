package qwen

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
)

// quantizeChunk is how many float32 numbers are in memory on their way to int8.
const quantizeChunk = 1 << 20

// quantized reads parts of a matrix and rounds each row to int8 with a scale of its own, which puts its largest number at 127.
func (l loader) quantized(ctx context.Context, g group, parts []part, shape shapes.Shape) (made []compute.Buffer, err error) {
	rows, in := shape.Dim(0), shape.Dim(1)
	scales := make([]float32, rows)
	numbers, err := l.buffer(shape, func(flat any) error {
		dst, ok := flat.([]int8)
		if !ok {
			return fmt.Errorf("an int8 buffer is seen as %T", flat)
		}
		row := 0
		for _, p := range parts {
			step := max(1, quantizeChunk/in)
			chunk := make([]float32, step*in)
			for from := p.from; from < p.to; from += step {
				run := part{p.source, from, min(from+step, p.to)}
				n := run.to - run.from
				if err := fillParts(ctx, l.file.Checkpoint, g, []part{run}, chunk[:n*in], l.file.ReadFloat32); err != nil {
					return err
				}
				for i := range n {
					scales[row] = quantizeRow(dst[row*in:(row+1)*in], chunk[i*in:(i+1)*in])
					row++
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	b, err := l.buffer(shapes.Make(dtypes.Float32, rows), func(flat any) error {
		if copy(flat.([]float32), scales) != rows {
			return errors.New("a buffer for scales is too small")
		}
		return nil
	})
	if err != nil {
		return []compute.Buffer{numbers}, err
	}
	return []compute.Buffer{numbers, b}, nil
}

// quantizeRow rounds numbers to multiples of the scale that it returns, symmetrically about zero.
func quantizeRow(dst []int8, src []float32) (scale float32) {
	for _, v := range src {
		scale = max(scale, float32(math.Abs(float64(v))))
	}
	scale /= 127
	if scale == 0 {
		clear(dst)
		return 0
	}
	inverse := 1 / scale
	for i, v := range src {
		dst[i] = int8(math.RoundToEven(float64(v * inverse)))
	}
	return scale
}
