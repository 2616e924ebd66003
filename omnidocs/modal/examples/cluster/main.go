// Command cluster reads documents in sandboxes of Modal that pull them from a queue, a NATS JetStream server. It is a module of its own, so
// that omnidocs/modal and omnidocs/jetstream need not each other. In its folder:
//
//	go run .           # offline: a Modal and a NATS server on this machine, the embedded model, three sandboxes
//	go run . -kill     # one of them dies in the middle, and another takes its place: each page comes once
//
//	CGO_ENABLED=1 go build -o /tmp/worker github.com/omnidocs/omnidocs/omnidocs/jetstream/examples/worker # for linux/amd64
//	modal secret create nats-worker NATS_URL=tls://queue.example.com:4222 NATS_CREDS="$(cat worker.creds)"
//	NATS_URL=tls://queue.example.com:4222 NATS_CREDS="$(cat me.creds)" go run . -modal -program /tmp/worker -sandboxes 10 *.pdf
//	go run . -modal -reap # ends what a run that was killed has left
//
// Modal's machines are somewhere on the internet, and so the server must be reached from there: with TLS, and with credentials that let
// workers do no more than they must. Workers find both in their environment, which Modal fills from a secret: in arguments everybody would
// see them who may list the sandboxes. The documents go through the queue's store of objects. With -modal it costs money.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"image/png"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/omnidocs/jetstream"
	"github.com/omnidocs/omnidocs/omnidocs/jetstream/embedded"
	"github.com/omnidocs/omnidocs/omnidocs/modal"
	"github.com/omnidocs/omnidocs/omnidocs/modal/modaltest"
)

type flags struct {
	config                    modal.Config
	sandboxes, pages          int
	model, secret             string
	modal, kill, reap, logged bool
	files                     []string
}

func main() {
	var f flags
	c := &f.config
	flag.BoolVar(&f.modal, "modal", false, "use Modal's GPUs and the server of $NATS_URL, and not those on this machine")
	flag.IntVar(&f.sandboxes, "sandboxes", 3, "how many workers to start")
	flag.StringVar(&c.GPU, "gpu", modal.DefaultGPU, "GPU of each, TYPE:NUMBER, or none")
	flag.StringVar(&f.model, "model", modal.DefaultModel, "id on the Hugging Face hub (offline it is the embedded model)")
	flag.StringVar(&c.Program, "program", "", "the worker, built for linux/amd64, to put into the image")
	flag.StringVar(&f.secret, "secret", "nats-worker", "Modal's secret with NATS_URL and NATS_CREDS, besides "+modal.DefaultSecret)
	flag.StringVar(&c.Fleet, "fleet", "cluster", "name by which -reap finds the sandboxes")
	flag.DurationVar(&c.Lifetime, "lifetime", modal.DefaultLifetime, "when Modal ends a sandbox by itself; it is replaced then")
	flag.BoolVar(&f.reap, "reap", false, "end the sandboxes of the fleet's name that still run, and do no more")
	flag.BoolVar(&f.kill, "kill", false, "offline: let a sandbox die in the middle")
	flag.IntVar(&f.pages, "pages", 12, "how many pages to draw, where no files are given")
	flag.BoolVar(&f.logged, "v", false, "log what sandboxes write")
	flag.Parse()
	f.files = flag.Args()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, f, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "omnidocs-cluster-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	o := modal.Options{}
	if f.logged {
		o.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	url, queue := cmp.Or(os.Getenv("NATS_URL"), nats.DefaultURL), jetstream.Config{}
	var fake *modaltest.Server
	if f.modal {
		f.config.Secrets = []string{modal.DefaultSecret, f.secret}
		f.config.Args = []string{"-model", f.model, "-device", "cuda", "-parallel", "32"}
	} else {
		server, err := embedded.Start(embedded.Options{Dir: filepath.Join(dir, "nats")})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, server.Close()) }()
		url = server.URL()
		queue.AckWait = 5 * time.Second // soon enough to watch
		if fake, err = offline(ctx, &f, dir, url); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, fake.Close()) }()
		o.HTTPClient = fake.HTTPClient()
	}
	client, err := modal.Open(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	left, err := client.Reap(ctx, f.config.App, f.config.Fleet) // of a run that was killed
	if err != nil {
		return err
	}
	for _, id := range left {
		fmt.Fprintln(out, "ended", id)
	}
	if f.reap {
		return nil
	}
	var options []nats.Option
	if creds := os.Getenv("NATS_CREDS"); creds != "" {
		options = append(options, nats.UserCredentialBytes([]byte(creds)))
	}
	q, err := jetstream.Dial(ctx, url, queue, options...)
	if err != nil {
		return err
	}
	defer q.Close()
	if len(f.files) == 0 {
		if f.files, err = draw(dir, f.pages); err != nil {
			return err
		}
	}
	if err := read(ctx, client, q, f, fake, out); err != nil {
		return err
	}
	if fake != nil {
		fmt.Fprintf(out, "%d sandboxes are left\n", len(fake.Running()))
	}
	return nil
}

