// Command sandboxes is the "Standard Setup" and "Multi-GPU Deployment" of OmniDocs' guide for Modal, from Go alone: it starts sandboxes with
// GPUs, has them read pages as one extractor, and ends them.
//
//	go run ./examples/sandboxes                                    # offline: a Modal on this machine, the embedded model, three sandboxes
//	go run ./examples/sandboxes -kill                              # one of them dies in the middle, and no page is lost
//
//	CGO_ENABLED=1 go build -C ../.. -o /tmp/serve ./examples/serve # for linux/amd64
//	go run ./examples/sandboxes -modal -program /tmp/serve -model Qwen/Qwen3-VL-8B-Instruct -gpu A10G:1 page.png
//	go run ./examples/sandboxes -modal -vllm v0.11.0 -model Qwen/Qwen3-VL-8B-Instruct -gpu A10G:2 -sandboxes 1 page.png
//	go run ./examples/sandboxes -modal -reap                       # ends what a run that was killed has left
//
// With -modal it costs money: the token is that of "modal token new", and the secret is made by "modal secret create
// adithya-hf-wandb HF_TOKEN=hf_…" (-no-secret does without). The first start downloads the model into the volume.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"io"
	"iter"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/omnidocs/modal"
	"github.com/omnidocs/omnidocs/omnidocs/modal/modaltest"
	"github.com/omnidocs/omnidocs/textextraction"
)

type flags struct {
	config                              modal.Config
	sandboxes, pages                    int
	vllm                                string
	modal, kill, reap, noSecret, logged bool
	images                              []string
}

func main() {
	var f flags
	c := &f.config
	flag.BoolVar(&f.modal, "modal", false, "use Modal's GPUs, and not the Modal on this machine")
	flag.IntVar(&f.sandboxes, "sandboxes", 3, "how many to start")
	flag.StringVar(&c.GPU, "gpu", modal.DefaultGPU, "GPU of each, TYPE:NUMBER, or none")
	flag.IntVar(&c.TensorParallel, "tensor-parallel", 0, "GPUs that a model is divided among (default: all of a sandbox)")
	flag.StringVar(&c.Model, "model", "", "id on the Hugging Face hub (default: with -modal "+modal.DefaultModel+", else the embedded model)")
	flag.StringVar(&c.Program, "program", "", "examples/serve, built for linux/amd64, to put into the image")
	flag.StringVar(&c.Image.Registry, "image", "", "image of a registry; with no -program it must have examples/serve")
	flag.StringVar(&f.vllm, "vllm", "", "tag of vLLM's image, to read with vLLM in place of our program")
	flag.StringVar(&c.App, "app", modal.DefaultApp, "Modal's app")
	flag.StringVar(&c.Fleet, "fleet", "example", "name by which -reap finds the sandboxes")
	flag.BoolVar(&f.noSecret, "no-secret", false, "do without the secret "+modal.DefaultSecret)
	flag.DurationVar(&c.Lifetime, "lifetime", modal.DefaultLifetime, "when Modal ends a sandbox by itself")
	flag.BoolVar(&f.reap, "reap", false, "end the sandboxes of the fleet's name that still run, and do no more")
	flag.BoolVar(&f.kill, "kill", false, "offline: let a sandbox die in the middle")
	flag.IntVar(&f.pages, "pages", 24, "how many pages to draw, where none are given")
	flag.BoolVar(&f.logged, "v", false, "log what sandboxes write")
	flag.Parse()
	f.images = flag.Args()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, f, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sandboxes:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags, out io.Writer) (err error) {
	o := modal.Options{}
	if f.logged {
		o.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	var fake *modaltest.Server
	if !f.modal {
		if fake, err = offline(ctx, &f); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(filepath.Dir(f.config.Program)), fake.Close()) }()
		o.HTTPClient = fake.HTTPClient()
		fmt.Fprintln(out, "offline: a Modal on this machine, whose sandboxes are processes with the embedded model")
	}
	if f.noSecret {
		f.config.Secrets = []string{}
	}
	if f.vllm != "" {
		f.config = modal.VLLM(f.config, f.vllm)
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
	if err := read(ctx, client, f, fake, out); err != nil {
		return err
	}
	if fake != nil {
		fmt.Fprintf(out, "%d sandboxes are left\n", len(fake.Running()))
	}
	return nil
}

