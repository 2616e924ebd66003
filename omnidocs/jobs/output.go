package jobs

import (
	"bytes"
	"errors"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"slices"

	"github.com/gofrs/flock"

	"github.com/omnidocs/omnidocs/omnidocs/assemble"
	"github.com/omnidocs/omnidocs/omnidocs/crosscheck"
	"github.com/omnidocs/omnidocs/omnidocs/internal/atomicfile"
	"github.com/omnidocs/omnidocs/omnidocs/journal"
	"github.com/omnidocs/omnidocs/textextraction"
)

// Output is a kind of file that the result of a document is written as.
type Output string

// The kinds.
const (
	// JSON is all that is known of the document but times, in the shape of Python's DocumentResult.
	JSON Output = "json"
	// JSONL is a line of JSON for each page: its source_path, page, and result or error.
	JSONL Output = "jsonl"
	// Markdown is the text of all pages, which must be read as Markdown, assembled to one.
	Markdown Output = "markdown"
	// HTML is a page of HTML with a section for each page, which must be read as HTML.
	HTML Output = "html"
)

// OutputError is the error of a result that could not be written. The result itself is whole.
type OutputError struct {
	// Path is where it was to be written.
	Path string
	// Err is what went wrong.
	Err error
}

// Error names the file and the cause.
func (e *OutputError) Error() string {
	return fmt.Sprintf("result %q is not written: %v", e.Path, e.Err)
}

// Unwrap returns Err.
func (e *OutputError) Unwrap() error { return e.Err }

// outputs is a folder of results. What the job itself needs is in a folder within it.
type outputs struct {
	dir      string
	kinds    []Output
	assemble assemble.Options
	lock     *flock.Flock
}

const stateDir = ".omnidocs"

// openOutputs takes a folder for results; nil if none is wanted.
func openOutputs(opts DirectoryOptions) (*outputs, error) {
	dir, kinds, format := opts.OutputDir, opts.Outputs, opts.Page.Format
	if dir == "" {
		if len(kinds) > 0 {
			return nil, fmt.Errorf("%w: Outputs: %v, but OutputDir is empty", ErrOptions, kinds)
		}
		return nil, nil //nolint:nilnil // no folder is no fault
	}
	if len(kinds) == 0 {
		kinds = []Output{JSON}
	}
	for _, kind := range kinds {
		switch {
		case !slices.Contains([]Output{JSON, JSONL, Markdown, HTML}, kind):
			return nil, fmt.Errorf("%w: Outputs: %q is none of json, jsonl, markdown, html", ErrOptions, kind)
		case kind == Markdown && format != textextraction.Markdown, kind == HTML && format != textextraction.HTML:
			return nil, fmt.Errorf("%w: Outputs: %q, but pages are read as %v: set Page.Format", ErrOptions, kind, format)
		}
	}
	o := &outputs{dir: dir, kinds: kinds, assemble: opts.Assemble, lock: flock.New(filepath.Join(dir, stateDir, "lock"))}
	if err := o.open(); err != nil {
		return nil, fmt.Errorf("jobs: output folder %q: %w", dir, err)
	}
	return o, nil
}

func (o *outputs) open() error {
	if err := os.MkdirAll(filepath.Join(o.dir, stateDir), 0o755); err != nil {
		return err
	}
	ok, err := o.lock.TryLock()
	if err != nil {
		return err
	}
	if !ok {
		return ErrInUse
	}
	// What is in it was left by a job that was killed while it wrote.
	if err := os.RemoveAll(o.tmp()); err != nil {
		return errors.Join(err, o.close())
	}
	if err := os.Mkdir(o.tmp(), 0o755); err != nil {
		return errors.Join(err, o.close())
	}
	return nil
}

func (o *outputs) tmp() string { return filepath.Join(o.dir, stateDir, "tmp") }

func (o *outputs) close() error { return o.lock.Unlock() }

// journal opens the folder's journal.
func (o *outputs) journal() (*journal.Journal, error) {
	return journal.Open(filepath.Join(o.dir, stateDir, "journal"))
}

// write writes a document's result under a name.
func (o *outputs) write(name string, d *DocumentResult) {
	for _, kind := range o.kinds {
		data, extension, err := o.render(kind, d)
		path := filepath.Join(o.dir, filepath.FromSlash(name)+extension)
		if err == nil {
			err = atomicfile.Write(path, o.tmp(), data)
		}
		if err != nil {
			d.Err = errors.Join(d.Err, &OutputError{path, err})
			continue
		}
		d.Outputs = append(d.Outputs, path)
	}
}

// render is a document as a file, with its extension.
func (o *outputs) render(kind Output, d *DocumentResult) (data []byte, extension string, err error) {
	switch kind {
	case JSONL:
		data, err = lines(d)
		return data, ".jsonl", err
	case Markdown:
		return []byte(d.Markdown(o.assemble).Text + "\n"), ".md", nil
	case HTML:
		return sections(d), ".html", nil
	}
	data, err = encode(d.json(false), "  ")
	return data, ".json", err
}

// Markdown makes one document of the pages that were read, see package assemble; its pages are counted from 0.
func (d *DocumentResult) Markdown(opts assemble.Options) assemble.Document {
	var pages []assemble.Page
	for _, p := range d.pages {
		if p.Result != nil {
			pages = append(pages, assemble.Page{Number: p.Page, Text: p.Result.Content})
		}
	}
	return assemble.Markdown(pages, opts)
}

// pageJSON is a line of JSONL.
type pageJSON struct {
	SourcePath string                        `json:"source_path"`
	Page       int                           `json:"page"`
	PageCount  int                           `json:"page_count"`
	Result     *textextraction.ExtractResult `json:"result,omitempty"`
	Error      string                        `json:"error,omitempty"`
	Attempts   int                           `json:"attempts,omitempty"`
	TextLayer  bool                          `json:"text_layer,omitempty"`
	Check      *crosscheck.Report            `json:"check,omitempty"`
}

func lines(d *DocumentResult) ([]byte, error) {
	var all []byte
	if d.Err != nil {
		line, err := encode(pageJSON{SourcePath: d.SourcePath, Page: -1, PageCount: d.PageCount, Error: d.Err.Error()}, "")
		if err != nil {
			return nil, err
		}
		all = append(all, line...)
	}
	for _, p := range d.pages {
		out := pageJSON{SourcePath: d.SourcePath, Page: p.Page, PageCount: d.PageCount, TextLayer: p.TextLayer, Check: p.Check}
		if p.Result != nil {
			out.Result = repeatable(p.Result)
		}
		if p.Err != nil {
			out.Error, out.Attempts = p.Err.Error(), p.Attempts
		}
		line, err := encode(out, "")
		if err != nil {
			return nil, err
		}
		all = append(all, line...)
	}
	return all, nil
}

// sections is a document of pages in HTML.
func sections(d *DocumentResult) []byte {
	var b bytes.Buffer
	title := html.EscapeString(filepath.Base(d.SourcePath))
	fmt.Fprintf(&b, "<!DOCTYPE html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n<title>%s</title>\n</head>\n<body>\n", title)
	for _, p := range d.pages {
		if p.Result != nil {
			fmt.Fprintf(&b, "<section data-page=\"%d\">\n%s\n</section>\n", p.Page+1, p.Result.Content)
		}
	}
	b.WriteString("</body>\n</html>\n")
	return b.Bytes()
}
