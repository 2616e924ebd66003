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
	// Shape has a line for each tensor of another shape.
	Shape []string
}

// Error lists all keys, sorted.
func (e *WeightsError) Error() string {
	var b strings.Builder
	b.WriteString("the weights do not fit the configuration:")
	for _, part := range []struct {
		what  string
		lines []string
	}{{"missing", e.Missing}, {"unexpected", e.Unexpected}, {"of another shape", e.Shape}} {
		if len(part.lines) > 0 {
			fmt.Fprintf(&b, " %d %s (%s);", len(part.lines), part.what, strings.Join(part.lines, ", "))
		}
	}
	return strings.TrimSuffix(b.String(), ";")
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
				key := g.prefix + src.key
				t, ok := checkpointKey(c, key)
				if !ok {
					e.Missing = append(e.Missing, key)
					continue
				}
				used[t.Name] = true
				if !slices.Equal(t.Shape, src.shape) {
					e.Shape = append(e.Shape, fmt.Sprintf("%s is %v, want %v", t.Name, t.Shape, src.shape))
				}
			}
		}
	}
	if s.Text.Tied { // a copy of the embedding, which transformers ignores too
		if t, ok := checkpointKey(c, "lm_head.weight"); ok {
			used[t.Name] = true
		}
	}
	for _, t := range c.Tensors() {
		// The frequencies are computed from the configuration; some writers store them all the same.
		if !used[t.Name] && !strings.HasSuffix(t.Name, ".inv_freq") {
			e.Unexpected = append(e.Unexpected, t.Name)
		}
	}
	if len(e.Missing)+len(e.Unexpected)+len(e.Shape) == 0 {
		return nil
	}
	slices.Sort(e.Missing)
	slices.Sort(e.Shape)
	return &e
}

// loader reads parameters onto the device, one at a time: no tensor is in memory twice for longer than its own reading.
type loader struct {
	backend compute.Backend
	file    *checkpoint.Checkpoint
	dtype   dtypes.DType // of matrices and tables
	inOut   bool         // matrices are transposed
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
			b, err := l.param(ctx, g, p)
			if err != nil {
				return nil, errors.Join(fmt.Errorf("load %s%s: %w", g.prefix, p.name, err), w.finalize())
			}
			w[g.name] = append(w[g.name], b)
			done += int64(elements(p.dims()))
			if progress != nil {
				progress(done, total)
			}
		}
	}
	return w, nil
}

func (l loader) param(ctx context.Context, g group, p param) (compute.Buffer, error) {
	shape := l.shape(p)
	if !l.backend.HasSharedBuffers() {
		flat := dtypes.MakeAnySlice(shape.DType, shape.Size())
		if err := l.fill(ctx, g, p, flat); err != nil {
			return nil, err
		}
		return l.backend.BufferFromFlatData(0, flat, shape)
	}
	buffer, flat, err := l.backend.NewSharedBuffer(0, shape)
	if err != nil {
		return nil, err
	}
	if err := l.fill(ctx, g, p, flat); err != nil {
		return nil, errors.Join(err, buffer.Finalize())
	}
	return buffer, nil
}

// shape is the shape of a parameter on the device.
func (l loader) shape(p param) shapes.Shape { return paramShape(p, l.dtype, l.inOut) }

func paramShape(p param, dtype dtypes.DType, inOut bool) shapes.Shape {
	dims := p.dims()
	switch {
	case p.kind == vector:
		return shapes.Make(dtypes.Float32, dims...)
	case p.kind == matrix && inOut:
		return shapes.Make(dtype, dims[1], dims[0])
	default:
		return shapes.Make(dtype, dims...)
	}
}

func (l loader) fill(ctx context.Context, g group, p param, flat any) error {
	inOut := l.inOut && p.kind == matrix
	switch flat := flat.(type) {
	case []float32:
		return fillSources(ctx, l.file, g, p, flat, inOut, l.file.ReadFloat32)
	default:
		bits, read, err := l.halfBits(flat)
		if err != nil {
			return err
		}
		return fillSources(ctx, l.file, g, p, bits, inOut, read)
	}
}

type readFunc[T uint16 | float32] func(ctx context.Context, name string, dst []T, opts checkpoint.ReadOptions) error

// fillSources reads the sources of a parameter into flat, [out, in] or, with inOut, [in, out].
func fillSources[T uint16 | float32](ctx context.Context, c *checkpoint.Checkpoint, g group, p param, flat []T, inOut bool, read readFunc[T]) error {
	out := p.dims()[0]
	at := 0
	for _, src := range p.sources {
		t, _ := checkpointKey(c, g.prefix+src.key) // checkWeights has found it
		n, rows := elements(src.shape), src.shape[0]
		if !inOut {
			if err := read(ctx, t.Name, flat[at:at+n], checkpoint.ReadOptions{}); err != nil {
				return err
			}
			at += n
			continue
		}
		if len(p.sources) == 1 && len(src.shape) == 2 {
			return read(ctx, t.Name, flat, checkpoint.ReadOptions{Transpose: true})
		}
		part := make([]T, n) // [in, rows], to be spread over the columns from at on
		if err := read(ctx, t.Name, part, checkpoint.ReadOptions{Transpose: len(src.shape) == 2}); err != nil {
			return err
		}
		in := n / rows
		for i := range in {
			if len(src.shape) == 2 {
				copy(flat[i*out+at:], part[i*rows:(i+1)*rows])
				continue
			}
			for j := range rows {
				flat[i*out+at+j] = part[j*in+i]
			}
		}
		at += rows
	}
	return nil
}

// halfBits views a slice of a 16-bit float type as its bits, with the reader that converts to it.
func (l loader) halfBits(flat any) ([]uint16, readFunc[uint16], error) {
	n := 0
	var first unsafe.Pointer
	switch l.dtype {
	case dtypes.BFloat16, dtypes.Float16:
		bytes := dtypes.UnsafeByteSliceFromAny(flat)
		n, first = len(bytes)/2, unsafe.Pointer(unsafe.SliceData(bytes))
	default:
		return nil, nil, fmt.Errorf("dtype %s: %w for weights", l.dtype, ErrUnsupported)
	}
	read := l.file.ReadBFloat16
	if l.dtype == dtypes.Float16 {
		read = l.file.ReadFloat16
	}
	return unsafe.Slice((*uint16)(first), n), read, nil
}
