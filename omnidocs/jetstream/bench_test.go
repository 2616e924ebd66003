package jetstream_test

import (
	"context"
	"fmt"
	"image"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs/jetstream"
	"github.com/omnidocs/omnidocs/textextraction"
)

// BenchmarkTasks is the queue alone: tasks of one page into it, as fast as a submitter can send them and the server has them on its disk, and out of it again,
// acknowledged, to one taker. Run it with -benchtime=200000x.
func BenchmarkTasks(b *testing.B) {
	server := serve(b)
	q := dial(b, server.URL(), jetstream.Config{})
	nc, err := nats.Connect(server.URL())
	require.NoError(b, err)
	defer nc.Close()
	api, err := js.New(nc)
	require.NoError(b, err)
	b.ResetTimer()
	_, err = q.Submit(b.Context(), "job", func(yield func(jetstream.Document, error) bool) {
		for i := range b.N {
			if !yield(jetstream.Document{Source: drawnSource(i, 1)}, nil) {
				return
			}
		}
	}, jetstream.JobOptions{})
	require.NoError(b, err)
	in := b.Elapsed()
	consumer, err := api.Consumer(b.Context(), "omnidocs-work", "documents-normal")
	require.NoError(b, err)
	for taken := 0; taken < b.N; {
		batch, err := consumer.FetchNoWait(500)
		require.NoError(b, err)
		for m := range batch.Messages() {
			require.NoError(b, m.Ack())
			taken++
		}
	}
	require.NoError(b, nc.Flush())
	out := b.Elapsed() - in
	b.ReportMetric(float64(b.N)/in.Seconds(), "in/s")
	b.ReportMetric(float64(b.N)/out.Seconds(), "out/s")
	b.ReportMetric(float64(b.N)/(in+out).Seconds(), "pages/s")
}

// instant is an extractor that takes no time, not even to clean what it has read.
type instant struct{ textextraction.TextExtractor }

func (instant) ExtractWith(_ context.Context, img image.Image, opts textextraction.Options) (*textextraction.ExtractResult, error) {
	text := fmt.Sprintf("# Page %d", pageOf(img))
	return &textextraction.ExtractResult{Content: text, Format: opts.Format, RawOutput: text, WordCount: 3, ContentLength: len(text), CompletionTokens: 5}, nil
}

func (instant) Fingerprint(context.Context, textextraction.Options) (string, error) {
	return "instant", nil
}

// BenchmarkPages is all that happens to a page but its reading: it is handed out, looked up, its result and its outcome are kept. Run it with -benchtime=50000x.
func BenchmarkPages(b *testing.B) {
	for _, perTask := range []int{1, 16} {
		b.Run(fmt.Sprintf("PagesPerTask=%d", perTask), func(b *testing.B) {
			const perDocument = 500
			server := serve(b)
			q := dial(b, server.URL(), jetstream.Config{})
			for range 2 {
				hire(b, dial(b, server.URL(), jetstream.Config{}), instant{}, jetstream.WorkerOptions{Parallel: 128, Prefetch: 512})
			}
			b.ResetTimer()
			_, err := q.Submit(b.Context(), "job", func(yield func(jetstream.Document, error) bool) {
				for first := 0; first < b.N; first += perDocument {
					if !yield(jetstream.Document{Source: drawnSource(first, min(perDocument, b.N-first))}, nil) {
						return
					}
				}
			}, jetstream.JobOptions{PagesPerTask: perTask})
			require.NoError(b, err)
			status, err := q.Wait(b.Context(), "job", nil)
			require.NoError(b, err)
			require.Equal(b, b.N, status.Ended)
			require.Zero(b, status.Failed)
			b.ReportMetric(float64(b.N)/status.Elapsed.Seconds(), "pages/s")
			b.ReportMetric(status.Elapsed.Round(time.Millisecond).Seconds(), "s")
		})
	}
}
