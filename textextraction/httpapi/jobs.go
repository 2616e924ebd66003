package httpapi

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/omnidocs/omnidocs/textextraction"
)

// jobs are the documents that are being read, and those that were a while ago.
type jobs struct {
	api     *API
	mu      sync.Mutex
	all     map[string]*job
	running sync.WaitGroup
}

func newJobs(a *API) *jobs { return &jobs{api: a, all: map[string]*job{}} }

// Job states.
const (
	jobRunning  = "running"
	jobDone     = "done"     // some of its pages may have failed
	jobCanceled = "canceled" // by its caller, or by the end of the server
)

// job is a document that is being read.
type job struct {
	id      string
	name    string
	created time.Time
	cancel  context.CancelFunc
	done    chan struct{} // closed in the end

	mu    sync.Mutex
	state string
	ended time.Time
	pages []jobPage
	read  int
	bad   int
}

// jobPage is what became of a page.
type jobPage struct {
	Page   int                           `json:"page"`
	Result *textextraction.ExtractResult `json:"result,omitempty"`
	Error  string                        `json:"error,omitzero"`
}

// jobView is a job as callers see it.
type jobView struct {
	ID         string    `json:"id"`
	Name       string    `json:"name,omitzero"`
	State      string    `json:"state"`
	Created    time.Time `json:"created"`
	PageCount  int       `json:"page_count"`
	PagesDone  int       `json:"pages_done"`
	PagesBad   int       `json:"pages_failed"`
	PageResult []jobPage `json:"pages"`
}

func (j *job) show() jobView {
	j.mu.Lock()
	defer j.mu.Unlock()
	v := jobView{ID: j.id, Name: j.name, State: j.state, Created: j.created, PageCount: len(j.pages), PagesDone: j.read, PagesBad: j.bad, PageResult: []jobPage{}}
	for _, p := range j.pages {
		if p.Result != nil || p.Error != "" {
			v.PageResult = append(v.PageResult, p)
		}
	}
	return v
}

// add starts a job, which owns the document from here on.
func (s *jobs) add(ctx context.Context, d Document, u upload) (*job, error) {
	n := d.PageCount()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // it goes on when its caller has gone
	j := &job{id: rand.Text(), name: u.name, created: time.Now(), cancel: cancel, done: make(chan struct{}), state: jobRunning, pages: make([]jobPage, n)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
	var refused *problem
	switch {
	case s.api.draining.Load():
		refused = &problem{status: http.StatusServiceUnavailable, kind: "draining", message: "the server ends: ask another"}
	case len(s.all) >= s.api.options.Jobs:
		refused = &problem{status: http.StatusTooManyRequests, kind: "rate_limit_error", message: "too many jobs are kept already: come back later"}
	}
	if refused != nil {
		cancel()
		return nil, errors.Join(refused, d.Close())
	}
	s.all[j.id] = j
	holding := held(ctx).moved()
	s.running.Go(func() {
		defer holding.end()
		defer cancel()
		s.run(ctx, j, d, u.opts)
	})
	return j, nil
}

// forget drops the jobs that ended long ago. The lock is held.
func (s *jobs) forget() {
	for id, j := range s.all {
		j.mu.Lock()
		if !j.ended.IsZero() && time.Since(j.ended) > s.api.options.JobTime {
			delete(s.all, id)
		}
		j.mu.Unlock()
	}
}

// run reads the pages, a few at a time.
func (s *jobs) run(ctx context.Context, j *job, d Document, opts textextraction.Options) {
	free := make(chan struct{}, min(4, s.api.options.Concurrency))
	var reading sync.WaitGroup
	for i := range j.pages {
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		reading.Go(func() {
			defer func() { <-free }()
			page, err := d.Page(ctx, i)
			var r *textextraction.ExtractResult
			if err == nil {
				r, err = s.api.read(ctx, page, opts, true)
			}
			if err == nil || ctx.Err() == nil {
				j.end(i, r, err)
			}
		})
	}
	reading.Wait()
	if err := d.Close(); err != nil {
		s.api.options.Logger.WarnContext(ctx, "document not closed", "job", j.id, "error", err)
	}
	j.mu.Lock()
	j.state, j.ended = jobDone, time.Now()
	if j.read+j.bad < len(j.pages) {
		j.state = jobCanceled
	}
	j.mu.Unlock()
	close(j.done)
}

// end takes down what became of a page.
func (j *job) end(i int, r *textextraction.ExtractResult, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.pages[i] = jobPage{Page: i, Result: r}
	if err != nil {
		j.pages[i].Error = err.Error()
		j.bad++
		return
	}
	j.read++
}

// accept starts a job and says where to ask for it.
func (a *API) accept(ctx context.Context, w http.ResponseWriter, d Document, u upload) {
	j, err := a.jobs.add(ctx, d, u)
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Location", "/v1/jobs/"+j.id)
	reply(w, http.StatusAccepted, j.show())
}

// submitJob starts a job, of a picture too.
func (a *API) submitJob(w http.ResponseWriter, r *http.Request) {
	u, err := a.upload(w, r)
	if err != nil {
		refuse(w, err)
		return
	}
	d, err := a.open(r.Context(), u.name, u.data)
	if err != nil {
		refuse(w, err)
		return
	}
	u.data = nil
	a.accept(r.Context(), w, d, u)
}

func (a *API) job(r *http.Request) (*job, error) {
	a.jobs.mu.Lock()
	defer a.jobs.mu.Unlock()
	j, ok := a.jobs.all[r.PathValue("id")]
	if !ok {
		return nil, &problem{status: http.StatusNotFound, kind: "not_found", message: fmt.Sprintf("there is no job %q, or it ended long ago", r.PathValue("id"))}
	}
	return j, nil
}

func (a *API) showJob(w http.ResponseWriter, r *http.Request) {
	j, err := a.job(r)
	if err != nil {
		refuse(w, err)
		return
	}
	reply(w, http.StatusOK, j.show())
}

// cancelJob ends a job; the pages that were read stay.
func (a *API) cancelJob(w http.ResponseWriter, r *http.Request) {
	j, err := a.job(r)
	if err != nil {
		refuse(w, err)
		return
	}
	j.cancel()
	select {
	case <-j.done:
	case <-r.Context().Done():
	}
	reply(w, http.StatusOK, j.show())
}
