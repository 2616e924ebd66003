package qwen

import (
	"context"
	"math"
	"runtime"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
)

// quantized reads parts of a matrix into n buffers and rounds each row of each to int8 with a scale of its own, which puts its largest
// number at 127.
func (l loader) quantized(ctx context.Context, g group, p param, readings []reading, n int, shape shapes.Shape) (made []compute.Buffer, err error) {
	rows, width := shape.Dim(0), shape.Dim(1)
	scales := make([][]float32, n)
	for i := range scales {
		scales[i] = make([]float32, rows)
	}
	numbers, err := l.buffer(shape, n, p.ragged(l.mesh.Size()), func(flats []any) error {
		dst, err := flatsOf[int8](flats)
		if err != nil {
			return err
		}
		for _, r := range readings {
			err := chunks(ctx, l.file.Checkpoint, g, r.parts, l.file.ReadFloat32, func(rows []float32, first, in int) {
				eachRow(len(rows)/in, func(i int) {
					for _, w := range r.into {
						at := first + i
						scales[w.buffer][at] = quantizeRow(dst[w.buffer][at*width:][:width], rows[i*in+w.left:i*in+w.right])
					}
				})
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	b, err := l.buffer(shapes.Make(dtypes.Float32, rows), n, false, func(flats []any) error {
		dst, err := flatsOf[float32](flats)
		for i := range dst {
			copy(dst[i], scales[i])
		}
		return err
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
