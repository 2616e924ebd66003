package qwen

import (
	"fmt"
	"math"
)

// Positions are plain numbers computed on the host: nothing here knows of tensors or devices.

// eachPatch calls f with the number, row and column of each patch of a grid in the order in which the processor lays them
// out: the merge×merge patches of one visual token stand together (transformers' get_vision_position_ids).
func eachPatch(height, width, merge int, f func(n, row, col int)) {
	n := 0
	for row := 0; row < height; row += merge {
		for col := 0; col < width; col += merge {
			for i := range merge {
				for j := range merge {
					f(n, row+i, col+j)
					n++
				}
			}
		}
	}
}

// angles are the cosines and sines of rotary embeddings, [rows, dim/2] each.
type angles struct{ cos, sin []float32 }

func newAngles(rows, half int) angles {
	return angles{make([]float32, rows*half), make([]float32, rows*half)}
}

func (a angles) set(i int, angle float32) {
	sin, cos := math.Sincos(float64(angle))
	a.cos[i], a.sin[i] = float32(cos), float32(sin)
}

// frequencies are theta^(-2i/dim) for i from 0 to dim/2-1, in float32 as transformers computes them.
func frequencies(theta float64, dim int) []float32 {
	f := make([]float32, dim/2)
	for i := range f {
		f[i] = 1 / float32(math.Pow(theta, float64(float32(2*i)/float32(dim))))
	}
	return f
}

// visionAngles are the rotary angles of each patch: the first half of them turns with its row, the second with its column
// (transformers' Qwen3VLVisionRotaryEmbedding).
func visionAngles(v VisionSpec, g Grid) angles {
	half := v.HeadDim() / 2
	freq := frequencies(v.RopeTheta, half)
	a := newAngles(g.Height*g.Width, half)
	eachPatch(g.Height, g.Width, v.MergeSize, func(n, row, col int) {
		for i, f := range freq {
			a.set(n*half+i, float32(row)*f)
			a.set(n*half+half/2+i, float32(col)*f)
		}
	})
	return a
}

// taps are the four entries of the position table that a patch is interpolated from, and their weights: [patches, 4] each.
type taps struct {
	index  []int32
	weight []float32
}

// positionTaps interpolates the table of learned positions bilinearly to the grid, with the corners of the one on the
// corners of the other (transformers' get_vision_interpolation_indices_and_weights, align_corners=True).
func positionTaps(v VisionSpec, g Grid) taps {
	side, n := v.PositionSide, g.Height*g.Width
	axis := func(i, size int) (low, high int, weight float32) {
		at := float32(i) * float32(side-1) / float32(max(size-1, 1))
		low = int(at)
		return min(low, side-1), min(low+1, side-1), at - float32(low)
	}
	t := taps{make([]int32, n*4), make([]float32, n*4)}
	eachPatch(g.Height, g.Width, v.MergeSize, func(n, row, col int) {
		r0, r1, rw := axis(row, g.Height)
		c0, c1, cw := axis(col, g.Width)
		copy(t.index[n*4:], []int32{int32(r0*side + c0), int32(r0*side + c1), int32(r1*side + c0), int32(r1*side + c1)})
		copy(t.weight[n*4:], []float32{(1 - rw) * (1 - cw), (1 - rw) * cw, rw * (1 - cw), rw * cw})
	})
	return t
}

// arrangement says which visual token stands in each place of the vision tower, -1 for padding: in the order of the image,
// or window by window, each filled up to its whole size (transformers' get_vision_window_index, which leaves out the padding
// and counts instead).
func arrangement(v VisionSpec, g Grid) []int32 {
	rows, cols := g.Height/v.MergeSize, g.Width/v.MergeSize
	side := v.Window
	if side == 0 {
		order := make([]int32, rows*cols)
		for i := range order {
			order[i] = int32(i)
		}
		return order
	}
	var order []int32
	for top := 0; top < rows; top += side {
		for left := 0; left < cols; left += side {
			for row := top; row < top+side; row++ {
				for col := left; col < left+side; col++ {
					if row < rows && col < cols {
						order = append(order, int32(row*cols+col))
					} else {
						order = append(order, -1)
					}
				}
			}
		}
	}
	return order
}

