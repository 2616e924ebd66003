package hub

import (
	"context"
	"crypto/sha1" //nolint:gosec // git names files by it
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

const (
	userAgent = "omnidocs"
	// attempts is how often something is tried that brings nothing new.
	attempts = 5
)

// errDamaged says that the bytes that came are not those of the file.
var errDamaged = errors.New("it arrived damaged")

// Times that tests shorten.
var (
	// firstPause is how long to wait before the second attempt, then twice as
	// long each time.
	firstPause = time.Second
	// idleTimeout is how long a connection may bring nothing.
	idleTimeout = time.Minute
)

// file is a file to be downloaded, and what it must be. A zero value of size
// or of a hash is not checked.
type file struct {
	name, url    string
	size         int64
	sha1, sha256 string // sha1 is that of a git blob
}

// fetcher downloads single files.
type fetcher struct {
	env    environ
	client *http.Client
}

func newFetcher(env environ) fetcher {
	return fetcher{env: env, client: &http.Client{Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: idleTimeout,
		IdleConnTimeout:       idleTimeout,
	}}}
}

// fetch makes sure that path holds the file. It arrives as path.incomplete,
// which the next call goes on with, and is moved when its hash is right. The
// lock file keeps other processes from the same, Python's included.
func (f fetcher) fetch(ctx context.Context, want file, path, lockPath string, progress func(done int64)) error {
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(lockPath)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	lock := flock.New(lockPath)
	// A file system without locks (some network volumes) is used without: at
	// worst the hash of what two processes wrote is wrong.
	_, _ = lock.TryLockContext(ctx, 200*time.Millisecond)
	if ctx.Err() != nil {
		return fmt.Errorf("wait for %s: %w", lockPath, context.Cause(ctx))
	}
	defer lock.Unlock() //nolint:errcheck // it ends with the process at the latest
	if info, err := os.Stat(path); err == nil && (want.size == 0 || info.Size() == want.size) {
		progress(info.Size())
		return nil
	}
	incomplete := path + ".incomplete"
	out, err := os.OpenFile(incomplete, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	err = retry(ctx, func() (bool, error) { return f.attempt(ctx, want, out, progress) })
	if closing := out.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	return os.Rename(incomplete, path)
}

// attempt asks for what out lacks of the file. It reports whether that brought
// anything, so that a connection that drops every minute gets there at last.
func (f fetcher) attempt(ctx context.Context, want file, out *os.File, progress func(done int64)) (moved bool, err error) {
	have, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return false, err
	}
	if want.size > 0 && have > want.size {
		have = 0
	}
	done := have
	if want.size == 0 || have < want.size {
		done, err = f.receive(ctx, want, out, have, progress)
		if err != nil {
			return done > have, err
		}
	}
	if want.size > 0 && done != want.size {
		return done > have, fmt.Errorf("%w: the connection ended after %d of %d bytes", errUnreachable, done, want.size)
	}
	err = verify(ctx, want, out)
	if errors.Is(err, errDamaged) {
		if have > 0 { // the old part may be to blame: once more
			err = fmt.Errorf("%w: %w", errUnreachable, err)
		}
		err = errors.Join(err, out.Truncate(0))
	}
	if err != nil {
		return false, err
	}
	progress(done)
	return true, nil
}

// receive writes the bytes of the file from have on to out and returns how
// many out has then.
func (f fetcher) receive(ctx context.Context, want file, out *os.File, have int64, progress func(done int64)) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(2*idleTimeout, func() {
		cancel(fmt.Errorf("%w: nothing came for %v", errUnreachable, idleTimeout))
	})
	defer watchdog.Stop()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, want.url, nil)
	if err != nil {
		return have, err
	}
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Accept-Encoding", "identity") // sizes and ranges count the file's own bytes
	if f.env.token != "" {
		req.Header.Set("Authorization", "Bearer "+f.env.token) // not sent on to other hosts
	}
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return have, unreachable(ctx, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it is only read
	switch resp.StatusCode {
	case http.StatusPartialContent:
		if !strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", have)) {
			return have, fmt.Errorf("%s sends the range %q, asked for bytes %d-", want.url, resp.Header.Get("Content-Range"), have)
		}
	case http.StatusOK: // the server knows no ranges
		have = 0
	case http.StatusRequestedRangeNotSatisfiable:
		return 0, errors.Join(fmt.Errorf("%w: %s has no bytes after %d", errUnreachable, want.url, have), out.Truncate(0))
	default:
		return have, statusError(resp.StatusCode, f.env, modelOf(want.url, f.env.endpoint), want.name)
	}
	if err := out.Truncate(have); err != nil {
		return have, err
	}
	if _, err := out.Seek(have, io.SeekStart); err != nil {
		return have, err
	}
	done := have
	buf := make([]byte, 1<<20)
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			watchdog.Reset(idleTimeout)
			if _, err := out.Write(buf[:n]); err != nil {
				return done, err
			}
			done += int64(n)
			if want.size > 0 && done > want.size {
				return 0, errors.Join(fmt.Errorf("%s is longer than the %d bytes that the hub tells", want.name, want.size), out.Truncate(0))
			}
			if done < want.size {
				progress(done)
			}
		}
		if errors.Is(err, io.EOF) {
			return done, nil
		}
		if err != nil {
			return done, unreachable(ctx, err)
		}
	}
}

// unreachable tells a canceled call from a connection that failed.
func unreachable(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return fmt.Errorf("%w: %w", errUnreachable, err)
}

// modelOf returns the org/name of a file's address.
func modelOf(url, endpoint string) string {
	id, _, _ := strings.Cut(strings.TrimPrefix(url, endpoint+"/"), "/resolve/")
	return id
}

// verify compares the hash of the whole file.
func verify(ctx context.Context, want file, out *os.File) error {
	var sum hash.Hash
	expected := want.sha256
	switch {
	case want.sha256 != "":
		sum = sha256.New()
	case want.sha1 != "":
		sum, expected = sha1.New(), want.sha1 //nolint:gosec // as above
		info, err := out.Stat()
		if err != nil {
			return err
		}
		fmt.Fprintf(sum, "blob %d\x00", info.Size())
	default:
		return nil
	}
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := io.Copy(sum, contextReader{ctx, out}); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != expected {
		return fmt.Errorf("%w: its hash is %s, not %s; try again", errDamaged, got, expected)
	}
	return nil
}

// contextReader reads until its context ends.
type contextReader struct {
	ctx context.Context //nolint:containedctx // it lives for one io.Copy
	io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// retry calls f until it succeeds or fails for good: it may fail with
// errUnreachable a few times in a row without having moved on.
func retry(ctx context.Context, f func() (moved bool, err error)) error {
	pause := firstPause
	for failed := 0; ; {
		moved, err := f()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !errors.Is(err, errUnreachable) {
			return err
		}
		if failed++; moved {
			failed, pause = 0, firstPause
		}
		if failed == attempts {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
		pause *= 2
	}
}
