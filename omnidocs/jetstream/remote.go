package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"time"

	js "github.com/nats-io/nats.go/jetstream"

	"github.com/omnidocs/omnidocs/omnidocs/jobs"
	"github.com/omnidocs/omnidocs/omnidocs/journal"
	"github.com/omnidocs/omnidocs/textextraction"
)

// RemoteOptions say how a folder's job is handed to a queue. The zero value consists entirely of default values.
type RemoteOptions struct {
	// Job is the id of the job. Empty means one that follows from the documents, their sizes and times, and the options: the same program, started again, finds the
	// job that it had begun, and follows it. When that had come to its end and something had failed, a new one is made, of which only those pages are read that have no result.
	Job string
	// Upload sends the documents into the queue's store, for workers that do not see the same files. Otherwise the paths must be the same for all, and allowed by
	// the workers' FileRoots.
	Upload bool
	// Priority, Workers and PagesPerTask are as in [JobOptions].
	Priority              Priority
	Workers, PagesPerTask int
	// Submitted is told of the job when it is on its way, or was found to be. Nil means nobody.
	Submitted func(Job)
}

// Remote returns what makes a directory job of package jobs one of this queue:
//
//	jobs.ProcessDirectory(ctx, dir, nil, jobs.DirectoryOptions{Remote: q.Remote(jetstream.RemoteOptions{})})
//
// When ctx ends, the job goes on without its submitter, who may come back, see [RemoteOptions].Job; [Queue.Cancel] ends it.
func (q *Queue) Remote(opts RemoteOptions) jobs.Remote { return &remote{q, opts} }

type remote struct {
	queue *Queue
	opts  RemoteOptions
}

// Read reads documents on the queue, see [jobs.Remote].
func (r *remote) Read(ctx context.Context, documents []jobs.RemoteDocument, opts jobs.DirectoryOptions) iter.Seq2[jobs.RemoteEvent, error] {
	return func(yield func(jobs.RemoteEvent, error) bool) {
		before, err := persist(ctx, func(ctx context.Context) (*js.StreamInfo, error) { return r.queue.ledger.Info(ctx) })
		var job Job
		if err == nil {
			job, err = r.submit(ctx, documents, r.jobOptions(opts))
		}
		if err != nil {
			yield(jobs.RemoteEvent{}, err)
			return
		}
		if r.opts.Submitted != nil {
			r.opts.Submitted(job)
		}
		if err := r.follow(ctx, job, len(documents), before.State.LastSeq, func(e jobs.RemoteEvent) bool { return yield(e, nil) }); err != nil {
			yield(jobs.RemoteEvent{}, wrap(err, "job %q", job.ID))
		}
	}
}

func (r *remote) jobOptions(opts jobs.DirectoryOptions) JobOptions {
	load := opts.Files.Load
	load.CachedPages = 0
	return JobOptions{
		Priority: r.opts.Priority, Page: PageOptions(opts.Page), Load: load, PageTimeout: opts.PageTimeout, Attempts: opts.Retry.Attempts,
		Workers: r.opts.Workers, PagesPerTask: r.opts.PagesPerTask, CrossCheck: opts.CrossCheck, TextLayerFallback: opts.TextLayerFallback,
	}
}

// submit submits the documents, or finds the job that they are already.
func (r *remote) submit(ctx context.Context, documents []jobs.RemoteDocument, opts JobOptions) (Job, error) {
	base := r.opts.Job
	if base == "" {
		var err error
		if base, err = jobName(documents, opts, r.opts.Upload); err != nil {
			return Job{}, err
		}
	}
	id := base
	for n := 2; ; n++ {
		job, err := r.queue.Submit(ctx, id, r.sources(ctx, id, documents), opts)
		if !errors.Is(err, ErrJobExists) {
			return job, err
		}
		status, err := r.queue.Status(ctx, id)
		switch {
		case err != nil:
			return Job{}, err
		case status.State == Canceled, status.Done() && status.Failed+status.DocumentsFailed > 0 && r.opts.Job == "":
			id = fmt.Sprintf("%s-%d", base, n) // another one, of what is missing
		case !status.Sealed:
			job, err := r.queue.submitRest(ctx, status.Job, r.sources(ctx, id, documents))
			return job, wrap(err, "submit job %q", id)
		case status.Documents != len(documents):
			return Job{}, fmt.Errorf("%w: Job: %q has %d documents, and these are %d", ErrJobExists, id, status.Documents, len(documents))
		default:
			return status.Job, nil
		}
	}
}

// sources yields the documents as the queue knows them, and uploads them on the way if they shall be.
func (r *remote) sources(ctx context.Context, job string, documents []jobs.RemoteDocument) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		for i, d := range documents {
			path, err := filepath.Abs(d.Path)
			source := File(path)
			if r.opts.Upload && err == nil {
				// Its number keeps two documents with names that differ in their folders alone apart, its name is for errors.
				source, err = r.queue.Upload(ctx, fmt.Sprintf("jobs/%s/%d/%s", job, i, filepath.Base(path)), path)
				if errors.Is(err, os.ErrNotExist) {
					err = nil // the worker finds nothing there either, and says so, of this document alone
				}
			}
			if !yield(Document{ID: d.ID, Source: source}, err) || err != nil {
				return
			}
		}
	}
}

