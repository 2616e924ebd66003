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
	// Seq is the number of the last message that is in it, Last its time.
	Seq  uint64    `json:"seq"`
	Last time.Time `json:"last"`
	// All is the pages that have ended, for what is in the ledger of them from then on does not count; Faulty those of them, and of the documents, that have failed.
	All    pageSet `json:"all"`
	Faulty pageSet `json:"faulty"`
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

// add adds a message of the ledger, and returns those of its entries that count.
func (t *tally) add(r record) (counts Entries) {
	t.Recent *= math.Exp(-r.time.Sub(t.Last).Seconds() / memory.Seconds())
	t.Seq, t.Last = r.seq, r.time
	for _, o := range r.Opened {
		if !t.All.open(o.Document, o.Pages) {
			continue
		}
		counts.Opened = append(counts.Opened, o)
		t.Opened++
		t.Pages += o.Pages
		if o.Fault != nil {
			t.DocumentsFailed++
			t.Faulty.open(o.Document, 0)
		}
	}
	for _, o := range r.Outcomes {
		_, pages := t.All.knows(o.Document)
		if !t.All.add(o.Document, o.Page) {
			continue
		}
		counts.Outcomes = append(counts.Outcomes, o)
		t.Recent++
		t.Ended++
		if o.Fault != nil {
			t.Failed++
			t.Faulty.open(o.Document, pages)
			t.Faulty.add(o.Document, o.Page)
		}
		if o.Resumed {
			t.Resumed++
		}
		t.ReadSeconds += o.Read
		t.PromptTokens += int64(o.PromptTokens)
		t.CompletionTokens += int64(o.CompletionTokens)
		t.Cost += o.Cost
	}
	return counts
}

// Status tells how far a job has come, from anywhere.
func (q *Queue) Status(ctx context.Context, id string) (Status, error) {
	return q.status(ctx, id, &tally{})
}

// status is Status for who has asked before.
func (q *Queue) status(ctx context.Context, id string, t *tally) (Status, error) {
	job, _, err := q.getJob(ctx, id)
	if err == nil {
		err = q.addUp(ctx, id, t)
	}
	if err != nil {
		return Status{}, wrap(err, "status of job %q", id)
	}
	return newStatus(job, *t, time.Now()), nil
}

// addUp adds to a tally what has come to a job's ledger since, from where somebody else came to, if that is further, and leaves the sum to those who come after.
func (q *Queue) addUp(ctx context.Context, id string, t *tally) error {
	revision, kept := uint64(0), uint64(0)
	entry, err := persist(ctx, func(ctx context.Context) (js.KeyValueEntry, error) { return q.statuses.Get(ctx, id) })
	switch {
	case err == nil:
		revision = entry.Revision()
		theirs, err := decode[tally](entry.Value())
		if err != nil {
			return err
		}
		if kept = theirs.Seq; kept > t.Seq {
			*t = theirs
		}
	case !errors.Is(err, js.ErrKeyNotFound):
		return err
	}
	added := 0
	for r, err := range q.records(ctx, id, t.Seq+1, false) {
		if err != nil {
			return err
		}
		t.add(r)
		added++
	}
	if added < tallyEvery/4 || t.Seq <= kept {
		return nil
	}
	t.Version = Version
	value, err := encode(*t)
	if err != nil || int64(len(value)) > q.nc.MaxPayload()/2 { // with very many documents of which some pages have failed: everybody adds up for themselves
		return err
	}
	// Nothing is lost if this is: somebody else's sum is there, or somebody makes it later.
	if revision == 0 {
		_, _ = q.statuses.Create(ctx, id, value)
	} else {
		_, _ = q.statuses.Update(ctx, id, value, revision)
	}
	return nil
}

// tallyEvery is after how many messages the ledger is added up: by the worker whose message's number is a multiple of it, so that somebody does, and nobody has to be chosen.
const tallyEvery = 512

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
	var t tally
	for {
		s, err := q.status(ctx, id, &t)
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