// arrange lays out rows of n numbers a visual token as an arrangement says, with zeros for padding.
func arrange[T any](flat []T, n int, order []int32) []T {
	out := make([]T, len(order)*n)
	for i, token := range order {
		if token >= 0 {
			copy(out[i*n:(i+1)*n], flat[int(token)*n:])
		}
	}
	return out
}

// Grid is the size of an image in patches.
type Grid struct{ Height, Width int }

// Span is where an image's visual tokens stand in the prompt.
type Span struct{ Start, Count int }

// Layout is a prompt ready for the text tower.
type Layout struct {
	// IDs are the token ids, with one image token for each visual token.
	IDs []int32
	// Positions are the time, height and width positions of each token.
	Positions [3][]int32
	// Images says where the images' visual tokens stand, in order.
	Images []Span
	// Next is the position of the first token after the prompt, in all three axes.
	Next int32
}

// layout computes the three positions of each token (transformers' get_rope_index): text counts up by one, an image's
// tokens share one time position and have their row and column, and the text after it goes on behind the larger of the two.
func layout(ids []int32, imageToken int32, grids []Grid, merge int) (*Layout, error) {
	l := &Layout{IDs: ids}
	for i := range l.Positions {
		l.Positions[i] = make([]int32, len(ids))
	}
	var next int32
	for i := 0; i < len(ids); {
		if ids[i] != imageToken {
			for axis := range l.Positions {
				l.Positions[axis][i] = next
			}
			next++
			i++
			continue
		}
		run := 0
		for i+run < len(ids) && ids[i+run] == imageToken {
			run++
		}
		if len(l.Images) == len(grids) {
			return nil, fmt.Errorf("the prompt has a place for an image more than the %d given", len(grids))
		}
		g := grids[len(l.Images)]
		rows, cols := g.Height/merge, g.Width/merge
		if run != rows*cols {
			return nil, fmt.Errorf("image %d has %d visual tokens, its place in the prompt has %d", len(l.Images), rows*cols, run)
		}
		for n := range run {
			l.Positions[0][i+n] = next
			l.Positions[1][i+n] = next + int32(n/cols)
			l.Positions[2][i+n] = next + int32(n%cols)
		}
		l.Images = append(l.Images, Span{i, run})
		next += int32(max(rows, cols))
		i += run
	}
	if len(l.Images) != len(grids) {
		return nil, fmt.Errorf("%d images given, the prompt has a place for %d", len(grids), len(l.Images))
	}
	l.Next = next
	return l, nil
}

// mropeAxis says with which of the three positions each frequency turns: in Qwen3 they are interleaved, T H W T H W …, and
// what is left over at the end is T (transformers' Qwen3VLTextRotaryEmbedding); before it each had a run of its own
// (transformers' Qwen2VLRotaryEmbedding).
func mropeAxis(t TextSpec) []int {
	axis := make([]int, t.RotaryDim/2)
	if !t.Interleaved {
		n := t.MRopeSection
		for i := range axis {
			if i >= n[0] {
				axis[i] = 1
			}
			if i >= n[0]+n[1] {
				axis[i] = 2
			}
		}
		return axis
	}
	for a := 1; a < 3; a++ {
		for i := a; i < 3*t.MRopeSection[a] && i < len(axis); i += 3 {
			axis[i] = a
		}
	}
	return axis
}

// textAngles are the rotary angles of tokens at the given time, height and width positions. Rows beyond the positions are
// padding.
func textAngles(t TextSpec, positions [3][]int32, rows int) angles {
	half := t.RotaryDim / 2
	freq, axis := frequencies(t.RopeTheta, t.RotaryDim), mropeAxis(t)
	out := newAngles(rows, half)
	for n := range positions[0] {
		for i, f := range freq {
			out.set(n*half+i, float32(positions[axis[i]][n])*f)
		}
	}
	return out
}
