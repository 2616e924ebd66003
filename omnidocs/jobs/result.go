package jobs

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/omnidocs/omnidocs/omnidocs/crosscheck"
	"github.com/omnidocs/omnidocs/textextraction"
)

// PageOutcome is what came of a page: a result or an error.
type PageOutcome struct {
	// Page is the page's place in the document, from 0.
	Page int
	// Result is what was read; nil if nothing was.
	Result *textextraction.ExtractResult
	// Err says why the page was not read; nil if it was.
	Err error
	// TextLayer is set when the page was not read, and Result is the text that its PDF has itself.
	TextLayer bool
	// Check says how the result and that text agree; nil if it was not asked for, or there is no such text.
	Check *crosscheck.Report
	// Attempts is how often the page was given to the extractor: 0 if it did not come to that.
	Attempts int
	// Resumed is set when the result is the journal's, from an earlier job or another page with the same pixels.
	Resumed bool
	// Render is how long the page took to become an image, Read how long to be read, with all attempts and the waiting between.
	Render, Read time.Duration
}

// DocumentResult is what came of a document. Pages that failed are in it beside those that were read.
//
// In JSON it has the shape of Python's DocumentResult.to_dict, and beside it, where there are any, "errors": those of the pages, "error": the document's, "text_layer": the pages whose
// result is not the model's, and "checks": those of the pages. A DocumentResult may not be changed while it is read.
type DocumentResult struct {
	// SourcePath is the path or URL of the document; empty if it has none.
	SourcePath string
	// PageCount is the number of its pages.
	PageCount int
	// Err says why the document could not be opened, or its result not be written: an [*OutputError]. The errors of its pages are in Pages.
	Err error
	// Problems are what went wrong without harm to the result, such as a journal that could not be written.
	Problems []error
	// Outputs are the files that the result was written to.
	Outputs []string
	// Elapsed is the time from the opening of the document to the end of its last page.
	Elapsed time.Duration

	pages []PageOutcome // in the order of the pages
}

// Add adds what came of a page, in the place of what was known of it.
func (d *DocumentResult) Add(p PageOutcome) {
	at, found := slices.BinarySearchFunc(d.pages, p.Page, func(p PageOutcome, page int) int { return p.Page - page })
	if found {
		d.pages[at] = p
		return
	}
	d.pages = slices.Insert(d.pages, at, p)
}

// AddPageResult adds the result of a page that was read, as Python's add_page_result.
func (d *DocumentResult) AddPageResult(page int, result *textextraction.ExtractResult) {
	d.Add(PageOutcome{Page: page, Result: result})
}

// PageResult returns the result of a page, from 0; nil if it has none.
func (d *DocumentResult) PageResult(page int) *textextraction.ExtractResult {
	for _, p := range d.pages {
		if p.Page == page {
			return p.Result
		}
	}
	return nil
}

// Pages returns what came of the pages, in their order. Pages that a job did not come to are not among them.
func (d *DocumentResult) Pages() []PageOutcome { return slices.Clone(d.pages) }

// AllResults returns the results in the order of the pages.
func (d *DocumentResult) AllResults() []*textextraction.ExtractResult {
	var all []*textextraction.ExtractResult
	for _, p := range d.pages {
		if p.Result != nil {
			all = append(all, p.Result)
		}
	}
	return all
}

// ProcessedPages is the number of pages that have a result.
func (d *DocumentResult) ProcessedPages() int {
	n := 0
	for _, p := range d.pages {
		if p.Result != nil {
			n++
		}
	}
	return n
}

// FailedPages is the number of pages that have an error.
func (d *DocumentResult) FailedPages() int {
	n := 0
	for _, p := range d.pages {
		if p.Err != nil {
			n++
		}
	}
	return n
}

// Complete says whether the document and all of its pages were read.
func (d *DocumentResult) Complete() bool {
	return d.Err == nil && d.FailedPages() == 0 && d.ProcessedPages() == d.PageCount
}

// String tells the document and how many of its pages were read.
func (d *DocumentResult) String() string {
	return fmt.Sprintf("%q: %d of %d pages", d.SourcePath, d.ProcessedPages(), d.PageCount)
}

// BatchResult is what came of many documents, each under an id of its own. The zero value is empty and ready to use.
//
// In JSON it has the shape of Python's BatchResult.to_dict.
type BatchResult struct {
	// Problems are what belongs to no document: what was met in the folder and could not be read, and a journal that could not be closed.
	Problems []error
	// Elapsed is how long the job took.
	Elapsed time.Duration

	ids  []string
	docs map[string]*DocumentResult
}

// Add adds what came of a document, in the place of what was known under its id.
func (b *BatchResult) Add(id string, d *DocumentResult) {
	if b.docs == nil {
		b.docs = map[string]*DocumentResult{}
	}
	if _, known := b.docs[id]; !known {
		b.ids = append(b.ids, id)
	}
	b.docs[id] = d
}

// Document returns what came of a document; nil if its id is not known.
func (b *BatchResult) Document(id string) *DocumentResult { return b.docs[id] }

// IDs returns the ids of the documents in the order in which they were added.
func (b *BatchResult) IDs() []string { return slices.Clone(b.ids) }

// Len is the number of documents.
func (b *BatchResult) Len() int { return len(b.ids) }

// All yields the documents with their ids, in the order in which they were added.
func (b *BatchResult) All() iter.Seq2[string, *DocumentResult] {
	return func(yield func(string, *DocumentResult) bool) {
		for _, id := range b.ids {
			if !yield(id, b.docs[id]) {
				return
			}
		}
	}
}

// TotalPages is the number of pages that have a result.
func (b *BatchResult) TotalPages() int {
	n := 0
	for _, d := range b.docs {
		n += d.ProcessedPages()
	}
	return n
}

// FailedPages is the number of pages that have an error.
func (b *BatchResult) FailedPages() int {
	n := 0
	for _, d := range b.docs {
		n += d.FailedPages()
	}
	return n
}

// FailedDocuments is the number of documents that have an error of their own: that could not be opened or written.
func (b *BatchResult) FailedDocuments() int {
	n := 0
	for _, d := range b.docs {
		if d.Err != nil {
			n++
		}
	}
	return n
}

// MergeTextResults joins the contents of results, with separator between two; those that are empty or nil are left out. Python's default separator is an
// empty line, "\n\n". Package assemble does more than join.
func MergeTextResults(results []*textextraction.ExtractResult, separator string) string {
	var contents []string
	for _, r := range results {
		if r != nil && r.Content != "" {
			contents = append(contents, r.Content)
		}
	}
	return strings.Join(contents, separator)
}
