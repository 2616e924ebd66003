package textextraction

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// ErrNoWorker is matched by the error of a page for which no worker of a [Pool] was well.
var ErrNoWorker = errors.New("textextraction: no worker is well")

// Worker is one of the extractors of a [Pool].
type Worker struct {
	// Name is what results, errors and [Pool.Workers] call it. Empty means "worker 0" and so on.
	Name string
	// Extractor reads its pages. The pool closes it.
	Extractor TextExtractor
	// MaxInFlight is how many pages it is given at a time. Zero means that of the options.
	MaxInFlight int
	// Health says whether a worker that has failed is well again, within ten seconds. Nil means that a page is tried on it.
	Health func(ctx context.Context) error
}

// PoolOptions say how a [Pool] deals with workers that fail. The zero value is usable.
type PoolOptions struct {
	// MaxInFlight is how many pages a worker is given at a time. Zero means 4.
	MaxInFlight int
	// Attempts is how many workers a page is tried on. Zero means 3.
	Attempts int
	// EjectAfter is the number of failures in a row after which a worker gets no more pages. Zero means 3.
	EjectAfter int
	// Rest is how long a worker that was ejected is left alone before it is tried again; it doubles each time, up to MaxRest. Zero
	// means one second and one minute.
	Rest, MaxRest time.Duration
	// Patience is how long a page waits while no worker is well. Zero means two minutes.
	Patience time.Duration
	// Logger hears of workers that are ejected and readmitted. Nil means nobody.
	Logger *slog.Logger
}

