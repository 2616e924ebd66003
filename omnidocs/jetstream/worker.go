package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/omnidocs/jobs"
	"github.com/omnidocs/omnidocs/textextraction"
)

// Opener opens the documents of a kind of [Source] by their names.
type Opener func(ctx context.Context, name string, load omnidocs.LoadOptions) (*omnidocs.Document, error)

// WorkerOptions are the choices of a worker. The zero value consists entirely of default values.
type WorkerOptions struct {
	// Name is the worker's in outcomes. Empty means the host's name and the process's number.
	Name string
	// Parallel is how many pages are given to the extractor at a time. Zero means 4. An extractor that reads pages together wants as many as it can take.
	Parallel int
	// Prefetch is how many more tasks the worker holds, so that it need not wait for the next. Zero means none: for models, whose pages take seconds, others may as well have
	// them.
	Prefetch int
	// MaxDeaths is how many workers may die of a page, beside the first, before it is given up. Zero means 3.
	MaxDeaths int
	// Retry says how long is waited between the attempts at a page, and what may pass. How many there are is the job's to say.
	Retry jobs.Retry
	// ExtractorID says what the text depends on besides the page and the job's options, for extractors that are no [jobs.Fingerprinter].
	ExtractorID string
	// FileRoots are the folders that documents of [KindFile] may be in; links that lead out of them are not followed. None means that no files are opened: whoever can
	// submit says what is read.
	FileRoots []string
	// URL says how documents of [KindURL] are downloaded, and from where. Its Load is the job's.
	URL omnidocs.URLOptions
	// Openers open further kinds of source.
	Openers map[string]Opener
	// CachedDocuments is how many documents are kept open for their next pages. Zero means four more than Parallel.
	CachedDocuments int
	// CostPerHour is what the worker's machine costs in an hour, in US dollars, for the cost of jobs. Zero means that it is not known.
	CostPerHour float64
	// DrainTimeout is how long a worker that shall end goes on with the pages that it has. Zero means 25 seconds: Kubernetes and spot machines give 30. What is not read then is
	// given back.
	DrainTimeout time.Duration
	// OnPage is told of every page that the worker has ended; it is called from several goroutines and must return soon. Nil means nobody.
	OnPage func(job string, outcome Outcome)
	// Logger is told of what is tried again, given up and given back. Nil means nobody.
	Logger *slog.Logger
}

// DefaultDrainTimeout is how long a worker goes on when it shall end.
const DefaultDrainTimeout = 25 * time.Second

func (o WorkerOptions) withDefaults() (WorkerOptions, error) {
	var faults []error
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"Parallel", int64(o.Parallel)}, {"Prefetch", int64(o.Prefetch)}, {"MaxDeaths", int64(o.MaxDeaths)}, {"CachedDocuments", int64(o.CachedDocuments)},
		{"DrainTimeout", int64(o.DrainTimeout)},
	} {
		if f.value < 0 {
			faults = append(faults, fmt.Errorf("%s: %d is negative (0 means the default)", f.name, f.value))
		}
	}
	if !(o.CostPerHour >= 0) {
		faults = append(faults, fmt.Errorf("CostPerHour: %g: want 0 or more", o.CostPerHour))
	}
	if o.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "worker"
		}
		o.Name = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	o.Parallel = or(o.Parallel, jobs.DefaultWorkers)
	o.MaxDeaths = or(o.MaxDeaths, jobs.DefaultMaxDeaths)
	o.CachedDocuments = or(o.CachedDocuments, o.Parallel+4)
	o.DrainTimeout = or(o.DrainTimeout, DefaultDrainTimeout)
	if o.Retry.Retryable == nil {
		o.Retry.Retryable = jobs.Retryable
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, optionsError("WorkerOptions", faults)
}

// errDraining is the cause of the contexts of pages that are given back.
var errDraining = errors.New("the worker shall end")

// worker is a worker at work:
//
//	pull ─ tasks, as many as there is room for ─▶ handle, one goroutine each ─▶ open, read: outcomes
type worker struct {
	*Queue
	opts      WorkerOptions
	ex        textextraction.TextExtractor
	consumers []js.Consumer // in the order in which they are asked
	room      chan struct{} // holds a token for each task that is held
	reading   chan struct{} // and for each page that is being read
	woken     chan struct{}
	ending    <-chan struct{} // is closed when the worker shall end
	stop      func(error)     // ends the worker at once
	documents *documents
	known     *knownJobs
	entering  *together[Entries]
	tasks     sync.WaitGroup
	ackWait   time.Duration

	solitude sync.RWMutex // is held by what is being read: by one alone that has killed
	suspects sync.Mutex   // by one of those whose worker died beside others

	mu   sync.Mutex
	held map[*held]struct{}
}

// held is a task that the worker has.
type held struct {
	message js.Msg
	until   time.Time // after which it is given up as hanging; zero: never. Guarded by the worker's mu
}

