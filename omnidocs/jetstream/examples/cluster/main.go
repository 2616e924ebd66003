// Command cluster reads a folder of PDFs and pictures with several workers, over a queue: all of it in one process, to see how it goes, before the workers are moved to other machines. In the
// folder of the module omnidocs/jetstream:
//
//	go run ./examples/cluster
//	go run ./examples/cluster -in scans -out results -workers 2 -model Qwen/Qwen3-VL-8B-Instruct -device cuda
//	go run ./examples/cluster -in scans -out results -nats nats://queue:4222        # the workers are elsewhere, see examples/worker
//
// With no flags it draws a folder of letters and reads it with three workers that have the embedded model. It needs no network.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"time"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/omnidocs/jetstream"
	"github.com/omnidocs/omnidocs/omnidocs/jetstream/embedded"
	"github.com/omnidocs/omnidocs/omnidocs/jobs"
	"github.com/omnidocs/omnidocs/omnidocs/report"
	"github.com/omnidocs/omnidocs/omnidocs/sample"
	"github.com/omnidocs/omnidocs/textextraction"
)

type flags struct {
	in, out, nats, model, device string
	workers, parallel            int
	costPerHour                  float64
}

func main() {
	var f flags
	flag.StringVar(&f.in, "in", "", "folder to read (default: one that this program draws)")
	flag.StringVar(&f.out, "out", "", "folder for the results and the report (default: a new one)")
	flag.StringVar(&f.nats, "nats", "", "URL of a server whose workers read (default: a server and workers in this process)")
	flag.StringVar(&f.model, "model", textextraction.TinyModel, "folder of a checkpoint, or id on the Hugging Face hub")
	flag.StringVar(&f.device, "device", "", "go, xla:cpu, cuda, … (default: go for the embedded model, else the best there is)")
	flag.IntVar(&f.workers, "workers", 3, "workers in this process, each with a model of its own")
	flag.IntVar(&f.parallel, "parallel", 2, "pages that a worker reads together")
	flag.Float64Var(&f.costPerHour, "cost-per-hour", 0, "what a worker's machine costs in an hour, in dollars")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, f, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags, out io.Writer) (err error) {
	if f.out == "" {
		if f.out, err = os.MkdirTemp("", "omnidocs-results-"); err != nil {
			return err
		}
	}
	if f.in == "" {
		f.in = filepath.Join(f.out, "letters")
		if err := sample.Folder(f.in); err != nil {
			return err
		}
	}
	if f.nats == "" {
		server, err := embedded.Start(embedded.Options{})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, server.Close()) }()
		f.nats = server.URL()

		working, enough := context.WithCancel(ctx)
		ended := make(chan error)
		defer func() {
			enough()
			for range f.workers {
				err = errors.Join(err, <-ended)
			}
		}()
		for n := range f.workers {
			go func() { ended <- work(working, f, n+1) }()
		}
	}
	q, err := jetstream.Dial(ctx, f.nats, jetstream.Config{})
	if err != nil {
		return err
	}
	defer q.Close()

	// Without Remote, and with an extractor in the place of nil, this reads in this process.
	batch, err := jobs.ProcessDirectory(ctx, f.in, nil, jobs.DirectoryOptions{
		Options:   jobs.Options{Progress: func(p jobs.Progress) { show(out, p) }},
		Files:     omnidocs.BatchOptions{Pattern: "*"},
		OutputDir: f.out, Outputs: []jobs.Output{jobs.JSON, jobs.Markdown},
		Remote: q.Remote(jetstream.RemoteOptions{Upload: true, Submitted: func(job jetstream.Job) { fmt.Fprintf(out, "job %s\n", job.ID) }}),
	})
	fmt.Fprintln(out)
	if err != nil {
		return err
	}
	path, err := report.Write(ctx, f.out, batch, report.Options{CostPerHour: f.costPerHour * float64(f.workers)})
	if err != nil {
		return err
	}
	summarize(out, batch, path)
	if batch.FailedPages()+batch.FailedDocuments() > 0 {
		return errors.New("not everything was read; started again, it tries what failed once more")
	}
	return nil
}

// work is a worker: what it does on a machine of its own is examples/worker.
func work(ctx context.Context, f flags, n int) (err error) {
	if f.device == "" && f.model == textextraction.TinyModel {
		f.device = "go"
	}
	ex, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextVLLMConfig{Model: f.model, Device: f.device, MaxNumSeqs: f.parallel, EnforceEager: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ex.Close()) }()
	q, err := jetstream.Dial(ctx, f.nats, jetstream.Config{})
	if err != nil {
		return err
	}
	defer q.Close()
	return q.Work(ctx, ex, jetstream.WorkerOptions{Name: fmt.Sprintf("worker-%d", n), Parallel: f.parallel, CostPerHour: f.costPerHour})
}

// show shows how far the job has come, in the place of what it showed before.
func show(out io.Writer, p jobs.Progress) {
	fmt.Fprintf(out, "\r%d/%d pages, %d failed, %.2f pages/s, %v left\033[K", p.Done, p.PagesExpected, p.Failed, p.Rate, p.Remaining.Round(time.Second))
}

// summarize tells who read how much, and names what failed.
func summarize(out io.Writer, batch *jobs.BatchResult, path string) {
	pages := map[string]int{}
	for id, d := range batch.All() {
		if d.Err != nil {
			fmt.Fprintf(out, "failed: %q: %v\n", id, d.Err)
		}
		for _, p := range d.Pages() {
			if p.Err != nil {
				fmt.Fprintf(out, "failed: %q, page %d: %v\n", id, p.Page+1, p.Err)
			}
			if p.Result != nil {
				pages[p.Result.Worker]++
			}
		}
	}
	for _, worker := range slices.Sorted(maps.Keys(pages)) {
		fmt.Fprintf(out, "%s read %d pages\n", worker, pages[worker])
	}
	fmt.Fprintf(out, "%d documents, %d pages read, %d failed, in %v; the report is %s\n",
		batch.Len(), batch.TotalPages(), batch.FailedPages(), batch.Elapsed.Round(10*time.Millisecond), path)
}
