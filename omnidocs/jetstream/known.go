package jetstream

import (
	"context"
	"errors"
	"sync"
	"time"

	js "github.com/nats-io/nats.go/jetstream"

	"github.com/omnidocs/omnidocs/omnidocs/jobs"
	"github.com/omnidocs/omnidocs/textextraction"
)

// knownJobs is what a worker knows of jobs, so that it need not ask for every page.
type knownJobs struct {
	queue *Queue
	ex    textextraction.TextExtractor
	id    string // of the extractor, for those that do not say

	mu   sync.Mutex
	jobs map[string]*knownJob
}

// knownJob is a job of which pages come.
type knownJob struct {
	id    string
	ended context.Context //nolint:containedctx // it says to whomever reads pages of the job that it was canceled or forgotten
	end   context.CancelFunc

	mu       sync.Mutex
	job      Job
	asked    time.Time
	identity jobs.Identity

	adding sync.Mutex
	tally  tally // as far as it was needed
}

// addUp returns the tally of a job's ledger, at least up to the message of a number; 0 is all that is there now. It is given to look, while it is not changed.
func (j *knownJob) addUp(ctx context.Context, q *Queue, seq uint64, look func(t *tally)) error {
	j.adding.Lock()
	defer j.adding.Unlock()
	if seq == 0 || j.tally.Seq < seq {
		if err := q.addUp(ctx, j.id, &j.tally); err != nil {
			return err
		}
	}
	look(&j.tally)
	return nil
}

// fresh is how long a worker takes what it knows for granted, should it not be told of changes.
const fresh = 10 * time.Second

func newKnownJobs(q *Queue, ex textextraction.TextExtractor, id string) *knownJobs {
	return &knownJobs{queue: q, ex: ex, id: id, jobs: map[string]*knownJob{}}
}

// watch hears of changes until ctx ends, and calls ready when it begins to.
func (k *knownJobs) watch(ctx context.Context, ready func()) {
	for ctx.Err() == nil {
		watcher, err := persist(ctx, func(context.Context) (js.KeyWatcher, error) { return k.queue.jobs.WatchAll(ctx, js.UpdatesOnly()) })
		if err == nil {
			k.doubt() // there may have been changes before
			ready()
			for entry := range watcher.Updates() {
				if entry != nil {
					k.changed(entry)
				}
			}
		}
		select { // and again, should it have ended before ctx
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// doubt lets every job be asked for again before the next of its pages.
func (k *knownJobs) doubt() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, known := range k.jobs {
		known.mu.Lock()
		known.asked = time.Time{}
		known.mu.Unlock()
	}
}

func (k *knownJobs) changed(entry js.KeyValueEntry) {
	k.mu.Lock()
	known := k.jobs[entry.Key()]
	k.mu.Unlock()
	if known == nil {
		return
	}
	job, err := decode[Job](entry.Value())
	if entry.Operation() != js.KeyValuePut || err != nil {
		k.forget(entry.Key())
		return
	}
	k.set(known, job)
}

func (k *knownJobs) forget(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if known := k.jobs[id]; known != nil {
		delete(k.jobs, id)
		known.end()
	}
}

func (k *knownJobs) set(known *knownJob, job Job) {
	known.mu.Lock()
	known.job, known.asked = job, time.Now()
	known.mu.Unlock()
	if job.State == Canceled {
		known.end()
	}
}

// get returns a job, as it is now or was a moment ago.
func (k *knownJobs) get(ctx context.Context, id string) (*knownJob, Job, error) {
	k.mu.Lock()
	known := k.jobs[id]
	if known == nil {
		known = &knownJob{id: id}
		known.ended, known.end = context.WithCancel(context.WithoutCancel(ctx))
		k.jobs[id] = known
	}
	k.mu.Unlock()
	known.mu.Lock()
	job, isFresh := known.job, time.Since(known.asked) < fresh
	known.mu.Unlock()
	if isFresh {
		return known, job, nil
	}
	job, _, err := k.queue.getJob(ctx, id)
	if errors.Is(err, ErrNoJob) {
		k.forget(id)
	}
	if err != nil {
		return nil, Job{}, err
	}
	k.set(known, job)
	return known, job, nil
}

// identify returns what results of the job's pages are kept under, besides the pages.
func (k *knownJobs) identify(ctx context.Context, known *knownJob, opts jobs.Options) (jobs.Identity, error) {
	known.mu.Lock()
	id := known.identity
	known.mu.Unlock()
	if id != "" {
		return id, nil
	}
	opts.ExtractorID = k.id
	id, err := jobs.IdentityOf(ctx, k.ex, opts)
	if err == nil {
		known.mu.Lock()
		known.identity = id
		known.mu.Unlock()
	}
	return id, err
}
