// Command worker reads pages for a queue, and keeps the results in a bucket, until it is told to end:
//
//	worker -nats nats://queue:4222 -results s3://results?region=eu-central-1 -model Qwen/Qwen3-VL-8B-Instruct -device cuda -parallel 32
//
// It is the worker of module omnidocs/jetstream with a bucket, in a module of its own, since it has the clients of Amazon and Google in it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/nats-io/nats.go"
	_ "gocloud.dev/blob/fileblob"
	_ "gocloud.dev/blob/gcsblob"
	_ "gocloud.dev/blob/s3blob"

	"github.com/omnidocs/omnidocs/omnidocs/jetstream"
	"github.com/omnidocs/omnidocs/omnidocs/jetstream/bucket"
	"github.com/omnidocs/omnidocs/textextraction"
)

type flags struct {
	nats, queue, results, model, device, files string
	parallel                                   int
}

// parse reads the program's arguments.
func parse(args []string) (f flags, err error) {
	set := flag.NewFlagSet("worker", flag.ContinueOnError)
	set.StringVar(&f.nats, "nats", nats.DefaultURL, "URL of the server, or several of a cluster divided by commas")
	set.StringVar(&f.queue, "queue", jetstream.DefaultName, "name of the queue")
	set.StringVar(&f.results, "results", "", "where results are kept: file:///folder, s3://bucket or gs://bucket (required)")
	set.StringVar(&f.model, "model", textextraction.TinyModel, "folder of a checkpoint, or id on the Hugging Face hub")
	set.StringVar(&f.device, "device", "", "go, xla:cpu, cuda, … (default: go for the embedded model, else the best there is)")
	set.StringVar(&f.files, "files", "", "folders that files may be read from, divided by commas (default: none)")
	set.IntVar(&f.parallel, "parallel", 4, "pages that are read together")
	return f, set.Parse(args)
}

func main() {
	f, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil { // said already
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = run(ctx, f, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags, logger *slog.Logger) (err error) {
	store, err := bucket.Open(ctx, f.results, bucket.Options{})
	if err != nil {
		return fmt.Errorf("-results: %w", err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if f.device == "" && f.model == textextraction.TinyModel {
		f.device = "go"
	}
	ex, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextVLLMConfig{
		Model: f.model, Device: f.device, MaxNumSeqs: f.parallel, EnforceEager: true, Logger: logger,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ex.Close()) }()
	q, err := jetstream.Dial(ctx, f.nats, jetstream.Config{Name: f.queue, Store: store})
	if err != nil {
		return err
	}
	defer q.Close()
	opts := jetstream.WorkerOptions{Parallel: f.parallel, Logger: logger}
	if f.files != "" {
		opts.FileRoots = strings.Split(f.files, ",")
	}
	return q.Work(ctx, ex, opts)
}
