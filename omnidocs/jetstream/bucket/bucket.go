package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"time"

	"github.com/cenkalti/backoff/v5"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/omnidocs/omnidocs/omnidocs/jetstream"
	"github.com/omnidocs/omnidocs/omnidocs/journal"
)

// Errors that callers can act on.
var (
	// ErrConfig is matched by the errors of URLs and options that are wrong.
	ErrConfig = errors.New("bucket: invalid options")
	// ErrTooLarge is matched by the errors of objects, and results, that are larger than Options.MaxBytes.
	ErrTooLarge = errors.New("bucket: too large")
)

// Defaults of [Options].
const (
	// DefaultMaxBytes is how large a result may be.
	DefaultMaxBytes = 64 << 20
	// DefaultPatience is how long what may pass is tried again.
	DefaultPatience = 2 * time.Minute
)

// Options are the choices of a store. The zero value consists entirely of default values.
type Options struct {
	// MaxBytes is how large a result may be, in bytes. Zero means 64 MiB.
	MaxBytes int64
	// Patience is for how long a request is tried again whose error may pass; the drivers of s3 and gs try again by themselves before that. Then it is the error of the
	// page, which other workers may try. Zero means 2 minutes.
	Patience time.Duration
}

func (o Options) withDefaults() (Options, error) {
	var faults []error
	if o.MaxBytes < 0 {
		faults = append(faults, fmt.Errorf("MaxBytes: %d is negative (0 means %d)", o.MaxBytes, DefaultMaxBytes))
	}
	if o.Patience < 0 {
		faults = append(faults, fmt.Errorf("Patience: %v is negative (0 means %v)", o.Patience, DefaultPatience))
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.Patience == 0 {
		o.Patience = DefaultPatience
	}
	if err := errors.Join(faults...); err != nil {
		return o, fmt.Errorf("%w: Options: %w", ErrConfig, err)
	}
	return o, nil
}

// Store keeps results in a bucket. Its methods may be called from several goroutines.
type Store struct {
	bucket *blob.Bucket
	opts   Options
	own    bool // the bucket is the store's
}

var _ jetstream.Store = (*Store)(nil)

// New returns a store in a bucket, which stays the caller's and must be open for as long as the store is used.
func New(bucket *blob.Bucket, opts Options) (*Store, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if bucket == nil {
		return nil, fmt.Errorf("%w: the bucket is nil", ErrConfig)
	}
	return &Store{bucket: bucket, opts: opts}, nil
}

// drivers are the packages of the drivers that gocloud.dev has.
var drivers = map[string]string{"file": "fileblob", "s3": "s3blob", "gs": "gcsblob", "mem": "memblob", "azblob": "azureblob"}

// Open opens the bucket of a URL and returns a store in it. The driver of the URL's scheme must be imported, see above. A folder must be there, unless the URL
// says "?create_dir=1". Whether a bucket of s3 or gs is there, and may be used, is known only with the first result.
func Open(ctx context.Context, bucketURL string, opts Options) (*Store, error) {
	u, err := url.Parse(bucketURL)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if !blob.DefaultURLMux().ValidBucketScheme(u.Scheme) {
		if name := drivers[u.Scheme]; name != "" {
			return nil, fmt.Errorf("%w: %s: the driver of %s:// is not in this program: import _ \"gocloud.dev/blob/%s\"", ErrConfig, u.Redacted(), u.Scheme, name)
		}
		return nil, fmt.Errorf("%w: %q: want the URL of a bucket, such as file:///folder or s3://name, whose driver is imported", ErrConfig, u.Redacted())
	}
	if u.Scheme == "file" {
		query := u.Query()
		for name, value := range map[string]string{"no_tmp_dir": "1", "metadata": "skip"} {
			if !query.Has(name) {
				query.Set(name, value)
			}
		}
		u.RawQuery = query.Encode()
	}
	bucket, err := blob.DefaultURLMux().OpenBucketURL(ctx, u)
	if err != nil {
		return nil, fmt.Errorf("bucket: open %s: %w", u.Redacted(), err)
	}
	s, err := New(bucket, opts)
	if err != nil {
		return nil, errors.Join(err, bucket.Close())
	}
	s.own = true
	return s, nil
}

// Close closes a bucket that Open has opened.
func (s *Store) Close() error {
	if !s.own {
		return nil
	}
	return s.bucket.Close()
}

// name is that of a result's object: as the queue's server names those of its own.
func name(key journal.Key) string { return "results/" + key.String() }

// Get returns a result; ok is false if there is none.
func (s *Store) Get(ctx context.Context, key journal.Key) (data []byte, ok bool, err error) {
	data, err = persist(ctx, s.opts.Patience, func(ctx context.Context) ([]byte, error) { return s.read(ctx, key) })
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("bucket: read: %w", err)
	}
	return data, true, nil
}

