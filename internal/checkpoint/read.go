package checkpoint

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
)

const (
	// rawChunk is how much is read between two looks at the context.
	rawChunk = 4 << 20
	// convertChunk is the buffer of stored bytes that each worker converts
	// from: it stays in the core's own cache.
	convertChunk = 256 << 10
)

// ReadOptions says which part of a tensor is read. The zero value is all of it.
type ReadOptions struct {
	// From is the first element to read, To the one after the last, both counted in the order of the file. To 0 means the end.
	From, To int
	// Map, if set, changes values, as float32, before they are rounded to the type that is read as: where a weight is stored as
	// small numbers and scales, it multiplies the two. It is called with each run of values and the index of its first one in
	// the tensor, from several goroutines at once, in any order.
	Map func(values []float32, at int)
}

// elements checks the part of a tensor that is asked for.
func (o ReadOptions) elements(t Tensor) (from, to int, err error) {
	from, to = o.From, o.To
	if to == 0 {
		to = t.Elements()
	}
	if from < 0 || to < from || to > t.Elements() {
		return 0, 0, fmt.Errorf("its shape %v has %d elements, %d to %d are asked for", t.Shape, t.Elements(), o.From, o.To)
	}
	return from, to, nil
}

// ReadInto copies the stored little-endian bytes of the tensor into dst, which
// must have exactly Tensor.Bytes bytes. The bytes go from the file into dst
// with no buffer between. When it fails, dst holds anything.
func (c *Checkpoint) ReadInto(ctx context.Context, name string, dst []byte) error {
	t, s, err := c.find(name)
	if err != nil {
		return err
	}
	if int64(len(dst)) != t.Bytes {
		return fmt.Errorf("read tensor %q: it has %d bytes, the destination has %d", name, t.Bytes, len(dst))
	}
	return wrapRead(t, s.readRaw(ctx, t.Offset, dst))
}

// ReadFloat32 reads a tensor of a type that [DType.Converts] as float32,
// exactly. dst must have Tensor.Elements elements. When it fails, dst holds
// anything.
func (c *Checkpoint) ReadFloat32(ctx context.Context, name string, dst []float32, opts ReadOptions) error {
	return readAs(ctx, c, name, dst, F32, opts)
}

// ReadBFloat16 reads a tensor of a type that [DType.Converts] as the bits of
// bfloat16, rounded to nearest even; NaN stays NaN. dst must have
// Tensor.Elements elements. When it fails, dst holds anything.
func (c *Checkpoint) ReadBFloat16(ctx context.Context, name string, dst []uint16, opts ReadOptions) error {
	return readAs(ctx, c, name, dst, BF16, opts)
}

// ReadFloat16 reads a tensor of a type that [DType.Converts] as the bits of IEEE
// half precision, rounded to nearest even; numbers of 65,520 and more become
// infinite, NaN stays NaN. dst must have Tensor.Elements elements. When it
// fails, dst holds anything.
func (c *Checkpoint) ReadFloat16(ctx context.Context, name string, dst []uint16, opts ReadOptions) error {
	return readAs(ctx, c, name, dst, F16, opts)
}

// readAs reads a tensor into dst, whose elements are of type want.
func readAs[T uint16 | float32](ctx context.Context, c *Checkpoint, name string, dst []T, want DType, opts ReadOptions) error {
	t, s, err := c.find(name)
	if err != nil {
		return err
	}
	from, to, err := opts.elements(t)
	if err != nil {
		return fmt.Errorf("read tensor %q: %w", name, err)
	}
	if len(dst) != to-from {
		return fmt.Errorf("read tensor %q: its shape %v has %d elements to read, the destination has %d", name, t.Shape, to-from, len(dst))
	}
	convert, err := converter[T](t.DType, want)
	if err != nil {
		return fmt.Errorf("read tensor %q: %w", name, err)
	}
	offset := t.Offset + int64(from)*int64(t.DType.Bits()/8)
	switch {
	case opts.Map != nil:
		err = readMapped(ctx, s, t, dst, want, from, opts.Map)
	case t.DType == want && littleEndian:
		err = s.readRaw(ctx, offset, asBytes(dst))
	default:
		err = s.readConverted(ctx, t.DType, offset, len(dst), func(buf []byte, at, n int) { convert(dst[at:at+n], buf) })
	}
	return wrapRead(t, err)
}

