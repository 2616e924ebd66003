package jetstream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	js "github.com/nats-io/nats.go/jetstream"

	"github.com/omnidocs/omnidocs/omnidocs"
)

// documents are the documents that a worker has open: a few, since their pages come one after the other.
type documents struct {
	worker *worker

	mu     sync.Mutex
	open   map[documentKey]*openDocument
	oldest []*openDocument // those that nobody uses, the longest unused first
}

// documentKey tells documents apart: where they are, and which pages of them are meant at which resolution.
type documentKey struct {
	source      Source
	dpi         int
	first, last int
	maxPixels   int64
	maxBytes    int64
}

// openDocument is a document that is open, or is being opened.
type openDocument struct {
	key   documentKey
	ready chan struct{}
	doc   *omnidocs.Document
	err   error
	drop  func() // what there is to clean up behind it
	users int
}

func newDocuments(w *worker) *documents {
	return &documents{worker: w, open: map[documentKey]*openDocument{}}
}

// get opens a document, or returns one that is open. Who gets it must give it back.
func (d *documents) get(ctx context.Context, source Source, load omnidocs.LoadOptions) (*openDocument, error) {
	key := documentKey{source: source, dpi: load.DPI, last: -1, maxPixels: load.MaxPixels, maxBytes: load.MaxBytes}
	if load.Pages != nil {
		key.first, key.last = load.Pages.First, load.Pages.Last
	}
	d.mu.Lock()
	o := d.open[key]
	if o == nil {
		o = &openDocument{key: key, ready: make(chan struct{}), drop: func() {}}
		d.open[key] = o
		o.users++
		d.mu.Unlock()
		load.CachedPages = -1 // each page is asked for once
		o.doc, o.drop, o.err = d.worker.openSource(ctx, source, load)
		if o.err != nil { // the next one tries again
			d.mu.Lock()
			delete(d.open, key)
			d.mu.Unlock()
		}
		close(o.ready)
	} else {
		o.users++
		d.unlist(o)
		d.mu.Unlock()
	}
	select {
	case <-o.ready:
	case <-ctx.Done():
		d.put(o)
		return nil, context.Cause(ctx)
	}
	if o.err != nil {
		err := o.err
		d.put(o)
		if ctx.Err() == nil && (errors.Is(err, context.Canceled) || errors.Is(err, errDraining) || errors.Is(err, ErrCanceled)) {
			return d.get(ctx, source, load) // it was another job's that ended
		}
		return nil, err
	}
	return o, nil
}

func (d *documents) unlist(o *openDocument) {
	for i, other := range d.oldest {
		if other == o {
			d.oldest = append(d.oldest[:i], d.oldest[i+1:]...)
			return
		}
	}
}

// put gives a document back.
func (d *documents) put(o *openDocument) {
	d.mu.Lock()
	o.users--
	var closing []*openDocument
	if o.users == 0 && o.err == nil {
		d.oldest = append(d.oldest, o)
	}
	for len(d.open) > d.worker.opts.CachedDocuments && len(d.oldest) > 0 {
		closing = append(closing, d.oldest[0])
		delete(d.open, d.oldest[0].key)
		d.oldest = d.oldest[1:]
	}
	d.mu.Unlock()
	for _, o := range closing {
		o.close()
	}
}

func (o *openDocument) close() {
	_ = o.doc.Close() // it was only read
	o.drop()
}

// close closes all of them. Nobody uses them any more.
func (d *documents) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, o := range d.oldest {
		o.close()
	}
	d.open, d.oldest = map[documentKey]*openDocument{}, nil
}

// openSource opens a document. Drop cleans up when it has been closed.
func (w *worker) openSource(ctx context.Context, source Source, load omnidocs.LoadOptions) (doc *omnidocs.Document, drop func(), err error) {
	drop = func() {}
	if open, ok := w.opts.Openers[source.Kind]; ok {
		doc, err = open(ctx, source.Name, load)
		return doc, drop, err
	}
	switch source.Kind {
	case KindFile:
		path, err := w.allowed(source.Name)
		if err != nil {
			return nil, drop, err
		}
		doc, err = omnidocs.Open(ctx, path, load)
		return doc, drop, err
	case KindURL:
		opts := w.opts.URL
		opts.Load = load
		doc, err = omnidocs.FromURL(ctx, source.Name, opts)
		return doc, drop, err
	case KindObject:
		return w.openObject(ctx, source.Name, load)
	}
	return nil, drop, fmt.Errorf("%w: this worker opens no documents of the kind %q: see WorkerOptions.Openers", ErrRefused, source.Kind)
}

// allowed holds a path against the folders that files may be in.
func (w *worker) allowed(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, os.ErrNotExist) {
		real, err = path, nil // opening it says so, if it may be asked
	}
	if err != nil {
		return "", err
	}
	for _, root := range w.opts.FileRoots {
		if root, err = filepath.Abs(root); err != nil {
			continue
		}
		if resolved, err := filepath.EvalSymlinks(root); err == nil {
			root = resolved
		}
		if rel, err := filepath.Rel(root, real); err == nil && filepath.IsLocal(rel) {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: %q is in none of the folders that this worker opens files of: see WorkerOptions.FileRoots", ErrRefused, path)
}

// openObject fetches a document from the queue's store into a file of its own, since documents may be larger than memory, and opens it.
func (w *worker) openObject(ctx context.Context, name string, load omnidocs.LoadOptions) (doc *omnidocs.Document, drop func(), err error) {
	drop = func() {}
	objects, err := w.objectStore(ctx)
	if err != nil {
		return nil, drop, err
	}
	dir, err := os.MkdirTemp("", "omnidocs-")
	if err != nil {
		return nil, drop, err
	}
	drop = func() { _ = os.RemoveAll(dir) }
	// Under its own name, and in a file system of its own, so that errors name the document and not where it happens to be.
	base := filepath.Base(filepath.FromSlash(name))
	if base == "." || base == string(filepath.Separator) || strings.ContainsAny(base, `*?[\`) {
		base = "document"
	}
	_, err = patiently(ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, objects.GetFile(ctx, name, filepath.Join(dir, base))
	})
	if err == nil {
		var batch *omnidocs.DocumentBatch
		if batch, err = omnidocs.BatchFromFS(ctx, os.DirFS(dir), omnidocs.BatchOptions{Pattern: base, Load: load}); err == nil {
			if batch.Count() != 1 {
				err = fmt.Errorf("object %q: it is not in its file any more", name)
			} else {
				doc, err = batch.Open(ctx, 0)
			}
		}
	} else {
		if errors.Is(err, js.ErrObjectNotFound) {
			err = fs.ErrNotExist
		}
		err = fmt.Errorf("object %q: %w", name, err)
	}
	if err != nil {
		drop()
		return nil, func() {}, err
	}
	return doc, drop, nil
}
