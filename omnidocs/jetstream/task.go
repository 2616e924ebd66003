package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"github.com/omnidocs/omnidocs/omnidocs/jobs"
	"github.com/omnidocs/omnidocs/textextraction"
)

// handle does a task. What it does not acknowledge comes back, to whomever.
func (w *worker) handle(ctx context.Context, h *held) {
	m := h.message
	meta, err := m.Metadata()
	if err != nil {
		w.opts.Logger.WarnContext(ctx, "no task", "error", err)
		return
	}
	t, err := decode[Task](m.Data())
	if err != nil {
		letter := DeadLetter{Message: m.Data(), Subject: m.Subject(), Fault: *newFault(err)}
		if w.bury(ctx, "~", fmt.Sprint(meta.Sequence.Stream), letter) == nil {
			w.ack(ctx, h)
		}
		return
	}
	// Tasks are only ever delivered again when their worker died, or was taken for dead: whoever gives one back writes it anew.
	t.Suspect = t.Suspect || meta.NumDelivered > 1
	if t.Type == TaskCollection {
		err = w.submitCollection(ctx, t, meta)
	} else {
		err = w.handleOf(ctx, h, t)
	}
	switch {
	case errors.Is(err, errDraining):
		err = w.giveBack(ctx, t)
	case errors.Is(err, ErrNoJob):
		err = w.bury(ctx, t.Job, fmt.Sprintf("task-%d", meta.Sequence.Stream), DeadLetter{Job: t.Job, Task: &t, Fault: *newFault(err)})
	case errors.Is(err, ErrCanceled):
		err = nil // there is nobody who wants it
	}
	if err != nil {
		w.opts.Logger.ErrorContext(ctx, "task not done, it comes back", "job", t.Job, "document", t.Document, "error", err)
		return
	}
	w.ack(ctx, h)
}

// ack tells the server that a task is done. If that is lost, the task comes back, and what it led to is found to be there.
func (w *worker) ack(ctx context.Context, h *held) {
	if err := h.message.Ack(); err != nil {
		w.opts.Logger.WarnContext(ctx, "acknowledge", "error", err)
	}
}

// handleOf does a task of a job.
func (w *worker) handleOf(ctx context.Context, h *held, t Task) error {
	known, job, err := w.known.get(ctx, t.Job)
	switch {
	case err != nil:
		return err
	case job.State == Canceled:
		return ErrCanceled
	case job.State == Paused:
		return w.setAside(ctx, t)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(known.ended, func() { cancel(ErrCanceled) })() //nolint:contextcheck // the end of the job ends the page
	if t.Type == TaskDocument {
		return w.openDocument(ctx, h, t, known, job)
	}
	if t.Suspect && t.First < t.Last {
		return w.split(ctx, t, job)
	}
	for page := t.First; page <= t.Last; page++ {
		if err := w.readPage(ctx, h, t, page, known, job); err != nil {
			return err
		}
	}
	return nil
}

// split makes a task of each page of one whose worker died: so that it is known of which, should another.
func (w *worker) split(ctx context.Context, t Task, job Job) error {
	var tasks []Task
	for page := t.First; page <= t.Last; page++ {
		one := t
		one.First, one.Last = page, page
		tasks = append(tasks, one)
	}
	defer w.wake()
	return w.send(ctx, w.lane(job, "pages"), tasks...)
}

func (w *worker) lane(job Job, lane string) string {
	return w.subject("work", string(job.Options.Priority), lane, job.ID)
}

// giveBack lets others do a task. It is written anew, since one that is merely let go would look as if its worker had died.
func (w *worker) giveBack(ctx context.Context, t Task) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
	defer cancel()
	_, job, err := w.known.get(ctx, t.Job)
	if err != nil || job.State == Canceled {
		return err
	}
	defer w.wake()
	lane := "pages"
	if t.Type == TaskDocument {
		lane = "documents"
	}
	return w.send(ctx, w.lane(job, lane), t)
}

