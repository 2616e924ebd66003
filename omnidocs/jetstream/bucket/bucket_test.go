package bucket_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/memblob"
	_ "gocloud.dev/blob/s3blob"

	"github.com/omnidocs/omnidocs/omnidocs/jetstream/bucket"
	"github.com/omnidocs/omnidocs/omnidocs/journal"
)

// s3 is a server that keeps objects, and refuses to create one that is there.
func s3(t *testing.T) string {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "nobody")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "nothing")
	t.Setenv("AWS_REGION", "nowhere")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	var mu sync.Mutex
	objects := map[string]string{}
	refuse := func(w http.ResponseWriter, status int, code string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", code)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		data, there := objects[r.URL.Path]
		switch {
		case r.Method == http.MethodPut && there && r.Header.Get("If-None-Match") == "*":
			refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
		case r.Method == http.MethodPut:
			objects[r.URL.Path] = r.Header.Get("X-Amz-Decoded-Content-Length") + r.Header.Get("Content-Length") // what is in it, in pieces and with sums, does not matter here
		case !there:
			refuse(w, http.StatusNotFound, "NoSuchKey")
		default:
			fmt.Fprint(w, data)
		}
	}))
	t.Cleanup(server.Close)
	return "s3://pages?use_path_style=true&endpoint=" + server.URL
}

// TestStore has the drivers keep results.
func TestStore(t *testing.T) {
	for driver, open := range map[string]func(t *testing.T) *bucket.Store{
		"file": func(t *testing.T) *bucket.Store { return openStore(t, "file://"+filepath.ToSlash(t.TempDir())) },
		"mem":  func(t *testing.T) *bucket.Store { return openStore(t, "mem://") },
		"s3":   func(t *testing.T) *bucket.Store { return openStore(t, s3(t)) },
	} {
		t.Run(driver, func(t *testing.T) {
			s, key := open(t), journal.NewKey([]byte("page"))
			_, ok, err := s.Get(t.Context(), key)
			require.NoError(t, err)
			require.False(t, ok)
			created, err := s.Create(t.Context(), key, []byte(`{"one":1}`))
			require.NoError(t, err)
			require.True(t, created)
			first, ok, err := s.Get(t.Context(), key)
			require.NoError(t, err)
			require.True(t, ok)
			if driver != "s3" {
				require.Equal(t, `{"one":1}`, string(first))
			}
			created, err = s.Create(t.Context(), key, []byte(`{"second":2}`))
			require.NoError(t, err)
			require.False(t, created)
			again, _, err := s.Get(t.Context(), key)
			require.NoError(t, err)
			require.Equal(t, first, again)

			_, err = s.Create(t.Context(), journal.NewKey(), make([]byte, maxBytes+1))
			require.ErrorIs(t, err, bucket.ErrTooLarge)
			canceled, cancel := context.WithCancel(t.Context())
			cancel()
			_, err = s.Create(canceled, journal.NewKey([]byte("other")), nil)
			require.ErrorIs(t, err, context.Canceled)
			_, ok, err = s.Get(t.Context(), journal.NewKey([]byte("other")))
			require.NoError(t, err)
			require.False(t, ok)

			// Closed, it says so, and not that somebody was quicker.
			require.NoError(t, s.Close())
			_, err = s.Create(t.Context(), journal.NewKey([]byte("third")), nil)
			require.ErrorContains(t, err, "closed")
		})
	}
}

const maxBytes = 1 << 20

