package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"
)

// State says what shall become of a job. Whether it has come to its end is in its [Status].
type State string

// The states.
const (
	Running  State = "running"
	Paused   State = "paused"
	Canceled State = "canceled"
)

// Job is a job as the queue keeps it, under its id.
type Job struct {
	Version int    `json:"v"`
	ID      string `json:"id"`
	State   State  `json:"state"`
	// Created is when it was submitted.
	Created time.Time `json:"created"`
	// Documents is how many documents it has. Before Sealed is set they are still being submitted.
	Documents int        `json:"documents"`
	Sealed    bool       `json:"sealed"`
	Options   JobOptions `json:"options"`
}

func (j Job) version() int { return j.Version }

func (j Job) check() error {
	if j.State != Running && j.State != Paused && j.State != Canceled {
		return fmt.Errorf("state %q: want %q, %q or %q", j.State, Running, Paused, Canceled)
	}
	return checkID("id", j.ID)
}

// Document is a document that is submitted.
type Document struct {
	// ID is the name of its results. Empty means the document's number in the job.
	ID string
	// Source is where it is.
	Source Source
}

// Documents are the documents at the sources given, for [Queue.Submit].
func Documents(sources ...Source) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		for _, s := range sources {
			if !yield(Document{Source: s}, nil) {
				return
			}
		}
	}
}

// Submit makes a job of documents, which may be any number, and returns when the server has all of them. Workers begin with the first while the last are still
// on their way. An id that is empty is made up; one that is taken is an error that matches [ErrJobExists]: a job that is to be submitted once, whatever happens, wants an id of its own.
// When the documents yield an error, or ctx ends, the job is canceled.
func (q *Queue) Submit(ctx context.Context, id string, documents iter.Seq2[Document, error], opts JobOptions) (Job, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return Job{}, err
	}
	if id == "" {
		id = strings.ToLower(nats.NewInbox()[len("_INBOX."):])
	}
	if err := checkID("job", id); err != nil {
		return Job{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	job := Job{Version: Version, ID: id, State: Running, Created: time.Now().UTC(), Options: opts}
	if err := q.createJob(ctx, job); err != nil {
		return Job{}, wrap(err, "submit job %q", id)
	}
	job, err = q.submitRest(ctx, job, documents)
	if err != nil {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
		defer cancel()
		err = errors.Join(err, q.Cancel(clean, id))
	}
	return job, wrap(err, "submit job %q", id)
}

// submitRest submits the documents of a job that is there. Where a submitter died half way, what it sent is sent again, under the same numbers, and found to be there.
func (q *Queue) submitRest(ctx context.Context, job Job, documents iter.Seq2[Document, error]) (Job, error) {
	n, err := q.submitAll(ctx, job, documents)
	if err != nil {
		return job, err
	}
	return q.changeJob(ctx, job.ID, func(j *Job) error {
		j.Documents, j.Sealed = n, true
		return nil
	})
}

func (q *Queue) createJob(ctx context.Context, job Job) error {
	value, err := encode(job)
	if err != nil {
		return err
	}
	_, err = persist(ctx, func(ctx context.Context) (uint64, error) { return q.jobs.Create(ctx, job.ID, value) })
	if isTaken(err) {
		return ErrJobExists
	}
	return err
}

// submitAll sends the tasks of the documents, some at a time, and returns how many there were.
func (q *Queue) submitAll(ctx context.Context, job Job, documents iter.Seq2[Document, error]) (n int, err error) {
	subject := q.subject("work", string(job.Options.Priority), "documents", job.ID)
	var tasks []Task
	flush := func() error {
		if len(tasks) == 0 {
			return nil
		}
		err := q.send(ctx, subject, tasks...)
		tasks = tasks[:0]
		q.wake()
		return err
	}
	for d, err := range documents {
		if err == nil {
			err = d.Source.check()
		}
		if err != nil {
			return n, err
		}
		tasks = append(tasks, Task{Version: Version, Type: TaskDocument, Job: job.ID, Document: n, ID: or(d.ID, fmt.Sprint(n)), Source: d.Source})
		n++
		if len(tasks) == maxPublished {
			if err := flush(); err != nil {
				return n, err
			}
		}
	}
	return n, flush()
}

// Job returns a job. One that is not there is an error that matches [ErrNoJob].
func (q *Queue) Job(ctx context.Context, id string) (Job, error) {
	job, _, err := q.getJob(ctx, id)
	return job, wrap(err, "job %q", id)
}

func (q *Queue) getJob(ctx context.Context, id string) (job Job, revision uint64, err error) {
	if checkID("job", id) != nil {
		return Job{}, 0, ErrNoJob
	}
	entry, err := persist(ctx, func(ctx context.Context) (js.KeyValueEntry, error) { return q.jobs.Get(ctx, id) })
	if errors.Is(err, js.ErrKeyNotFound) {
		return Job{}, 0, ErrNoJob
	}
	if err != nil {
		return Job{}, 0, err
	}
	job, err = decode[Job](entry.Value())
	return job, entry.Revision(), err
}

// changeJob changes a job, however many do so at the same time.
func (q *Queue) changeJob(ctx context.Context, id string, change func(*Job) error) (Job, error) {
	for {
		job, revision, err := q.getJob(ctx, id)
		if err != nil {
			return Job{}, err
		}
		if err := change(&job); err != nil {
			return Job{}, err
		}
		value, err := encode(job)
		if err != nil {
			return Job{}, err
		}
		_, err = persist(ctx, func(ctx context.Context) (uint64, error) { return q.jobs.Update(ctx, id, value, revision) })
		if isTaken(err) || errors.Is(err, js.ErrKeyRevisionMismatch) {
			continue
		}
		return job, err
	}
}

// Jobs returns the jobs that are there, the oldest first.
func (q *Queue) Jobs(ctx context.Context) ([]Job, error) {
	ids, err := persist(ctx, func(ctx context.Context) ([]string, error) { return q.jobs.Keys(ctx) })
	if err != nil && !errors.Is(err, js.ErrNoKeysFound) {
		return nil, wrap(err, "jobs")
	}
	var all []Job
	for _, id := range ids {
		job, _, err := q.getJob(ctx, id)
		if errors.Is(err, ErrNoJob) {
			continue // forgotten a moment ago
		}
		if err != nil {
			return nil, wrap(err, "job %q", id)
		}
		all = append(all, job)
	}
	slices.SortFunc(all, func(a, b Job) int { return a.Created.Compare(b.Created) })
	return all, nil
}
