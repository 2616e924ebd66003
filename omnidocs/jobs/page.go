package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"image"
	"sync"
	"time"

	"github.com/omnidocs/omnidocs/omnidocs/crosscheck"
	"github.com/omnidocs/omnidocs/omnidocs/journal"
	"github.com/omnidocs/omnidocs/textextraction"
)

// reader reads pages: from the journal, or with the extractor, as often as it takes. It serves several goroutines.
type reader struct {
	ex   textextraction.TextExtractor
	opts Options  // with defaults
	id   Identity // empty without a journal

	// solitude is held by the pages that are being read: by one alone if a process died of it, or of its neighbors.
	solitude sync.RWMutex
}

// pageTimeout and documentTimeout are the causes of contexts that end so.
var (
	errPageTimeout     = errors.New("page timeout")
	errDocumentTimeout = errors.New("document timeout")
)

// newReader makes a reader for checked options.
func newReader(ctx context.Context, ex textextraction.TextExtractor, opts Options) (*reader, error) {
	r := &reader{ex: ex, opts: opts}
	if opts.Journal == nil {
		return r, nil
	}
	var err error
	r.id, err = IdentityOf(ctx, ex, opts)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// sourceKey names page number of a file, from 1, for those who have not rendered it. File is the key of the file's bytes.
func (r *reader) sourceKey(file journal.Key, number, dpi int) journal.Key {
	return journal.NewKey([]byte("file "+pageVersion), file[:], fmt.Append(nil, number, dpi), []byte(r.id))
}

// known returns what the journal has of a page.
func (r *reader) known(key journal.Key, page int) (PageOutcome, bool, error) {
	data, ok, err := r.opts.Journal.Get(key)
	if err != nil || !ok {
		return PageOutcome{}, false, err
	}
	var result textextraction.ExtractResult
	if err := json.Unmarshal(data, &result); err != nil {
		return PageOutcome{}, false, nil //nolint:nilerr // another version of the library wrote it: the page is read anew
	}
	number(&result, page)
	return PageOutcome{Page: page, Result: &result, Resumed: true}, true, nil
}

// number tells the elements of a result which page of the document they are on.
func number(result *textextraction.ExtractResult, page int) {
	for i := range result.Elements {
		result.Elements[i].Page = page
	}
}

// read reads a page. Names are further keys for its result. Problem is what went wrong with the journal: the page is none the worse.
func (r *reader) read(ctx context.Context, page int, img image.Image, names ...journal.Key) (_ PageOutcome, problem error) {
	j := r.opts.Journal
	if j == nil {
		return r.readAnew(ctx, page, img), nil
	}
	key := r.id.PageKey(img)
	p, ok, problem := r.known(key, page)
	if ok {
		for _, name := range names {
			problem = errors.Join(problem, j.Name(key, name))
		}
		return p, problem
	}
	deaths := j.Deaths(key)
	if r.opts.RetryPoisoned && deaths != (journal.Deaths{}) {
		problem = errors.Join(problem, j.End(key))
		deaths = journal.Deaths{}
	}
	if deaths.Alone >= r.opts.MaxDeaths {
		r.opts.Logger.WarnContext(ctx, "page set aside", "page", page, "deaths", deaths.Alone)
		return PageOutcome{Page: page, Err: fmt.Errorf("%w: %d processes died while they read it; RetryPoisoned gives it another chance", ErrPoisoned, deaths.Alone)}, problem
	}
	isAlone := r.opts.Workers == 1
	if deaths == (journal.Deaths{}) {
		r.solitude.RLock()
		defer r.solitude.RUnlock()
	} else {
		r.solitude.Lock()
		defer r.solitude.Unlock()
		isAlone = true
	}
	problem = errors.Join(problem, j.Begin(key, isAlone))
	p = r.readAnew(ctx, page, img)
	return p, errors.Join(problem, r.keep(key, p, names))
}

// keep ends in the journal what was begun there.
func (r *reader) keep(key journal.Key, p PageOutcome, names []journal.Key) error {
	if p.Err != nil {
		return r.opts.Journal.End(key)
	}
	data, err := marshal(p.Result)
	if err != nil {
		return err
	}
	return r.opts.Journal.Put(key, data, names...)
}

// readAnew reads a page with the extractor.
func (r *reader) readAnew(ctx context.Context, page int, img image.Image) PageOutcome {
	start := time.Now()
	if r.opts.PageTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, r.opts.PageTimeout, errPageTimeout)
		defer cancel()
	}
	p := PageOutcome{Page: page}
	if p.Err = ctx.Err(); p.Err == nil {
		options := r.opts.Page
		p.Result, p.Attempts, p.Err = r.opts.Retry.do(ctx,
			func() (*textextraction.ExtractResult, error) { return r.ex.ExtractWith(ctx, img, options) },
			func(err error, wait time.Duration) {
				options = smaller(options, err)
				r.opts.Logger.WarnContext(ctx, "page failed, will be read again", "page", page, "error", err, "wait", wait)
			})
	}
	p.Read = time.Since(start)
	if p.Err != nil {
		p.Result, p.Err = nil, r.deadline(ctx, p.Err)
		return p
	}
	number(p.Result, page)
	return p
}

// compare does what the options ask for with the text that the page's PDF has itself.
func (r *reader) compare(p *PageOutcome, layer string) {
	if layer == "" {
		return
	}
	if p.Result != nil && r.opts.CrossCheck {
		check := crosscheck.Compare(p.Result.Content, layer, crosscheck.Options{})
		p.Check = &check
	}
	if p.Err == nil || !r.opts.TextLayerFallback || !crosscheck.Usable(layer) {
		return
	}
	format := r.opts.Page.Format
	if format == textextraction.HTML {
		layer = "<pre>" + html.EscapeString(layer) + "</pre>"
	}
	p.Result, p.TextLayer = textextraction.NewExtractResult(layer, format), true
	number(p.Result, p.Page)
}

// deadline puts the end of a deadline into words.
func (r *reader) deadline(ctx context.Context, err error) error {
	switch cause := context.Cause(ctx); {
	case cause == nil:
		return err
	case errors.Is(cause, errPageTimeout):
		return fmt.Errorf("%w: the page took longer than %v (PageTimeout)", ErrDeadline, r.opts.PageTimeout)
	case errors.Is(cause, errDocumentTimeout):
		return fmt.Errorf("%w: the document took longer than %v (DocumentTimeout)", ErrDeadline, r.opts.DocumentTimeout)
	}
	return err
}
