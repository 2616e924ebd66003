package jetstream_test

import (
	"context"
	"fmt"
	"image"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/omnidocs/jetstream"
	"github.com/omnidocs/omnidocs/omnidocs/jetstream/embedded"
	"github.com/omnidocs/omnidocs/omnidocs/jobs"
	"github.com/omnidocs/omnidocs/textextraction"
)

// widths stands for a real extractor: it says how wide the page is.
type widths struct{ textextraction.TextExtractor }

func (widths) ExtractWith(_ context.Context, img image.Image, opts textextraction.Options) (*textextraction.ExtractResult, error) {
	if img.Bounds().Dx() > 100 {
		return nil, fmt.Errorf("%w: it is too wide", textextraction.ErrImage)
	}
	return textextraction.NewExtractResult(fmt.Sprintf("%d pixels wide", img.Bounds().Dx()), opts.Format), nil
}

// A server, a worker and who submits, in one program; each could be on another machine.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	server, err := embedded.Start(embedded.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	q, err := jetstream.Dial(ctx, server.URL(), jetstream.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer q.Close()

	blank := func(_ context.Context, name string, _ omnidocs.LoadOptions) (*omnidocs.Document, error) {
		return omnidocs.NewImageDocument(name, image.NewGray(image.Rect(0, 0, 30, 40)), image.NewGray(image.Rect(0, 0, 300, 40)))
	}
	ended := make(chan error)
	go func() {
		ended <- q.Work(ctx, widths{}, jetstream.WorkerOptions{ExtractorID: "widths 1", Openers: map[string]jetstream.Opener{"blank": blank}})
	}()

	job, err := q.Submit(ctx, "letters", jetstream.Documents(jetstream.Source{Kind: "blank", Name: "two pages"}), jetstream.JobOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	status, err := q.Wait(ctx, job.ID, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(status.Ended, "pages,", status.Failed, "failed")
	for outcome, err := range q.Outcomes(ctx, job.ID) {
		if err != nil || outcome.Fault != nil {
			continue
		}
		result, err := q.Result(ctx, outcome)
		fmt.Println("page", outcome.Page, "says:", result.Content, err)
	}
	for letter, err := range q.DeadLetters(ctx, job.ID) {
		fmt.Println("dead:", letter.Task.Source, "page", letter.Task.First, letter.Fault.Message, err)
	}
	cancel() // the worker ends what it has, and goes
	fmt.Println(<-ended)
	// Output:
	// 2 pages, 1 failed
	// page 0 says: 30 pixels wide <nil>
	// dead: blank:two pages page 1 textextraction: unreadable image: it is too wide <nil>
	// <nil>
}

// One line takes a program from its own process to a queue.
func ExampleQueue_Remote() {
	read := func(ctx context.Context, natsURL string, ex textextraction.TextExtractor) (*jobs.BatchResult, error) {
		opts := jobs.DirectoryOptions{OutputDir: "results"}
		if natsURL != "" {
			q, err := jetstream.Dial(ctx, natsURL, jetstream.Config{})
			if err != nil {
				return nil, err
			}
			defer q.Close()
			opts.Remote = q.Remote(jetstream.RemoteOptions{Upload: true}) // and ex may be nil
		}
		return jobs.ProcessDirectory(ctx, "pdfs", ex, opts)
	}
	_ = read
}