// jobName names a job by all that its results depend on, as far as it can be seen without reading the documents.
func jobName(documents []jobs.RemoteDocument, opts JobOptions, upload bool) (string, error) {
	options, err := json.Marshal(opts)
	if err != nil {
		return "", err
	}
	pr, pw := io.Pipe()
	go func() {
		fmt.Fprintf(pw, "omnidocs job 1\n%s\n%v\n", options, upload)
		for _, d := range documents {
			path, err := filepath.Abs(d.Path)
			if err != nil {
				path = d.Path
			}
			fmt.Fprintf(pw, "%q %q", d.ID, path)
			if info, err := os.Stat(path); err == nil {
				fmt.Fprintf(pw, " %d %d", info.Size(), info.ModTime().UnixNano())
			}
			fmt.Fprintln(pw)
		}
		_ = pw.Close()
	}()
	key, err := journal.ReaderKey(pr)
	return key.String()[:24], err
}

// follow tells what happens to a job, from its beginning to its end. What is in the ledger up to the entry before was read earlier.
func (r *remote) follow(ctx context.Context, job Job, documents int, before uint64, tell func(jobs.RemoteEvent) bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go r.heedCancel(ctx, job.ID, cancel)
	left := documents // that have not been opened
	waiting := 0      // pages of the others
	if left == 0 {
		return nil
	}
	for record, err := range r.queue.firstRecords(ctx, job.ID, true) {
		if err != nil {
			return or(context.Cause(ctx), err)
		}
		for _, o := range record.Opened { // comes before its pages, whose tasks are made after it
			left--
			waiting += o.Pages
			event := jobs.RemoteEvent{Document: o.Document, Pages: o.Pages}
			if o.Fault != nil {
				event.Err = o.Fault
			}
			if !tell(event) {
				return nil
			}
		}
		for _, o := range record.Outcomes {
			waiting--
			p, err := r.outcome(ctx, &o)
			if err != nil {
				return or(context.Cause(ctx), err)
			}
			p.Resumed = p.Resumed || record.seq <= before && p.Err == nil
			if !tell(jobs.RemoteEvent{Document: o.Document, Page: &p}) {
				return nil
			}
		}
		if left == 0 && waiting == 0 {
			return nil
		}
	}
	return context.Cause(ctx)
}

// heedCancel ends ctx when the job is canceled, by whomever.
func (r *remote) heedCancel(ctx context.Context, id string, cancel context.CancelCauseFunc) {
	const every = time.Second
	for {
		job, _, err := r.queue.getJob(ctx, id)
		if errors.Is(err, ErrNoJob) || err == nil && job.State == Canceled {
			cancel(ErrCanceled)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
	}
}

// outcome is an outcome as package jobs has it.
func (r *remote) outcome(ctx context.Context, o *Outcome) (jobs.PageOutcome, error) {
	p := jobs.PageOutcome{
		Page: o.Page, TextLayer: o.TextLayer, Check: o.Check, Attempts: o.Attempts, Resumed: o.Resumed,
		Render: time.Duration(o.Render * float64(time.Second)), Read: time.Duration(o.Read * float64(time.Second)),
	}
	if o.Fault != nil {
		p.Err = o.Fault
	}
	if o.Key == "" {
		return p, nil
	}
	result, err := r.queue.Result(ctx, *o)
	if err == nil && result == nil {
		err = fmt.Errorf("result %s is not in the store any more", o.Key)
	}
	if err != nil && ctx.Err() == nil {
		p.Err = errors.Join(p.Err, err) // its fault is this page's
		return p, nil
	}
	p.Result = result
	return p, err
}

// Result returns the result of a page; nil if it has none, or it is not kept any more.
func (q *Queue) Result(ctx context.Context, o Outcome) (*textextraction.ExtractResult, error) {
	if o.Key == "" {
		return nil, nil //nolint:nilnil // it has none
	}
	key, err := journal.ParseKey(o.Key)
	if err != nil {
		return nil, err
	}
	r, err := load(ctx, q.store, key)
	if err != nil || r == nil {
		return nil, wrap(err, "page %d of document %d", o.Page, o.Document)
	}
	for i := range r.Elements {
		r.Elements[i].Page = o.Page
	}
	return r, nil
}

// Outcomes yields what came of a job's pages until now, in the order in which they ended; with Result there is what was read.
func (q *Queue) Outcomes(ctx context.Context, job string) iter.Seq2[Outcome, error] {
	return func(yield func(Outcome, error) bool) {
		for r, err := range q.firstRecords(ctx, job, false) {
			if err != nil {
				yield(Outcome{}, wrap(err, "outcomes of job %q", job))
				return
			}
			for _, o := range r.Outcomes {
				if !yield(o, nil) {
					return
				}
			}
		}
	}
}
