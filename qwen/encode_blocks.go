package qwen

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/compute"
)

// block runs one transformer block.
func (e *encoding) block(ctx context.Context, i int) error {
	windowed := e.m.Spec.Vision.windowedAt(i)
	if len(e.stripes) > 1 && !windowed {
		return e.stripedBlock(ctx, i)
	}
	return e.m.each(len(e.stripes), func(j int) error {
		s := &e.stripes[j]
		in := []compute.Buffer{s.x, s.cos, s.sin}
		switch {
		case e.padded && windowed:
			in = append(in, s.bias)
		case e.padded:
			in = append(in, e.bias)
		}
		name, build := fmt.Sprintf("block %d %t %t", s.rows, windowed, e.padded), e.m.blockGraph(s.rows, windowed, e.padded)
		if e.images > 1 && !windowed {
			name, build = fmt.Sprintf("images %d %d %t", e.images, e.each, e.padded), e.m.imagesGraph(e.images, e.each, e.padded)
		}
		out, err := e.m.run(ctx, name, build, in, groupBlock(i))
		if err != nil {
			return err
		}
		return s.replace(out[0])
	})
}

// replace puts the next state in the place of the last.
func (s *stripe) replace(x compute.Buffer) error {
	old := s.x
	s.x = x
	return old.Finalize()
}

func (e *encoding) stripedBlock(ctx context.Context, i int) (err error) {
	n := len(e.stripes)
	queries, keys, values := make(buffers, n), make(buffers, n), make(buffers, n)
	var all [2]compute.Buffer
	defer func() { err = errors.Join(err, queries.free(), keys.free(), values.free(), buffers(all[:]).free()) }()
	err = e.m.each(len(e.stripes), func(j int) error {
		s := e.stripes[j]
		out, err := e.m.run(ctx, fmt.Sprintf("heads %d", s.rows), e.m.headsGraph(s.rows), []compute.Buffer{s.x, s.cos, s.sin}, groupBlock(i))
		if err != nil {
			return err
		}
		queries[j], keys[j], values[j] = out[0], out[1], out[2]
		return nil
	})
	if err != nil {
		return err
	}
	for j, parts := range []buffers{keys, values} {
		if all[j], err = e.m.join(ctx, 1, parts); err != nil {
			return err
		}
	}
	return e.m.each(len(e.stripes), func(j int) error {
		s := &e.stripes[j]
		in := []compute.Buffer{s.x, queries[j], all[0], all[1]}
		if e.padded {
			in = append(in, e.bias)
		}
		name := fmt.Sprintf("rest %d %d %t", s.rows, e.rows, e.padded)
		out, err := e.m.run(ctx, name, e.m.restGraph(s.rows, e.rows, e.padded), in, groupBlock(i))
		if err != nil {
			return err
		}
		return s.replace(out[0])
	})
}

// merge runs a merger on all stripes and joins what it makes of them. It takes as many of them together as make one stripe's rows of tokens:
// with fewer rows a product takes longer for each, since its matrix is read for all of them.
func (e *encoding) merge(ctx context.Context, group string, deepstack bool) (_ compute.Buffer, err error) {
	together := e.m.Spec.Vision.MergeSize * e.m.Spec.Vision.MergeSize
	parts := make(buffers, (len(e.stripes)+together-1)/together)
	err = e.m.each(len(parts), func(i int) error {
		from := i * together
		var err error
		parts[i], err = e.mergeStripes(ctx, e.stripes[from:min(from+together, len(e.stripes))], group, deepstack)
		return err
	})
	if err == nil && len(parts) == 1 {
		return parts[0], nil
	}
	var joined compute.Buffer
	if err == nil {
		joined, err = e.m.join(ctx, 0, parts)
	}
	return joined, errors.Join(err, parts.free())
}

// mergeStripes runs a merger on some stripes.
func (e *encoding) mergeStripes(ctx context.Context, stripes []stripe, group string, deepstack bool) (_ compute.Buffer, err error) {
	x, rows := stripes[0].x, 0
	for _, s := range stripes {
		rows += s.rows
	}
	if len(stripes) > 1 {
		var all []compute.Buffer
		for _, s := range stripes {
			all = append(all, s.x)
		}
		if x, err = e.m.join(ctx, 0, all); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, x.Finalize()) }()
	}
	out, err := e.m.run(ctx, fmt.Sprintf("merger %d %t", rows, deepstack), e.m.mergerGraph(rows, deepstack), []compute.Buffer{x}, group)
	if err != nil {
		return nil, err
	}
	return out[0], nil
}
