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

// Batch reads pages from a source, up to BatchSize of them together: as soon as one ends, the next takes its place, and since
// they are yielded in the order of the source, up to as many more wait for that. No others are held in memory. See
// [TextExtractor].
func (x *QwenTextExtractor) Batch(ctx context.Context, pages iter.Seq2[image.Image, error], opts BatchOptions) iter.Seq2[*ExtractResult, error] {
	return func(yield func(*ExtractResult, error) bool) {
		readCtx, cancel := context.WithCancel(ctx)
		b := batch{x: x, opts: opts, ended: make(chan *page)}
		defer func() { // when the consumer has left
			cancel()
			b.wait()
		}()
		for img, err := range pages {
			p := b.add(ctx, readCtx, img, err)
			if ended := x.ended(ctx); ended != nil {
				b.wait()
				if p.result == nil {
					_, p.err = callError(ctx, ended)
				}
				break
			}
			for len(b.window) >= x.settings.window() {
				if !b.yield(yield) {
					return
				}
			}
		}
		for len(b.window) > 0 {
			if !b.yield(yield) {
				return
			}
		}
	}
}

// window is how many pages a batch holds: one that is read alone, or as many again as are read together.
func (s settings) window() int {
	if s.batchSize == 1 {
		return 1
	}
	return 2 * s.batchSize
}

// batch is one range over a batch.
type batch struct {
	x       *QwenTextExtractor
	opts    BatchOptions
	window  []*page    // in the order of the source
	ended   chan *page // those that are read, as they end
	reading int
	yielded int
	done    int
}

// add puts a page into the window, and reads it, once there is room for it.
func (b *batch) add(ctx, readCtx context.Context, img image.Image, err error) *page {
	p := &page{img: img}
	if err != nil {
		p.err = err
	} else {
		p.request, p.opts, p.err = b.x.request(ctx, img, b.opts.Options)
	}
	b.window = append(b.window, p)
	if p.err != nil {
		p.ended = true
		b.progress()
		return p
	}
	for b.reading >= b.x.settings.batchSize {
		b.next()
	}
	b.reading++
	go func() {
		b.x.read(readCtx, []*page{p}, func() {})
		b.ended <- p
	}()
	return p
}

// next waits until one of the pages has been read.
func (b *batch) next() {
	p := <-b.ended
	p.ended = true
	b.reading--
	p.img, p.request = nil, backend.Request{} // no need to hold the image until it is yielded
	b.progress()
}

// wait waits until all pages have been read.
func (b *batch) wait() {
	for b.reading > 0 {
		b.next()
	}
}

// yield yields the first page of the window. It returns false when no more is wanted.
func (b *batch) yield(yield func(*ExtractResult, error) bool) bool {
	p := b.window[0]
	for !p.ended {
		b.next()
	}
	b.window = b.window[1:]
	err := p.err
	if err != nil {
		err = &PageError{Index: b.yielded, Err: err}
	}
	b.yielded++
	return yield(p.result, err)
}

func (b *batch) progress() {
	b.done++
	if b.opts.Progress != nil {
		b.opts.Progress(b.done, b.opts.Total)
	}
}
