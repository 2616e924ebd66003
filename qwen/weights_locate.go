package qwen

import (
	"context"
	"slices"

	"github.com/omnidocs/omnidocs/internal/checkpoint"
)

// place is where the rows of a source stand in the checkpoint.
type place struct {
	tensor checkpoint.Tensor
	// matrix is the number of the matrix [rows, in] within the tensor, of which the source begins at row from; rows and
	// columns are exchanged where transposed is set, and from counts columns.
	matrix, rows, from int
	transposed         bool
}

// locate finds a source: as a tensor of its own, or as a part of one that holds all experts. It returns the shape that the
// tensor should have where it has another, and false where there is none.
func locate(c *checkpoint.Checkpoint, prefix string, src source) (at place, want []int, ok bool) {
	if t, ok := checkpointKey(c, prefix+src.key); ok {
		if !slices.Equal(t.Shape, src.shape) {
			want = src.shape
		}
		return place{tensor: t, rows: src.shape[0]}, want, true
	}
	f := src.fused
	if f == nil {
		return place{}, nil, false
	}
	t, ok := checkpointKey(c, prefix+f.key)
	if !ok {
		return place{}, nil, false
	}
	in := src.shape[1]
	at = place{tensor: t, matrix: f.expert, rows: f.rows, from: f.from}
	direct, turned := []int{f.experts, f.rows, in}, []int{f.experts, in, f.rows}
	switch {
	case f.rows == in && slices.Equal(t.Shape, direct):
		at.transposed = turnedAround(c, prefix, f, in)
	case slices.Equal(t.Shape, turned):
		at.transposed = true
	case !slices.Equal(t.Shape, direct):
		want = direct
	}
	return at, want, true
}

// turnedAround says, for a tensor of square matrices, whether they are transposed, by its sibling: gate and up together have
// twice the width that down has, so that never both are square.
func turnedAround(c *checkpoint.Checkpoint, prefix string, f *fused, in int) bool {
	sibling, rows := "mlp.experts.down_proj", in
	if f.key == sibling {
		sibling, rows = "mlp.experts.gate_up_proj", 2*in
	}
	t, ok := checkpointKey(c, prefix+sibling)
	return ok && len(t.Shape) == 3 && t.Shape[1] != rows
}

// readRows reads rows of a source, [to-from, in].
func readRows[T uint16 | float32](ctx context.Context, at place, p part, dst []T, read readFunc[T]) error {
	in := elements(p.source.shape) / p.source.shape[0]
	first := at.matrix * at.rows * in
	if !at.transposed {
		first += (at.from + p.from) * in
		return read(ctx, at.tensor.Name, dst, checkpoint.ReadOptions{From: first, To: first + len(dst)})
	}
	turned := make([]T, at.rows*in) // [in, rows]
	if err := read(ctx, at.tensor.Name, turned, checkpoint.ReadOptions{From: first, To: first + len(turned)}); err != nil {
		return err
	}
	n := p.to - p.from
	for i := range in {
		row := turned[i*at.rows+at.from+p.from:][:n]
		for j, v := range row {
			dst[j*in+i] = v
		}
	}
	return nil
}
