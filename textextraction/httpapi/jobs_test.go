package httpapi_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/textextraction/httpapi"
)

func TestJob(t *testing.T) {
	var closed atomic.Int64
	url := serve(t, &fake{}, httpapi.Options{Documents: documents(&closed), MaxPages: 9, Jobs: 3})
	a := call(t, "POST", url+"/v1/extract?filename=paper.pdf", strings.NewReader("%PDF 5"))
	require.Equal(t, http.StatusAccepted, a.status)
	at := a.header.Get("Location")
	require.Contains(t, at, "/v1/jobs/")
	var v map[string]any
	require.Eventually(t, func() bool {
		v = call(t, "GET", url+at, nil).json(t)
		return v["state"] == "done"
	}, 20*time.Second, time.Millisecond)
	require.Equal(t, "paper.pdf", v["name"])
	require.EqualValues(t, 5, v["page_count"])
	require.EqualValues(t, 4, v["pages_done"])
	require.EqualValues(t, 1, v["pages_failed"])
	got, ok := v["pages"].([]any)
	require.True(t, ok)
	require.Len(t, got, 5)
	require.Contains(t, fmt.Sprint(got[1]), "101 pixels")
	require.Contains(t, fmt.Sprint(got[2]), "page 2 is damaged")
	require.EqualValues(t, 1, closed.Load())

	a = call(t, "POST", url+"/v1/extract?wait=true", strings.NewReader("%PDF 2"))
	require.Equal(t, 200, a.status)
	require.EqualValues(t, 2, a.json(t)["pages_done"])
	a = call(t, "POST", url+"/v1/jobs", bytes.NewReader(pagePNG(t, 70)))
	require.Equal(t, 202, a.status, "a picture too")

	for body, want := range map[string]string{"%PDF": "422  is no document", "%PDF 10": "413 has 10 pages, this server takes 9", "%PDF 1": "429 too many jobs"} {
		a := call(t, "POST", url+"/v1/jobs", strings.NewReader(body))
		status, text, _ := strings.Cut(want, " ")
		require.Equal(t, status, fmt.Sprint(a.status), body)
		require.Contains(t, a.message(t), text)
	}
	require.EqualValues(t, 4, closed.Load(), "also those that were refused")
	require.Equal(t, 404, call(t, "GET", url+"/v1/jobs/none", nil).status)
}

func TestJobIsForgotten(t *testing.T) {
	var closed atomic.Int64
	url := serve(t, &fake{}, httpapi.Options{Documents: documents(&closed), Jobs: 1, JobTime: time.Millisecond})
	for range 3 {
		require.Eventually(t, func() bool {
			return call(t, "POST", url+"/v1/jobs", strings.NewReader("%PDF 1")).status == 202
		}, 20*time.Second, time.Millisecond)
	}
}

func TestCancelJob(t *testing.T) {
	var closed atomic.Int64
	x := &fake{hold: make(chan struct{})}
	url := serve(t, x, httpapi.Options{Documents: documents(&closed)})
	at := call(t, "POST", url+"/v1/jobs", strings.NewReader("%PDF 1000")).header.Get("Location")
	require.Eventually(t, func() bool { return x.now.Load() > 0 }, 20*time.Second, time.Millisecond)
	v := call(t, "DELETE", url+at, nil).json(t)
	require.Equal(t, "canceled", v["state"])
	require.EqualValues(t, 0, x.now.Load())
	require.EqualValues(t, 1, closed.Load())
}

// A server that ends takes no more, and lets what is under way end: pages, their callers' answers, and jobs.
func TestServeEnds(t *testing.T) {
	var closed atomic.Int64
	x := &fake{hold: make(chan struct{})}
	a, err := httpapi.New(x, httpapi.Options{Documents: documents(&closed)})
	require.NoError(t, err)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	url := "http://" + l.Addr().String()
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- httpapi.Serve(ctx, l, a, time.Minute) }()
	at := call(t, "POST", url+"/v1/jobs", strings.NewReader("%PDF 4")).header.Get("Location")
	require.NotEmpty(t, at)
	answers := make(chan error, 1)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/extract", bytes.NewReader(pagePNG(t, 20)))
	require.NoError(t, err)
	go func() {
		res, err := http.DefaultClient.Do(r)
		if err == nil {
			err = res.Body.Close()
		}
		answers <- err
	}()
	require.Eventually(t, func() bool { return x.now.Load() == 4 }, 20*time.Second, time.Millisecond) // three pages of the job, one is damaged
	end()
	require.Eventually(t, func() bool {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url+"/readyz", nil)
		require.NoError(t, err)
		res, err := http.DefaultClient.Do(r)
		if err == nil {
			_ = res.Body.Close()
		}
		return err != nil
	}, 20*time.Second, time.Millisecond, "the listener is closed")
	select {
	case err := <-ended:
		t.Fatalf("ended too soon: %v", err)
	default:
	}
	close(x.hold)
	require.NoError(t, <-answers)
	require.NoError(t, <-ended)
	require.EqualValues(t, 4, x.reads.Load())
	require.EqualValues(t, 1, closed.Load())
}

// What does not end within the grace is ended.
func TestServeEndsAtLast(t *testing.T) {
	var closed atomic.Int64
	x := &fake{hold: make(chan struct{})}
	a, err := httpapi.New(x, httpapi.Options{Documents: documents(&closed)})
	require.NoError(t, err)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- httpapi.Serve(ctx, l, a, 10*time.Millisecond) }()
	call(t, "POST", "http://"+l.Addr().String()+"/v1/jobs", strings.NewReader("%PDF 2"))
	require.Eventually(t, func() bool { return x.now.Load() == 2 }, 20*time.Second, time.Millisecond)
	end()
	require.NoError(t, <-ended)
	require.Zero(t, x.now.Load())
	require.EqualValues(t, 1, closed.Load())
}
