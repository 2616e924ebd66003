package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	js "github.com/nats-io/nats.go/jetstream"

	"github.com/omnidocs/omnidocs/omnidocs/jobs"
)

// A task that is delivered again was held by a worker that died: it may have killed it, or have been beside what did, or not even have been begun. Such a
// suspect is counted each time that it is begun, and the count is taken back when it ends, in whatever way; so what is found counted has killed, or was beside what
// did. The first time a suspect is read beside others that are none, so that of those that died together no two meet again; from then on with nothing
// else in its worker.

// suspicion is how often a suspect has been begun, in the bucket of suspects. It is a message.
type suspicion struct {
	Version int `json:"v"`
	Begun   int `json:"begun"`
}

func (s suspicion) version() int { return s.Version }
func (s suspicion) check() error { return nil }

// suspectKey is the key of a document, or of one of its pages.
func suspectKey(job string, numbers ...int) string {
	parts := []string{job}
	for _, n := range numbers {
		parts = append(parts, strconv.Itoa(n))
	}
	return strings.Join(parts, ".")
}

// alive does something that might kill the worker, when there is room for it and nothing beside it that must not be. Its error is that of do, or matches jobs.ErrPoisoned if
// it has killed too often; a worker that shall end begins nothing.
func (w *worker) alive(ctx context.Context, t Task, key string, do func() error) error {
	if !t.Suspect {
		if err := w.enterRoom(); err != nil {
			return err
		}
		defer func() { <-w.reading }()
		w.solitude.RLock()
		defer w.solitude.RUnlock()
		return do()
	}
	w.suspects.Lock() // before the room, which those who wait must not take from others
	defer w.suspects.Unlock()
	s, revision, err := w.suspicion(ctx, key)
	if err != nil {
		return err
	}
	if s.Begun >= w.opts.MaxDeaths {
		return fmt.Errorf("%w: %d workers died, or gave no sign of life, while they read it, after one that did with it among others", jobs.ErrPoisoned, s.Begun)
	}
	if err := w.enterRoom(); err != nil {
		return err
	}
	defer func() { <-w.reading }()
	if s.Begun == 0 {
		w.solitude.RLock()
		defer w.solitude.RUnlock()
	} else {
		w.solitude.Lock()
		defer w.solitude.Unlock()
	}
	if revision, err = w.suspect(ctx, key, s.Begun+1, revision); err != nil {
		return err
	}
	defer func() {
		// What is read twice, or lost, here makes a page suspect for a little longer than it should be.
		_, _ = w.suspect(context.WithoutCancel(ctx), key, 0, revision)
	}()
	return do()
}

// enterRoom waits for room for a page.
func (w *worker) enterRoom() error {
	select {
	case <-w.ending:
		return errDraining
	default:
	}
	select {
	case <-w.ending:
		return errDraining
	case w.reading <- struct{}{}:
		return nil
	}
}

// suspicion returns what is held against something.
func (q *Queue) suspicion(ctx context.Context, key string) (s suspicion, revision uint64, err error) {
	entry, err := persist(ctx, func(ctx context.Context) (js.KeyValueEntry, error) { return q.suspicions.Get(ctx, key) })
	if errors.Is(err, js.ErrKeyNotFound) {
		return suspicion{Version: Version}, 0, nil
	}
	if err != nil {
		return s, 0, err
	}
	s, err = decode[suspicion](entry.Value())
	return s, entry.Revision(), err
}

// suspect notes that something was begun so often. Two workers that have the same task, as after a broken connection, may do so at once: one of them counts.
func (q *Queue) suspect(ctx context.Context, key string, begun int, revision uint64) (uint64, error) {
	value, err := encode(suspicion{Version: Version, Begun: begun})
	if err != nil {
		return 0, err
	}
	next, err := persist(ctx, func(ctx context.Context) (uint64, error) {
		if begun == 0 {
			return 0, q.suspicions.Purge(ctx, key, js.LastRevision(revision))
		}
		if revision == 0 {
			return q.suspicions.Create(ctx, key, value)
		}
		return q.suspicions.Update(ctx, key, value, revision)
	})
	if isTaken(err) || errors.Is(err, js.ErrKeyRevisionMismatch) {
		return revision, nil
	}
	return next, err
}