func (o PoolOptions) withDefaults() PoolOptions {
	for _, field := range []struct {
		value    *int
		fallback int
	}{{&o.MaxInFlight, 4}, {&o.Attempts, 3}, {&o.EjectAfter, 3}} {
		if *field.value == 0 {
			*field.value = field.fallback
		}
	}
	for _, field := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{{&o.Rest, time.Second}, {&o.MaxRest, time.Minute}, {&o.Patience, 2 * time.Minute}} {
		if *field.value == 0 {
			*field.value = field.fallback
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Pool is a [TextExtractor] over several, on devices here or on servers: a page goes to the worker with the least to do, and to
// another one if that one fails. A worker that fails several times in a row is ejected, and readmitted when it is well again.
// [ExtractResult.Worker] says who read a page.
type Pool struct {
	options  PoolOptions
	together int // pages of a batch

	mu      sync.Mutex
	workers []*worker
	changed chan struct{} // closed, and replaced, when a worker may have become free or well
	closed  bool

	closing context.Context //nolint:containedctx // ends what watches over the workers
	end     context.CancelFunc
	watches sync.WaitGroup
	close   func() error
}

var _ TextExtractor = (*Pool)(nil)

// NewPool returns a pool over extractors, which it owns from here on, with the options' defaults.
func NewPool(extractors ...TextExtractor) (*Pool, error) {
	workers := make([]Worker, len(extractors))
	for i, x := range extractors {
		workers[i].Extractor = x
	}
	return NewPoolOf(PoolOptions{}, workers...)
}

// NewPoolOf returns a pool over workers, which it owns from here on.
func NewPoolOf(o PoolOptions, workers ...Worker) (*Pool, error) {
	o = o.withDefaults()
	var f faults
	f.check(o.MaxInFlight > 0, "MaxInFlight", o.MaxInFlight, "is negative (0 means 4)")
	f.check(o.Attempts > 0, "Attempts", o.Attempts, "is negative (0 means 3)")
	f.check(o.EjectAfter > 0, "EjectAfter", o.EjectAfter, "is negative (0 means 3)")
	f.check(o.Rest > 0 && o.MaxRest >= o.Rest, "Rest", o.Rest, fmt.Sprintf("is negative or more than MaxRest, %s", o.MaxRest))
	f.check(o.Patience > 0, "Patience", o.Patience, "is negative (0 means two minutes)")
	f.check(len(workers) > 0, "Workers", len(workers), "is too few: give one or more")
	p := &Pool{options: o, changed: make(chan struct{})}
	names := map[string]bool{}
	for i, w := range workers {
		if w.Name == "" {
			w.Name = fmt.Sprintf("worker %d", i)
		}
		if w.MaxInFlight == 0 {
			w.MaxInFlight = o.MaxInFlight
		}
		f.check(w.Extractor != nil, "Extractor", w.Name, "has none")
		f.check(w.MaxInFlight > 0, "MaxInFlight", w.MaxInFlight, "of "+w.Name+" is negative")
		f.check(!names[w.Name], "Name", w.Name, "is the name of two workers")
		names[w.Name] = true
		p.workers = append(p.workers, &worker{Worker: w, place: i})
		p.together += w.MaxInFlight
	}
	if err := f.err("Pool"); err != nil {
		return nil, err
	}
	p.closing, p.end = context.WithCancel(context.Background())
	p.close = sync.OnceValue(p.closeWorkers)
	return p, nil
}

// Extract reads a page into the given markup. See [TextExtractor].
func (p *Pool) Extract(ctx context.Context, img image.Image, format Format) (*ExtractResult, error) {
	return p.ExtractWith(ctx, img, Options{Format: format})
}

// ExtractFile is Extract for an image file, see [LoadImage].
func (p *Pool) ExtractFile(ctx context.Context, path string, format Format) (*ExtractResult, error) {
	if err := format.check(); err != nil {
		return nil, err
	}
	img, err := LoadImage(ctx, path)
	if err != nil {
		return nil, err
	}
	return p.Extract(ctx, img, format)
}

// Batch reads pages from a source, as many together as the workers take. See [TextExtractor].
func (p *Pool) Batch(ctx context.Context, pages iter.Seq2[image.Image, error], opts BatchOptions) iter.Seq2[*ExtractResult, error] {
	return batchReader{read: p.ExtractWith, ended: p.ended, together: p.together}.pages(ctx, pages, opts)
}

// ExtractWith is Extract with options of its own.
func (p *Pool) ExtractWith(ctx context.Context, img image.Image, opts Options) (r *ExtractResult, err error) {
	err = p.try(ctx, func(w *worker) (bool, error) {
		r, err = w.Extractor.ExtractWith(ctx, img, opts)
		if r != nil {
			r.Worker = w.Name
		}
		return r == nil, err
	})
	return r, err
}

// Stream reads a page and yields its text as it is written. When a worker fails and another one takes the page over, what the first
// has told is taken back. See [TextExtractor].
func (p *Pool) Stream(ctx context.Context, img image.Image, opts Options) iter.Seq2[Delta, error] {
	return func(yield func(Delta, error) bool) {
		left, last := false, Delta{}
		err := p.try(ctx, func(w *worker) (bool, error) {
			for d, err := range w.Extractor.Stream(ctx, img, opts) {
				if d.Result != nil {
					d.Result.Worker = w.Name
				}
				if last = d; err != nil {
					return d.Result == nil, err
				}
				if left = !yield(d, nil); left {
					return false, nil
				}
			}
			return false, nil
		})
		if err != nil && !left {
			if last.Result == nil {
				last = Delta{}
			}
			yield(last, err)
		}
	}
}

// try has a page read by one worker after the other. read says whether another may try after an error.
func (p *Pool) try(ctx context.Context, read func(*worker) (again bool, err error)) error {
	var tried []*worker
	var errs []error
	for len(tried) < min(p.options.Attempts, len(p.workers)) {
		w, err := p.take(ctx, tried)
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		again, err := read(w)
		verdict := p.judge(ctx, err)
		p.give(w, verdict, err) //nolint:contextcheck // what it starts watches over the worker, whose pages have other contexts
		if err == nil || verdict == pageFailed || !again {
			return err
		}
		tried = append(tried, w)
		errs = append(errs, fmt.Errorf("%s: %w", w.Name, err))
	}
	return errors.Join(errs...)
}

// verdict says what an attempt tells of a worker.
type verdict int

const (
	workerWell   verdict = iota
	pageFailed           // it would anywhere, or nobody wants it any more
	workerFailed         // and another may not
)

// judge says whose fault an error is.
func (p *Pool) judge(ctx context.Context, err error) verdict {
	switch {
	case err == nil:
		return workerWell
	case ctx.Err() != nil, p.closing.Err() != nil:
		return pageFailed
	}
	for _, fault := range []error{ErrImage, ErrConfig, ErrFormat, fs.ErrNotExist} {
		if errors.Is(err, fault) {
			return pageFailed
		}
	}
	return workerFailed
}

// ended says why no page can be read any more.
func (p *Pool) ended(ctx context.Context) error {
	if p.closing.Err() != nil {
		return ErrClosed
	}
	return context.Cause(ctx)
}

// Close closes all workers, which ends the pages under way. Calls after it fail with [ErrClosed].
func (p *Pool) Close() error { return p.close() }

func (p *Pool) closeWorkers() error {
	p.mu.Lock()
	p.closed = true
	p.wake()
	p.mu.Unlock()
	p.end()
	errs := make([]error, len(p.workers))
	var closing sync.WaitGroup
	for i, w := range p.workers {
		closing.Go(func() {
			if err := w.Extractor.Close(); err != nil {
				errs[i] = fmt.Errorf("%s: %w", w.Name, err)
			}
		})
	}
	closing.Wait()
	p.watches.Wait()
	return errors.Join(errs...)
}

// String lists the workers.
func (p *Pool) String() string {
	var names []string
	for _, w := range p.workers {
		names = append(names, w.Name)
	}
	return "Pool(" + strings.Join(names, ", ") + ")"
}

// Fingerprint is that of the workers, see [QwenTextExtractor.Fingerprint]: one line for each of those that differ. A worker that has
// none is an error.
func (p *Pool) Fingerprint(ctx context.Context, opts Options) (string, error) {
	lines := map[string]bool{}
	for _, w := range p.workers {
		x, ok := w.Extractor.(interface {
			Fingerprint(ctx context.Context, opts Options) (string, error)
		})
		if !ok {
			return "", fmt.Errorf("textextraction: %s has no fingerprint", w.Name)
		}
		line, err := x.Fingerprint(ctx, opts)
		if err != nil {
			return "", err
		}
		lines[line] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(lines)), "\n"), nil
}
