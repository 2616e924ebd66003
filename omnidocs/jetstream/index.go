package jetstream

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	js "github.com/nats-io/nats.go/jetstream"

	"github.com/omnidocs/omnidocs/omnidocs/journal"
)

// The index says where the results of keys are: a table of 65,536 buckets, each of which is a message with a subject of its own, named by the first two bytes of its keys.
// The server knows so many subjects of it, and no more, however many results there are. A bucket is written anew for each key that comes into it, on the condition that nobody else has done so
// since it was read: that is what "create, if there is none" is made of.

// bucket is one of the index: the version of its format, and entries of 24 bytes, each the next 16 bytes of a key and the position.
type bucket struct {
	revision uint64 // of the message; 0 if there is none
	entries  []byte
}

const (
	prefixBytes   = 2
	suffixBytes   = 16
	entryBytes    = suffixBytes + 8
	bucketVersion = 1
	placeBits     = 8
)

// position is where a result is: in which message of the results, and there at which place.
type position struct {
	seq   uint64
	place int
}

// nowhere is the position of what is not there.
var nowhere position

func (p position) uint64() uint64 { return p.seq<<placeBits | uint64(p.place) } //nolint:gosec // places are few

func positionOf(n uint64) position { return position{n >> placeBits, int(n & (1<<placeBits - 1))} } //nolint:gosec // as above

func suffix(key journal.Key) []byte { return key[prefixBytes : prefixBytes+suffixBytes] }

// find returns where the result of a key is, or nowhere.
func (b bucket) find(key journal.Key) position {
	for e := b.entries; len(e) > 0; e = e[entryBytes:] {
		if bytes.Equal(e[:suffixBytes], suffix(key)) {
			return positionOf(binary.BigEndian.Uint64(e[suffixBytes:]))
		}
	}
	return nowhere
}

// with is the bucket with one more entry, and without those of results in messages before the first that there is.
func (b bucket) with(key journal.Key, at position, first uint64) bucket {
	entries := make([]byte, 0, len(b.entries)+entryBytes)
	for e := b.entries; len(e) > 0; e = e[entryBytes:] {
		if positionOf(binary.BigEndian.Uint64(e[suffixBytes:])).seq >= first && !bytes.Equal(e[:suffixBytes], suffix(key)) {
			entries = append(entries, e[:entryBytes]...)
		}
	}
	entries = append(entries, suffix(key)...)
	return bucket{b.revision, binary.BigEndian.AppendUint64(entries, at.uint64())}
}

func (s *serverStore) indexConfig() js.StreamConfig {
	c := s.queue.config
	return js.StreamConfig{
		Name: c.Name + "-index", Description: "where results of " + c.Name + " are", Subjects: []string{s.queue.subject("index", "*")}, MaxMsgsPerSubject: 1,
		MaxAge: c.KeepResults, AllowDirect: true,
	}
}

func (s *serverStore) bucketSubject(key journal.Key) string {
	return s.queue.subject("index", hex.EncodeToString(key[:prefixBytes]))
}

// bucket asks for the bucket of a key.
func (s *serverStore) bucket(ctx context.Context, key journal.Key) (b bucket, err error) {
	m, err := persist(ctx, func(ctx context.Context) (*js.RawStreamMsg, error) {
		return s.index.GetLastMsgForSubject(ctx, s.bucketSubject(key))
	})
	if err != nil && !errors.Is(err, js.ErrMsgNotFound) {
		return b, err
	}
	if err == nil {
		if len(m.Data)%entryBytes != 1 || m.Data[0] != bucketVersion {
			return b, fmt.Errorf("%w: a bucket of the index, with %d bytes: this program knows version %d", ErrMessage, len(m.Data), bucketVersion)
		}
		b = bucket{m.Sequence, m.Data[1:]}
	}
	s.recent.set(key, b)
	return b, nil
}

// put writes a bucket. The error is one that isTaken if it has been written since it was read.
func (s *serverStore) put(ctx context.Context, key journal.Key, b bucket) error {
	data := append([]byte{bucketVersion}, b.entries...)
	revision, err := s.queue.publish(ctx, s.bucketSubject(key), data, js.WithExpectLastSequencePerSubject(b.revision))
	if err == nil {
		b.revision = revision
		s.recent.set(key, b)
	}
	return err
}

// firstMessage is the first of the results that there is, or was a minute ago. It is 0 where results are kept for ever.
func (s *serverStore) firstMessage(ctx context.Context) uint64 {
	if s.results.CachedInfo().Config.MaxAge == 0 {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.asked) > time.Minute {
		s.asked = time.Now()
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		defer cancel()
		if info, err := s.results.Info(attempt); err == nil { // it may be lower than it could
			s.first = info.State.FirstSeq
		}
	}
	return s.first
}

// recentBuckets are buckets that were read a moment ago, to be written. Who writes one that is older than that is told so, and reads it again.
type recentBuckets struct {
	mu      sync.Mutex
	buckets map[[prefixBytes]byte]bucket
}

// mostRecent is how many there are: a few for each page that a worker may be at.
const mostRecent = 4096

func (r *recentBuckets) get(key journal.Key) (bucket, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, ok := r.buckets[[prefixBytes]byte(key[:prefixBytes])]
	return b, ok
}

func (r *recentBuckets) set(key journal.Key, b bucket) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.buckets == nil {
		r.buckets = map[[prefixBytes]byte]bucket{}
	}
	for other := range r.buckets {
		if len(r.buckets) < mostRecent {
			break
		}
		delete(r.buckets, other) // whichever: a page that takes long reads its own again
	}
	r.buckets[[prefixBytes]byte(key[:prefixBytes])] = b
}
