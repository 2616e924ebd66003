// Command worker reads pages for a queue, until it is told to end:
//
//	worker -nats nats://queue:4222 -model Qwen/Qwen3-VL-8B-Instruct -device cuda -parallel 32 -files /data
//
// On SIGTERM, as Kubernetes and spot machines send it, it takes no more pages, ends those that it has, and gives back what it cannot end in time. deployment.yaml
// beside it runs it on Kubernetes, as many as there is work for.
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
	"time"

	"github.com/nats-io/nats.go"

	"github.com/omnidocs/omnidocs/omnidocs/jetstream"
	"github.com/omnidocs/omnidocs/textextraction"
)

type flags struct {
	nats, creds, queue, name, model, device, files string
	parallel, tensorParallel                       int
	costPerHour                                    float64
	drain                                          time.Duration
}

// parse reads the program's arguments.
func parse(args []string) (f flags, err error) {
	set := flag.NewFlagSet("worker", flag.ContinueOnError)
	set.StringVar(&f.nats, "nats", nats.DefaultURL, "URL of the server, or several of a cluster divided by commas")
	set.StringVar(&f.creds, "creds", "", "file with the credentials for the server")
	set.StringVar(&f.queue, "queue", jetstream.DefaultName, "name of the queue")
	set.StringVar(&f.name, "name", "", "name of the worker (default: that of the host)")
	set.StringVar(&f.model, "model", textextraction.TinyModel, "folder of a checkpoint, or id on the Hugging Face hub")
	set.StringVar(&f.device, "device", "", "go, xla:cpu, cuda, … (default: go for the embedded model, else the best there is)")
	set.StringVar(&f.files, "files", "", "folders that files may be read from, divided by commas (default: none)")
	set.IntVar(&f.parallel, "parallel", 4, "pages that are read together")
	set.IntVar(&f.tensorParallel, "tensor-parallel", 0, "devices over which the model is divided (default: 1)")
	set.Float64Var(&f.costPerHour, "cost-per-hour", 0, "what the machine costs in an hour, in dollars")
	set.DurationVar(&f.drain, "drain", jetstream.DefaultDrainTimeout, "how long to go on with the pages at hand when told to end")
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
	if f.device == "" && f.model == textextraction.TinyModel {
		f.device = "go"
	}
	ex, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextVLLMConfig{
		Model: f.model, Device: f.device, MaxNumSeqs: f.parallel, TensorParallelSize: f.tensorParallel, EnforceEager: true, Logger: logger,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ex.Close()) }()
	var options []nats.Option
	if f.creds != "" {
		options = append(options, nats.UserCredentials(f.creds))
	}
	q, err := jetstream.Dial(ctx, f.nats, jetstream.Config{Name: f.queue}, options...)
	if err != nil {
		return err
	}
	defer q.Close()
	opts := jetstream.WorkerOptions{Name: f.name, Parallel: f.parallel, CostPerHour: f.costPerHour, DrainTimeout: f.drain, Logger: logger}
	if f.files != "" {
		opts.FileRoots = strings.Split(f.files, ",")
	}
	return q.Work(ctx, ex, opts)
}
