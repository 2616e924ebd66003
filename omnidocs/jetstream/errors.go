package jetstream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/omnidocs/jobs"
	"github.com/omnidocs/omnidocs/textextraction"
)

// Errors that callers can act on.
var (
	// ErrConfig is matched by the errors of configurations and options that are out of range.
	ErrConfig = errors.New("jetstream: invalid options")
	// ErrMessage is matched by the errors of messages that cannot be understood.
	ErrMessage = errors.New("message")
	// ErrNoJob is matched by the errors of jobs that are not there.
	ErrNoJob = errors.New("no such job")
	// ErrJobExists is matched by the error of a job whose id is taken.
	ErrJobExists = errors.New("there is such a job already")
	// ErrCanceled is matched by the errors of jobs that were canceled, and of their pages.
	ErrCanceled = errors.New("the job was canceled")
	// ErrNoSchedules is matched by the error of a schedule on a server that keeps none.
	ErrNoSchedules = errors.New("the server keeps no schedules")
	// ErrRefused is matched by the errors of documents that a worker may not, or cannot, open.
	ErrRefused = errors.New("refused")
)

// Fault is an error that has crossed the wire.
type Fault struct { //nolint:errname // it is data first, in messages
	Message string `json:"message"`
	// Kind says what it matches, see kinds; empty if nothing is known of it.
	Kind string `json:"kind,omitzero"`
}

// kinds are the errors that those who wait for a job can act on as those do who read in their own process.
var kinds = []struct {
	name string
	err  error
}{
	{"poisoned", jobs.ErrPoisoned}, {"deadline", jobs.ErrDeadline}, {"canceled", ErrCanceled}, {"refused", ErrRefused}, {"message", ErrMessage},
	{"password", omnidocs.ErrPassword}, {"page_timeout", omnidocs.ErrPageTimeout}, {"too_large", omnidocs.ErrTooLarge},
	{"url_refused", omnidocs.ErrURLRefused}, {"not_found", fs.ErrNotExist}, {"image", textextraction.ErrImage},
	{"options", textextraction.ErrConfig}, {"format", textextraction.ErrFormat},
}

func newFault(err error) *Fault {
	f := &Fault{Message: err.Error()}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			f.Kind = k.name
			break
		}
	}
	return f
}

// Error is the message.
func (f *Fault) Error() string { return f.Message }

// Is says whether the error was of the kind of target where it happened.
func (f *Fault) Is(target error) bool {
	for _, k := range kinds {
		if k.name == f.Kind {
			return target == k.err //nolint:errorlint // Is is asked for each error of the chain
		}
	}
	return false
}

// attemptTimeout bounds one request to the server; persist makes as many as it takes.
const attemptTimeout = 5 * time.Second

// persist does what asks something of the server until it answers: a server that restarts, or chooses a new leader, is waited for. It ends with an error that does not
// pass, or that of ctx.
func persist[T any](ctx context.Context, do func(ctx context.Context) (T, error)) (T, error) {
	var wait *backoff.ExponentialBackOff
	for {
		value, err := attempt(ctx, do)
		if err == nil || ctx.Err() != nil || !passing(err) {
			return value, err
		}
		if wait == nil {
			wait = &backoff.ExponentialBackOff{InitialInterval: 50 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 2 * time.Second}
			wait.Reset()
		}
		select {
		case <-ctx.Done():
			return value, context.Cause(ctx)
		case <-time.After(wait.NextBackOff()):
		}
	}
}

func attempt[T any](ctx context.Context, do func(ctx context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	return do(ctx)
}

// passing says whether an error of the server, or of the way there, may pass. That of an attempt's context does.
func passing(err error) bool {
	var api *js.APIError
	if errors.As(err, &api) {
		// 503 is a server that starts, or has no leader; the other is one that writes the same subject at this moment.
		return api.Code == 503 || api.ErrorCode == js.JSErrCodeStreamWrongLastSequenceConstant
	}
	for _, e := range []error{
		context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, js.ErrNoStreamResponse, nats.ErrDisconnected, nats.ErrReconnectBufExceeded,
		nats.ErrConnectionReconnecting, js.ErrServerShutdown, js.ErrConsumerLeadershipChanged, js.ErrNoHeartbeat, nats.ErrStaleConnection,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// isTaken says whether an error is that there is something already where something was to be created.
func isTaken(err error) bool {
	var api *js.APIError
	return errors.Is(err, js.ErrKeyExists) || errors.As(err, &api) && api.ErrorCode == js.JSErrCodeStreamWrongLastSequence
}

// wrap puts what was to be done before an error.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("jetstream: "+format+": %w", append(args, err)...)
}