// openDocument opens a document and makes tasks of its pages.
func (w *worker) openDocument(ctx context.Context, h *held, t Task, known *knownJob, job Job) error {
	if t.Suspect { // the one that died may have opened it
		if known, pages, err := w.openedBefore(ctx, t, known); known || err != nil {
			return errors.Join(err, w.makePages(ctx, t, job, pages))
		}
	}
	pages := 0
	fault := w.alive(ctx, t, suspectKey(t.Job, t.Document), func() error {
		w.limit(h, 2*job.Options.PageTimeout)
		defer w.limit(h, 0)
		o, err := w.documents.get(ctx, t.Source, job.Options.Load)
		if err == nil {
			pages = o.doc.PageCount()
			w.documents.put(o)
		}
		return err
	})
	switch {
	case errors.Is(fault, errDraining):
		return fault
	case fault != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case fault != nil && w.mayPass(fault) && t.Tries+1 < job.Options.Workers:
		return w.tryAgain(ctx, t, job, "documents", fault)
	}
	opened := Opened{Document: t.Document, ID: t.ID, Source: t.Source, Pages: pages}
	if fault != nil {
		opened.Fault = newFault(fault)
		if err := w.bury(ctx, t.Job, fmt.Sprint(t.Document), DeadLetter{Job: t.Job, Task: &t, Fault: *opened.Fault}); err != nil {
			return err
		}
	}
	if _, _, err := w.entering.add(ctx, t.Job, Entries{Opened: []Opened{opened}}); err != nil {
		return err
	}
	if t.Suspect { // or have done so since, if it is not dead: should the document have become another meanwhile, the first entry is what counts
		var err error
		if _, pages, err = w.openedBefore(ctx, t, known); err != nil {
			return err
		}
	}
	return w.makePages(ctx, t, job, pages)
}

// openedBefore says whether the ledger has a document, and of how many pages tasks may be missing.
func (w *worker) openedBefore(ctx context.Context, t Task, job *knownJob) (known bool, pages int, err error) {
	err = job.addUp(ctx, w.Queue, 0, func(sum *tally) { known, pages = sum.All.knows(t.Document) })
	return known, pages, err
}

// makePages makes tasks of the pages of a document that is in the ledger.
func (w *worker) makePages(ctx context.Context, t Task, job Job, pages int) error {
	// If the worker dies from here on, another one makes the same tasks, and some of them twice: what comes of the second does not count.
	var tasks []Task
	for first := 0; first < pages; first += job.Options.PagesPerTask {
		one := t
		one.Type, one.First, one.Last = TaskPages, first, min(first+job.Options.PagesPerTask, pages)-1
		one.Tries, one.Suspect = 0, false
		tasks = append(tasks, one)
	}
	defer w.wake()
	return w.send(ctx, w.lane(job, "pages"), tasks...)
}

// mayPass says whether another worker may have more luck.
func (w *worker) mayPass(err error) bool { return w.opts.Retry.Retryable(err) || passing(err) }

// tryAgain lets another worker, or this one later, try.
func (w *worker) tryAgain(ctx context.Context, t Task, job Job, lane string, err error) error {
	w.opts.Logger.WarnContext(ctx, "given to another worker", "job", t.Job, "document", t.Document, "page", t.First, "error", err)
	t.Tries++
	return w.send(ctx, w.lane(job, lane), t)
}

