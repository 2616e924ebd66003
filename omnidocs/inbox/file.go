package inbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/omnidocs/internal/atomicfile"
	"github.com/omnidocs/omnidocs/omnidocs/jobs"
	"github.com/omnidocs/omnidocs/omnidocs/journal"
	"github.com/omnidocs/omnidocs/textextraction"
)

// Result is what came of a file. Its JSON is what is in results: that of the Python library's guide, and beside it the text, which the guide drops, and the pages.
type Result struct {
	// FileName is the file's name in the inbox.
	FileName string `json:"filename"`
	// SHA256 is that of its bytes, in hexadecimal digits.
	SHA256 string `json:"sha256"`
	// WordCount and ContentLength count the words and the code points of all pages.
	WordCount     int `json:"word_count"`
	ContentLength int `json:"content_length"`
	// ProcessedAt is when it ended.
	ProcessedAt time.Time `json:"processed_at"`
	// Content is the text of all pages, with an empty line between two.
	Content string `json:"content"`
	// Document has the pages.
	Document *jobs.DocumentResult `json:"document"`
	// Err says why the file is in failed; nil if it is not.
	Err error `json:"-"`
	// ResultPath and FilePath are where the result and the file are now. ResultPath is empty if no page was read.
	ResultPath string `json:"-"`
	FilePath   string `json:"-"`
}

// file reads a claimed file and puts it and its result where they belong.
func (p *pass) file(ctx context.Context, c claim) {
	result, err := p.read(ctx, c)
	if err == nil {
		err = p.deliver(c, &result)
	}
	if err != nil {
		if ctx.Err() == nil && errors.Is(err, textextraction.ErrClosed) {
			p.cancel(err)
		}
		if ctx.Err() == nil {
			p.problem(fmt.Errorf("file %q: %w", c.name, err))
		}
		return
	}
	p.tell.Lock()
	defer p.tell.Unlock()
	if result.Err == nil {
		p.Processed++
	} else {
		p.Failed++
		p.opts.logger().WarnContext(ctx, "file failed", "file", c.name, "error", result.Err)
	}
	p.Words += result.WordCount
	if p.opts.OnFile != nil {
		p.opts.OnFile(result)
	}
}

// read reads a file. The error is one that is not the file's: it stays claimed.
func (p *pass) read(ctx context.Context, c claim) (Result, error) {
	sum, err := checksum(c.path())
	if err != nil {
		return Result{}, err
	}
	result := Result{FileName: c.name, SHA256: hex.EncodeToString(sum[:]), Document: &jobs.DocumentResult{SourcePath: c.name}}
	key := journal.NewKey([]byte("inbox file"), sum[:])
	d := p.journal.Deaths(key)
	// Its pages are set aside one by one before that: what is left is what happens on the way to them.
	if deaths, most := d.Alone+d.Beside, 2*max(p.opts.MaxDeaths, jobs.DefaultMaxDeaths); deaths >= most && !p.opts.RetryPoisoned {
		result.Err = fmt.Errorf("%w: %d processes died while they read it", jobs.ErrPoisoned, deaths)
		return result, nil
	}
	if err := p.journal.Begin(key, p.opts.Files == 1); err != nil {
		return Result{}, err
	}
	err = p.process(ctx, c, &result)
	return result, errors.Join(err, p.journal.End(key))
}

func (p *pass) process(ctx context.Context, c claim, result *Result) error {
	doc, err := omnidocs.Open(ctx, c.path(), p.opts.Load)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		result.Err = fmt.Errorf("%q: %w", c.name, cause(err)) // where it is now means nothing to the reader
		return nil
	}
	result.Document, err = jobs.ProcessDocument(ctx, doc, p.ex, p.opts.named(c.name))
	if err := errors.Join(err, doc.Close()); err != nil {
		return err
	}
	result.Document.SourcePath = c.name
	for _, problem := range result.Document.Problems {
		p.problem(fmt.Errorf("file %q: %w", c.name, problem))
	}
	result.Content = jobs.MergeTextResults(result.Document.AllResults(), "\n\n")
	for _, r := range result.Document.AllResults() {
		result.WordCount += r.WordCount
		result.ContentLength += r.ContentLength
	}
	if failed := result.Document.FailedPages(); failed > 0 {
		result.Err = fmt.Errorf("%d of %d pages failed", failed, result.Document.PageCount)
	}
	return nil
}