// Work is a worker: it reads pages until ctx ends, and then ends what it has, see WorkerOptions.DrainTimeout. The extractor stays the caller's, and must be open until Work
// returns. The error is that of the options, of the server when the work began, or of an extractor that was closed; the end of ctx is none.
func (q *Queue) Work(ctx context.Context, ex textextraction.TextExtractor, opts WorkerOptions) error {
	opts, err := opts.withDefaults()
	if err != nil {
		return err
	}
	pulling, end := context.WithCancelCause(ctx)
	defer end(nil)
	pages, breakOff := context.WithCancelCause(context.WithoutCancel(ctx))
	defer breakOff(nil)
	w := &worker{
		Queue: q, opts: opts, ex: ex, room: make(chan struct{}, opts.Parallel+opts.Prefetch), reading: make(chan struct{}, opts.Parallel),
		woken: make(chan struct{}, 1), ending: pulling.Done(), held: map[*held]struct{}{},
		stop: func(err error) { end(err); breakOff(errDraining) },
	}
	if err := w.begin(pulling); err != nil {
		return wrap(err, "worker")
	}
	w.entering = newTogether(mostEntries, func(Entries) int { return 1 }, w.enter)
	w.documents = newDocuments(w)
	defer w.documents.close()
	w.known = newKnownJobs(q, ex, opts.ExtractorID)
	// Who knows what becomes of the jobs, and gives signs of life, does so until the last task has ended.
	var helpers sync.WaitGroup
	helping, enough := context.WithCancel(context.WithoutCancel(ctx))
	watching := make(chan struct{})
	helpers.Go(func() { w.known.watch(helping, sync.OnceFunc(func() { close(watching) })) })
	helpers.Go(func() { w.signs(helping) })
	defer helpers.Wait()
	defer enough()
	wake, err := q.nc.Subscribe(q.subject("wake"), func(*nats.Msg) { w.wakeUp() })
	if err != nil {
		return wrap(err, "worker")
	}
	defer func() { _ = wake.Unsubscribe() }()

	select {
	case <-watching:
	case <-pulling.Done():
	}
	opts.Logger.InfoContext(ctx, "worker begins", "worker", opts.Name, "queue", q.config.Name)
	w.pull(pulling, pages)
	patience := time.AfterFunc(opts.DrainTimeout, func() { breakOff(errDraining) })
	w.tasks.Wait()
	patience.Stop()
	_ = q.nc.FlushTimeout(attemptTimeout) // the last acknowledgments
	opts.Logger.InfoContext(ctx, "worker ends", "worker", opts.Name)
	if cause := context.Cause(pulling); ctx.Err() == nil {
		return wrap(cause, "worker")
	}
	return nil
}

// begin finds the consumers.
func (w *worker) begin(ctx context.Context) error {
	for _, p := range priorities {
		for _, lane := range lanes {
			c, err := persist(ctx, func(ctx context.Context) (js.Consumer, error) { return w.work.Consumer(ctx, consumerName(p, lane)) })
			if err != nil {
				return err
			}
			w.consumers = append(w.consumers, c)
			w.ackWait = c.CachedInfo().Config.AckWait
		}
	}
	return nil
}

// pull takes tasks as there is room for them, until ctx ends. Pages is the context that they are done in.
func (w *worker) pull(ctx, pages context.Context) {
	const idle = 2 * time.Second // when nobody calls
	for {
		room := w.makeRoom(ctx)
		if room == 0 {
			return
		}
		taken := w.take(pages, room)
		for range room - taken {
			<-w.room
		}
		if taken > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-w.woken:
		case <-time.After(idle/2 + rand.N(idle)): //nolint:gosec // so that workers do not ask all at once
		}
	}
}

// makeRoom waits for room, and returns for how many tasks there is: with Prefetch for half of that at least, since a request for many tasks costs as much as one for one.
// It returns 0 when ctx has ended.
func (w *worker) makeRoom(ctx context.Context) (n int) {
	for n < max(1, w.opts.Prefetch/2) {
		select {
		case <-ctx.Done():
			return 0
		case w.room <- struct{}{}:
			n++
		}
	}
	for ctx.Err() == nil {
		select {
		case w.room <- struct{}{}:
			n++
			continue
		default:
		}
		return n
	}
	return 0
}

// take takes up to n tasks, those that come first, and begins with them.
func (w *worker) take(pages context.Context, n int) (taken int) {
	for _, c := range w.consumers {
		if taken == n {
			break
		}
		batch, err := c.FetchNoWait(n - taken)
		if err != nil {
			w.opts.Logger.WarnContext(pages, "the server gives no tasks", "error", err)
			return taken
		}
		for m := range batch.Messages() {
			taken++
			h := w.hold(m)
			w.tasks.Go(func() {
				defer func() { <-w.room }()
				defer w.letGo(h)
				w.handle(pages, h)
			})
		}
	}
	return taken
}

func (w *worker) wakeUp() {
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

func (w *worker) hold(m js.Msg) *held {
	h := &held{message: m}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held[h] = struct{}{}
	return h
}

func (w *worker) letGo(h *held) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.held, h)
}

// limit bounds how long signs of life are given for a task from now on. Zero means no bound.
func (w *worker) limit(h *held, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h.until = time.Time{}
	if d > 0 {
		h.until = time.Now().Add(d)
	}
}

// signs gives signs of life for what the worker has. A task that takes much longer than it may hangs in its reader: for that none are given, and others get it.
func (w *worker) signs(ctx context.Context) {
	ticks := time.NewTicker(w.ackWait / 3)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticks.C:
			var alive []js.Msg
			w.mu.Lock()
			for h := range w.held {
				if h.until.IsZero() || now.Before(h.until) {
					alive = append(alive, h.message)
				}
			}
			w.mu.Unlock()
			for _, m := range alive {
				_ = m.InProgress() // the connection says so elsewhere, and the next is not far
			}
		}
	}
}
