package qwen

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"

	"github.com/omnidocs/omnidocs/internal/checkpoint"
	"github.com/omnidocs/omnidocs/internal/program"
)

// loader reads parameters onto the device, one buffer at a time: nothing is in memory twice for longer than its own reading.
type loader struct {
	mesh  *program.Mesh
	file  weightFile
	dtype dtypes.DType // of matrices
	limit int          // of a buffer's elements
}

func (l loader) load(ctx context.Context, groups []group, progress func(done, total int64)) (weights, error) {
	var done, total int64
	for _, g := range groups {
		for _, p := range g.params {
			total += int64(elements(p.dims()))
		}
	}
	w := weights{}
	for _, g := range groups {
		for _, p := range g.params {
			for _, parts := range p.buffers(l.limit) {
				made, err := l.buffers(ctx, g, p, parts)
				w[g.name] = append(w[g.name], made...)
				if err != nil {
					return nil, errors.Join(fmt.Errorf("load %s%s: %w", g.prefix, p.name, err), w.finalize())
				}
			}
			done += int64(elements(p.dims()))
			if progress != nil {
				progress(done, total)
			}
		}
	}
	return w, nil
}

// buffers reads parts of a parameter into a buffer, or, of a matrix in int8, into one with the numbers and one with the scales. Each
// device of the mesh gets its share.
func (l loader) buffers(ctx context.Context, g group, p param, parts []part) ([]compute.Buffer, error) {
	shape := p.share(p.shape(parts, l.dtype), l.mesh.Size())
	readings, n := p.readings(l.mesh.Size(), parts)
	if shape.DType == dtypes.Int8 {
		return l.quantized(ctx, g, p, readings, n, shape)
	}
	b, err := l.buffer(shape, n, p.ragged(l.mesh.Size()), func(flats []any) error { return l.fill(ctx, g, p, readings, flats) })
	if err != nil {
		return nil, err
	}
	return []compute.Buffer{b}, nil
}

// buffer makes a buffer on each device and has n of them filled, in place where the backend allows it: all, or one whose numbers are
// then those of the others. What is filled only partly is zero behind that.
func (l loader) buffer(shape shapes.Shape, n int, partly bool, fill func(flats []any) error) (compute.Buffer, error) {
	if !l.mesh.HasShared() {
		flats := make([]any, n)
		for i := range flats {
			flats[i] = dtypes.MakeAnySlice(shape.DType, shape.Size())
		}
		if err := fill(flats); err != nil {
			return nil, err
		}
		return l.mesh.Place(flats, shape)
	}
	buffer, flats, err := l.mesh.Shared(shape)
	if err != nil {
		return nil, err
	}
	for _, flat := range flats {
		if partly {
			clear(dtypes.UnsafeByteSliceFromAny(flat))
		}
	}
	if err := fill(flats[:n]); err != nil {
		return nil, errors.Join(err, buffer.Finalize())
	}
	for _, other := range flats[n:] {
		copy(dtypes.UnsafeByteSliceFromAny(other), dtypes.UnsafeByteSliceFromAny(flats[0]))
	}
	return buffer, nil
}

func (l loader) fill(ctx context.Context, g group, p param, readings []reading, flats []any) error {
	if floats, err := flatsOf[float32](flats); err == nil {
		if err := fillAll(ctx, l.file.Checkpoint, g, readings, floats, l.file.ReadFloat32); err != nil || p.offset == 0 {
			return err
		}
		for _, flat := range floats {
			for i := range flat {
				flat[i] += p.offset
			}
		}
		return nil
	}
	var all [][]uint16
	var read readFunc[uint16]
	for _, flat := range flats {
		bits, r, err := l.halfBits(flat)
		if err != nil {
			return err
		}
		all, read = append(all, bits), r
	}
	return fillAll(ctx, l.file.Checkpoint, g, readings, all, read)
}

// flatsOf are slices of numbers of the type that they have.
func flatsOf[T any](flats []any) ([][]T, error) {
	var all [][]T
	for _, flat := range flats {
		f, ok := flat.([]T)
		if !ok {
			return nil, fmt.Errorf("a buffer is seen as %T, want %T", flat, f)
		}
		all = append(all, f)
	}
	return all, nil
}

type readFunc[T uint16 | float32] func(ctx context.Context, name string, dst []T, opts checkpoint.ReadOptions) error

// fillParts reads parts of sources into flat, one after the other.
func fillParts[T uint16 | float32](ctx context.Context, c *checkpoint.Checkpoint, g group, parts []part, flat []T, read readFunc[T]) error {
	for _, p := range parts {
		at, _, _ := locate(c, g.prefix, p.source) // checkWeights has found it
		n := (p.to - p.from) * elements(p.source.shape) / p.source.shape[0]
		if err := readRows(ctx, at, p, flat[:n], read); err != nil {
			return err
		}
		flat = flat[n:]
	}
	return nil
}

// fillAll fills the buffers that the readings go into.
func fillAll[T uint16 | float32](ctx context.Context, c *checkpoint.Checkpoint, g group, readings []reading, flats [][]T, read readFunc[T]) error {
	for _, r := range readings {
		if len(r.into) == 1 {
			if err := fillParts(ctx, c, g, r.parts, flats[r.into[0].buffer], read); err != nil {
				return err
			}
			continue
		}
		err := chunks(ctx, c, g, r.parts, read, func(rows []T, first, in int) {
			for _, w := range r.into {
				width, flat := w.right-w.left, flats[w.buffer]
				for i := range len(rows) / in {
					copy(flat[(first+i)*width:][:width], rows[i*in+w.left:])
				}
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// chunkNumbers is about how many numbers are in memory on their way through [chunks].
const chunkNumbers = 1 << 20

// chunks reads parts a run of rows at a time, [n, in], and calls f with each, and the number of its first row in all of them.
func chunks[T uint16 | float32](ctx context.Context, c *checkpoint.Checkpoint, g group, parts []part, read readFunc[T], f func(rows []T, first, in int)) error {
	row := 0
	for _, p := range parts {
		in := elements(p.source.shape) / p.source.shape[0]
		step := max(1, chunkNumbers/in)
		chunk := make([]T, min(step, p.to-p.from)*in)
		for from := p.from; from < p.to; from += step {
			run := part{p.source, from, min(from+step, p.to)}
			rows := chunk[:(run.to-run.from)*in]
			if err := fillParts(ctx, c, g, []part{run}, rows, read); err != nil {
				return err
			}
			f(rows, row, in)
			row += run.to - run.from
		}
	}
	return nil
}

// halfBits views a slice of a 16-bit float type as its bits, with the reader that converts to it.
func (l loader) halfBits(flat any) ([]uint16, readFunc[uint16], error) {
	bytes := dtypes.UnsafeByteSliceFromAny(flat)
	bits := unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(bytes))), len(bytes)/2)
	switch l.dtype {
	case dtypes.BFloat16:
		return bits, l.file.ReadBFloat16, nil
	case dtypes.Float16:
		return bits, l.file.ReadFloat16, nil
	default:
		return nil, nil, fmt.Errorf("dtype %s: %w for weights", l.dtype, ErrUnsupported)
	}
}