// mapChunk is how many values Map gets at once: as float32 they stay in the core's own cache.
const mapChunk = 16 << 10

// readMapped reads the elements of a tensor from the given one on by way of float32, through a small buffer for each worker.
func readMapped[T uint16 | float32](ctx context.Context, s *shard, t Tensor, dst []T, want DType, from int,
	change func(values []float32, at int)) error {
	widen, err := converter[float32](t.DType, F32)
	if err != nil {
		return err
	}
	store := storer[T](want)
	width := t.DType.Bits() / 8
	scratch := sync.Pool{New: func() any { return new([mapChunk]float32) }}
	return s.readConverted(ctx, t.DType, t.Offset+int64(from)*int64(width), len(dst), func(buf []byte, at, n int) {
		values := scratch.Get().(*[mapChunk]float32) //nolint:errcheck // the pool holds nothing else
		for lo := 0; lo < n; lo += mapChunk {
			part := values[:min(mapChunk, n-lo)]
			widen(part, buf[lo*width:])
			change(part, from+at+lo)
			store(dst[at+lo:at+lo+len(part)], part)
		}
		scratch.Put(values)
	})
}

func (c *Checkpoint) find(name string) (Tensor, *shard, error) {
	t, ok := c.Lookup(name)
	if !ok {
		return t, nil, fmt.Errorf("read tensor %q: the checkpoint has no such tensor", name)
	}
	return t, c.shards[t.File], nil
}

func wrapRead(t Tensor, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("read tensor %q from %s: %w", t.Name, t.File, err)
}

// readRaw fills dst from the file at offset.
func (s *shard) readRaw(ctx context.Context, offset int64, dst []byte) error {
	return s.parallel(ctx, ceilDiv(len(dst), rawChunk), 0, func(_ []byte, i int) error {
		lo := i * rawChunk
		return readFullAt(s, dst[lo:min(lo+rawChunk, len(dst))], offset+int64(lo))
	})
}

// readConverted hands the stored bytes of the n elements of type d from offset on to convert, a chunk at a
// time: the bytes, the index of the first element and how many there are.
func (s *shard) readConverted(ctx context.Context, d DType, offset int64, n int, convert func(buf []byte, at, n int)) error {
	width := d.Bits() / 8
	per := convertChunk / width
	return s.parallel(ctx, ceilDiv(n, per), convertChunk, func(buf []byte, i int) error {
		at := i * per
		count := min(per, n-at)
		buf = buf[:count*width]
		if err := readFullAt(s, buf, offset+int64(at)*int64(width)); err != nil {
			return err
		}
		convert(buf, at, count)
		return nil
	})
}

// parallel calls f for 0 to n-1, in order on a sequential file, else on all
// cores. Each worker has one buffer of bufSize bytes. The context is checked
// before each call; the first error stops everything.
func (s *shard) parallel(ctx context.Context, n, bufSize int, f func(buf []byte, i int) error) error {
	workers := min(runtime.GOMAXPROCS(0), n)
	if s.sequential {
		workers = min(1, n)
	}
	var (
		next   atomic.Int64
		once   sync.Once
		failed error
		stop   atomic.Bool
	)
	work := func() {
		buf := make([]byte, bufSize)
		for !stop.Load() {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			err := ctx.Err()
			if err == nil {
				err = f(buf, i)
			}
			if err != nil {
				once.Do(func() { failed = err })
				stop.Store(true)
				return
			}
		}
	}
	var wg sync.WaitGroup
	for range workers - 1 {
		wg.Go(work)
	}
	if workers > 0 {
		work()
	}
	wg.Wait()
	return failed
}

// littleEndian says whether numbers lie in memory as they do in the file.
var littleEndian = func() bool {
	one := [2]byte{1, 0}
	return *(*uint16)(unsafe.Pointer(&one)) == 1
}()

// asBytes is the memory of s.
func asBytes[T uint16 | float32](s []T) []byte {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), len(s)*int(unsafe.Sizeof(s[0])))
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
