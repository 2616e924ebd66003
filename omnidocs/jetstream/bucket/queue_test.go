package bucket_test

import (
	"context"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/omnidocs/jetstream"
	"github.com/omnidocs/omnidocs/omnidocs/jetstream/bucket"
	"github.com/omnidocs/omnidocs/omnidocs/jetstream/embedded"
	"github.com/omnidocs/omnidocs/textextraction"
)

// widths is an extractor that says how wide a page is.
type widths struct{ textextraction.TextExtractor }

func (widths) ExtractWith(_ context.Context, img image.Image, opts textextraction.Options) (*textextraction.ExtractResult, error) {
	return textextraction.NewExtractResult(fmt.Sprintf("<%d> pixels wide", img.Bounds().Dx()), opts.Format), nil
}

func (widths) Fingerprint(context.Context, textextraction.Options) (string, error) {
	return "widths", nil
}

// blank opens a document of pages that are 10, 11, … pixels wide.
func blank(_ context.Context, name string, _ omnidocs.LoadOptions) (*omnidocs.Document, error) {
	images := make([]image.Image, 20)
	for i := range images {
		images[i] = image.NewGray(image.Rect(0, 0, 10+i, 40))
	}
	return omnidocs.NewImageDocument(name, images...)
}

// read has two workers read three documents of the same pages, and returns what is in the queue's results.
func read(t *testing.T, store func() jetstream.Store) map[[2]int]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	server, err := embedded.Start(embedded.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	defer server.Close()
	ended := make(chan error, 2)
	working, stop := context.WithCancel(ctx)
	var q *jetstream.Queue
	for w := range 2 {
		q, err = jetstream.Dial(ctx, server.URL(), jetstream.Config{Store: store()})
		require.NoError(t, err)
		defer q.Close()
		opts := jetstream.WorkerOptions{Name: fmt.Sprint("worker ", w), Openers: map[string]jetstream.Opener{"blank": blank}}
		go func() { ended <- q.Work(working, widths{}, opts) }()
	}
	var sources []jetstream.Source
	for i := range 3 {
		sources = append(sources, jetstream.Source{Kind: "blank", Name: fmt.Sprint(i)})
	}
	job, err := q.Submit(ctx, "job", jetstream.Documents(sources...), jetstream.JobOptions{})
	require.NoError(t, err)
	status, err := q.Wait(ctx, job.ID, nil)
	require.NoError(t, err)
	require.Equal(t, 60, status.Ended)
	require.Zero(t, status.Failed)
	all := map[[2]int]string{}
	for o, err := range q.Outcomes(ctx, job.ID) {
		require.NoError(t, err)
		r, err := q.Result(ctx, o)
		require.NoError(t, err)
		all[[2]int{o.Document, o.Page}] = r.Content
	}
	stop()
	require.NoError(t, <-ended)
	require.NoError(t, <-ended)
	return all
}

// TestQueue holds results in buckets against those on the server.
func TestQueue(t *testing.T) {
	want := read(t, func() jetstream.Store { return nil })
	require.Len(t, want, 60)
	dir := t.TempDir()
	require.Equal(t, want, read(t, func() jetstream.Store { return openStore(t, "file://"+filepath.ToSlash(dir)) }))
	files, err := os.ReadDir(filepath.Join(dir, "results"))
	require.NoError(t, err)
	require.Len(t, files, 20, "one object for each page that is different")

	memory := memblob.OpenBucket(nil)
	defer memory.Close()
	require.Equal(t, want, read(t, func() jetstream.Store {
		s, err := bucket.New(memory, bucket.Options{})
		require.NoError(t, err)
		return s
	}))
}