func openStore(t *testing.T, url string) *bucket.Store {
	t.Helper()
	s, err := bucket.Open(t.Context(), url, bucket.Options{MaxBytes: maxBytes})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestAtOnce has several write the same keys at once, each in a folder that it has opened for itself, as processes do: each key is created once, and has what that one wrote.
func TestAtOnce(t *testing.T) {
	const writers, keys = 8, 50
	dir := t.TempDir()
	memory := memblob.OpenBucket(nil)
	t.Cleanup(func() { _ = memory.Close() })
	for driver, open := range map[string]func() *bucket.Store{
		"file": func() *bucket.Store { return openStore(t, "file://"+filepath.ToSlash(dir)) },
		"mem": func() *bucket.Store {
			s, err := bucket.New(memory, bucket.Options{})
			require.NoError(t, err)
			return s
		},
	} {
		t.Run(driver, func(t *testing.T) {
			var mu sync.Mutex
			var group sync.WaitGroup
			winners := map[journal.Key]string{}
			begin := make(chan struct{})
			for w := range writers {
				s := open()
				group.Go(func() {
					<-begin
					for k := range keys {
						key, text := journal.NewKey([]byte{byte(k)}), fmt.Sprint(w)
						created, err := s.Create(t.Context(), key, []byte(text))
						mu.Lock()
						if err != nil || created && winners[key] != "" {
							t.Errorf("key %d: created by %s and %s, error %v", k, winners[key], text, err)
						}
						if created {
							winners[key] = text
						}
						mu.Unlock()
					}
				})
			}
			close(begin)
			group.Wait()
			require.Len(t, winners, keys)
			s := open()
			for key, text := range winners {
				data, ok, err := s.Get(t.Context(), key)
				require.NoError(t, err)
				require.True(t, ok)
				require.Equal(t, text, string(data))
			}
		})
	}
	files, err := os.ReadDir(filepath.Join(dir, "results"))
	require.NoError(t, err)
	require.Len(t, files, keys, "temporary files are left")
}

// TestErrors has what can be wrong said.
func TestErrors(t *testing.T) {
	for url, says := range map[string]string{
		"gs://pages":            `import _ "gocloud.dev/blob/gcsblob"`,
		"/folder":               "want the URL of a bucket",
		"file:///not/there":     "no such file",
		"file:///tmp?nonsense=": "nonsense",
	} {
		_, err := bucket.Open(t.Context(), url, bucket.Options{})
		require.ErrorContains(t, err, says, url)
	}
	_, err := bucket.Open(t.Context(), "mem://", bucket.Options{MaxBytes: -1, Patience: -1})
	require.ErrorIs(t, err, bucket.ErrConfig)
	require.ErrorContains(t, err, "MaxBytes: -1")
	require.ErrorContains(t, err, "Patience: -1")
	_, err = bucket.New(nil, bucket.Options{})
	require.ErrorIs(t, err, bucket.ErrConfig)

	// A folder whose temporary files are elsewhere.
	folder, err := fileblob.OpenBucket(t.TempDir(), nil)
	require.NoError(t, err)
	s, err := bucket.New(folder, bucket.Options{})
	require.NoError(t, err)
	_, err = s.Create(t.Context(), journal.NewKey(), nil)
	require.ErrorContains(t, err, "no_tmp_dir=1")

	// An object that is too large to be a result.
	memory := memblob.OpenBucket(nil)
	require.NoError(t, memory.WriteAll(t.Context(), "results/"+journal.NewKey().String(), []byte("1234"), nil))
	s, err = bucket.New(memory, bucket.Options{MaxBytes: 3})
	require.NoError(t, err)
	_, _, err = s.Get(t.Context(), journal.NewKey())
	require.ErrorIs(t, err, bucket.ErrTooLarge)

	// A server that does not answer is tried again, and then others may try.
	away := s3(t)
	s3url, err := blob.OpenBucket(t.Context(), away[:strings.LastIndex(away, ":")]+":1")
	require.NoError(t, err)
	s, err = bucket.New(s3url, bucket.Options{Patience: time.Nanosecond})
	require.NoError(t, err)
	_, _, err = s.Get(t.Context(), journal.NewKey())
	var passing interface{ Retryable() bool }
	require.ErrorAs(t, err, &passing)
	require.True(t, passing.Retryable())
}

// TestLinks has the package link no client of a cloud.
func TestLinks(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	require.NoError(t, err)
	for _, p := range []string{"github.com/aws/", "cloud.google.com/", "google.golang.org/api/storage", "gocloud.dev/blob/s3blob", "gocloud.dev/blob/gcsblob"} {
		require.NotContains(t, string(out), p)
	}
}
