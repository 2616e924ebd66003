package omnidocs

import (
	"context"
	"errors"
	"image"
	"slices"
	"sync"
)

// window holds the pages that were rendered last, and sees to it that a page which several ask for at once is rendered
// once.
type window struct {
	size int

	mu     sync.Mutex
	recent []*rendering       // the oldest first
	begun  map[int]*rendering // those under way
}

type rendering struct {
	page int
	done chan struct{}
	img  image.Image
	err  error
}

// page returns page i from the window, or renders it.
func (w *window) page(ctx context.Context, i int, render func(context.Context, int) (image.Image, error)) (image.Image, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r, mine := w.begin(i)
		if mine {
			w.render(ctx, r, render)
			return r.img, r.err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-r.done:
		}
		// Another caller's context may have ended that one; this caller's has not, so it tries for itself.
		if !errors.Is(r.err, context.Canceled) && !errors.Is(r.err, context.DeadlineExceeded) {
			return r.img, r.err
		}
	}
}

// begin returns the rendering of a page, and whether the caller is the one to do it.
func (w *window) begin(i int) (r *rendering, mine bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if at := slices.IndexFunc(w.recent, func(r *rendering) bool { return r.page == i }); at >= 0 {
		r = w.recent[at]
		w.recent = append(slices.Delete(w.recent, at, at+1), r)
		return r, false
	}
	if r, ok := w.begun[i]; ok {
		return r, false
	}
	r = &rendering{page: i, done: make(chan struct{})}
	if w.begun == nil {
		w.begun = map[int]*rendering{}
	}
	w.begun[i] = r
	return r, true
}

func (w *window) render(ctx context.Context, r *rendering, render func(context.Context, int) (image.Image, error)) {
	r.img, r.err = render(ctx, r.page)
	w.mu.Lock()
	delete(w.begun, r.page)
	if r.err == nil && w.size > 0 {
		if len(w.recent) >= w.size {
			w.recent = slices.Delete(w.recent, 0, len(w.recent)-w.size+1)
		}
		w.recent = append(w.recent, r)
	}
	w.mu.Unlock()
	close(r.done)
}

func (w *window) clear() {
	w.mu.Lock()
	w.recent = nil
	w.mu.Unlock()
}
