package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	js "github.com/nats-io/nats.go/jetstream"

	"github.com/omnidocs/omnidocs/omnidocs/journal"
)

// Store keeps the results of pages under the keys of their content. What is there is never changed, which is what makes a result one however often its page is read.
// Its methods are called from several goroutines, and try again what can pass.
type Store interface {
	// Get returns what is kept under a key; ok is false if nothing is.
	Get(ctx context.Context, key journal.Key) (data []byte, ok bool, err error)
	// Create keeps data under a key that nothing is kept under. Created is false if something was: that stays.
	Create(ctx context.Context, key journal.Key, data []byte) (created bool, err error)
}

// serverStore keeps results on the server: as messages of one subject, for a server's memory grows with subjects, not with messages. Which message has the result of a key
// is in the index, see index.go. Those that are too large for a message are objects.
type serverStore struct {
	queue          *Queue
	results, index js.Stream
	writing        *together[StoredResult]
	recent         recentBuckets

	mu     sync.Mutex
	first  uint64 // message of the results, when that was asked
	asked  time.Time
	last   StoredResults // were read last, from the message of a number: who reads a job's results reads its neighbors next
	lastAt uint64
}

func newServerStore(q *Queue) *serverStore {
	s := &serverStore{queue: q}
	limit := s.limit()
	s.writing = newTogether(limit, func(r StoredResult) int { return len(r.Result) + limit/mostResults }, s.write)
	return s
}

const (
	// maxValue is how many bytes a result in a message may have, as long as the server allows twice as many.
	maxValue = 512 << 10
	// mostResults is how many results a message may have: who wants one of them reads all.
	mostResults = 16
)

// limit is how many bytes a message may have here.
func (s *serverStore) limit() int { return min(maxValue, int(s.queue.nc.MaxPayload()/2)) }

func (s *serverStore) subject() string { return s.queue.subject("results") }

func (s *serverStore) resultsConfig() js.StreamConfig {
	c := s.queue.config
	return js.StreamConfig{
		Name: c.Name + "-results", Description: "results of " + c.Name, Subjects: []string{s.subject()}, MaxAge: c.KeepResults, AllowDirect: true, Compression: js.S2Compression,
	}
}

// Get returns a result.
func (s *serverStore) Get(ctx context.Context, key journal.Key) (data []byte, ok bool, err error) {
	b, err := s.bucket(ctx, key)
	if err != nil {
		return nil, false, fmt.Errorf("result %v: %w", key, err)
	}
	at := b.find(key)
	if at == nowhere {
		return nil, false, nil
	}
	stored, ok, err := s.read(ctx, at)
	if err != nil || !ok {
		return nil, false, err
	}
	if stored.Object == "" {
		return stored.Result, true, nil
	}
	objects, err := s.queue.objectStore(ctx)
	if err != nil {
		return nil, false, err
	}
	data, err = patiently(ctx, func(ctx context.Context) ([]byte, error) { return objects.GetBytes(ctx, stored.Object) })
	if errors.Is(err, js.ErrObjectNotFound) {
		return nil, false, nil // somebody cleaned up: it is made anew
	}
	return data, err == nil, err
}

// Create keeps a result. It is written before the index tells of it; of two that come at once, the index takes one, and the other is a message that nobody knows of.
func (s *serverStore) Create(ctx context.Context, key journal.Key, data []byte) (created bool, err error) {
	b, cached := s.recent.get(key)
	if !cached {
		if b, err = s.bucket(ctx, key); err != nil {
			return false, err
		}
	}
	if taken, err := s.taken(ctx, b, key); taken || err != nil {
		return false, err
	}
	stored := StoredResult{Result: data}
	if len(data) > s.limit() {
		objects, err := s.queue.objectStore(ctx)
		if err != nil {
			return false, err
		}
		// Whoever else reads this page now writes the same object. Which of the two stays does not matter: neither is known before the index has it, and a
		// reader gets one of them whole.
		stored = StoredResult{Object: resultsPrefix + key.String()}
		if _, err := patiently(ctx, func(ctx context.Context) (*js.ObjectInfo, error) { return objects.PutBytes(ctx, stored.Object, data) }); err != nil {
			return false, err
		}
	}
	seq, place, err := s.writing.add(ctx, "", stored)
	if err != nil {
		return false, err
	}
	at := position{seq, place}
	for {
		err := s.put(ctx, key, b.with(key, at, s.firstMessage(ctx)))
		if !isTaken(err) {
			return err == nil, err
		}
		select { // a server that is behind may have been asked
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(time.Millisecond + rand.N(5*time.Millisecond)): //nolint:gosec // it is no secret
		}
		if b, err = s.bucket(ctx, key); err != nil {
			return false, err
		}
		if b.find(key) == at { // the server had it, but its answer was lost
			return true, nil
		}
		if taken, err := s.taken(ctx, b, key); taken || err != nil {
			return false, err
		}
	}
}

// taken says whether there is a result of a key: the index may know one that was removed since.
func (s *serverStore) taken(ctx context.Context, b bucket, key journal.Key) (bool, error) {
	at := b.find(key)
	if at == nowhere {
		return false, nil
	}
	stored, ok, err := s.read(ctx, at)
	if err != nil || !ok || stored.Object == "" {
		return ok, err
	}
	objects, err := s.queue.objectStore(ctx)
	if err != nil {
		return false, err
	}
	_, err = persist(ctx, func(ctx context.Context) (*js.ObjectInfo, error) { return objects.GetInfo(ctx, stored.Object) })
	if errors.Is(err, js.ErrObjectNotFound) {
		return false, nil
	}
	return err == nil, err
}

// write writes results, in one message if that is not too large.
func (s *serverStore) write(ctx context.Context, _ string, results []StoredResult) (seq uint64, err error) {
	data, err := encode(StoredResults{Version: Version, Results: results})
	if err != nil {
		return 0, err
	}
	return s.queue.publish(ctx, s.subject(), data)
}

// read reads the result at a position; ok is false if it is not there any more.
func (s *serverStore) read(ctx context.Context, at position) (stored StoredResult, ok bool, err error) {
	s.mu.Lock()
	all, isLast := s.last, s.lastAt == at.seq
	s.mu.Unlock()
	if !isLast {
		m, err := persist(ctx, func(ctx context.Context) (*js.RawStreamMsg, error) { return s.results.GetMsg(ctx, at.seq) })
		if errors.Is(err, js.ErrMsgNotFound) {
			return stored, false, nil
		}
		if err == nil {
			all, err = decode[StoredResults](m.Data)
		}
		if err != nil {
			return stored, false, err
		}
		s.mu.Lock()
		s.last, s.lastAt = all, at.seq
		s.mu.Unlock()
	}
	if at.place >= len(all.Results) {
		return stored, false, fmt.Errorf("%w: message %d of the results has %d, and the index wants number %d", ErrMessage, at.seq, len(all.Results), at.place)
	}
	return all.Results[at.place], true, nil
}

// objectTimeout bounds one attempt to read or write an object.
const objectTimeout = 5 * time.Minute

// patiently is persist for what takes longer than a request.
func patiently[T any](ctx context.Context, do func(ctx context.Context) (T, error)) (T, error) {
	return persist(ctx, func(context.Context) (T, error) {
		attempt, cancel := context.WithTimeout(ctx, objectTimeout)
		defer cancel()
		return do(attempt)
	})
}
