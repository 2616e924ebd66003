package omnidocs

import (
	"context"
	"errors"
	"fmt"
	"image"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Document is a PDF, or pictures, as pages that are rendered when they are asked for. Its methods may be called from
// several goroutines. Pages are counted from 0, everywhere.
type Document struct {
	name   string // path, URL or name, for errors
	pages  PageRange
	meta   DocumentMetadata
	source source
	window window

	mu      sync.Mutex
	closed  bool
	running map[*context.CancelCauseFunc]struct{} // of the calls under way
	calls   sync.WaitGroup
}

// source is what a document is made of. Its pages are those of the file, the range has not been applied.
type source interface {
	count() int
	// size is the page's size in pixels as it would be rendered.
	size(ctx context.Context, i int) (image.Point, error)
	render(ctx context.Context, i int) (image.Image, error)
	// text is the page's text layer, "" if it has none.
	text(ctx context.Context, i int) (string, error)
	close() error
}

// newDocument makes a document of a source, which it closes if the options do not fit.
func newDocument(name string, src source, meta DocumentMetadata, opts LoadOptions) (*Document, error) {
	pages, err := opts.pages(name, src.count())
	if err != nil {
		_ = src.close()
		return nil, err
	}
	meta.PageCount = pages.Last - pages.First + 1
	meta.ImageFormat, meta.LoadedAt = "RGB", time.Now()
	meta.TextExtractionEngine = defaultTo(meta.TextExtractionEngine, "none")
	return &Document{
		name: name, pages: pages, meta: meta, source: src,
		window: window{size: opts.CachedPages}, running: map[*context.CancelCauseFunc]struct{}{},
	}, nil
}

// PageCount is the number of pages.
func (d *Document) PageCount() int { return d.meta.PageCount }

// PageNumber is the number, counted from 1, that page i of the document has in the file.
func (d *Document) PageNumber(i int) int { return d.pages.First + i + 1 }

// Name is the path, URL or name that the document was opened with.
func (d *Document) Name() string { return d.name }

// Metadata describes the document.
func (d *Document) Metadata() DocumentMetadata {
	meta := d.meta
	meta.PDFMetadata = maps.Clone(meta.PDFMetadata)
	return meta
}

// String tells the document's name and the number of its pages.
func (d *Document) String() string {
	if d.PageCount() == 1 {
		return d.name + " (1 page)"
	}
	return fmt.Sprintf("%s (%d pages)", d.name, d.PageCount())
}

// Page renders page i. The image is shared: do not change it. An error, unless it is a [PageRangeError], is a [PageError];
// the other pages can be read all the same.
func (d *Document) Page(ctx context.Context, i int) (image.Image, error) {
	return call(ctx, d, i, func(ctx context.Context, at int) (image.Image, error) {
		return d.window.page(ctx, at, d.source.render)
	})
}

// PageSize is the size in pixels that page i has, without rendering it.
func (d *Document) PageSize(ctx context.Context, i int) (width, height int, err error) {
	size, err := call(ctx, d, i, d.source.size)
	return size.X, size.Y, err
}

// LargestPage is the size in pixels of the page with the largest area, without rendering any: what memory is to be planned for. Pages that
// cannot be read are left out; it is an error if all are.
func (d *Document) LargestPage(ctx context.Context) (width, height int, err error) {
	var faults error
	for i := range d.PageCount() {
		w, h, err := d.PageSize(ctx, i)
		if ctx.Err() != nil || d.isClosed() {
			return 0, 0, err
		}
		faults = errors.Join(faults, err)
		if w*h > width*height {
			width, height = w, h
		}
	}
	if width == 0 {
		return 0, 0, faults
	}
	return width, height, nil
}

// PageText is the text layer of page i of a PDF, "" if it has none, or is a picture. Python's get_page_text counts from
// 1; this does not.
func (d *Document) PageText(ctx context.Context, i int) (string, error) {
	return call(ctx, d, i, d.source.text)
}

// Text is the text layer of all pages, with an empty line between two; "" if there is none.
func (d *Document) Text(ctx context.Context) (string, error) {
	texts := make([]string, d.PageCount())
	for i := range texts {
		var err error
		if texts[i], err = d.PageText(ctx, i); err != nil {
			return "", err
		}
	}
	if !slices.ContainsFunc(texts, func(text string) bool { return text != "" }) {
		return "", nil
	}
	return strings.Join(texts, "\n\n"), nil
}

// Pages renders the pages, one after the other, as they are asked for. A page that fails is yielded as its error, and
// the others go on; when ctx ends, or the document is closed, that is the last. It is what the Batch method of an
// extractor takes, and may be ranged over as often as one likes.
func (d *Document) Pages(ctx context.Context) iter.Seq2[image.Image, error] {
	return func(yield func(image.Image, error) bool) {
		for i := range d.PageCount() {
			img, err := d.Page(ctx, i)
			if !yield(img, err) || ctx.Err() != nil || d.isClosed() {
				return
			}
		}
	}
}

// ClearCache lets go of the rendered pages that the document holds on to.
func (d *Document) ClearCache() { d.window.clear() }

// Close ends the calls that are under way, with [ErrClosed], and frees what the document holds. Calls after it fail with
// ErrClosed.
func (d *Document) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	for cancel := range d.running {
		(*cancel)(ErrClosed)
	}
	d.mu.Unlock()
	d.calls.Wait()
	d.window.clear()
	return d.source.close()
}

func (d *Document) isClosed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}

// call does something with a page, between the checks that all methods have.
func call[T any](ctx context.Context, d *Document, i int, do func(ctx context.Context, at int) (T, error)) (T, error) {
	var none T
	if i < 0 || i >= d.PageCount() {
		return none, &PageRangeError{Source: d.name, First: i, Last: i, Count: d.PageCount()}
	}
	ctx, end := d.begin(ctx)
	defer end()
	result, err := none, ctx.Err()
	if err == nil {
		result, err = do(ctx, d.pages.First+i)
	}
	if err == nil {
		return result, nil
	}
	if errors.Is(context.Cause(ctx), ErrClosed) {
		err = ErrClosed
	}
	return none, &PageError{Source: d.name, Page: i, Err: err}
}

// begin counts a call as under way until end is called. Its context ends when the document is closed.
func (d *Document) begin(ctx context.Context) (_ context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		cancel(ErrClosed)
		return ctx, func() {}
	}
	d.running[&cancel] = struct{}{}
	d.calls.Add(1)
	return ctx, func() {
		cancel(nil)
		d.mu.Lock()
		delete(d.running, &cancel)
		d.mu.Unlock()
		d.calls.Done()
	}
}
