package qwen

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"

	"github.com/omnidocs/omnidocs/internal/checkpoint"
)

// WeightsError lists everything in which a checkpoint's tensors differ from what its configuration asks for.
type WeightsError struct {
	// Missing are the keys that the model needs and the checkpoint lacks; Unexpected those that it has beside them.
	Missing, Unexpected []string
	// Shape has a line for each tensor of another shape, and Type one for each whose numbers cannot be read.
	Shape, Type []string
}

// Error lists all keys, sorted.
func (e *WeightsError) Error() string {
	var b strings.Builder
	b.WriteString("the weights do not fit the configuration:")
	for _, part := range e.kinds() {
		if len(part.lines) > 0 {
			fmt.Fprintf(&b, " %d %s (%s);", len(part.lines), part.what, strings.Join(part.lines, ", "))
		}
	}
	return strings.TrimSuffix(b.String(), ";")
}

// weightFaults are the lines about one kind of fault.
type weightFaults struct {
	what  string
	lines []string
}

func (e *WeightsError) kinds() []weightFaults {
	return []weightFaults{
		{"missing", e.Missing}, {"unexpected", e.Unexpected}, {"of another shape", e.Shape}, {"of a type that is not read", e.Type},
	}
}

// weights are the parameters on the device, by group and in the order of their declaration.
type weights map[string][]compute.Buffer

func (w weights) finalize() error {
	var errs []error
	for _, buffers := range w {
		for _, b := range buffers {
			errs = append(errs, b.Finalize())
		}
	}
	return errors.Join(errs...)
}

// checkpointKey finds a key in the checkpoint under each spelling that is about: the class names its towers
// model.visual and model.language_model, older files visual and model.
func checkpointKey(c *checkpoint.Checkpoint, key string) (checkpoint.Tensor, bool) {
	spellings := []string{key}
	if rest, ok := strings.CutPrefix(key, "model.visual."); ok {
		spellings = append(spellings, "visual."+rest)
	}
	if rest, ok := strings.CutPrefix(key, "model.language_model."); ok {
		spellings = append(spellings, "model."+rest, "language_model.model."+rest)
	}
	if key == "lm_head.weight" {
		spellings = append(spellings, "language_model.lm_head.weight")
	}
	for _, s := range spellings {
		if t, ok := c.Lookup(s); ok {
			return t, true
		}
	}
	return checkpoint.Tensor{}, false
}

// tie sets Tied where the checkpoint has no output matrix of its own, as transformers does.
func tie(s Spec, c *checkpoint.Checkpoint) Spec {
	if _, ok := checkpointKey(c, "lm_head.weight"); !ok {
		s.Text.Tied = true
	}
	return s
}

// checkWeights compares the tensors of a checkpoint with the declared parameters, both ways.
func checkWeights(s Spec, c *checkpoint.Checkpoint) error {
	used := map[string]bool{}
	var e WeightsError
	for _, g := range s.groups() {
		for _, p := range g.params {
			for _, src := range p.sources {
				at, want, ok := locate(c, g.prefix, src)
				if !ok {
					e.Missing = append(e.Missing, g.prefix+src.key)
					continue
				}
				s.Quantization.checkStored(c, at.tensor, used, &e)
				if want != nil && !used[at.tensor.Name] {
					e.Shape = append(e.Shape, fmt.Sprintf("%s is %v, want %v", at.tensor.Name, at.tensor.Shape, want))
				}
				used[at.tensor.Name] = true
			}
		}
	}
	if s.Text.Tied { // a copy of the embedding, which transformers ignores too
		if t, ok := checkpointKey(c, "lm_head.weight"); ok {
			used[t.Name] = true
		}
	}
	for _, t := range c.Tensors() {
		// The frequencies are computed from the configuration; some writers store them all the same. Qwen3.5 has layers that
		// guess several tokens ahead (mtp), which transformers leaves out too.
		if !used[t.Name] && !strings.HasSuffix(t.Name, ".inv_freq") && !strings.HasPrefix(t.Name, "mtp.") && !s.Quantization.unused(t.Name) {
			e.Unexpected = append(e.Unexpected, t.Name)
		}
	}
	if len(e.Missing)+len(e.Unexpected)+len(e.Shape)+len(e.Type) == 0 {
		return nil
	}
	slices.Sort(e.Missing)
	slices.Sort(e.Shape)
	slices.Sort(e.Type)
	return &e
}

// loader reads parameters onto the device, one buffer at a time: nothing is in memory twice for longer than its own reading.
type loader struct {
	backend compute.Backend
	file    weightFile
	dtype   dtypes.DType // of matrices
	limit   int          // of a buffer's elements
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

// buffers reads parts of a parameter into a buffer, or, of a matrix in int8, into one with the numbers and one with the scales.
func (l loader) buffers(ctx context.Context, g group, p param, parts []part) ([]compute.Buffer, error) {
	shape := p.shape(parts, l.dtype)
	if shape.DType == dtypes.Int8 {
		return l.quantized(ctx, g, parts, shape)
	}
	b, err := l.buffer(shape, func(flat any) error { return l.fill(ctx, g, p, parts, flat) })
	if err != nil {
		return nil, err
	}
	return []compute.Buffer{b}, nil
}

// buffer makes a buffer and has it filled, in place where the backend allows it.
func (l loader) buffer(shape shapes.Shape, fill func(flat any) error) (compute.Buffer, error) {
	if !l.backend.HasSharedBuffers() {
		flat := dtypes.MakeAnySlice(shape.DType, shape.Size())
		if err := fill(flat); err != nil {
			return nil, err
		}
		return l.backend.BufferFromFlatData(0, flat, shape)
	}
	buffer, flat, err := l.backend.NewSharedBuffer(0, shape)
	if err != nil {
		return nil, err
	}
	if err := fill(flat); err != nil {
		return nil, errors.Join(err, buffer.Finalize())
	}
	return buffer, nil
}

func (l loader) fill(ctx context.Context, g group, p param, parts []part, flat any) error {
	if flat, ok := flat.([]float32); ok {
		err := fillParts(ctx, l.file.Checkpoint, g, parts, flat, l.file.ReadFloat32)
		for i := range flat {
			flat[i] += p.offset
		}
		return err
	}
	bits, read, err := l.halfBits(flat)
	if err != nil {
		return err
	}
	return fillParts(ctx, l.file.Checkpoint, g, parts, bits, read)
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
