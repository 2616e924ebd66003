package inbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/go-co-op/gocron/v2"
	"github.com/jonboulle/clockwork"

	"github.com/omnidocs/omnidocs/omnidocs/jobs"
	"github.com/omnidocs/omnidocs/textextraction"
)

// watchInterval is how often Watch looks without being called: file systems of other machines do not tell, and dead workers do not either.
const watchInterval = time.Minute

// Watch reads what is in the inbox, and then what comes, until ctx ends, which is no error. A pass that fails, other than by the closing of the extractor, is told to the Logger and
// made again when the next file comes, or after a minute.
func (b *Inbox) Watch(ctx context.Context) error {
	events, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("inbox: watch: %w", err)
	}
	defer events.Close()
	if err := events.Add(b.path("inbox")); err != nil {
		return fmt.Errorf("inbox: watch %q: %w", b.path("inbox"), err)
	}
	for {
		wait := watchInterval
		summary, err := b.Run(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // that is how watching ends
		case final(err):
			return err
		case err != nil:
			b.opts.logger().ErrorContext(ctx, "inbox", "error", err)
		case !summary.Next.IsZero():
			wait = min(wait, time.Until(summary.Next))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case err := <-events.Errors:
			b.opts.logger().WarnContext(ctx, "inbox: watch", "error", err) // an overflow, for example: the pass sees all files
		case <-events.Events:
		}
		timer.Stop()
		drain(events)
	}
}

// drain takes the events that have come: one pass is enough for all of them.
func drain(events *fsnotify.Watcher) {
	for {
		select {
		case _, open := <-events.Events:
			if !open {
				return
			}
		default:
			return
		}
	}
}

// Schedule says when the inbox is read.
type Schedule struct {
	// Cron is an expression of five fields: minute, hour, day of the month, month, day of the week. Empty means "0 0 * * *", daily at midnight.
	Cron string
	// Location is where these are the times of. Nil means UTC.
	Location *time.Location
	// Done is told of every pass. Nil means that the Logger is told of those that failed.
	Done func(Summary, error)

	clock clockwork.Clock // of tests
}

// Schedule reads the inbox at the times given, until ctx ends, which is no error. A pass that is still under way when the next would begin takes its place. A pass that fails does
// not end the schedule, unless the extractor was closed.
func (b *Inbox) Schedule(ctx context.Context, s Schedule) (err error) {
	if s.Cron == "" {
		s.Cron = "0 0 * * *"
	}
	if s.Location == nil {
		s.Location = time.UTC
	}
	if s.Done == nil {
		s.Done = func(_ Summary, err error) {
			if err != nil && ctx.Err() == nil {
				b.opts.logger().ErrorContext(ctx, "inbox", "error", err)
			}
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	options := []gocron.SchedulerOption{gocron.WithLocation(s.Location), gocron.WithStopTimeout(time.Hour)}
	if s.clock != nil {
		options = append(options, gocron.WithClock(s.clock))
	}
	scheduler, err := gocron.NewScheduler(options...)
	if err != nil {
		return fmt.Errorf("inbox: schedule: %w", err)
	}
	defer func() { err = errors.Join(err, scheduler.Shutdown()) }() // waits for the pass, whose context has ended
	_, err = scheduler.NewJob(gocron.CronJob(s.Cron, false), gocron.NewTask(func() {
		summary, err := b.Run(ctx)
		s.Done(summary, err)
		if final(err) {
			cancel(err)
		}
	}), gocron.WithSingletonMode(gocron.LimitModeReschedule))
	if err != nil {
		return fmt.Errorf("inbox: schedule %q: %w", s.Cron, err)
	}
	scheduler.Start()
	<-ctx.Done()
	if cause := context.Cause(ctx); final(cause) {
		return cause
	}
	return nil
}

// final says whether every pass from now on would fail in the same way.
func final(err error) bool {
	return errors.Is(err, textextraction.ErrClosed) || errors.Is(err, ErrClosed) || errors.Is(err, jobs.ErrOptions)
}
