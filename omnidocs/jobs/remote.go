package jobs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

// Remote reads the pages of documents elsewhere than in this process. Package omnidocs/jetstream has one, whose workers are on any number of machines. With it
// as [DirectoryOptions].Remote, a job does everything else as it does without: names, outputs, progress, results.
type Remote interface {
	// Read reads all pages of the documents, as the options say, and yields what happens, as it happens: for each document that it was opened, or that it could
	// not be, and then each of its pages as it ends. An error is the last thing that it yields: documents whose pages are missing then were cut short.
	Read(ctx context.Context, documents []RemoteDocument, opts DirectoryOptions) iter.Seq2[RemoteEvent, error]
}

// RemoteDocument is a document that a [Remote] is to read.
type RemoteDocument struct {
	// ID is the name of its results.
	ID string
	// Path is where this process sees it.
	Path string
}

// RemoteEvent is what happened to a document of a [Remote].
type RemoteEvent struct {
	// Document is the document's place in the list, from 0.
	Document int
	// Page is what came of a page. If it is nil, the event is that the document was opened, with Pages pages, or that it could not be, for the reason Err.
	Page  *PageOutcome
	Pages int
	Err   error
}

// newRemoteRun makes a run whose pages are read elsewhere. What is done with a page's own text is done there.
func newRemoteRun(opts Options, done func(*gathering)) *run {
	return &run{reader: &reader{opts: opts}, done: done}
}

// remote reads all documents elsewhere. The error is as that of all.
func (r *run) remote(ctx context.Context, entries []entry, opts DirectoryOptions) error {
	r.meter = newMeter(len(entries), time.Now)
	documents := make([]RemoteDocument, len(entries))
	gatherings := make([]*gathering, len(entries))
	for i, e := range entries {
		documents[i] = RemoteDocument{ID: e.id, Path: e.path}
		gatherings[i] = &gathering{id: e.id, result: &DocumentResult{SourcePath: e.path}, start: time.Now(), waiting: 1, release: func() {}}
	}
	var fault error
	for event, err := range opts.Remote.Read(ctx, documents, opts) {
		if err == nil && (event.Document < 0 || event.Document >= len(entries)) {
			err = fmt.Errorf("the remote told of document %d, and there are %d", event.Document, len(entries))
		}
		if err != nil {
			fault = err
			break
		}
		r.happened(ctx, gatherings[event.Document], event)
	}
	for _, g := range gatherings {
		if fault == nil && g.waiting > 0 {
			fault = errors.New("the remote ended before its documents")
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range gatherings {
		if g.waiting > 0 && g.opened {
			g.cut, g.result.Elapsed = true, time.Since(g.start)
			r.done(g)
		}
	}
	return fault
}

// happened takes an event.
func (r *run) happened(ctx context.Context, g *gathering, event RemoteEvent) {
	if event.Page != nil {
		r.pageEnded(task{ctx: ctx, of: g, page: event.Page.Page}, *event.Page)
		return
	}
	r.mu.Lock()
	g.opened, g.start = true, time.Now()
	g.result.Err, g.result.PageCount = event.Err, event.Pages
	g.waiting += event.Pages
	r.meter.open(event.Pages)
	r.mu.Unlock()
	r.ended(g)
}
