package qwen

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"sync"

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
				eachRow(n, func(i int) {
					scales[row+i] = quantizeRow(dst[(row+i)*in:(row+i+1)*in], chunk[i*in:(i+1)*in])
				})
				row += n
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	b, err := l.buffer(shapes.Make(dtypes.Float32, rows), func(flat any) error {
		dst, ok := flat.([]float32)
		if !ok {
			return fmt.Errorf("a float32 buffer is seen as %T", flat)
		}
		copy(dst, scales)
		return nil
	})
	if err != nil {
		return []compute.Buffer{numbers}, err
	}
	return []compute.Buffer{numbers, b}, nil
}

// eachRow calls f for each of n rows, on all cores.
func eachRow(n int, f func(i int)) {
	workers := min(n, runtime.GOMAXPROCS(0))
	var running sync.WaitGroup
	for w := range workers {
		running.Go(func() {
			for i := w; i < n; i += workers {
				f(i)
			}
		})
	}
	running.Wait()
}

// quantizeRow rounds numbers to multiples of the scale that it returns, symmetrically about zero.
func quantizeRow(dst []int8, src []float32) (scale float32) {
	var largest float32
	for _, v := range src {
		if v < 0 {
			v = -v
		}
		if v > largest {
			largest = v
		}
	}
	scale = largest / 127
	inverse := 1 / scale
	if math.IsInf(float64(inverse), 0) { // a row of zeros, or of numbers that float32 has no steps for
		clear(dst)
		return 0
	}
	// At 1.5·2²³ float32 has no digits left behind the point: the sum is rounded to the nearest even integer, and its lowest
	// bits are that integer.
	const magic = 3 << 22
	for i, v := range src {
		dst[i] = int8(math.Float32bits(v*inverse + magic))
	}
	return scale
}