// readPage reads a page, and enters what came of it.
func (w *worker) readPage(ctx context.Context, h *held, t Task, page int, known *knownJob, job Job) error {
	t.First, t.Last = page, page
	if t.Suspect { // the one that was taken for dead may have read it
		ended := false
		err := known.addUp(ctx, w.Queue, 0, func(sum *tally) { ended = sum.All.has(t.Document, page) })
		if ended || err != nil {
			return err
		}
	}
	p := jobs.PageOutcome{Page: page}
	keeper := &keeping{TextExtractor: w.ex, store: w.store, worker: w.opts.Name}
	err := w.alive(ctx, t, suspectKey(t.Job, t.Document, page), func() (err error) {
		w.limit(h, job.Options.PageTimeout+job.Options.PageTimeout/2)
		defer w.limit(h, 0)
		p, err = w.extract(ctx, t, page, known, job, keeper)
		return err
	})
	if errors.Is(err, jobs.ErrPoisoned) {
		p.Err, err = err, nil
	}
	switch {
	case err != nil:
		return err
	case p.Err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(p.Err, textextraction.ErrClosed):
		w.stop(p.Err) // every other page would fail in the same way
		return errDraining
	case p.Err != nil && w.mayPass(p.Err) && t.Tries+1 < job.Options.Workers:
		return w.tryAgain(ctx, t, job, "pages", p.Err)
	}
	outcome := Outcome{
		Document: t.Document, Page: page, Worker: w.opts.Name, Attempts: p.Attempts, Resumed: keeper.found,
		TextLayer: p.TextLayer, Check: p.Check, Render: p.Render.Seconds(), Read: p.Read.Seconds(),
	}
	if keeper.found {
		outcome.Attempts = 0
	} else if r := p.Result; r != nil && p.Err == nil {
		outcome.PromptTokens, outcome.CompletionTokens = r.PromptTokens, r.CompletionTokens
		outcome.Cost = p.Read.Hours() * w.opts.CostPerHour / float64(w.opts.Parallel)
	}
	if p.Err != nil {
		outcome.Fault = newFault(p.Err)
	}
	if p.Result != nil {
		outcome.Key = keeper.key.String()
	}
	return w.end(ctx, t, known, outcome)
}

// extract reads a page.
func (w *worker) extract(ctx context.Context, t Task, page int, known *knownJob, job Job, keeper *keeping) (p jobs.PageOutcome, err error) {
	opts := job.Options.local()
	opts.Logger = w.opts.Logger
	opts.Retry.Initial, opts.Retry.Max, opts.Retry.Retryable = w.opts.Retry.Initial, w.opts.Retry.Max, w.mayPass
	if keeper.id, err = w.known.identify(ctx, known, opts); err != nil {
		return jobs.PageOutcome{Page: page, Err: err}, nil
	}
	o, err := w.documents.get(ctx, t.Source, job.Options.Load)
	if err != nil {
		return jobs.PageOutcome{Page: page, Err: err}, nil
	}
	defer w.documents.put(o)
	if p, err = jobs.ReadPage(ctx, o.doc, page, keeper, opts); err == nil && p.TextLayer {
		err = keeper.keepLayer(ctx, p.Result)
	}
	return p, err
}

// end enters what came of a page; if it failed, it writes a dead letter before, so that the letters of a job that is done are there.
func (w *worker) end(ctx context.Context, t Task, known *knownJob, outcome Outcome) error {
	if outcome.Fault != nil {
		w.opts.Logger.WarnContext(ctx, "page failed", "job", t.Job, "document", t.Document, "page", outcome.Page, "error", outcome.Fault)
		about := fmt.Sprintf("%d.%d", t.Document, outcome.Page)
		if err := w.bury(ctx, t.Job, about, DeadLetter{Job: t.Job, Task: &t, Fault: *outcome.Fault}); err != nil {
			return err
		}
	}
	seq, _, err := w.entering.add(ctx, t.Job, Entries{Outcomes: []Outcome{outcome}})
	if err != nil {
		return err
	}
	if w.opts.OnPage != nil {
		w.opts.OnPage(t.Job, outcome)
	}
	if seq%tallyEvery == 0 {
		if err := known.addUp(ctx, w.Queue, seq, func(*tally) {}); err != nil { // the next one has more to add
			w.opts.Logger.WarnContext(ctx, "tally", "job", t.Job, "error", err)
		}
	}
	return nil
}

// bury writes a dead letter. What it is about, in the job, tells one that is there twice.
func (w *worker) bury(ctx context.Context, job, about string, letter DeadLetter) error {
	letter.Version, letter.Worker, letter.Time = Version, w.opts.Name, time.Now().UTC()
	data, err := encode(letter)
	if err != nil {
		return err
	}
	m := nats.NewMsg(w.subject("dead", job))
	m.Data = data
	m.Header.Set(aboutHeader, about)
	_, err = persist(ctx, func(ctx context.Context) (*js.PubAck, error) { return w.js.PublishMsg(ctx, m) })
	return err
}
