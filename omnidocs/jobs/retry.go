package jobs

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/omnidocs/omnidocs/textextraction"
)

// Retry says how often and when a page that failed is read again. The zero value consists entirely of default values: three attempts, two seconds after the first,
// four after the second, as the guide of the Python library has it.
type Retry struct {
	// Attempts is how often a page is read at most. Zero means 3; 1 means that nothing is read again.
	Attempts int
	// Initial is the time from the first attempt to the second; it doubles from one to the next. Zero means 2 seconds, a negative value no waiting. A fifth of it, up or
	// down, is left to chance, so that pages that failed together do not come back together.
	Initial time.Duration
	// Max bounds that time. Zero means 10 seconds.
	Max time.Duration
	// Retryable says which errors can pass. Nil means [Retryable]. It is not asked of errors of the context.
	Retryable func(error) bool
}

func (r Retry) withDefaults() Retry {
	r.Attempts = defaultTo(r.Attempts, 3)
	r.Initial = defaultTo(r.Initial, 2*time.Second)
	r.Max = defaultTo(r.Max, 10*time.Second)
	if r.Retryable == nil {
		r.Retryable = Retryable
	}
	return r
}

// passing are the errors of a connection that another attempt may not meet.
var passing = []error{
	syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ETIMEDOUT, syscall.EHOSTUNREACH, syscall.ENETUNREACH,
	io.ErrUnexpectedEOF,
}

// lasting are errors that every attempt would meet.
var lasting = []error{textextraction.ErrImage, textextraction.ErrConfig, textextraction.ErrFormat, textextraction.ErrClosed}

// Retryable says whether an error can pass by itself: one of the network, or a page that the device's memory had no room for, which is tried again
// with half the pixels. Errors that have a method Retryable() bool, or Temporary() bool, are asked. Errors of the picture, of the options, of a closed
// extractor, and a model that does not fit, never pass.
func Retryable(err error) bool {
	for _, e := range lasting {
		if errors.Is(err, e) {
			return false
		}
	}
	if errors.Is(err, textextraction.ErrOutOfMemory) {
		var full *textextraction.OutOfMemoryError
		return !errors.As(err, &full) || full.Page != nil
	}
	var says interface{ Retryable() bool }
	if errors.As(err, &says) {
		return says.Retryable()
	}
	var temporary interface{ Temporary() bool }
	if errors.As(err, &temporary) && temporary.Temporary() {
		return true
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return true
	}
	for _, e := range passing {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// do calls read until it succeeds, fails for good, or has failed too often.
func (r Retry) do(ctx context.Context, read func() (*textextraction.ExtractResult, error), failed func(err error, wait time.Duration)) (
	result *textextraction.ExtractResult, attempts int, err error,
) {
	var wait backoff.BackOff = &backoff.ZeroBackOff{}
	if r.Initial > 0 {
		wait = &backoff.ExponentialBackOff{InitialInterval: r.Initial, RandomizationFactor: 0.2, Multiplier: 2, MaxInterval: r.Max}
	}
	result, err = backoff.Retry(ctx, func() (*textextraction.ExtractResult, error) {
		attempts++
		result, err := read()
		switch {
		case err == nil:
			return result, nil
		case ctx.Err() != nil || !r.Retryable(err):
			return nil, backoff.Permanent(err)
		}
		return nil, err
	}, backoff.WithBackOff(wait), backoff.WithMaxTries(uint(r.Attempts)), backoff.WithMaxElapsedTime(0), backoff.WithNotify(failed))
	return result, attempts, err
}

// smaller are the options with which a page that memory had no room for is read the next time: as they were, but for half the pixels that it had. They
// stay the same after other errors, and after those that do not say what the page took.
func smaller(o textextraction.Options, err error) textextraction.Options {
	var full *textextraction.OutOfMemoryError
	if !errors.As(err, &full) || full.Page == nil {
		return o
	}
	pixels := max(1, full.Page.ResizedWidth*full.Page.ResizedHeight/2)
	o.MaxPixels = pixels
	o.MinPixels = min(max(1, o.MinPixels), pixels)
	return o
}
