// Command worker reads pages for a queue, until it is told to end:
//
//	worker -nats nats://queue:4222 -model Qwen/Qwen3-VL-8B-Instruct -device cuda -parallel 32 -files /data
//
// On SIGTERM, as Kubernetes and spot machines send it, it takes no more pages, ends those that it has, and gives back what it cannot end in time. deployment.yaml
// beside it runs it on Kubernetes, as many as there is work for; on Modal's GPUs it is run by the module omnidocs/modal, see its examples/cluster.
//
// Where the server is may be in the environment, too: NATS_URL, and in NATS_CREDS what the file of -creds would have. What is secret belongs there, and a secret of Modal's
// becomes the environment by itself.
package main

import (
	"cmp"
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
	set.StringVar(&f.nats, "nats", "", "URL of the server, or several of a cluster divided by commas (default: $NATS_URL, else "+nats.DefaultURL+")")
	set.StringVar(&f.creds, "creds", "", "file with the credentials for the server (default: what is in $NATS_CREDS, if anything)")
	set.StringVar(&f.queue, "queue", jetstream.DefaultName, "name of the queue")
	set.StringVar(&f.name, "name", "", "name of the worker (default: $MODAL_SANDBOX_ID, else that of the host and the number of the process)")
	set.StringVar(&f.model, "model", textextraction.TinyModel, "folder of a checkpoint, or id on the Hugging Face hub")
	set.StringVar(&f.device, "device", "", "go, xla:cpu, cuda, … (default: go for the embedded model, else the best there is)")
	set.StringVar(&f.files, "files", "", "folders that files may be read from, divided by commas (default: none)")
	set.IntVar(&f.parallel, "parallel", 4, "pages that are read together")
	set.IntVar(&f.tensorParallel, "tensor-parallel", 0, "devices over which the model is divided (default: 1)")
	set.Float64Var(&f.costPerHour, "cost-per-hour", 0, "what the machine costs in an hour, in dollars")
	set.DurationVar(&f.drain, "drain", jetstream.DefaultDrainTimeout, "how long to go on with the pages at hand when told to end")
	if err := set.Parse(args); err != nil {
		return f, err
	}
	// Not as defaults of the flags, which are shown with -help: the URL may have a password in it.
	f.nats = cmp.Or(f.nats, os.Getenv("NATS_URL"), nats.DefaultURL)
	f.name = cmp.Or(f.name, os.Getenv("MODAL_SANDBOX_ID")) // there all hosts may have the same name
	return f, nil
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
	} else if creds := os.Getenv("NATS_CREDS"); creds != "" {
		options = append(options, nats.UserCredentialBytes([]byte(creds)))
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
