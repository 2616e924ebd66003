package textextraction

import (
	"context"
	"image"
	"iter"

	"github.com/omnidocs/omnidocs/backend"
)

// BatchOptions are the choices of a batch. The zero value is that of [Options] for every page, and tells nobody of its
// progress.
type BatchOptions struct {
	Options
	// Total is the number of pages, if it is known, for Progress.
	Total int
	// Progress is called when a page has ended, well or not, with the number of pages that have ended by then, and Total.
	// Pages that are read together end in any order, and before they are yielded. Python calls its progress_callback
	// before each page. It must return soon: the pages beside it wait. Nil means nobody.
	Progress func(done, total int)
}

// Batch reads pages from a source, QwenTextPyTorchConfig.BatchSize of them together. No more than these are held in
// memory. See [TextExtractor].
func (x *QwenTextExtractor) Batch(ctx context.Context, pages iter.Seq2[image.Image, error], opts BatchOptions) iter.Seq2[*ExtractResult, error] {
	return func(yield func(*ExtractResult, error) bool) {
		b := batch{x: x, opts: opts}
		for img, err := range pages {
			p := b.add(ctx, img, err)
			if ended := x.ended(ctx); ended != nil {
				_, p.err = callError(ctx, ended)
				b.flush(ctx, yield)
				return
			}
			if len(b.window) == x.settings.batchSize && !b.flush(ctx, yield) {
				return
			}
		}
		b.flush(ctx, yield)
	}
}

// batch is one range over a batch.
type batch struct {
	x       *QwenTextExtractor
	opts    BatchOptions
	window  []*page // that are read together
	yielded int
	done    int
}

// add puts a page into the window.
func (b *batch) add(ctx context.Context, img image.Image, err error) *page {
	p := &page{img: img}
	if err != nil {
		p.err = err
	} else {
		p.request, p.opts, p.err = b.x.request(ctx, img, b.opts.Options)
	}
	b.window = append(b.window, p)
	return p
}

// flush reads the window and yields it. It returns false when no more is wanted.
func (b *batch) flush(ctx context.Context, yield func(*ExtractResult, error) bool) bool {
	for _, p := range b.window {
		if p.err != nil {
			b.progress()
		}
	}
	b.x.read(ctx, b.window, b.progress)
	window := b.window
	b.window = nil
	for _, p := range window {
		p.img, p.request = nil, backend.Request{} // read: no need to hold the images until all are yielded
	}
	for _, p := range window {
		err := p.err
		if err != nil {
			err = &PageError{Index: b.yielded, Err: err}
		}
		b.yielded++
		if !yield(p.result, err) {
			return false
		}
	}
	return true
}

func (b *batch) progress() {
	b.done++
	if b.opts.Progress != nil {
		b.opts.Progress(b.done, b.opts.Total)
	}
}
