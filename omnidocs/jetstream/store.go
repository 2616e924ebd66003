package jetstream

import (
	"context"
	"errors"
	"fmt"
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

// serverStore keeps results on the server: in a bucket of keys and values, and those that are too large for a message as objects.
type serverStore struct {
	queue  *Queue
	values js.KeyValue
}

// maxValue is how many bytes a result in a message may have, as long as the server allows twice as many.
const maxValue = 512 << 10

// Get returns a result.
func (s *serverStore) Get(ctx context.Context, key journal.Key) (data []byte, ok bool, err error) {
	entry, err := persist(ctx, func(ctx context.Context) (js.KeyValueEntry, error) { return s.values.Get(ctx, key.String()) })
	if errors.Is(err, js.ErrKeyNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	stored, err := decode[StoredResult](entry.Value())
	if err != nil {
		return nil, false, fmt.Errorf("result %v: %w", key, err)
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

// Create keeps a result.
func (s *serverStore) Create(ctx context.Context, key journal.Key, data []byte) (created bool, err error) {
	stored := StoredResult{Version: Version, Result: data}
	if limit := min(maxValue, int(s.queue.nc.MaxPayload()/2)); len(data) > limit {
		objects, err := s.queue.objectStore(ctx)
		if err != nil {
			return false, err
		}
		// Whoever else reads this page now writes the same object. Which of the two stays does not matter: neither is known before the value below is there, and a
		// reader gets one of them whole.
		stored = StoredResult{Version: Version, Object: resultsPrefix + key.String()}
		if _, err := patiently(ctx, func(ctx context.Context) (*js.ObjectInfo, error) { return objects.PutBytes(ctx, stored.Object, data) }); err != nil {
			return false, err
		}
	}
	value, err := encode(stored)
	if err != nil {
		return false, err
	}
	_, err = persist(ctx, func(ctx context.Context) (uint64, error) { return s.values.Create(ctx, key.String(), value) })
	if isTaken(err) {
		return false, nil
	}
	return err == nil, err
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
