package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"
)

// Defaults of [Config].
const (
	// DefaultName is the name of a queue.
	DefaultName = "omnidocs"
	// DefaultAckWait is how long a worker may give no sign of life before what it has is given to others.
	DefaultAckWait = 30 * time.Second
)

// Config says what a queue is like. The zero value consists entirely of default values. It is that of whoever opens the queue first: what is there already is taken as it is.
type Config struct {
	// Name is a part of the names of everything that the queue has on the server: streams, buckets, subjects. Empty means "omnidocs".
	Name string
	// Replicas is on how many servers of a cluster everything is kept: 1, 3 or 5. Zero means 1.
	Replicas int
	// AckWait is how long a worker may give no sign of life before what it has is given to others. Workers give one thrice in that time. Zero means 30 seconds.
	AckWait time.Duration
	// KeepResults is how long results are kept in the server's store. Zero means for ever.
	KeepResults time.Duration
	// Store keeps the results elsewhere. Nil means on the server.
	Store Store
}

func (c Config) withDefaults() (Config, error) {
	c.Name = or(c.Name, DefaultName)
	c.Replicas = or(c.Replicas, 1)
	c.AckWait = or(c.AckWait, DefaultAckWait)
	var faults []error
	if err := checkID("Name", c.Name); err != nil {
		faults = append(faults, err)
	}
	if c.Replicas < 1 || c.Replicas > 5 {
		faults = append(faults, fmt.Errorf("Replicas: %d is outside 1 to 5 (0 means 1)", c.Replicas))
	}
	if c.AckWait < 100*time.Millisecond {
		faults = append(faults, fmt.Errorf("AckWait: %v is less than 100ms (0 means %v)", c.AckWait, DefaultAckWait))
	}
	if c.KeepResults < 0 {
		faults = append(faults, fmt.Errorf("KeepResults: %v is negative (0 means for ever)", c.KeepResults))
	}
	return c, optionsError("Config", faults)
}

func optionsError(what string, faults []error) error {
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrConfig, what, err)
	}
	return nil
}

func or[T comparable](value, byDefault T) T {
	var zero T
	if value == zero {
		return byDefault
	}
	return value
}

// Priority says which jobs come first: as long as there is something to do of a higher one, nothing of a lower one is begun. Empty means [Normal].
type Priority string

// The priorities.
const (
	High   Priority = "high"
	Normal Priority = "normal"
	Low    Priority = "low"
)

// priorities are all of them, in the order in which workers ask.
var priorities = []Priority{High, Normal, Low}

// lanes are the durable consumers, in the order in which workers ask. Pages come before documents: a document is opened when there are no pages left to read, so that the
// pages that wait are few however long a job is.
var lanes = []string{"pages", "documents"}

// Queue is a queue on a NATS server. Its methods may be called from several goroutines.
type Queue struct {
	config Config
	nc     *nats.Conn
	js     js.JetStream
	own    bool // the connection is the queue's

	work, ledger, dead js.Stream
	jobs, statuses     js.KeyValue
	suspicions         js.KeyValue
	store              Store
	schedules          bool // the server keeps them

	mu      sync.Mutex
	objects js.ObjectStore // once it is needed
}

// Dial connects to a server, or to one of a cluster (URLs divided by commas), and opens a queue there. The connection waits for a server that is not there, or goes away, for as
// long as it takes; contexts bound that. Further options, such as nats.UserCredentials, are NATS's.
func Dial(ctx context.Context, url string, config Config, options ...nats.Option) (*Queue, error) {
	nc, err := Connect(url, options...)
	if err != nil {
		return nil, err
	}
	q, err := Open(ctx, nc, config)
	if err != nil {
		nc.Close()
		return nil, err
	}
	q.own = true
	return q, nil
}

// Connect makes a connection for [Open] that survives restarts of the server.
func Connect(url string, options ...nats.Option) (*nats.Conn, error) {
	options = append([]nats.Option{
		nats.Name("omnidocs"), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, time.Second),
	}, options...)
	nc, err := nats.Connect(url, options...)
	return nc, wrap(err, "connect to %s", url)
}

