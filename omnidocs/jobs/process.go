package jobs

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/omnidocs/assemble"
	"github.com/omnidocs/omnidocs/textextraction"
)

// DirectoryOptions are the choices of [ProcessDirectory] and [ProcessBatch]. The zero value consists entirely of default values.
type DirectoryOptions struct {
	Options
	// Files says which files of the folder are read, and how they are opened. ProcessBatch does not use it.
	Files omnidocs.BatchOptions
	// OutputDir is the folder for the results, which is made if it is not there, with the folders of the documents in it. One job at a time can use it. Empty means
	// that results are returned and not written.
	OutputDir string
	// Outputs are the kinds of files that are written for each document. None means JSON.
	Outputs []Output
	// Assemble says how pages become one document in Markdown outputs. The zero value joins words and paragraphs over the breaks of pages, and keeps everything.
	Assemble assemble.Options
	// DiscardText lets go of a document's results once they are written, so that memory does not grow with the job. What is returned has no texts then, but all
	// errors, counts and times.
	DiscardText bool
	// Remote reads the pages elsewhere; the extractor of the call is then not used, and may be nil. Page, PageTimeout, Retry.Attempts, CrossCheck, TextLayerFallback and Files.Load
	// go there with the job. Workers, Window, Journal, ExtractorID, MaxDeaths and DocumentTimeout are the affair of those who read there.
	Remote Remote
}

// ProcessDocument reads all pages of a document, which stays open. It is Python's process_document.
//
// The error is that of the options, of ctx, or of an extractor that was closed. In the last two cases the result has the pages that had been read.
func ProcessDocument(ctx context.Context, doc *omnidocs.Document, ex textextraction.TextExtractor, opts Options) (*DocumentResult, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	var result *DocumentResult
	r, err := newRun(ctx, ex, opts, func(g *gathering) { result = g.result })
	if err != nil {
		return nil, err
	}
	err = r.all(ctx, []entry{{id: doc.Name(), open: func(context.Context) (document, error) { return kept{doc}, nil }}})
	return result, jobError(ctx, err)
}

// kept is a document that is its caller's to close.
type kept struct{ *omnidocs.Document }

func (kept) Close() error { return nil }

// ProcessDirectory reads the documents in a folder: PDFs, unless Files says otherwise. It is Python's process_directory.
//
// The error is that of the options, of the folders, of ctx, or of an extractor that was closed. In the last two cases the result has what had been read. Everything
// else that goes wrong is in the result, with the page or document that it befell.
func ProcessDirectory(ctx context.Context, dir string, ex textextraction.TextExtractor, opts DirectoryOptions) (*BatchResult, error) {
	if opts.Files.Load.CachedPages == 0 {
		opts.Files.Load.CachedPages = -1 // each page is asked for once
	}
	batch, err := omnidocs.BatchFromDirectory(ctx, dir, opts.Files)
	if err != nil {
		return nil, err
	}
	return processBatch(ctx, dir, batch, ex, opts)
}

// ProcessBatch is [ProcessDirectory] for a list of documents. Their results are in folders named as theirs are, below the folder that they have in common.
func ProcessBatch(ctx context.Context, batch *omnidocs.DocumentBatch, ex textextraction.TextExtractor, opts DirectoryOptions) (*BatchResult, error) {
	return processBatch(ctx, commonDir(batch.Paths()), batch, ex, opts)
}

func processBatch(ctx context.Context, dir string, batch *omnidocs.DocumentBatch, ex textextraction.TextExtractor, opts DirectoryOptions) (result *BatchResult, err error) {
	start := time.Now()
	if opts.Options, err = opts.withDefaults(); err != nil {
		return nil, err
	}
	out, err := openOutputs(opts)
	if err != nil {
		return nil, err
	}
	if out != nil {
		defer func() { err = errors.Join(err, out.close()) }()
		if opts.Journal == nil && opts.Remote == nil {
			if opts.Journal, err = out.journal(); err != nil {
				return nil, fmt.Errorf("jobs: output folder %q: %w", opts.OutputDir, err)
			}
			defer func() {
				problem := opts.Journal.Close()
				switch {
				case problem == nil:
				case result == nil:
					err = errors.Join(err, problem)
				default: // a full disk, for example: what was read is none the worse
					result.Problems = append(result.Problems, problem)
				}
			}()
		}
	}
	results := map[string]*DocumentResult{}
	done := func(g *gathering) {
		results[g.id] = g.result
		if out != nil && !g.cut {
			out.write(g.id, g.result)
			if opts.DiscardText && g.result.Err == nil {
				g.result.discard()
			}
		}
	}
	entries := batchEntries(dir, batch)
	if opts.Remote != nil {
		err = newRemoteRun(opts.Options, done).remote(ctx, entries, opts)
	} else {
		var r *run
		if r, err = newRun(ctx, ex, opts.Options, done); err != nil {
			return nil, err
		}
		err = r.all(ctx, entries)
	}
	result = &BatchResult{Problems: batch.Problems(), Elapsed: time.Since(start)}
	for _, e := range entries { // in the order of the documents, not in that in which they ended
		if d := results[e.id]; d != nil {
			result.Add(e.id, d)
		}
	}
	return result, jobError(ctx, err)
}

// batchEntries are the documents of a batch, with the names of their results as ids.
func batchEntries(dir string, batch *omnidocs.DocumentBatch) []entry {
	paths := batch.Paths()
	relative := make([]string, len(paths))
	for i, path := range paths {
		relative[i] = path
		if rel, err := filepath.Rel(dir, path); err == nil && dir != "" {
			relative[i] = rel
		}
	}
	entries := make([]entry, len(paths))
	for i, name := range resultNames(relative) {
		entries[i] = entry{id: name, path: paths[i], open: func(ctx context.Context) (document, error) {
			doc, err := batch.Open(ctx, i)
			if err != nil {
				return nil, err // not a nil *Document in a document
			}
			return doc, nil
		}}
	}
	return entries
}

// commonDir is the folder that all paths are below; "" if there is none.
func commonDir(paths []string) string {
	if len(paths) == 0 {
		return ""
	}
	common := filepath.Dir(paths[0])
	for _, path := range paths[1:] {
		for dir := filepath.Dir(path); !below(dir, common); {
			up := filepath.Dir(common)
			if up == common {
				return ""
			}
			common = up
		}
	}
	return common
}

func below(path, dir string) bool {
	return path == dir || dir == "." && !filepath.IsAbs(path) || strings.HasPrefix(path, strings.TrimSuffix(dir, string(filepath.Separator))+string(filepath.Separator))
}

// discard lets go of the texts, and keeps that there were some.
func (d *DocumentResult) discard() {
	for i := range d.pages {
		if r := d.pages[i].Result; r != nil {
			kept := textextraction.ExtractResult{
				Format: r.Format, ImageWidth: r.ImageWidth, ImageHeight: r.ImageHeight, ModelName: r.ModelName, Revision: r.Revision,
				WordCount: r.WordCount, ContentLength: r.ContentLength, FinishReason: r.FinishReason, Truncated: r.Truncated,
				PromptTokens: r.PromptTokens, VisualTokens: r.VisualTokens, CompletionTokens: r.CompletionTokens,
				Timings: r.Timings, Device: r.Device, DType: r.DType,
			}
			d.pages[i].Result = &kept
		}
	}
}

// jobError is the error of a job that ended before its time.
func jobError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
		err = fmt.Errorf("%w: %w", ended, err)
	}
	return fmt.Errorf("jobs: %w", err)
}
