package jobs

import (
	"context"
	"errors"
	"image"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/omnidocs/journal"
	"github.com/omnidocs/omnidocs/textextraction"
)

// document is what a job needs of an [omnidocs.Document].
type document interface {
	PageCount() int
	PageNumber(i int) int
	Page(ctx context.Context, i int) (image.Image, error)
	PageText(ctx context.Context, i int) (string, error)
	Metadata() omnidocs.DocumentMetadata
	Close() error
}

// entry is a document of a job, which is opened when its turn has come.
type entry struct {
	id   string
	path string // for its result, if it cannot be opened
	open func(ctx context.Context) (document, error)
}

// run is a job under way: one goroutine opens the documents and renders their pages, as there is room for them; Workers others read them.
//
//	entries ─ feed ─▶ tasks ─ work ─▶ outcomes, gathered by their documents ─ done
type run struct {
	*reader
	images chan struct{} // holds a token for every image in memory
	tasks  chan task
	cancel context.CancelCauseFunc
	done   func(*gathering) // is called for every document that has ended, from one goroutine at a time

	mu    sync.Mutex // of what follows, and of done and the callbacks
	meter *meter
}

// task is a page that is to be read.
type task struct {
	ctx    context.Context //nolint:containedctx // that of the document, which has a deadline of its own
	of     *gathering
	page   int
	img    image.Image
	layer  string // the page's own text, where it is wanted
	render time.Duration
	names  []journal.Key
}

// gathering is a document while its pages are being read. It is guarded by the run's mu.
type gathering struct {
	id      string
	result  *DocumentResult
	start   time.Time
	waiting int  // pages that have not ended, and one for the feeder
	cut     bool // the run ended before it
	opened  bool // elsewhere, see Remote
	release context.CancelFunc
}

// newRun makes a run. Checked options, please.
func newRun(ctx context.Context, ex textextraction.TextExtractor, opts Options, done func(*gathering)) (*run, error) {
	r, err := newReader(ctx, ex, opts)
	if err != nil {
		return nil, err
	}
	return &run{reader: r, images: make(chan struct{}, opts.Window), tasks: make(chan task), done: done}, nil
}

// all reads all documents. The error is that of the context, or of the extractor that was closed; a document that was not read to its end is then marked
// as cut.
func (r *run) all(ctx context.Context, entries []entry) error {
	ctx, r.cancel = context.WithCancelCause(ctx)
	defer r.cancel(nil)
	r.meter = newMeter(len(entries), time.Now)
	var workers sync.WaitGroup
	for range r.opts.Workers {
		workers.Go(func() {
			for t := range r.tasks {
				r.work(t)
			}
		})
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			break
		}
		r.feed(ctx, e)
	}
	close(r.tasks)
	workers.Wait()
	return context.Cause(ctx)
}

// feed opens a document and gives its pages to the workers.
func (r *run) feed(ctx context.Context, e entry) {
	g := &gathering{id: e.id, result: &DocumentResult{SourcePath: e.path}, start: time.Now(), waiting: 1, release: func() {}}
	if r.opts.DocumentTimeout > 0 {
		ctx, g.release = context.WithTimeoutCause(ctx, r.opts.DocumentTimeout, errDocumentTimeout)
	}
	doc, err := e.open(ctx)
	if err != nil {
		g.result.Err, g.cut = r.deadline(ctx, err), cut(ctx)
		r.mu.Lock()
		r.meter.open(0) // so that no pages are expected of it
		r.mu.Unlock()
		r.ended(g)
		return
	}
	meta := doc.Metadata()
	g.result.SourcePath, g.result.PageCount = defaultTo(e.path, meta.SourcePath), doc.PageCount()
	g.waiting += doc.PageCount()
	r.mu.Lock()
	r.meter.open(doc.PageCount())
	r.mu.Unlock()
	file, hasFile := r.fileKey(meta)
	for i := range doc.PageCount() {
		t := task{ctx: ctx, of: g, page: i}
		if hasFile {
			t.names = []journal.Key{r.sourceKey(file, doc.PageNumber(i), meta.ImageDPI)}
		}
		if !r.feedPage(t, doc) {
			r.mu.Lock()
			g.waiting -= doc.PageCount() - i - 1 // nobody comes to the others
			r.mu.Unlock()
			break
		}
	}
	if err := doc.Close(); err != nil {
		r.mu.Lock()
		g.result.Problems = append(g.result.Problems, err)
		r.mu.Unlock()
	}
	r.ended(g)
}

