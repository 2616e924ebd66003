package backend

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/omnidocs/omnidocs/qwen"
)

// job is a request on its way through the engine. One goroutine has it at a time: that which prepares it, that which admits it,
// or the scheduler's.
type job struct {
	ctx       context.Context //nolint:containedctx // the request's own: it goes through the engine's goroutines with it
	request   Request
	submitted time.Time
	finished  func(Output, error)

	state   atomic.Int32 // jobWaiting, jobBegun or jobEnded
	unwatch func() bool  // stops watching the context

	watched  *watchedPage  // by the statistics
	prepared chan struct{} // closed when the following are there, or failed is
	failed   error
	page     *page
	patches  *qwen.Patches
	layout   *qwen.Layout
	key      visionKey     // of the patches
	visual   *qwen.Visual  // made together with others, before its turn; nil as a rule
	encoded  time.Duration // its share of that
	ahead    int64         // bytes that the room counts for it
	planned  qwen.PagePlan
	alone    bool // has begun again for want of memory, with no other page beside it
	prompted *qwen.Prompted
}

// States of a job. A waiting one ends when its context does, wherever it stands in line; one that has begun is looked after by
// the scheduler.
const (
	jobWaiting = iota
	jobBegun
	jobEnded
)

func newJob(ctx context.Context, r Request, finished func(Output, error)) *job {
	return &job{ctx: ctx, request: r, submitted: time.Now(), finished: finished, prepared: make(chan struct{})}
}

// watch ends the job with its context while it waits.
func (j *job) watch() {
	j.unwatch = context.AfterFunc(j.ctx, func() {
		if j.state.CompareAndSwap(jobWaiting, jobEnded) {
			j.finished(Output{Finish: FinishCanceled}, context.Cause(j.ctx))
		}
	})
}

// begin takes the job out of the line. It is false if the job has ended there.
func (j *job) begin() bool {
	ok := j.state.CompareAndSwap(jobWaiting, jobBegun)
	j.unwatch()
	return ok
}

// waiting says whether the job has neither begun nor ended.
func (j *job) waiting() bool { return j.state.Load() == jobWaiting }

// end hands out what the page has written, or the error that ended it.
func (j *job) end(m *qwen.Model, err error) {
	if j.state.Swap(jobEnded) == jobEnded {
		return
	}
	j.unwatch()
	var out Output
	if j.page != nil && len(j.page.tokens) > 0 {
		out = j.page.output(m, j.submitted)
	}
	if j.page != nil {
		out.Finish = j.page.finish
		j.page.guard.close()
	}
	if err != nil {
		out.Finish = ""
		if j.ctx.Err() != nil {
			out.Finish = FinishCanceled
		}
	}
	j.finished(out, err)
}

// canceled is the error of a job whose context has ended.
func (j *job) canceled() error {
	if j.ctx.Err() == nil {
		return nil
	}
	return context.Cause(j.ctx)
}
