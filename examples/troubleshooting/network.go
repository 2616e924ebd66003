package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"

	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/textextraction"
	"github.com/omnidocs/omnidocs/textextraction/httpapi"
)

// network asks a server that is busy at first and then breaks the connection, and one that is gone.
func network(ctx context.Context, _ flags, out io.Writer) (err error) {
	x, err := load(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	api, err := httpapi.New(x, httpapi.Options{})
	if err != nil {
		return err
	}
	page, err := tiny.DrawPage(tiny.PageOptions{Markdown: "3 boxes of paper", Width: 384, Height: 64})
	if err != nil {
		return err
	}
	var calls atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch calls.Add(1) {
		case 1:
			w.Header().Set("Retry-After", "0.2")
			http.Error(w, `{"error": {"message": "the model is loading"}}`, http.StatusServiceUnavailable)
		case 2:
			panic(http.ErrAbortHandler) // the connection breaks
		default:
			api.ServeHTTP(w, r)
		}
	}))
	defer server.Close()
	c := textextraction.QwenTextAPIConfig{Model: "any", APIBase: server.URL + "/v1"}

	fmt.Fprintln(out, "A server that is busy, then breaks the connection, then answers. What may pass is tried again: as long as the server asks")
	fmt.Fprintln(out, "in Retry-After, or a second, two, four; MaxRetries (2) bounds it:")
	res, err := read(ctx, c, page, textextraction.Options{})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  read %q in %d attempts\n", res.Content, calls.Load())

	server.Close()
	fmt.Fprintln(out, "A server that is gone:")
	c.MaxRetries = 1
	if _, err := read(ctx, c, page, textextraction.Options{}); err == nil {
		return errors.New("a server that is gone has answered")
	} else {
		fmt.Fprintf(out, "  error: %v\n", err)
	}

	fmt.Fprintln(out, "In a pool another worker reads the page, and the one that is gone gets no more until it is well:")
	gone, err := textextraction.NewQwenTextExtractor(ctx, c)
	if err != nil {
		return err
	}
	well, err := load(ctx)
	if err != nil {
		return errors.Join(err, gone.Close())
	}
	pool, err := textextraction.NewPoolOf(textextraction.PoolOptions{}, textextraction.Worker{Name: "gone", Extractor: gone}, textextraction.Worker{Name: "well", Extractor: well})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	if res, err = pool.Extract(ctx, page.Image, textextraction.Markdown); err != nil {
		return err
	}
	fmt.Fprintf(out, "  read %q by %q\n", res.Content, res.Worker)
	_, err = fmt.Fprintln(out, "A job tries such pages again by itself (jobs.Retry), and a job that was killed goes on where it was.")
	return err
}
