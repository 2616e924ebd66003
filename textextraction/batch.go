package textextraction

import (
	"context"
	"image"
	"iter"
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
	return batchReader{read: x.ExtractWith, ended: x.ended, together: x.settings.batchSize}.pages(ctx, pages, opts)
}

// batchReader reads batches for an extractor.
type batchReader struct {
	read     func(ctx context.Context, img image.Image, opts Options) (*ExtractResult, error)
	ended    func(ctx context.Context) error // why no page can be read any more, or nil
	together int                             // pages
}

// window is how many pages a batch holds: one that is read alone, or as many again as are read together.
func (r batchReader) window() int {
	if r.together == 1 {
		return 1
	}
	return 2 * r.together
}

func (r batchReader) pages(ctx context.Context, pages iter.Seq2[image.Image, error], opts BatchOptions) iter.Seq2[*ExtractResult, error] {
	return func(yield func(*ExtractResult, error) bool) {
		readCtx, cancel := context.WithCancel(ctx)
		b := batch{batchReader: r, opts: opts, ends: make(chan *batchPage)}
		defer func() { // when the consumer has left
			cancel()
			b.wait()
		}()
		for img, err := range pages {
			p := b.add(readCtx, img, err)
			if ended := r.ended(ctx); ended != nil {
				b.wait()
				if p.result == nil {
					_, p.err = callError(ctx, ended)
				}
				break
			}
			for len(b.held) >= r.window() {
				if !b.yield(yield) {
					return
				}
			}
		}
		for len(b.held) > 0 {
			if !b.yield(yield) {
				return
			}
		}
	}
}

// batch is one range over a batch.
type batch struct {
	batchReader
	opts    BatchOptions
	held    []*batchPage    // in the order of the source
	ends    chan *batchPage // those that are read, as they end
	reading int
	yielded int
	done    int
}

// batchPage is a page of a batch.
type batchPage struct {
	result *ExtractResult
	err    error
	ended  bool // it has been read
}

// add takes a page in, and reads it, once there is room for it.
func (b *batch) add(ctx context.Context, img image.Image, err error) *batchPage {
	p := &batchPage{err: err}
	b.held = append(b.held, p)
	if err != nil {
		p.ended = true
		b.progress()
		return p
	}
	for b.reading >= b.together {
		b.next()
	}
	b.reading++
	go func() {
		p.result, p.err = b.read(ctx, img, b.opts.Options)
		b.ends <- p
	}()
	return p
}

// next waits until one of the pages has been read.
func (b *batch) next() {
	p := <-b.ends
	p.ended = true
	b.reading--
	b.progress()
}

// wait waits until all pages have been read.
func (b *batch) wait() {
	for b.reading > 0 {
		b.next()
	}
}

// yield yields the first page that is held. It returns false when no more is wanted.
func (b *batch) yield(yield func(*ExtractResult, error) bool) bool {
	p := b.held[0]
	for !p.ended {
		b.next()
	}
	b.held = b.held[1:]
	err := p.err
	if err != nil {
		err = &PageError{Index: b.yielded, Err: err}
	}
	if p.result != nil {
		p.result.setPage(b.yielded)
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