// named are the options for a file, with callbacks that call it by its name.
func (o Options) named(name string) jobs.Options {
	opts := o.Options
	if o.OnPage != nil {
		opts.OnPage = func(_ string, page jobs.PageOutcome) { o.OnPage(name, page) }
	}
	if o.Progress != nil {
		opts.Progress = func(progress jobs.Progress) {
			progress.Document = name
			o.Progress(progress)
		}
	}
	return opts
}

// cause is what an error of opening says beside the path.
func cause(err error) error {
	var load *omnidocs.DocumentLoadError
	if errors.As(err, &load) {
		return load.Err
	}
	var format *omnidocs.UnsupportedFormatError
	if errors.As(err, &format) {
		return format.Err
	}
	return err
}

// deliver writes the result and moves the file. No two workers do so at the same time, so that a name that is free stays so. If the process dies between the
// two, the next finds the file claimed and the result written, and writes the same again.
func (p *pass) deliver(c claim, result *Result) (err error) {
	p.publish.Lock()
	defer p.publish.Unlock()
	lock := flock.New(p.path(".omnidocs", "publish.lock"))
	if err := lock.Lock(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	result.ProcessedAt = time.Now()
	if result.Document.ProcessedPages() > 0 {
		if err := p.writeResult(result); err != nil {
			return err
		}
	}
	folder := "processed"
	if result.Err != nil {
		folder = "failed"
	}
	name, err := p.freeName(folder, c.name)
	if err != nil {
		return err
	}
	if result.Err != nil {
		if err := p.writeReason(name, result); err != nil {
			return err
		}
	}
	result.FilePath = p.path(folder, name)
	if err := os.Rename(c.path(), result.FilePath); err != nil {
		return err
	}
	return errors.Join(os.Remove(c.dir), atomicfile.SyncDir(p.path(folder)))
}

// writeResult writes a result under a name that no other file's has.
func (p *pass) writeResult(result *Result) error {
	data, err := encode(result)
	if err != nil {
		return err
	}
	stem := strings.TrimSuffix(result.FileName, filepath.Ext(result.FileName))
	for n := 1; ; n++ {
		path := p.path("results", numbered(stem+".json", n))
		known, err := os.ReadFile(path)
		if err == nil && !sameFile(known, result) {
			continue
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		result.ResultPath = path
		return atomicfile.Write(path, p.path(".omnidocs", "tmp"), data)
	}
}

// sameFile says whether a result is that of a file with the same bytes and name.
func sameFile(data []byte, result *Result) bool {
	var known struct {
		FileName string `json:"filename"`
		SHA256   string `json:"sha256"`
	}
	return json.Unmarshal(data, &known) == nil && known.SHA256 == result.SHA256 && known.FileName == result.FileName
}

// writeReason writes why a file failed beside the place where it will be.
func (p *pass) writeReason(name string, result *Result) error {
	reason := struct {
		FileName string            `json:"filename"`
		SHA256   string            `json:"sha256"`
		FailedAt time.Time         `json:"failed_at"`
		Error    string            `json:"error"`
		Pages    map[string]string `json:"pages,omitempty"`
	}{result.FileName, result.SHA256, result.ProcessedAt, result.Err.Error(), map[string]string{}}
	for _, page := range result.Document.Pages() {
		if page.Err != nil {
			reason.Pages[fmt.Sprint(page.Page)] = page.Err.Error()
		}
	}
	data, err := encode(reason)
	if err != nil {
		return err
	}
	return atomicfile.Write(p.path("failed", name+".error.json"), p.path(".omnidocs", "tmp"), data)
}

// freeName is the first name that is free in a folder.
func (p *pass) freeName(folder, name string) (string, error) {
	for n := 1; ; n++ {
		try := numbered(name, n)
		_, err := os.Lstat(p.path(folder, try))
		if errors.Is(err, fs.ErrNotExist) {
			return try, nil
		}
		if err != nil {
			return "", err
		}
	}
}

func checksum(path string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, err
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

func encode(value any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(value)
	return b.Bytes(), err
}

func (o Options) logger() *slog.Logger {
	if o.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Logger
}
