package pdf

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"sort"
	"time"

	"github.com/klippa-app/go-pdfium/requests"

	"github.com/omnidocs/omnidocs/internal/imageproc"
)

// maxSize is the largest file: PDFium in WebAssembly counts bytes in 32 bits.
const maxSize = math.MaxUint32

// Limits bounds what is done for a page.
type Limits struct {
	// MaxPixels is the largest width × height.
	MaxPixels int64
	// Timeout is the longest that a call may work on a page, not counting the wait for a free sandbox.
	Timeout time.Duration
}

// File is a PDF. It may be used from several goroutines.
type File struct {
	src      io.ReaderAt
	size     int64
	password string
	limits   Limits
	closed   bool // guarded by the mutex of workers
	count    int
	meta     map[string]string
}

// Open opens the PDF in src, which must stay open until the File is closed. The password may be "".
func Open(ctx context.Context, src io.ReaderAt, size int64, password string, limits Limits) (*File, error) {
	if size > maxSize {
		return nil, fmt.Errorf("%w: it has %d bytes, PDFium reads up to %d; split it", ErrTooLarge, size, int64(maxSize))
	}
	if size == 0 {
		return nil, fmt.Errorf("%w: it has no bytes", ErrDamaged)
	}
	f := &File{src: src, size: size, password: password, limits: limits}
	count, err := with(ctx, f, func(w *worker) (int, error) {
		pages, err := w.pdfium.FPDF_GetPageCount(&requests.FPDF_GetPageCount{Document: w.doc})
		if err != nil {
			return 0, err
		}
		return pages.PageCount, w.checkCount(pages.PageCount)
	})
	if err != nil {
		f.Close()
		return nil, err
	}
	f.count = count
	// For a file that says nothing of itself there is an error, which is no reason to refuse it.
	f.meta, err = with(ctx, f, (*worker).metadata)
	if err != nil && (ctx.Err() != nil || errors.Is(err, ErrTimeout)) {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Count is the number of pages.
func (f *File) Count() int { return f.count }

// Metadata is what the file says of itself, such as "Title"; what is empty is not there.
func (f *File) Metadata() map[string]string { return f.meta }

// Size is the size in pixels that page i has at a resolution.
func (f *File) Size(ctx context.Context, i, dpi int) (image.Point, error) {
	return with(ctx, f, func(w *worker) (image.Point, error) { return w.pageSize(i, dpi) })
}

// Render renders page i on white, with its annotations and form fields.
func (f *File) Render(ctx context.Context, i, dpi int) (*imageproc.RGB, error) {
	return with(ctx, f, func(w *worker) (*imageproc.RGB, error) { return w.render(i, dpi) })
}

// Text is the text layer of page i, with lines that end in "\n".
func (f *File) Text(ctx context.Context, i int) (string, error) {
	return with(ctx, f, func(w *worker) (string, error) { return w.text(i) })
}

// Close frees the sandboxes that have the file open. The caller sees to it that no call is under way.
func (f *File) Close() { workers.forget(f) }

// with has a worker do something with the file. When ctx ends, or the time is over, the worker is killed, and the
// goroutine that waits for it goes on by itself until it has noticed.
func with[T any](ctx context.Context, f *File, do func(*worker) (T, error)) (T, error) {
	type answer struct {
		result T
		err    error
	}
	var none T
	w, err := workers.take(ctx, f)
	if err != nil {
		return none, err
	}
	limited, cancel := context.WithTimeoutCause(ctx, f.limits.Timeout, fmt.Errorf("%w: more than %v", ErrTimeout, f.limits.Timeout))
	defer cancel()
	use := w.use()
	done := make(chan answer, 1)
	go func() {
		var a answer
		if a.err = w.open(); a.err == nil {
			a.result, a.err = do(w)
		}
		workers.give(w, a.err == nil)
		done <- a
	}()
	select {
	case a := <-done:
		if a.err != nil {
			return none, sandboxError(a.err)
		}
		return a.result, nil
	case <-limited.Done():
		w.kill(use)
		return none, context.Cause(limited)
	}
}

// checkCount holds what the file says of the number of its pages against the pages. PDFium takes a number in the file's
// header for granted, so that a file of some hundred bytes can have a million.
func (w *worker) checkCount(count int) error {
	if count <= 0 {
		return fmt.Errorf("%w: it has no pages", ErrDamaged)
	}
	if w.exists(count - 1) {
		return nil
	}
	// A last page that is merely damaged is that page's error alone: most of the others are there.
	there := sort.Search(count, func(i int) bool { return !w.exists(i) })
	if there >= count/2 {
		return nil
	}
	return fmt.Errorf("%w: it says that it has %d pages, but no more than the first %d are there", ErrDamaged, count, there)
}

func (w *worker) exists(i int) bool {
	_, err := w.pdfium.FPDF_GetPageSizeByIndexF(&requests.FPDF_GetPageSizeByIndexF{Document: w.doc, Index: i})
	return err == nil
}

func (w *worker) metadata() (map[string]string, error) {
	answer, err := w.pdfium.GetMetaData(&requests.GetMetaData{Document: w.doc})
	if err != nil {
		return nil, err
	}
	meta := map[string]string{}
	for _, tag := range answer.Tags {
		if tag.Value != "" {
			meta[tag.Tag] = tag.Value
		}
	}
	return meta, nil
}

// pageSize is the page's size in pixels, rounded up, held to the limit.
func (w *worker) pageSize(i, dpi int) (image.Point, error) {
	size, err := w.pdfium.FPDF_GetPageSizeByIndexF(&requests.FPDF_GetPageSizeByIndexF{Document: w.doc, Index: i})
	if err != nil {
		return image.Point{}, fmt.Errorf("%w: the page has no size", ErrDamaged)
	}
	// A page of 8.27 inches in 32-bit floats must not become one pixel wider for its last bit.
	pixels := func(points float32) float64 { return math.Ceil(float64(points)*float64(dpi)/72 - 1e-3) }
	width, height := pixels(size.Size.Width), pixels(size.Size.Height)
	if !(width >= 1 && height >= 1) {
		return image.Point{}, fmt.Errorf("%w: the page is %v x %v points", ErrDamaged, size.Size.Width, size.Size.Height)
	}
	if width*height > float64(w.file.limits.MaxPixels) {
		return image.Point{}, fmt.Errorf("%w: the page is %.0f x %.0f pixels at %d dpi, the limit is %d in all; lower the resolution or raise the limit",
			ErrTooLarge, width, height, dpi, w.file.limits.MaxPixels)
	}
	return image.Pt(int(width), int(height)), nil
}

// withPage loads a page for one call. Of a document with form fields, these are made part of the page first, since PDFium
// otherwise leaves them out.
func withPage[T any](w *worker, i int, do func(requests.Page) (T, error)) (result T, err error) {
	loaded, err := w.pdfium.FPDF_LoadPage(&requests.FPDF_LoadPage{Document: w.doc, Index: i})
	if err != nil {
		return result, err
	}
	defer func() {
		_, closeErr := w.pdfium.FPDF_ClosePage(&requests.FPDF_ClosePage{Page: loaded.Page})
		err = errors.Join(err, closeErr)
	}()
	page := requests.Page{ByReference: &loaded.Page}
	if w.form {
		if _, err := w.pdfium.FPDFPage_Flatten(&requests.FPDFPage_Flatten{Page: page}); err != nil {
			return result, err
		}
	}
	return do(page)
}