func (s *Store) read(ctx context.Context, key journal.Key) ([]byte, error) {
	r, err := s.bucket.NewReader(ctx, name(key), nil)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if r.Size() > s.opts.MaxBytes {
		return nil, s.tooLarge(key, r.Size())
	}
	// Not io.ReadAll: the size is known, but what is read counts.
	var b bytes.Buffer
	b.Grow(int(max(r.Size(), 0)) + bytes.MinRead)
	n, err := b.ReadFrom(io.LimitReader(r, s.opts.MaxBytes+1))
	if err != nil {
		return nil, err
	}
	if n > s.opts.MaxBytes {
		return nil, s.tooLarge(key, n)
	}
	return b.Bytes(), nil
}

func (s *Store) tooLarge(key journal.Key, size int64) error {
	return fmt.Errorf("%w: %s has %d bytes, and Options.MaxBytes is %d", ErrTooLarge, name(key), size, s.opts.MaxBytes)
}

// Create keeps a result under a key that nothing is kept under. Created is false if something was, which stays.
func (s *Store) Create(ctx context.Context, key journal.Key, data []byte) (created bool, err error) {
	if int64(len(data)) > s.opts.MaxBytes {
		return false, s.tooLarge(key, int64(len(data)))
	}
	created, err = persist(ctx, s.opts.Patience, func(ctx context.Context) (bool, error) {
		err := s.write(ctx, key, data)
		if errors.Is(err, errTaken) {
			return false, nil
		}
		if gcerrors.Code(err) != gcerrors.FailedPrecondition {
			return err == nil, err
		}
		// That is also the code of a bucket that was closed, and others.
		there, fault := s.bucket.Exists(ctx, name(key))
		if fault != nil || there {
			return false, fault
		}
		return false, err
	})
	if err != nil {
		return false, fmt.Errorf("bucket: write: %w", err)
	}
	return created, nil
}

// write makes one attempt to create an object.
func (s *Store) write(ctx context.Context, key journal.Key, data []byte) error {
	ctx, abort := context.WithCancel(ctx)
	defer abort()
	var file *os.File // with the driver of folders, what it writes to before it has the object's name
	w, err := s.bucket.NewWriter(ctx, name(key), &blob.WriterOptions{
		IfNotExist: true, ContentType: "application/json",
		BeforeWrite: func(as func(any) bool) error {
			as(&file)
			return nil
		},
	})
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	if err == nil && file == nil {
		return w.Close()
	}
	if err == nil {
		err = ctx.Err() // which files do not ask for
	}
	if err == nil {
		err = link(file)
	}
	abort() // so that Close does not make an object of it
	_ = w.Close()
	return err
}

// attemptTimeout bounds one attempt.
const attemptTimeout = time.Minute

// persist does what asks something of the bucket until that answers, ctx ends, or patience does.
func persist[T any](ctx context.Context, patience time.Duration, do func(ctx context.Context) (T, error)) (T, error) {
	wait := &backoff.ExponentialBackOff{InitialInterval: 100 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 10 * time.Second}
	value, err := backoff.Retry(ctx, func() (T, error) {
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		defer cancel()
		value, err := do(attempt)
		if err != nil && (ctx.Err() != nil || !passing(err)) {
			err = backoff.Permanent(err)
		}
		return value, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(patience))
	if err != nil && ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	if err != nil && ctx.Err() == nil && passing(err) {
		err = passingError{err}
	}
	return value, err
}

// passing says whether an error may pass. Drivers know the kinds of few: what they do not know is often the network, or a server that is busy.
func passing(err error) bool {
	if errors.Is(err, ErrTooLarge) || errors.Is(err, ErrConfig) || errors.Is(err, fs.ErrPermission) || errors.Is(err, errors.ErrUnsupported) {
		return false
	}
	switch gcerrors.Code(err) {
	case gcerrors.Unknown, gcerrors.Internal, gcerrors.ResourceExhausted, gcerrors.DeadlineExceeded, gcerrors.Canceled:
		return true
	}
	return false
}

// passingError tells a worker that the page may be tried again.
type passingError struct{ error }

// Unwrap is what it wraps.
func (e passingError) Unwrap() error { return e.error }

// Retryable says that it may pass.
func (passingError) Retryable() bool { return true }