// Open opens a queue on a server; what is not there yet is made. The connection stays the caller's.
func Open(ctx context.Context, nc *nats.Conn, config Config) (*Queue, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	api, err := js.New(nc, js.WithPublishAsyncMaxPending(maxPublished), js.WithPublishAsyncTimeout(attemptTimeout))
	if err != nil {
		return nil, wrap(err, "open queue %q", config.Name)
	}
	q := &Queue{config: config, nc: nc, js: api}
	if err := q.open(ctx); err != nil {
		return nil, wrap(err, "open queue %q", config.Name)
	}
	return q, nil
}

func (q *Queue) open(ctx context.Context) (err error) {
	account, err := persist(ctx, q.js.AccountInfo)
	if err != nil {
		return err
	}
	q.schedules = account.API.Level >= 2 // that of nats-server 2.12
	name := q.config.Name
	type stream struct {
		to     *js.Stream
		config js.StreamConfig
	}
	streams := []stream{
		{&q.work, js.StreamConfig{
			Name: name + "-work", Description: "tasks of " + name, Subjects: []string{name + ".work.>", name + ".schedule.>"},
			Retention: js.WorkQueuePolicy, AllowMsgSchedules: q.schedules,
		}},
		{&q.ledger, js.StreamConfig{Name: name + "-ledger", Description: "outcomes of " + name, Subjects: []string{name + ".ledger.*"}}},
		{&q.dead, js.StreamConfig{Name: name + "-dead", Description: "dead letters of " + name, Subjects: []string{name + ".dead.*"}}},
	}
	if q.store = q.config.Store; q.store == nil {
		own := newServerStore(q)
		q.store = own
		streams = append(streams, stream{&own.results, own.resultsConfig()}, stream{&own.index, own.indexConfig()})
	}
	for _, s := range streams {
		s.config.Storage, s.config.Replicas = js.FileStorage, q.config.Replicas
		if *s.to, err = q.stream(ctx, s.config); err != nil {
			return err
		}
	}
	buckets := []struct {
		to     *js.KeyValue
		config js.KeyValueConfig
	}{
		{&q.jobs, js.KeyValueConfig{Bucket: name + "-jobs", Description: "jobs of " + name}},
		{&q.suspicions, js.KeyValueConfig{Bucket: name + "-suspects", Description: "what workers of " + name + " may have died of"}},
		{&q.statuses, js.KeyValueConfig{Bucket: name + "-status", Description: "how far jobs of " + name + " have come"}},
	}
	for _, b := range buckets {
		if *b.to, err = q.bucket(ctx, b.config); err != nil {
			return err
		}
	}
	return q.consumers(ctx)
}

// stream returns a stream, which is made if it is not there.
func (q *Queue) stream(ctx context.Context, config js.StreamConfig) (js.Stream, error) {
	return persist(ctx, func(ctx context.Context) (js.Stream, error) {
		s, err := q.js.Stream(ctx, config.Name)
		if !errors.Is(err, js.ErrStreamNotFound) {
			return s, err
		}
		s, err = q.js.CreateStream(ctx, config)
		if errors.Is(err, js.ErrStreamNameAlreadyInUse) { // by another who opens the queue, a moment ago
			return q.js.Stream(ctx, config.Name)
		}
		return s, err
	})
}

func (q *Queue) bucket(ctx context.Context, config js.KeyValueConfig) (js.KeyValue, error) {
	config.Storage, config.Replicas, config.History = js.FileStorage, q.config.Replicas, 1
	return persist(ctx, func(ctx context.Context) (js.KeyValue, error) {
		b, err := q.js.KeyValue(ctx, config.Bucket)
		if !errors.Is(err, js.ErrBucketNotFound) {
			return b, err
		}
		b, err = q.js.CreateKeyValue(ctx, config)
		if errors.Is(err, js.ErrBucketExists) {
			return q.js.KeyValue(ctx, config.Bucket)
		}
		return b, err
	})
}

