package main

import (
	"context"
	"image/png"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/omnidocs/jetstream"
	"github.com/omnidocs/omnidocs/omnidocs/jetstream/bucket"
	"github.com/omnidocs/omnidocs/omnidocs/jetstream/embedded"
)

// TestRun reads a page with the embedded model, whose result is then in the bucket, and ends when it is told to.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	server, err := embedded.Start(embedded.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	defer server.Close()
	in, results := t.TempDir(), "file://"+filepath.ToSlash(t.TempDir())
	p, err := tiny.DrawPage(tiny.PageOptions{Markdown: "Seven brass lamps", Width: 384, Height: 64})
	require.NoError(t, err)
	page := filepath.Join(in, "page.png")
	w, err := os.Create(page)
	require.NoError(t, err)
	require.NoError(t, png.Encode(w, p.Image))
	require.NoError(t, w.Close())

	f, err := parse([]string{"-nats", server.URL(), "-results", results, "-files", in, "-parallel", "1"})
	require.NoError(t, err)
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- run(working, f, slog.New(slog.DiscardHandler)) }()

	store, err := bucket.Open(ctx, results, bucket.Options{})
	require.NoError(t, err)
	defer store.Close()
	q, err := jetstream.Dial(ctx, server.URL(), jetstream.Config{Store: store})
	require.NoError(t, err)
	defer q.Close()
	_, err = q.Submit(ctx, "job", jetstream.Documents(jetstream.File(page)), jetstream.JobOptions{})
	require.NoError(t, err)
	status, err := q.Wait(ctx, "job", nil)
	require.NoError(t, err)
	require.Equal(t, 1, status.Ended)
	for o, err := range q.Outcomes(ctx, "job") {
		require.NoError(t, err)
		require.Nil(t, o.Fault)
		r, err := q.Result(ctx, o)
		require.NoError(t, err)
		require.Equal(t, p.Markdown, r.Content)
	}
	stop()
	require.NoError(t, <-ended)
}

// TestNoResults has no bucket, or one that nothing here can open.
func TestNoResults(t *testing.T) {
	for _, url := range []string{"", "ftp://results"} {
		err := run(t.Context(), flags{results: url}, slog.New(slog.DiscardHandler))
		require.ErrorContains(t, err, "-results: ")
	}
}