// fileKey is the key of the bytes that a document was made of, where they are a single file that has not changed since. The pages of others are
// known by their pixels alone.
func (r *run) fileKey(meta omnidocs.DocumentMetadata) (key journal.Key, ok bool) {
	if r.opts.Journal == nil || !filepath.IsAbs(meta.SourcePath) {
		return key, false
	}
	f, err := os.Open(meta.SourcePath)
	if err != nil {
		return key, false
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.ModTime().After(meta.LoadedAt) {
		return key, false
	}
	key, err = journal.ReaderKey(f)
	return key, err == nil
}

// feedPage gives a page to the workers when there is room for its image. It returns false when the run has ended.
func (r *run) feedPage(t task, doc document) bool {
	for _, name := range t.names { // known pages need not even be rendered
		if p, ok, err := r.known(name, t.page); ok || err != nil {
			r.problem(t.of, err)
			if ok {
				r.problem(t.of, r.readLayer(&t, doc))
				r.pageEnded(t, p)
				return true
			}
		}
	}
	select {
	case r.images <- struct{}{}:
	case <-t.ctx.Done():
		return r.refuse(t, t.ctx.Err())
	}
	start := time.Now()
	img, err := doc.Page(t.ctx, t.page)
	if err != nil {
		<-r.images
		_ = r.readLayer(&t, doc) // the page has an error already, and perhaps a text all the same
		return r.refuse(t, err)
	}
	t.img, t.render = img, time.Since(start)
	r.problem(t.of, r.readLayer(&t, doc))
	r.tasks <- t // a worker comes, whatever the context: its pages end soon when it does
	return true
}

// readLayer reads the text that a page's PDF has itself, where it is wanted.
func (r *run) readLayer(t *task, doc document) (err error) {
	if !r.opts.CrossCheck && !r.opts.TextLayerFallback {
		return nil
	}
	if t.layer, err = doc.PageText(t.ctx, t.page); t.ctx.Err() != nil {
		return nil //nolint:nilerr // the page says so
	}
	return err
}

// refuse ends a page that did not come to the workers.
func (r *run) refuse(t task, err error) bool {
	r.pageEnded(t, PageOutcome{Page: t.page, Err: r.deadline(t.ctx, err)})
	return !cut(t.ctx)
}

// cut says whether a context ended before its time: not by the document's deadline.
func cut(ctx context.Context) bool {
	return ctx.Err() != nil && !errors.Is(context.Cause(ctx), errDocumentTimeout)
}

// work reads a page.
func (r *run) work(t task) {
	p, problem := r.read(t.ctx, t.page, t.img, t.names...)
	t.img = nil
	<-r.images
	p.Render = t.render
	if errors.Is(p.Err, textextraction.ErrClosed) && t.ctx.Err() == nil {
		r.cancel(p.Err) // every other page would fail in the same way
	}
	r.problem(t.of, problem)
	r.pageEnded(t, p)
}

// problem notes what harms no page, once.
func (r *run) problem(g *gathering, err error) {
	if err == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, known := range g.result.Problems {
		if known.Error() == err.Error() {
			return
		}
	}
	g.result.Problems = append(g.result.Problems, err)
}

// pageEnded takes what came of a page.
func (r *run) pageEnded(t task, p PageOutcome) {
	if p.Err == nil || !cut(t.ctx) {
		r.compare(&p, t.layer)
	}
	r.mu.Lock()
	t.of.result.Add(p)
	t.of.cut = t.of.cut || p.Err != nil && cut(t.ctx) // it would have been read
	progress := r.meter.page(t.of.id, p)
	if r.opts.OnPage != nil {
		r.opts.OnPage(t.of.id, p)
	}
	if r.opts.Progress != nil {
		r.opts.Progress(progress)
	}
	r.mu.Unlock()
	r.ended(t.of)
}

// ended counts down; with the last of its pages a document has ended.
func (r *run) ended(g *gathering) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g.waiting--
	if g.waiting > 0 {
		return
	}
	g.release()
	g.result.Elapsed = time.Since(g.start)
	r.done(g)
	progress := r.meter.document(g.id, g.result.Err != nil)
	if r.opts.Progress != nil {
		r.opts.Progress(progress)
	}
}