// objectStore is the queue's store of objects.
func (q *Queue) objectStore(ctx context.Context) (js.ObjectStore, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.objects != nil {
		return q.objects, nil
	}
	config := js.ObjectStoreConfig{
		Bucket: q.config.Name + "-objects", Description: "documents, and large results, of " + q.config.Name, Storage: js.FileStorage, Replicas: q.config.Replicas,
	}
	store, err := persist(ctx, func(ctx context.Context) (js.ObjectStore, error) {
		s, err := q.js.ObjectStore(ctx, config.Bucket)
		if !errors.Is(err, js.ErrBucketNotFound) {
			return s, err
		}
		s, err = q.js.CreateObjectStore(ctx, config)
		if errors.Is(err, js.ErrBucketExists) {
			return q.js.ObjectStore(ctx, config.Bucket)
		}
		return s, err
	})
	q.objects = store
	return store, err
}

// consumers makes the durable consumers that workers share.
func (q *Queue) consumers(ctx context.Context) error {
	for _, p := range priorities {
		for _, lane := range lanes {
			config := js.ConsumerConfig{
				Durable: consumerName(p, lane), FilterSubject: q.subject("work", string(p), lane, "*"), AckPolicy: js.AckExplicitPolicy,
				AckWait: q.config.AckWait, MaxDeliver: -1, MaxAckPending: maxHeld,
			}
			_, err := persist(ctx, func(ctx context.Context) (js.Consumer, error) {
				c, err := q.work.Consumer(ctx, config.Durable)
				if !errors.Is(err, js.ErrConsumerNotFound) {
					return c, err
				}
				c, err = q.work.CreateConsumer(ctx, config)
				if errors.Is(err, js.ErrConsumerExists) {
					return q.work.Consumer(ctx, config.Durable)
				}
				return c, err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

const (
	// maxHeld is how many tasks all workers together may hold.
	maxHeld = 1 << 16
	// maxPublished is how many messages a submitter sends ahead of the server's answers.
	maxPublished = 4096
)

// consumerName is the name of the consumer of a lane, as KEDA's scaler wants it.
func consumerName(p Priority, lane string) string { return lane + "-" + string(p) }

// subject is a subject of the queue.
func (q *Queue) subject(parts ...string) string {
	s := q.config.Name
	for _, p := range parts {
		s += "." + p
	}
	return s
}

// Name is the queue's name.
func (q *Queue) Name() string { return q.config.Name }

// Close closes the connection that [Dial] made. That of Open is the caller's.
func (q *Queue) Close() {
	if q.own {
		q.nc.Close()
	}
}

// publish writes a message, and returns its number.
func (q *Queue) publish(ctx context.Context, subject string, data []byte, options ...js.PublishOpt) (seq uint64, err error) {
	ack, err := persist(ctx, func(ctx context.Context) (*js.PubAck, error) { return q.js.Publish(ctx, subject, data, options...) })
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// send puts tasks into a lane, and returns when the server has them all.
func (q *Queue) send(ctx context.Context, subject string, tasks ...Task) error {
	messages := make([][]byte, len(tasks))
	for i, t := range tasks {
		var err error
		if messages[i], err = encode(t); err != nil {
			return err
		}
	}
	if len(messages) == 1 {
		_, err := q.publish(ctx, subject, messages[0])
		return err
	}
	futures := make([]js.PubAckFuture, len(messages))
	for i, m := range messages {
		futures[i], _ = q.js.PublishAsync(subject, m) // what fails here is sent again below
	}
	for i, f := range futures {
		if f != nil {
			select {
			case <-f.Ok():
				continue
			case <-f.Err(): //nolint:errcheck // whatever it is, it is sent again
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		// It may have arrived all the same: a task that is there twice does no harm.
		if _, err := q.publish(ctx, subject, messages[i]); err != nil {
			return err
		}
	}
	return nil
}

// wake tells idle workers that there is something to do, so that they need not ask often. Those that do not hear it find it a little later.
func (q *Queue) wake() { _ = q.nc.Publish(q.subject("wake"), nil) }
