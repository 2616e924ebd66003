package omnidocs

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// DocumentBatch is a list of documents, which are opened one at a time when their turn has come.
type DocumentBatch struct {
	paths    []string
	problems []error
	open     func(ctx context.Context, path string) (*Document, error)
}

// BatchOptions says which files of a folder make a batch, and how they are opened. A zero BatchOptions consists entirely
// of default values.
type BatchOptions struct {
	// Pattern selects files by name, as [path.Match] has it; one with a "/" is held against the path from the folder on.
	// Default "*.pdf". Upper and lower case differ.
	Pattern string `json:"pattern,omitzero"`
	// Recursive takes the files of the folders within the folder too. Links to folders are not followed.
	Recursive bool `json:"recursive,omitzero"`
	// Load says how the documents are opened.
	Load LoadOptions `json:"load,omitzero"`
}

// BatchFromDirectory lists the documents in a folder, sorted by their paths. A folder that is not there is an error that
// matches [io/fs.ErrNotExist]; what cannot be read within it is told by [DocumentBatch.Problems].
func BatchFromDirectory(ctx context.Context, dir string, opts BatchOptions) (*DocumentBatch, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("omnidocs: folder not found: %s: %w", dir, fs.ErrNotExist)
	case err != nil:
		return nil, fmt.Errorf("omnidocs: batch: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("omnidocs: batch: %s is not a folder; open it as a Document", dir)
	}
	b, err := BatchFromFS(ctx, os.DirFS(dir), opts)
	if err != nil {
		return nil, err
	}
	for i, name := range b.paths {
		b.paths[i] = filepath.Join(dir, filepath.FromSlash(name))
	}
	b.open = func(ctx context.Context, path string) (*Document, error) { return Open(ctx, path, opts.Load) }
	return b, nil
}

// BatchFromFS is [BatchFromDirectory] for a file system, such as an archive.
func BatchFromFS(ctx context.Context, fsys fs.FS, opts BatchOptions) (*DocumentBatch, error) {
	pattern := defaultTo(opts.Pattern, "*.pdf")
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("%w: BatchOptions: Pattern: %q: %w", ErrOptions, pattern, err)
	}
	load, err := opts.Load.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &DocumentBatch{open: func(ctx context.Context, name string) (*Document, error) { return openFS(ctx, fsys, name, load) }}
	err = fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if name == "." {
				return err
			}
			b.problems = append(b.problems, err)
			return nil
		}
		if entry.IsDir() {
			if name != "." && !opts.Recursive && !strings.Contains(pattern, "/") {
				return fs.SkipDir
			}
			return nil
		}
		if matchesName(pattern, name) {
			b.addEntry(fsys, name, entry)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("omnidocs: batch: %w", err)
	}
	slices.Sort(b.paths)
	b.start()
	return b, nil
}

// start gets ready for PDFs, if there are any.
func (b *DocumentBatch) start() {
	if slices.ContainsFunc(b.paths, func(name string) bool { return strings.EqualFold(path.Ext(name), ".pdf") }) {
		Start()
	}
}

// matchesName holds a pattern against the file's name, or its path if the pattern has folders.
func matchesName(pattern, name string) bool {
	if !strings.Contains(pattern, "/") {
		name = path.Base(name)
	}
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// addEntry takes a file, or a link to one.
func (b *DocumentBatch) addEntry(fsys fs.FS, name string, entry fs.DirEntry) {
	if entry.Type()&fs.ModeSymlink != 0 {
		info, err := fs.Stat(fsys, name)
		if err != nil {
			b.problems = append(b.problems, err)
			return
		}
		if info.IsDir() {
			return
		}
	}
	b.paths = append(b.paths, name)
}

// BatchFromPaths makes a batch of files, in the order given.
func BatchFromPaths(paths []string, opts LoadOptions) (*DocumentBatch, error) {
	if _, err := opts.withDefaults(); err != nil {
		return nil, err
	}
	return &DocumentBatch{
		paths: slices.Clone(paths),
		open:  func(ctx context.Context, path string) (*Document, error) { return Open(ctx, path, opts) },
	}, nil
}

// BatchFromGlob makes a batch of the files that match a pattern of [path/filepath.Glob], sorted.
func BatchFromGlob(pattern string, opts LoadOptions) (*DocumentBatch, error) {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("%w: pattern %q: %w", ErrOptions, pattern, err)
	}
	slices.Sort(paths)
	return BatchFromPaths(paths, opts)
}

// Count is the number of documents.
func (b *DocumentBatch) Count() int { return len(b.paths) }

// Paths lists the documents.
func (b *DocumentBatch) Paths() []string { return slices.Clone(b.paths) }

// Problems lists what was met in the folder and could not be read: folders without permission, links that lead nowhere.
func (b *DocumentBatch) Problems() []error { return slices.Clone(b.problems) }

// Open opens document i, which the caller closes.
func (b *DocumentBatch) Open(ctx context.Context, i int) (*Document, error) {
	return b.open(ctx, b.paths[i])
}

// Documents opens the documents one after the other; each is closed when the next is asked for. One that cannot be opened
// is yielded as its error, and the others go on; when ctx ends, that is the last.
func (b *DocumentBatch) Documents(ctx context.Context) iter.Seq2[*Document, error] {
	return func(yield func(*Document, error) bool) {
		for i := range b.paths {
			if !b.with(ctx, i, yield) || ctx.Err() != nil {
				return
			}
		}
	}
}

func (b *DocumentBatch) with(ctx context.Context, i int, yield func(*Document, error) bool) bool {
	doc, err := b.Open(ctx, i)
	if err != nil {
		return yield(nil, err)
	}
	defer doc.Close()
	return yield(doc, nil)
}

// BatchPage is a page of a batch.
type BatchPage struct {
	// Document and Page are the places of the document in the batch, and of the page in the document, from 0.
	Document, Page int
	// Path is the document's.
	Path string
	// Image is the page; nil if it could not be rendered, or the document not opened.
	Image image.Image
}

// AllPages renders all pages of all documents, one after the other. A page that fails, and a document that cannot be
// opened, is yielded with its error, and the others go on; when ctx ends, that is the last.
func (b *DocumentBatch) AllPages(ctx context.Context) iter.Seq2[BatchPage, error] {
	return func(yield func(BatchPage, error) bool) {
		at := -1
		for doc, err := range b.Documents(ctx) {
			at++
			if err != nil {
				if !yield(BatchPage{Document: at, Path: b.paths[at]}, err) {
					return
				}
				continue
			}
			page := 0
			for img, err := range doc.Pages(ctx) {
				if !yield(BatchPage{Document: at, Page: page, Path: b.paths[at], Image: img}, err) {
					return
				}
				page++
			}
		}
	}
}
