package jetstream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"
)

// Collection is what a [Schedule] makes a job of, each time.
type Collection struct {
	// Job is the beginning of the ids of its jobs.
	Job string `json:"job"`
	// Source is a folder, of [KindFile], which is searched by a worker; or the beginning of the names of objects, of [KindObject], where "*" is all.
	Source Source `json:"source"`
	// Pattern selects files and objects by name, as [path.Match] has it. Empty means "*.pdf".
	Pattern string `json:"pattern,omitzero"`
	// Options are those of the jobs.
	Options JobOptions `json:"options,omitzero"`
}

func (c Collection) check() error {
	_, err := path.Match(c.Pattern, "")
	if c.Source.Kind != KindFile && c.Source.Kind != KindObject {
		err = errors.Join(err, fmt.Errorf("collection of the kind %q: want %q or %q", c.Source.Kind, KindFile, KindObject))
	}
	if len(c.Job) > 40 {
		err = errors.Join(err, fmt.Errorf("job %q: want at most 40 characters, for a number comes behind it", c.Job))
	}
	_, fault := c.Options.withDefaults()
	return errors.Join(err, fault, checkID("job", c.Job), c.Source.check())
}

// Schedule is something that the server sees to by itself, whether any of us is there or not.
type Schedule struct {
	// Name is the schedule's. Another one of the same name takes its place.
	Name string
	// Cron says when: "0 0 3 * * *" is daily at 3 (with seconds first, six fields), "@daily", "@hourly", "@every 15m".
	Cron string
	// TimeZone is where the hours of a cron expression are, such as "Europe/Berlin". Empty means UTC.
	TimeZone string
	// Collection is what a job is made of. Documents that have not changed since the last time are not read again.
	Collection Collection
}

// Schedule makes a schedule. It needs a nats-server of 2.12 or later; with an older one the error matches [ErrNoSchedules], and package inbox, or a CronJob
// of Kubernetes that submits, does the same.
func (q *Queue) Schedule(ctx context.Context, s Schedule) error {
	if !q.schedules {
		return wrap(ErrNoSchedules, "schedule %q: nats-server %s", s.Name, q.nc.ConnectedServerVersion())
	}
	if s.Collection.Job == "" {
		s.Collection.Job = s.Name
	}
	if err := errors.Join(checkID("Name", s.Name), s.Collection.check()); err != nil {
		return fmt.Errorf("%w: Schedule: %w", ErrConfig, err)
	}
	data, err := encode(Task{Version: Version, Type: TaskCollection, Collection: &s.Collection})
	if err != nil {
		return err
	}
	priority := or(s.Collection.Options.Priority, Normal)
	m := nats.NewMsg(q.subject("schedule", s.Name))
	m.Data = data
	m.Header.Set(js.ScheduleHeader, s.Cron)
	m.Header.Set(js.ScheduleTargetHeader, q.subject("work", string(priority), "documents", s.Collection.Job))
	if s.TimeZone != "" {
		m.Header.Set(js.ScheduleTimeZoneHeader, s.TimeZone)
	}
	m.Header.Set(js.MsgRollup, js.MsgRollupSubject)
	_, err = persist(ctx, func(ctx context.Context) (*js.PubAck, error) { return q.js.PublishMsg(ctx, m) })
	return wrap(err, "schedule %q, %q", s.Name, s.Cron)
}

// Unschedule removes a schedule; one that is not there is no error.
func (q *Queue) Unschedule(ctx context.Context, name string) error {
	if err := checkID("Name", name); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return wrap(purge(ctx, q.work, q.subject("schedule", name)), "unschedule %q", name)
}

