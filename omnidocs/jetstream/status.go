package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	js "github.com/nats-io/nats.go/jetstream"
)

// Status says how far a job has come.
type Status struct {
	Job
	// Opened is how many documents have been opened, or could not be: DocumentsFailed of them. Pages is the number of pages of the others; PagesExpected adds those of
	// the documents that have not been opened, at the average of these.
	Opened, DocumentsFailed int
	Pages, PagesExpected    int
	// Ended is the number of pages that have ended. Failed of them have an error, Resumed of them had been read before.
	Ended, Failed, Resumed int
	// Rate is how many pages end in a second, of late: an average that forgets most of what was a minute ago.
	Rate float64
	// Elapsed is the time since the job was submitted, to its end if it has come to it; Remaining what Rate and PagesExpected leave to expect, 0 if that is not known.
	Elapsed, Remaining time.Duration
	// ReadTime is the time that workers have spent on reading the pages, all together.
	ReadTime time.Duration
	// PromptTokens and CompletionTokens are those that were read and written.
	PromptTokens, CompletionTokens int64
	// Cost is what the pages have cost, in US dollars, at the prices that the workers know of their machines, see [WorkerOptions].CostPerHour. The times in which machines start and wait
	// are not in it.
	Cost float64
}

// Done says whether all that there was to do has been done.
func (s Status) Done() bool { return s.Sealed && s.Opened == s.Documents && s.Ended == s.Pages }

// String is a line that says how far the job has come.
func (s Status) String() string {
	return fmt.Sprintf("job %s: %s, %d of %d documents opened, %d of about %d pages, %d failed, %.2f pages/s, %v left, $%.4f",
		s.ID, s.State, s.Opened, s.Documents, s.Ended, s.PagesExpected, s.Failed, s.Rate, s.Remaining.Round(time.Second), s.Cost)
}

// tally is a job's ledger up to an entry, added up: so that nobody needs to read all of it to know how far the job is. It is a message.
type tally struct {
	Version         int `json:"v"`
	Opened          int `json:"opened"`
	DocumentsFailed int `json:"documents_failed"`
	Pages           int `json:"pages"`
	Ended           int `json:"ended"`
	Failed          int `json:"failed"`
	Resumed         int `json:"resumed"`
	// Seq is the last entry that is in it, Last its time.
	Seq  uint64    `json:"seq"`
	Last time.Time `json:"last"`
	// Recent is how many pages ended of late: each counts e^(-t/memory) when it is t old, as of Last.
	Recent           float64 `json:"recent"`
	ReadSeconds      float64 `json:"read_seconds"`
	PromptTokens     int64   `json:"prompt_tokens"`
	CompletionTokens int64   `json:"completion_tokens"`
	Cost             float64 `json:"cost"`
}

func (t tally) version() int { return t.Version }
func (t tally) check() error { return nil }

// memory is how long Rate remembers: after that time a page weighs 1/e.
const memory = time.Minute

// add adds an entry.
func (t *tally) add(e entry) {
	t.Recent *= math.Exp(-e.time.Sub(t.Last).Seconds() / memory.Seconds())
	t.Seq, t.Last = e.seq, e.time
	switch {
	case e.opened != nil:
		t.Opened++
		t.Pages += e.opened.Pages
		if e.opened.Fault != nil {
			t.DocumentsFailed++
		}
	case e.outcome != nil:
		o := e.outcome
		t.Recent++
		t.Ended++
		if o.Fault != nil {
			t.Failed++
		}
		if o.Resumed {
			t.Resumed++
		}
		t.ReadSeconds += o.Read
		t.PromptTokens += int64(o.PromptTokens)
		t.CompletionTokens += int64(o.CompletionTokens)
		t.Cost += o.Cost
	}
}