// offline starts a Modal on this machine and builds the program for its sandboxes.
func offline(ctx context.Context, f *flags) (*modaltest.Server, error) {
	c := &f.config
	c.Model, c.Device, c.Secrets = textextraction.TinyModel, "go", []string{}
	c.Image, f.vllm = modal.Image{}, ""
	gpu, err := modal.ParseGPU(c.GPU)
	if err != nil {
		return nil, err
	}
	if gpu.Count > 1 {
		return nil, errors.New("offline a sandbox has one GPU, which is the processor: -gpu A10G:1, or -modal")
	}
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/omnidocs/omnidocs").Output()
	if err != nil {
		return nil, fmt.Errorf("the library is looked for with go list, in the folder of this module: %w", err)
	}
	dir, err := os.MkdirTemp("", "omnidocs-sandboxes-")
	if err != nil {
		return nil, err
	}
	c.Program = filepath.Join(dir, "serve")
	build := exec.CommandContext(ctx, "go", "build", "-o", c.Program, "./examples/serve")
	build.Dir = strings.TrimSpace(string(root))
	if said, err := build.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("go build ./examples/serve: %w\n%s", err, said), os.RemoveAll(dir))
	}
	fake, err := modaltest.New(modaltest.Options{})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	for name, value := range fake.Env() {
		if err := os.Setenv(name, value); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir), fake.Close())
		}
	}
	return fake, nil
}

// read reads the pages in a fleet of sandboxes.
func read(ctx context.Context, client *modal.Client, f flags, fake *modaltest.Server, out io.Writer) (err error) {
	start := time.Now()
	fleet, err := client.Start(ctx, f.sandboxes, f.config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fleet.Close()) }()
	fmt.Fprintf(out, "%d sandboxes with %s are ready after %.1f s\n", f.sandboxes, f.config.GPU, time.Since(start).Seconds())
	start = time.Now()
	n, failed := 0, 0
	for r, err := range fleet.Batch(ctx, source(ctx, f), textextraction.BatchOptions{}) {
		if n++; err != nil {
			failed++
			fmt.Fprintf(out, "[%d] %v\n", n, err)
			continue
		}
		title, _, _ := strings.Cut(r.Content, "\n")
		fmt.Fprintf(out, "[%d] %s: %d words, by %s\n", n, title, r.WordCount, r.Worker)
		if n == 1 && f.kill && fake != nil {
			if err := fake.Kill(r.Worker); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(out, "%d pages in %.1f s, %d failed\n", n, time.Since(start).Seconds(), failed)
	for _, death := range fleet.Deaths() {
		fmt.Fprintln(out, death)
	}
	for _, w := range fleet.Workers() {
		fmt.Fprintf(out, "%s: %d pages, well: %t\n", w.Name, w.Done, w.Well)
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d pages failed", failed, n)
	}
	return nil
}

// source is the pages to read: those that were given, or letters that it draws.
func source(ctx context.Context, f flags) iter.Seq2[image.Image, error] {
	if len(f.images) > 0 {
		return textextraction.Files(ctx, f.images...)
	}
	return func(yield func(image.Image, error) bool) {
		for n := range f.pages {
			p, err := tiny.DrawPage(tiny.PageOptions{Markdown: fmt.Sprintf("# Order %d\n\n%d boxes of paper", 4711+n, n+2), Width: 384, Height: 128})
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(p.Image, nil) {
				return
			}
		}
	}
}
