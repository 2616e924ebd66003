package inbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/omnidocs/jobs"
	"github.com/omnidocs/omnidocs/omnidocs/journal"
	"github.com/omnidocs/omnidocs/textextraction"
)

const (
	// DefaultSettle is how long a file must not have been written to.
	DefaultSettle = 2 * time.Second
	// DefaultFiles is how many files a worker reads at a time.
	DefaultFiles = 4
)

// Extensions are those of the files that are read by default, in upper or lower case.
var Extensions = []string{".pdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".gif"}

// ErrClosed is matched by the errors of an inbox that has been closed.
var ErrClosed = errors.New("inbox: it is closed")

// Options are the choices of an inbox. The zero value consists entirely of default values.
type Options struct {
	// Options say how the documents are read. Journal must be nil: the inbox has its own. Progress and OnPage are told of each file by itself, from several goroutines,
	// under the names that the files have in the inbox.
	jobs.Options
	// Load says how they are opened.
	Load omnidocs.LoadOptions
	// Files is how many files are read at a time, each with Workers pages at a time. Zero means 4.
	Files int
	// Extensions are those of the files that are read, with their dots; none means [Extensions].
	Extensions []string
	// Settle is how long a file must not have been written to before it is taken. Zero means 2 seconds, a negative value that it is taken at once.
	Settle time.Duration
	// OnFile is told of every file that has ended. It is called from one goroutine at a time. Nil means nobody.
	OnFile func(Result)
}

// Inbox is a worker on a folder. Its methods may be called from several goroutines, but only one of Run, Watch and Schedule does its work at a time.
type Inbox struct {
	dir     string
	ex      textextraction.TextExtractor
	opts    Options
	journal *journal.Journal
	lock    *flock.Flock // of own
	own     string       // the folder of what this worker has claimed

	running sync.Mutex // one pass at a time
	publish sync.Mutex // beside the lock among processes
	tell    sync.Mutex // of OnFile and the summary

	mu      sync.Mutex
	claimed int // folders that were made in own
	closed  bool
}

// Open opens the inbox in a folder. The folders that are not there are made. The extractor stays the caller's.
func Open(dir string, ex textextraction.TextExtractor, opts Options) (inbox *Inbox, err error) {
	if opts.Journal != nil {
		return nil, fmt.Errorf("%w: Journal must be nil: an inbox has its own", jobs.ErrOptions)
	}
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if opts.Files < 0 {
		return nil, fmt.Errorf("%w: Files: %d is negative (0 means 4)", jobs.ErrOptions, opts.Files)
	}
	if opts.Files == 0 {
		opts.Files = DefaultFiles
	}
	if opts.Settle == 0 {
		opts.Settle = DefaultSettle
	}
	if len(opts.Extensions) == 0 {
		opts.Extensions = Extensions
	}
	if opts.Load.CachedPages == 0 {
		opts.Load.CachedPages = -1 // each page is asked for once
	}
	b := &Inbox{dir: dir, ex: ex, opts: opts}
	for _, name := range []string{"inbox", "results", "processed", "failed", ".omnidocs/workers", ".omnidocs/tmp"} {
		if err := os.MkdirAll(b.path(filepath.FromSlash(name)), 0o755); err != nil {
			return nil, fmt.Errorf("inbox: %w", err)
		}
	}
	if err := b.enter(); err != nil {
		return nil, fmt.Errorf("inbox: open %q: %w", dir, err)
	}
	if b.journal, err = journal.Open(b.path(".omnidocs", "journal")); err != nil {
		return nil, errors.Join(fmt.Errorf("inbox: open %q: %w", dir, err), b.lock.Unlock())
	}
	b.opts.Journal = b.journal
	return b, nil
}

func (b *Inbox) path(names ...string) string {
	return filepath.Join(append([]string{b.dir}, names...)...)
}

// Close closes the inbox, which must not be running: end the contexts of its calls first. What it has claimed and not read is left for the next.
func (b *Inbox) Close() error {
	b.running.Lock()
	defer b.running.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	return errors.Join(b.journal.Close(), b.lock.Unlock())
}

// Summary is what a pass over the inbox did.
type Summary struct {
	// Processed and Failed are the numbers of files.
	Processed, Failed int
	// Words counts the words of all results.
	Words int
	// Elapsed is how long it took.
	Elapsed time.Duration
	// Problems are what went wrong with files that are neither processed nor failed, such as a result that could not be written. Such a file is taken up again by the next
	// pass.
	Problems []error
	// Next is when the next of the files in the inbox will be old enough to be taken; zero if there is none.
	Next time.Time
}

// Run reads what is in the inbox, and what workers that have died had claimed, until nothing is left to claim. The error is that of the context, of the extractor that was closed, or of a folder
// that cannot be read; the summary says what was done until then.
func (b *Inbox) Run(parent context.Context) (Summary, error) {
	b.running.Lock()
	defer b.running.Unlock()
	start := time.Now()
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	p := &pass{Inbox: b, cancel: cancel, places: make(chan struct{}, b.opts.Files)}
	err := p.all(ctx)
	p.files.Wait()
	p.Elapsed = time.Since(start)
	if cause := context.Cause(ctx); err == nil && cause != nil {
		err = cause
		if !errors.Is(cause, ctx.Err()) && parent.Err() != nil { // ended with a cause of the caller's own
			err = fmt.Errorf("%w: %w", ctx.Err(), cause)
		}
	}
	if err != nil {
		err = fmt.Errorf("inbox: %w", err)
	}
	return p.Summary, err
}

// pass is one run over the inbox.
type pass struct {
	*Inbox
	Summary
	cancel context.CancelCauseFunc
	places chan struct{} // holds a token for every file that is being read
	files  sync.WaitGroup
}

// all claims one file after the other.
func (p *pass) all(ctx context.Context) error {
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return ErrClosed
	}
	left, err := p.takeOver()
	if err != nil {
		return err
	}
	for _, c := range left {
		if !p.start(ctx, c) {
			return nil
		}
	}
	entries, err := os.ReadDir(p.path("inbox"))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // Run says so
		}
		if !p.wanted(entry) || !p.settled(entry) {
			continue
		}
		c, err := p.claim(entry.Name())
		switch {
		case errors.Is(err, fs.ErrNotExist): // another worker was faster
		case err != nil:
			p.problem(fmt.Errorf("claim %q: %w", entry.Name(), err))
		case !p.start(ctx, c):
			return nil
		}
	}
	return nil
}