// Status tells how far a job has come, from anywhere.
func (q *Queue) Status(ctx context.Context, id string) (Status, error) {
	job, _, err := q.getJob(ctx, id)
	var t tally
	if err == nil {
		t, err = q.tally(ctx, id)
	}
	if err != nil {
		return Status{}, wrap(err, "status of job %q", id)
	}
	return newStatus(job, t, time.Now()), nil
}

// tally adds up a job's ledger, from where somebody came to before, and leaves the sum to those who come after.
func (q *Queue) tally(ctx context.Context, id string) (tally, error) {
	t := tally{Version: Version}
	revision := uint64(0)
	entry, err := persist(ctx, func(ctx context.Context) (js.KeyValueEntry, error) { return q.statuses.Get(ctx, id) })
	switch {
	case err == nil:
		if t, err = decode[tally](entry.Value()); err != nil {
			return t, err
		}
		revision = entry.Revision()
	case !errors.Is(err, js.ErrKeyNotFound):
		return t, err
	}
	added := 0
	for e, err := range q.entries(ctx, id, t.Seq+1, false) {
		if err != nil {
			return t, err
		}
		t.add(e)
		added++
	}
	if added < tallyEvery/4 {
		return t, nil
	}
	value, err := encode(t)
	if err != nil {
		return t, err
	}
	// Nothing is lost if this is: somebody else's sum is there, or somebody makes it later.
	if revision == 0 {
		_, _ = q.statuses.Create(ctx, id, value)
	} else {
		_, _ = q.statuses.Update(ctx, id, value, revision)
	}
	return t, nil
}

// tallyEvery is after how many entries the ledger is added up: by the worker whose entry's number is a multiple of it, so that somebody does, and nobody has to be chosen.
const tallyEvery = 4096

func newStatus(job Job, t tally, now time.Time) Status {
	s := Status{
		Job: job, Opened: t.Opened, DocumentsFailed: t.DocumentsFailed, Pages: t.Pages, PagesExpected: t.Pages, Ended: t.Ended, Failed: t.Failed,
		Resumed: t.Resumed, ReadTime: time.Duration(t.ReadSeconds * float64(time.Second)), PromptTokens: t.PromptTokens,
		CompletionTokens: t.CompletionTokens, Cost: t.Cost, Elapsed: now.Sub(job.Created),
	}
	if t.Opened > 0 && job.Documents > t.Opened {
		s.PagesExpected += int(math.Round(float64(job.Documents-t.Opened) * float64(t.Pages) / float64(t.Opened)))
	}
	if s.Done() && !t.Last.IsZero() {
		s.Elapsed = t.Last.Sub(job.Created)
		return s
	}
	if s.Elapsed > 0 && t.Ended > 0 {
		// What the average would weigh if one page had ended in each second since the job began.
		full := memory.Seconds() * (1 - math.Exp(-s.Elapsed.Seconds()/memory.Seconds()))
		s.Rate = t.Recent * math.Exp(-now.Sub(t.Last).Seconds()/memory.Seconds()) / full
	}
	if left := s.PagesExpected - s.Ended; s.Rate > 1e-9 && left > 0 {
		s.Remaining = time.Duration(min(float64(left)/s.Rate*float64(time.Second), math.MaxInt64/2))
	}
	return s
}

// Wait waits for the end of a job, and tells how far it is now and then; progress may be nil. The error is that of ctx, or, for a job that was canceled, matches
// [ErrCanceled].
func (q *Queue) Wait(ctx context.Context, id string, progress func(Status)) (Status, error) {
	const every = 500 * time.Millisecond
	for {
		s, err := q.Status(ctx, id)
		if err != nil {
			return s, err
		}
		if progress != nil {
			progress(s)
		}
		switch {
		case s.Done():
			return s, nil
		case s.State == Canceled:
			return s, wrap(ErrCanceled, "job %q", id)
		}
		select {
		case <-ctx.Done():
			return s, wrap(ctx.Err(), "job %q", id)
		case <-time.After(every):
		}
	}
}
