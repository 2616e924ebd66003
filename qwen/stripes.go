package qwen

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"
)

// Sequences go through the towers in stripes of rows, each against the keys and values of all. What is in memory at one time
// is then that of a stripe, several can be run at once, and the context is obeyed between them.
const (
	defaultStripeLimit = 2048
	defaultStripeRows  = 512
)

// stripeLimit is StripeLimit or what zero stands for.
func (r Runtime) stripeLimit() int {
	if r.StripeLimit <= 0 {
		return defaultStripeLimit
	}
	return r.StripeLimit
}

// stripeRows is the size of the stripes of a sequence, a multiple of whole: up to the limit all rows are one, above it they are
// cut into stripes of about one size.
func (r Runtime) stripeRows(rows, whole int) int {
	limit, most := r.StripeLimit, r.StripeRows
	if limit <= 0 {
		limit, most = defaultStripeLimit, defaultStripeRows
	}
	if rows <= limit {
		return max(whole, (rows+whole-1)/whole*whole)
	}
	if r.Workers > 1 {
		most = min(most, (rows+r.Workers-1)/r.Workers)
	}
	n := (rows + most - 1) / max(1, most)
	for even := n; even <= n+n/2+1; even++ { // somewhat smaller ones, if that saves padding
		if rows%(even*whole) == 0 {
			n = even
			break
		}
	}
	return ((rows+n-1)/n + whole - 1) / whole * whole
}

// bucket rounds a number of rows up so that few shapes are compiled: to a multiple of an eighth of the power of two below
// it, and of 32, which wastes an eighth at most of anything large.
func (m *Model) bucket(rows int) int {
	if m.runtime.ExactShapes {
		return rows
	}
	step := bucketStep(rows)
	return (rows + step - 1) / step * step
}

// bucketStep is what a number of rows is rounded up to a multiple of.
func bucketStep(rows int) int {
	step := 32
	for step*16 <= rows {
		step *= 2
	}
	return step
}

// visionRows are the rows of patches, with padding, that the vision tower runs an image of so many visual tokens with, counted in
// the order of arrangement, and those of a stripe.
func (m *Model) visionRows(tokens int) (rows, stripe int) {
	r, v := m.runtime, m.Spec.Vision
	unit := v.MergeSize * v.MergeSize
	rows = m.bucket(tokens) * unit
	stripe = r.stripeRows(rows, unit*max(1, v.Window*v.Window))
	if stripe >= rows || !r.ExactShapes { // so that all stripes have one shape
		rows = (rows + stripe - 1) / stripe * stripe
	}
	return rows, stripe
}

// deltaRows is the most rows that go through a layer with a recurrent state in one program.
const deltaRows = 2048

// promptRows are the rows of tokens, with padding, that the text tower runs a prompt with, and those of a stripe.
func (m *Model) promptRows(tokens int) (rows, stripe int) {
	rows = m.bucket(tokens)
	stripe = m.runtime.stripeRows(rows, 1)
	if m.Spec.Text.Linear != nil { // such a layer's graph has nodes for every 64 rows
		stripe = min(stripe, deltaRows)
	}
	if !m.runtime.ExactShapes { // so that all stripes have one shape
		rows = (rows + stripe - 1) / stripe * stripe
	}
	return rows, stripe
}

// each calls f for every one of n stripes, runtime.Workers at a time, and returns their errors. With one worker the first error ends it.
func (m *Model) each(n int, f func(i int) error) error {
	if m.runtime.Workers <= 1 {
		for i := range n {
			if err := f(i); err != nil {
				return err
			}
		}
		return nil
	}
	errs := make([]error, n)
	free := make(chan struct{}, m.runtime.Workers)
	var running sync.WaitGroup
	for i := range n {
		free <- struct{}{}
		running.Go(func() {
			errs[i] = f(i)
			<-free
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// join puts buffers end to end along an axis.
func (m *Model) join(ctx context.Context, axis int, parts []compute.Buffer) (compute.Buffer, error) {
	var all []shapes.Shape
	for _, p := range parts {
		shape, err := p.Shape()
		if err != nil {
			return nil, err
		}
		all = append(all, shape)
	}
	out, err := m.run(ctx, fmt.Sprintf("join %d %v", axis, all), joinGraph(axis, all), parts)
	if err != nil {
		return nil, err
	}
	return out[0], nil
}