// offline starts a Modal on this machine and builds the program for its sandboxes.
func offline(ctx context.Context, f *flags, dir, url string) (*modaltest.Server, error) {
	c := &f.config
	c.Program, c.Secrets, c.Args = filepath.Join(dir, "worker"), []string{"nats-worker"}, []string{"-parallel", "2"}
	build := exec.CommandContext(ctx, "go", "build", "-o", c.Program, "github.com/omnidocs/omnidocs/omnidocs/jetstream/examples/worker")
	if said, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("the worker is built by go build, in the folder of this module: %w\n%s", err, said)
	}
	fake, err := modaltest.New(modaltest.Options{})
	if err != nil {
		return nil, err
	}
	fake.AddSecret("nats-worker", map[string]string{"NATS_URL": url})
	for name, value := range fake.Env() {
		if err := os.Setenv(name, value); err != nil {
			return nil, errors.Join(err, fake.Close())
		}
	}
	return fake, nil
}

// read submits the files as a job, and has workers read it.
func read(ctx context.Context, client *modal.Client, q *jetstream.Queue, f flags, fake *modaltest.Server, out io.Writer) (err error) {
	var sources []jetstream.Source
	for _, name := range f.files {
		s, err := q.Upload(ctx, filepath.Base(name), name)
		if err != nil {
			return err
		}
		sources = append(sources, s)
	}
	job, err := q.Submit(ctx, "", jetstream.Documents(sources...), jetstream.JobOptions{})
	if err != nil {
		return err
	}
	workers, err := client.StartWorkers(ctx, f.sandboxes, f.config, modal.WorkersOptions{Replace: f.sandboxes})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, workers.Close()) }()
	waiting, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() { stop(errors.Join(errors.New("no worker is left"), workers.Wait(waiting))) }()
	kill := f.kill && fake != nil
	status, err := q.Wait(waiting, job.ID, func(s jetstream.Status) {
		fmt.Fprintf(out, "%d of %d pages, %d workers\n", s.Ended, s.PagesExpected, len(workers.Running()))
		if kill && s.Ended > 0 {
			kill = false
			if err := killReader(waiting, q, job.ID, fake); err != nil {
				stop(err)
			}
		}
	})
	if err != nil {
		return errors.Join(err, context.Cause(waiting))
	}
	if err := tell(ctx, q, job.ID, out); err != nil {
		return err
	}
	for _, death := range workers.Deaths() {
		fmt.Fprintln(out, death)
	}
	fmt.Fprintf(out, "%d pages in %.1f s, %d failed\n", status.Ended, status.Elapsed.Seconds(), status.Failed)
	return workers.Close()
}

// killReader kills a sandbox that has read a page and is reading the next.
func killReader(ctx context.Context, q *jetstream.Queue, job string, fake *modaltest.Server) error {
	for o, err := range q.Outcomes(ctx, job) {
		if err != nil {
			return err
		}
		return fake.Kill(o.Worker)
	}
	return nil
}

// tell says what the pages have in their first lines, and who has read them.
func tell(ctx context.Context, q *jetstream.Queue, job string, out io.Writer) error {
	for o, err := range q.Outcomes(ctx, job) {
		if err != nil {
			return err
		}
		if o.Fault != nil {
			fmt.Fprintf(out, "[%d.%d] %s\n", o.Document+1, o.Page+1, o.Fault.Message)
			continue
		}
		result, err := q.Result(ctx, o)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "[%d.%d] %d words, by %s\n", o.Document+1, o.Page+1, result.WordCount, o.Worker)
	}
	return nil
}

// draw draws letters, a file each.
func draw(dir string, n int) (files []string, err error) {
	for i := range n {
		p, err := tiny.DrawPage(tiny.PageOptions{Markdown: fmt.Sprintf("# Order %d\n\n%d boxes of paper", 4711+i, i+2), Width: 384, Height: 128})
		if err != nil {
			return nil, err
		}
		name := filepath.Join(dir, fmt.Sprintf("order-%d.png", 4711+i))
		f, err := os.Create(name)
		if err != nil {
			return nil, err
		}
		if err := errors.Join(png.Encode(f, p.Image), f.Close()); err != nil {
			return nil, err
		}
		files = append(files, name)
	}
	return files, nil
}
