package jetstream

import (
	"context"
	"errors"
	"iter"
	"time"

	js "github.com/nats-io/nats.go/jetstream"
)

// A job's ledger is the messages of one subject, however many pages it has: for what a server keeps in memory is an index of its subjects, and nothing of their
// messages. So the server cannot be asked whether there is an entry of a page already; who reads the ledger knows, see tally, and skips what comes second.

// record is a message of a job's ledger.
type record struct {
	seq  uint64
	time time.Time
	left uint64 // messages of the job behind this one
	Entries
}

func (q *Queue) ledgerSubject(job string) string { return q.subject("ledger", job) }

// mostEntries is how many entries a message of the ledger may have.
const mostEntries = 256

// enter writes entries into a job's ledger, and returns the number of the message. They may come to be there twice, which does no harm.
func (q *Queue) enter(ctx context.Context, job string, entries []Entries) (seq uint64, err error) {
	all := Entries{Version: Version}
	for _, e := range entries {
		all.Opened = append(all.Opened, e.Opened...)
		all.Outcomes = append(all.Outcomes, e.Outcomes...)
	}
	data, err := encode(all)
	if err != nil {
		return 0, err
	}
	if half := len(entries) / 2; half > 0 && int64(len(data)) > q.nc.MaxPayload()/2 {
		if _, err := q.enter(ctx, job, entries[:half]); err != nil {
			return 0, err
		}
		return q.enter(ctx, job, entries[half:])
	}
	return q.publish(ctx, q.ledgerSubject(job), data)
}

// records yields a job's ledger from a message's number on. With follow it waits for what comes; without, it ends with the last message that there is.
func (q *Queue) records(ctx context.Context, job string, from uint64, follow bool) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		for ctx.Err() == nil {
			consumer, err := persist(ctx, func(ctx context.Context) (js.Consumer, error) {
				return q.ledger.OrderedConsumer(ctx, js.OrderedConsumerConfig{
					FilterSubjects: []string{q.ledgerSubject(job)}, DeliverPolicy: js.DeliverByStartSequencePolicy, OptStartSeq: max(1, from),
					InactiveThreshold: readerGone,
				})
			})
			if err != nil {
				yield(record{}, err)
				return
			}
			var done bool
			from, done = read(ctx, consumer, from, follow, yield)
			dismiss(ctx, q.ledger, consumer)
			if done {
				return
			}
		}
		yield(record{}, ctx.Err())
	}
}

// readerGone is how long the server keeps the consumer of a reader that went away without a word, such as one that was killed: a stream has
// 100 consumers at the most unless the server's configuration says otherwise.
const readerGone = 30 * time.Second

// dismiss tells the server that a consumer is needed no more. If that does not reach it, readerGone ends the consumer.
func dismiss(ctx context.Context, stream js.Stream, consumer js.Consumer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = stream.DeleteConsumer(ctx, consumer.CachedInfo().Name)
}

// read is follows, where there is something to read or to wait for.
func read(ctx context.Context, consumer js.Consumer, from uint64, follow bool, yield func(record, error) bool) (next uint64, done bool) {
	if !follow {
		info, err := persist(ctx, consumer.Info)
		if err != nil {
			yield(record{}, err)
			return from, true
		}
		if info.NumPending == 0 {
			return from, true
		}
	}
	return follows(ctx, consumer, from, follow, yield)
}

// follows yields what a consumer gets. It returns where to go on with another one, or that there is nothing more to do.
func follows(ctx context.Context, consumer js.Consumer, from uint64, follow bool, yield func(record, error) bool) (next uint64, done bool) {
	messages, err := consumer.Messages(js.PullMaxMessages(1000))
	if err != nil {
		return from, !passing(err) && !yield(record{}, err)
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(js.NextContext(ctx))
		if err != nil {
			return from, false // the server was away, or ctx ended
		}
		r := record{}
		meta, err := m.Metadata()
		if err == nil {
			r.seq, r.time, r.left = meta.Sequence.Stream, meta.Timestamp, meta.NumPending
			r.Entries, err = decode[Entries](m.Data())
		}
		if !yield(r, err) || err != nil || !follow && r.left == 0 {
			return from, true
		}
		from = r.seq + 1
	}
}

// firstRecords yields a job's ledger from its beginning on, without what comes second.
func (q *Queue) firstRecords(ctx context.Context, job string, follow bool) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		var t tally
		for r, err := range q.records(ctx, job, 0, follow) {
			r.Entries = t.add(r)
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// aboutHeader says what a dead letter is about, in its job.
const aboutHeader = "Omnidocs-About"

// DeadLetters yields the dead letters of a job; with an empty id those of messages that could not be understood, too, and of all jobs.
func (q *Queue) DeadLetters(ctx context.Context, job string) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		for letter, err := range q.letters(ctx, or(job, "*")) {
			if !yield(letter, wrap(err, "dead letters")) || err != nil {
				return
			}
		}
	}
}

func (q *Queue) letters(ctx context.Context, jobs string) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		consumer, err := persist(ctx, func(ctx context.Context) (js.Consumer, error) {
			return q.dead.OrderedConsumer(ctx, js.OrderedConsumerConfig{FilterSubjects: []string{q.subject("dead", jobs)}, InactiveThreshold: readerGone})
		})
		var info *js.ConsumerInfo
		if err == nil {
			defer dismiss(ctx, q.dead, consumer)
			info, err = persist(ctx, consumer.Info)
		}
		if err == nil && info.NumPending == 0 {
			return
		}
		var messages js.MessagesContext
		if err == nil {
			messages, err = consumer.Messages()
		}
		if err != nil {
			yield(DeadLetter{}, err)
			return
		}
		defer messages.Stop()
		seen, sums := map[string]bool{}, map[string]*tally{}
		for {
			m, err := messages.Next(js.NextContext(ctx))
			if err != nil {
				yield(DeadLetter{}, err)
				return
			}
			letter, err := decode[DeadLetter](m.Data())
			meta, fault := m.Metadata()
			if err = errors.Join(err, fault); err != nil {
				yield(letter, err)
				return
			}
			about := m.Subject() + " " + m.Headers().Get(aboutHeader)
			counts := !seen[about] // else its writer died before it was done, and another one wrote it again
			if seen[about] = true; counts {
				counts, err = q.counts(ctx, letter, sums)
			}
			if counts && !yield(letter, err) || err != nil || meta.NumPending == 0 {
				return
			}
		}
	}
}

// counts says whether a dead letter is of something that has failed: a worker that was taken for dead may have been done with it before. Sums are those of jobs that were
// asked about before.
func (q *Queue) counts(ctx context.Context, letter DeadLetter, sums map[string]*tally) (bool, error) {
	t := letter.Task
	if t == nil || t.Type == TaskCollection {
		return true, nil
	}
	sum := sums[t.Job]
	if sum == nil {
		sum = &tally{}
		if err := q.addUp(ctx, t.Job, sum); err != nil {
			return true, err
		}
		sums[t.Job] = sum
	}
	if known, _ := sum.All.knows(t.Document); t.Type == TaskDocument {
		return !known || sum.Faulty.whole(t.Document), nil
	}
	return !sum.All.has(t.Document, t.First) || sum.Faulty.has(t.Document, t.First), nil
}
