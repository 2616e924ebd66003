package pdf

import (
	"context"
	"io"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/klippa-app/go-pdfium"
	"github.com/klippa-app/go-pdfium/enums"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"
)

const (
	// maxWorkers bounds how many sandboxes there are at a time, busy or not, however many processors there are.
	maxWorkers = 8
	// maxUses is after how many calls a sandbox is replaced: its memory never shrinks, and PDFium caches what pages share.
	maxUses = 128
	// closeTimeout is what a sandbox may take to close its document before it is killed.
	closeTimeout = 10 * time.Second
)

// worker is a sandbox with a document open in it.
type worker struct {
	file   *File
	pdfium pdfium.Pdfium
	doc    references.FPDF_DOCUMENT
	form   bool // whether the document has form fields
	uses   int

	mu     sync.Mutex
	busy   bool // with use number uses
	killed bool
}

// workers are all there are.
var workers = pool{slots: make(chan struct{}, min(maxWorkers, max(2, runtime.GOMAXPROCS(0))))}

// pool lends workers, each to one call at a time.
type pool struct {
	slots chan struct{} // one is held by each call
	mu    sync.Mutex
	idle  []*worker // the one used longest ago first
	live  int       // busy and idle
}

// take returns a worker for the file: one that has it open, or a new one.
func (p *pool) take(ctx context.Context, f *File) (*worker, error) {
	sandboxes, err := sandboxes(ctx)
	if err != nil {
		return nil, err
	}
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	w, old := p.reuse(f)
	if old != nil {
		old.close()
	}
	if w != nil {
		w.mu.Lock()
		w.busy = true
		w.mu.Unlock()
		return w, nil
	}
	w = &worker{file: f, busy: true}
	if w.pdfium, err = sandboxes.GetInstanceWithContext(ctx); err != nil {
		p.drop()
		return nil, sandboxError(err)
	}
	return w, nil
}

// reuse returns an idle worker that has the file open. If there is none it counts a new one, and returns the one that is
// to make place for it, if there are too many.
func (p *pool) reuse(f *File) (w, old *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.IndexFunc(p.idle, func(w *worker) bool { return w.file == f }); i >= 0 {
		w = p.idle[i]
		p.idle = slices.Delete(p.idle, i, i+1)
		return w, nil
	}
	p.live++
	if p.live > cap(p.slots) && len(p.idle) > 0 {
		old = p.idle[0]
		p.idle = slices.Delete(p.idle, 0, 1)
		p.live--
	}
	return nil, old
}

// give takes a worker back. One that met an error is not used again.
func (p *pool) give(w *worker, sound bool) {
	w.mu.Lock()
	killed := w.killed
	w.busy = false
	w.uses++
	uses := w.uses
	w.mu.Unlock()
	if killed || !sound || uses >= maxUses || !p.keep(w) {
		if !killed {
			w.close()
		}
		p.drop()
		return
	}
	<-p.slots
}

// keep makes the worker an idle one, unless its file has been closed.
func (p *pool) keep(w *worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.file.closed {
		return false
	}
	p.idle = append(p.idle, w)
	return true
}

func (p *pool) drop() {
	p.mu.Lock()
	p.live--
	p.mu.Unlock()
	<-p.slots
}

// forget closes the idle workers of a file, and makes that no more of them are kept.
func (p *pool) forget(f *File) {
	p.mu.Lock()
	f.closed = true
	var old []*worker
	p.idle = slices.DeleteFunc(p.idle, func(w *worker) bool {
		if w.file == f {
			old = append(old, w)
		}
		return w.file == f
	})
	p.live -= len(old)
	p.mu.Unlock()
	for _, w := range old {
		w.close()
	}
}

// open opens the file in the sandbox, if it is not yet.
func (w *worker) open() error {
	if w.doc != "" {
		return nil
	}
	request := &requests.OpenDocument{FileReader: io.NewSectionReader(w.file.src, 0, w.file.size), FileReaderSize: w.file.size}
	if w.file.password != "" {
		request.Password = &w.file.password
	}
	opened, err := w.pdfium.OpenDocument(request)
	if err != nil {
		return err
	}
	form, err := w.pdfium.FPDF_GetFormType(&requests.FPDF_GetFormType{Document: opened.Document})
	if err != nil {
		return err
	}
	w.doc, w.form = opened.Document, form.FormType != enums.FPDF_FORMTYPE_NONE
	return nil
}

// use is the number of the use that the worker has been taken for.
func (w *worker) use() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.uses
}

// kill ends what the sandbox is doing, unless that use has ended by itself.
func (w *worker) kill(use int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy && w.uses == use {
		w.killed = true
		_ = w.pdfium.Kill()
	}
}

// close frees the sandbox. That runs PDFium's code, in which a damaged document may hang.
func (w *worker) close() {
	timer := time.AfterFunc(closeTimeout, func() { _ = w.pdfium.Kill() })
	defer timer.Stop()
	_ = w.pdfium.Close()
}