// start reads a claimed file when there is room. It returns false when the context has ended.
func (p *pass) start(ctx context.Context, c claim) bool {
	select {
	case p.places <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	p.files.Go(func() {
		defer func() { <-p.places }()
		p.file(ctx, c)
	})
	return true
}

// wanted says whether an entry of the inbox is a document.
func (p *pass) wanted(entry fs.DirEntry) bool {
	name := entry.Name()
	if !entry.Type().IsRegular() || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "~") {
		return false
	}
	extension := filepath.Ext(name)
	return slices.ContainsFunc(p.opts.Extensions, func(e string) bool { return strings.EqualFold(e, extension) })
}

// settled says whether nobody has written to a file for long enough.
func (p *pass) settled(entry fs.DirEntry) bool {
	if p.opts.Settle < 0 {
		return true
	}
	info, err := entry.Info()
	if err != nil { // it is gone: another worker was faster
		return false
	}
	ready := info.ModTime().Add(p.opts.Settle)
	if !time.Now().Before(ready) {
		return true
	}
	if p.Next.IsZero() || ready.Before(p.Next) {
		p.Next = ready
	}
	return false
}

func (p *pass) problem(err error) {
	p.tell.Lock()
	defer p.tell.Unlock()
	p.Problems = append(p.Problems, err)
	p.opts.logger().Warn("inbox", "problem", err)
}