// submitCollection makes the job that is due of a collection.
func (w *worker) submitCollection(ctx context.Context, t Task, meta *js.MsgMetadata) error {
	c := *t.Collection
	// The number is the message's: a worker that comes after one that died makes the same job.
	id := fmt.Sprintf("%s-%d", c.Job, meta.Sequence.Stream)
	err := w.alive(ctx, t, suspectKey(id), func() error {
		_, err := w.Submit(ctx, id, w.collection(ctx, c), c.Options)
		if !errors.Is(err, ErrJobExists) {
			return err
		}
		job, _, err := w.getJob(ctx, id)
		if err != nil || job.Sealed || job.State != Running {
			return err
		}
		_, err = w.submitRest(ctx, job, w.collection(ctx, c))
		return err
	})
	if err != nil && ctx.Err() == nil && !errors.Is(err, errDraining) {
		w.opts.Logger.ErrorContext(ctx, "schedule", "job", id, "error", err)
		return w.bury(ctx, c.Job, fmt.Sprintf("task-%d", meta.Sequence.Stream), DeadLetter{Job: id, Task: &t, Fault: *newFault(err)})
	}
	return err
}

// collection yields the documents of a collection, as they are now, in the order of their names.
func (w *worker) collection(ctx context.Context, c Collection) iter.Seq2[Document, error] {
	pattern := or(c.Pattern, "*.pdf")
	matches := func(name string) bool {
		ok, err := path.Match(pattern, path.Base(name))
		return ok && err == nil
	}
	if c.Source.Kind == KindFile {
		return w.files(ctx, c.Source.Name, matches)
	}
	return w.objectNames(ctx, strings.TrimSuffix(c.Source.Name, "*"), matches)
}

func (w *worker) files(ctx context.Context, dir string, matches func(string) bool) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		dir, err := w.allowed(dir)
		if err == nil {
			err = filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
				switch {
				case ctx.Err() != nil:
					return ctx.Err()
				case err != nil && name == dir:
					return err
				case err != nil || entry.IsDir() || !matches(filepath.ToSlash(name)):
					return nil //nolint:nilerr // what cannot be read in the folder is nobody's document
				}
				rel, err := filepath.Rel(dir, name)
				if err == nil && !yield(Document{ID: filepath.ToSlash(rel), Source: File(name)}, nil) {
					return fs.SkipAll
				}
				return err
			})
		}
		if err != nil {
			yield(Document{}, fmt.Errorf("folder %q: %w", dir, err))
		}
	}
}

func (w *worker) objectNames(ctx context.Context, prefix string, matches func(string) bool) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		objects, err := w.objectStore(ctx)
		var all []*js.ObjectInfo
		if err == nil {
			all, err = patiently(ctx, func(ctx context.Context) ([]*js.ObjectInfo, error) { return objects.List(ctx) })
			if errors.Is(err, js.ErrNoObjectsFound) {
				err = nil
			}
		}
		if err != nil {
			yield(Document{}, fmt.Errorf("objects: %w", err))
			return
		}
		for _, o := range all {
			if strings.HasPrefix(o.Name, prefix) && !strings.HasPrefix(o.Name, resultsPrefix) && matches(o.Name) &&
				!yield(Document{ID: o.Name, Source: Object(o.Name)}, nil) {
				return
			}
		}
	}
}

// Upload puts a file into the queue's store of objects, for documents that workers cannot reach otherwise, and returns where it is then. Where an object of
// the name is there with the same content, it is left as it is.
func (q *Queue) Upload(ctx context.Context, name, file string) (Source, error) {
	if strings.HasPrefix(name, resultsPrefix) {
		return Source{}, fmt.Errorf("%w: Upload: names that begin with %q are those of large results", ErrConfig, resultsPrefix)
	}
	err := q.upload(ctx, name, file)
	return Object(name), wrap(err, "upload %q", file)
}

func (q *Queue) upload(ctx context.Context, name, file string) error {
	objects, err := q.objectStore(ctx)
	if err != nil {
		return err
	}
	_, err = patiently(ctx, func(ctx context.Context) (*js.ObjectInfo, error) {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return objects.Put(ctx, js.ObjectMeta{Name: name}, f)
	})
	return err
}

// resultsPrefix is what the names of large results begin with.
const resultsPrefix = "results/"
