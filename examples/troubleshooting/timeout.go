package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/textextraction"
	"github.com/omnidocs/omnidocs/textextraction/httpapi"
)

// timeouts has a page whose time is up here, one whose time is up on a server, and one whose answer is bounded.
func timeouts(ctx context.Context, _ flags, out io.Writer) (err error) {
	x, err := load(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	page, err := tiny.DrawPage(tiny.PageOptions{Markdown: tiny.SamplePage})
	if err != nil {
		return err
	}

	fmt.Fprintln(out, "A page whose time is up ends between two tokens, and what had been written by then is not lost:")
	limited, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var clock sync.Once // of this page: 20 ms from its first token on, so that there is something to keep
	res, err := x.ExtractWith(limited, page.Image, textextraction.Options{TokenProgress: func(int) {
		clock.Do(func() { time.AfterFunc(20*time.Millisecond, func() { stop(context.DeadlineExceeded) }) })
	}})
	if !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("want context.DeadlineExceeded, got %w", err)
	}
	fmt.Fprintf(out, "  error: %v\n", err)
	if res != nil {
		fmt.Fprintf(out, "  finish_reason %q, %d tokens: %q\n", res.FinishReason, res.CompletionTokens, res.Content)
	}
	fmt.Fprintln(out, "In a job that is one page's error, and the others go on: jobs.Options.PageTimeout, DocumentTimeout.")

	fmt.Fprintln(out, "A server has a limit of its own for a page; its answer says so, and another worker of a pool may try:")
	api, err := httpapi.New(x, httpapi.Options{PageTimeout: time.Millisecond})
	if err != nil {
		return err
	}
	server := httptest.NewServer(api)
	defer server.Close()
	c := textextraction.QwenTextAPIConfig{Model: "any", APIBase: server.URL + "/v1", MaxRetries: -1}
	if _, err := read(ctx, c, page, textextraction.Options{}); err == nil {
		return errors.New("a page was read within a millisecond")
	} else {
		fmt.Fprintf(out, "  error: %v\n", err)
	}

	fmt.Fprintln(out, "What takes long is mostly a long answer. Its bound is in tokens, and the result says that it was reached:")
	res, err = x.ExtractWith(ctx, page.Image, textextraction.Options{MaxNewTokens: 8})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "  truncated %v, finish_reason %q: %q\n", res.Truncated, res.FinishReason, res.Content)
	return err
}
