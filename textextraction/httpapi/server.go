package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Serve serves an API on a listener until ctx ends. Then it takes no more pages, lets those that are under way, and jobs, end within
// grace, cancels what is left, and returns nil when all is over. Callers who send their requests slowly, or do not read their
// answers, are cut off.
func Serve(ctx context.Context, l net.Listener, a *API, grace time.Duration) error {
	// What requests run under: not ctx, whose end lets them go on.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	s := &http.Server{
		Handler: a, BaseContext: func(net.Listener) context.Context { return work },
		ReadHeaderTimeout: a.options.HeaderTimeout, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("httpapi: serve: %w", err)
	case <-ctx.Done():
	}
	a.draining.Store(true)
	last, done := context.WithTimeout(work, grace)
	defer done()
	err := s.Shutdown(last)
	if waitErr := a.jobs.wait(last); err == nil {
		err = waitErr
	}
	if err == nil {
		return nil
	}
	stop() // what is left of the requests
	a.jobs.cancel()
	if err := s.Close(); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("httpapi: serve: %w", err)
	}
	a.jobs.running.Wait()
	return nil
}

// wait waits until all jobs have ended.
func (s *jobs) wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cancel ends all jobs.
func (s *jobs) cancel() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.all {
		j.cancel()
	}
}
