package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	js "github.com/nats-io/nats.go/jetstream"
)

// entry is something in a job's ledger: a document that was opened, or could not be, or a page that has ended.
type entry struct {
	seq     uint64
	time    time.Time
	left    uint64 // entries of the job behind this one
	opened  *Opened
	outcome *Outcome
}

func (q *Queue) openedSubject(job string, document int) string {
	return q.subject("ledger", job, strconv.Itoa(document))
}

func (q *Queue) outcomeSubject(job string, document, page int) string {
	return q.subject("ledger", job, strconv.Itoa(document), strconv.Itoa(page))
}

// entries yields a job's ledger from a sequence number on. With follow it waits for what comes; without, it ends with the last entry that there is.
func (q *Queue) entries(ctx context.Context, job string, from uint64, follow bool) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		for ctx.Err() == nil {
			consumer, err := persist(ctx, func(ctx context.Context) (js.Consumer, error) {
				return q.ledger.OrderedConsumer(ctx, js.OrderedConsumerConfig{
					FilterSubjects: []string{q.subject("ledger", job, ">")}, DeliverPolicy: js.DeliverByStartSequencePolicy, OptStartSeq: max(1, from),
				})
			})
			if err == nil && !follow {
				var info *js.ConsumerInfo
				if info, err = persist(ctx, consumer.Info); err == nil && info.NumPending == 0 {
					return
				}
			}
			if err != nil {
				yield(entry{}, err)
				return
			}
			var done bool
			if from, done = q.follow(ctx, consumer, from, follow, yield); done {
				return
			}
		}
		yield(entry{}, ctx.Err())
	}
}

// follow yields what a consumer gets. It returns where to go on with another one, or that there is nothing more to do.
func (q *Queue) follow(ctx context.Context, consumer js.Consumer, from uint64, follow bool, yield func(entry, error) bool) (next uint64, done bool) {
	messages, err := consumer.Messages(js.PullMaxMessages(1000))
	if err != nil {
		return from, !passing(err) && !yield(entry{}, err)
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(js.NextContext(ctx))
		if err != nil {
			return from, false // the server was away, or ctx ended
		}
		e, err := q.entry(m)
		if !yield(e, err) || err != nil || !follow && e.left == 0 {
			return from, true
		}
		from = e.seq + 1
	}
}

// entry reads an entry.
func (q *Queue) entry(m js.Msg) (e entry, err error) {
	meta, err := m.Metadata()
	if err != nil {
		return e, err
	}
	e = entry{seq: meta.Sequence.Stream, time: meta.Timestamp, left: meta.NumPending}
	switch len(strings.Split(strings.TrimPrefix(m.Subject(), q.subject("ledger")+"."), ".")) {
	case 2:
		o, err := decode[Opened](m.Data())
		e.opened = &o
		return e, err
	case 3:
		o, err := decode[Outcome](m.Data())
		e.outcome = &o
		return e, err
	}
	return e, fmt.Errorf("%w: unknown subject %q in the ledger", ErrMessage, m.Subject())
}

// entered returns what is in the ledger under a subject; nil if nothing is.
func entered[T message](ctx context.Context, q *Queue, subject string) (*T, error) {
	m, err := persist(ctx, func(ctx context.Context) (*js.RawStreamMsg, error) {
		return q.ledger.GetLastMsgForSubject(ctx, subject)
	})
	if errors.Is(err, js.ErrMsgNotFound) {
		return nil, nil //nolint:nilnil // nothing is
	}
	if err != nil {
		return nil, err
	}
	value, err := decode[T](m.Data)
	return &value, err
}

// DeadLetters yields the dead letters of a job; with an empty id those of messages that could not be understood, too, and of all jobs.
func (q *Queue) DeadLetters(ctx context.Context, job string) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		filter := q.subject("dead", ">")
		if job != "" {
			filter = q.subject("dead", job, ">")
		}
		consumer, err := persist(ctx, func(ctx context.Context) (js.Consumer, error) {
			return q.dead.OrderedConsumer(ctx, js.OrderedConsumerConfig{FilterSubjects: []string{filter}})
		})
		if err == nil {
			var info *js.ConsumerInfo
			info, err = persist(ctx, consumer.Info)
			if err == nil && info.NumPending == 0 {
				return
			}
		}
		if err != nil {
			yield(DeadLetter{}, wrap(err, "dead letters"))
			return
		}
		messages, err := consumer.Messages()
		if err != nil {
			yield(DeadLetter{}, wrap(err, "dead letters"))
			return
		}
		defer messages.Stop()
		for {
			m, err := messages.Next(js.NextContext(ctx))
			if err != nil {
				yield(DeadLetter{}, wrap(err, "dead letters"))
				return
			}
			letter, err := decode[DeadLetter](m.Data())
			meta, fault := m.Metadata()
			if !yield(letter, wrap(errors.Join(err, fault), "dead letters")) || fault != nil || meta.NumPending == 0 {
				return
			}
		}
	}
}
