package jetstream

import (
	"context"
	"errors"
	"fmt"

	js "github.com/nats-io/nats.go/jetstream"
)

// Pause lets no further page of a job be begun; those that are being read come to their end. What workers come across of the job is set aside until it is resumed.
func (q *Queue) Pause(ctx context.Context, id string) error {
	_, err := q.changeJob(ctx, id, func(j *Job) error {
		if j.State == Canceled {
			return ErrCanceled
		}
		j.State = Paused
		return nil
	})
	return wrap(err, "pause job %q", id)
}

// Resume lets a paused job go on.
func (q *Queue) Resume(ctx context.Context, id string) error {
	job, err := q.changeJob(ctx, id, func(j *Job) error {
		if j.State == Canceled {
			return ErrCanceled
		}
		j.State = Running
		return nil
	})
	if err == nil {
		err = q.takeUp(ctx, job)
	}
	return wrap(err, "resume job %q", id)
}

// Cancel ends a job: what is being read is broken off, what waits is thrown away. Results that are there stay. A canceled job cannot be resumed; another one
// with the same documents reads what was not read.
func (q *Queue) Cancel(ctx context.Context, id string) error {
	job, err := q.changeJob(ctx, id, func(j *Job) error {
		j.State = Canceled
		return nil
	})
	if err == nil {
		err = q.purgeTasks(ctx, job)
	}
	return wrap(err, "cancel job %q", id)
}

// Forget removes a job that has been canceled, or has come to its end: its tasks, its ledger, its dead letters. Results stay as long as Config.KeepResults says, for
// pages with the same content.
func (q *Queue) Forget(ctx context.Context, id string) error {
	status, err := q.Status(ctx, id)
	if err != nil {
		return err
	}
	if status.State != Canceled && !status.Done() {
		return fmt.Errorf("jetstream: forget job %q: it is %s; cancel it first", id, status.State)
	}
	err = q.purgeTasks(ctx, status.Job)
	for _, s := range []struct {
		stream  js.Stream
		subject string
	}{{q.ledger, q.ledgerSubject(id)}, {q.dead, q.subject("dead", id)}} {
		err = errors.Join(err, purge(ctx, s.stream, s.subject))
	}
	suspects, fault := persist(ctx, func(ctx context.Context) (js.Stream, error) { return q.js.Stream(ctx, "KV_"+q.suspicions.Bucket()) })
	if err = errors.Join(err, fault); fault == nil {
		err = errors.Join(err, purge(ctx, suspects, "$KV."+q.suspicions.Bucket()+"."+id+".>"))
	}
	for _, bucket := range []js.KeyValue{q.statuses, q.jobs} {
		_, fault := persist(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, bucket.Purge(ctx, id) })
		err = errors.Join(err, fault)
	}
	return wrap(err, "forget job %q", id)
}

func (q *Queue) purgeTasks(ctx context.Context, job Job) error {
	priority := string(job.Options.Priority)
	var err error
	for _, subject := range []string{q.subject("work", priority, "*", job.ID), q.asideSubject(job.ID)} {
		err = errors.Join(err, purge(ctx, q.work, subject))
	}
	return err
}

func purge(ctx context.Context, stream js.Stream, subject string) error {
	_, err := persist(ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, stream.Purge(ctx, js.WithPurgeSubject(subject))
	})
	return err
}

// asideSubject is where the tasks of a paused job are. No consumer takes them from there.
func (q *Queue) asideSubject(id string) string { return q.subject("work", "aside", id) }

// setAside puts a task of a paused job aside.
func (q *Queue) setAside(ctx context.Context, t Task) error {
	if err := q.send(ctx, q.asideSubject(t.Job), t); err != nil {
		return err
	}
	// The job may have been resumed since it was seen paused, and all been taken up but this.
	job, _, err := q.getJob(ctx, t.Job)
	if errors.Is(err, ErrNoJob) || err == nil && job.State == Canceled {
		return purge(ctx, q.work, q.asideSubject(t.Job))
	}
	if err != nil || job.State == Paused {
		return err
	}
	return q.takeUp(ctx, job)
}

// takeUp puts back what was set aside of a job. Whoever does so at the same time shares the work.
func (q *Queue) takeUp(ctx context.Context, job Job) error {
	defer q.wake()
	consumer, err := persist(ctx, func(ctx context.Context) (js.Consumer, error) {
		return q.work.CreateOrUpdateConsumer(ctx, js.ConsumerConfig{
			Durable: "aside-" + job.ID, FilterSubject: q.asideSubject(job.ID), AckPolicy: js.AckExplicitPolicy, AckWait: q.config.AckWait,
			InactiveThreshold: 10 * q.config.AckWait, MaxDeliver: -1,
		})
	})
	if err != nil {
		return err
	}
	const some = 256
	for {
		messages, err := collect(ctx, consumer, some)
		if err != nil {
			return err
		}
		if len(messages) == 0 { // or the server did not answer in time
			info, err := persist(ctx, consumer.Info)
			if err != nil || info.NumPending == 0 {
				return err
			}
		}
		for _, m := range messages {
			t, err := decode[Task](m.Data())
			if err == nil {
				lane := "pages"
				if t.Type != TaskPages {
					lane = "documents"
				}
				err = q.send(ctx, q.subject("work", string(job.Options.Priority), lane, job.ID), t)
			}
			if err != nil {
				return err
			}
			_, err = persist(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, m.DoubleAck(ctx) })
			if err != nil && !errors.Is(err, js.ErrMsgAlreadyAckd) {
				return err
			}
		}
	}
}

// collect takes what there is now for a consumer, at most n messages.
func collect(ctx context.Context, consumer js.Consumer, n int) ([]js.Msg, error) {
	return persist(ctx, func(context.Context) ([]js.Msg, error) {
		batch, err := consumer.FetchNoWait(n)
		if err != nil {
			return nil, err
		}
		var messages []js.Msg
		for m := range batch.Messages() {
			messages = append(messages, m)
		}
		if len(messages) > 0 {
			return messages, nil
		}
		return nil, batch.Error()
	})
}
