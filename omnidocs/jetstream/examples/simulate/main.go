// Command simulate shows how a queue behaves under many pages, on one machine: the queue, its server and its workers are real, only the model is not. Pages take as long as
// those that it reads first, with the embedded model, took, scaled to the mean of a real model and sped up.
//
//	go run ./examples/simulate -pages 1000000
//
// SCALE.md, in the folder of the module, has what it printed and what follows from it.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	js "github.com/nats-io/nats.go/jetstream"

	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/omnidocs/jetstream"
	"github.com/omnidocs/omnidocs/omnidocs/jetstream/embedded"
	"github.com/omnidocs/omnidocs/textextraction"
)

type flags struct {
	pages, perDocument, perTask, workers, parallel, measure int
	mean                                                    time.Duration
	speedup                                                 float64
	serve                                                   string
}

func main() {
	var f flags
	flag.IntVar(&f.pages, "pages", 100_000, "pages in all")
	flag.IntVar(&f.perDocument, "per-document", 30, "pages of a document")
	flag.IntVar(&f.perTask, "per-task", 1, "pages that are handed out together")
	flag.IntVar(&f.workers, "workers", 6, "workers")
	flag.IntVar(&f.parallel, "parallel", 32, "pages that a worker reads together")
	flag.IntVar(&f.measure, "measure", 40, "pages that are read first, with the embedded model, to learn how times are distributed")
	flag.DurationVar(&f.mean, "mean", 8*time.Second, "mean time of a page among -parallel")
	flag.Float64Var(&f.speedup, "speedup", 1000, "how much faster than that they are")
	flag.StringVar(&f.serve, "serve", "", "") // what the program starts itself with, to be the server
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, f, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "simulate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags, out io.Writer) (err error) {
	if f.serve != "" {
		return serve(ctx, f.serve, out)
	}
	times, err := measure(ctx, f.measure, out)
	if err != nil {
		return err
	}
	ex := &fake{times: scale(times, time.Duration(float64(f.mean)/f.speedup))}

	dir, err := os.MkdirTemp("", "omnidocs-simulate-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	server, url, err := start(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { _ = server.Process.Kill(); _ = server.Wait() }()
	q, err := jetstream.Dial(ctx, url, jetstream.Config{})
	if err != nil {
		return err
	}
	defer q.Close()

	begun := time.Now()
	job, err := q.Submit(ctx, "simulation", documents(f), jetstream.JobOptions{PagesPerTask: f.perTask})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d documents submitted in %v\n", job.Documents, time.Since(begun).Round(time.Millisecond))

	var workers sync.WaitGroup
	working, enough := context.WithCancel(ctx)
	defer func() { enough(); workers.Wait() }()
	for n := range f.workers {
		workers.Go(func() {
			if fault := work(working, url, n, f, ex); fault != nil {
				fmt.Fprintln(out, "worker:", fault)
			}
		})
	}
	begun = time.Now()
	peak, told := 0, time.Time{}
	status, err := q.Wait(ctx, job.ID, func(s jetstream.Status) {
		peak = max(peak, resident(server.Process.Pid))
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			fmt.Fprintln(out, s)
		}
	})
	if err != nil {
		return err
	}
	took := time.Since(begun)
	ideal := time.Duration(float64(f.mean) / f.speedup * float64(f.pages) / float64(f.workers*f.parallel))
	fmt.Fprintf(out, "%d pages, %d failed, in %v: %.0f pages/s; workers that need not wait for anything would have taken %v (%.0f %%)\n",
		status.Ended, status.Failed, took.Round(time.Millisecond), float64(status.Ended)/took.Seconds(), ideal.Round(time.Millisecond), 100*ideal.Seconds()/took.Seconds())
	fmt.Fprintf(out, "the server: at most %d MiB of memory, %.0f s of CPU time\n", peak>>20, cpu(server.Process.Pid))
	return disk(ctx, url, f.pages, out)
}

// work is a worker.
func work(ctx context.Context, url string, n int, f flags, ex *fake) error {
	q, err := jetstream.Dial(ctx, url, jetstream.Config{})
	if err != nil {
		return err
	}
	defer q.Close()
	return q.Work(ctx, ex, jetstream.WorkerOptions{
		Name: fmt.Sprintf("worker-%d", n), Parallel: f.parallel, Prefetch: f.parallel, Openers: map[string]jetstream.Opener{"drawn": drawn},
	})
}

// documents yields the job's documents: each is its first page's number and how many there are.
func documents(f flags) func(yield func(jetstream.Document, error) bool) {
	return func(yield func(jetstream.Document, error) bool) {
		for first := 0; first < f.pages; first += f.perDocument {
			name := fmt.Sprintf("%d+%d", first, min(f.perDocument, f.pages-first))
			if !yield(jetstream.Document{Source: jetstream.Source{Kind: "drawn", Name: name}}, nil) {
				return
			}
		}
	}
}

// drawn opens a document, whose pages are small pictures, no two alike.
func drawn(_ context.Context, name string, _ omnidocs.LoadOptions) (*omnidocs.Document, error) {
	var first, count int
	if _, err := fmt.Sscanf(name, "%d+%d", &first, &count); err != nil {
		return nil, err
	}
	pages := make([]image.Image, count)
	for i := range pages {
		n := first + i
		img := image.NewRGBA(image.Rect(0, 0, 8, 4))
		img.SetRGBA(3, 2, color.RGBA{uint8(n >> 16), uint8(n >> 8), uint8(n), 255})
		pages[i] = img
	}
	return omnidocs.NewImageDocument(name, pages...)
}

// fake is an extractor that takes its time, and writes as much as there is on a page.
type fake struct {
	textextraction.TextExtractor // what workers do not call
	times                        []time.Duration
}

// text is 400 words that are not all the same, as a page has them.
var text = func() string {
	r := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // it is no secret
	var b strings.Builder
	for range 400 {
		fmt.Fprintf(&b, "%x ", r.Uint32()&0xffffff)
	}
	return b.String()
}()

func (f *fake) ExtractWith(ctx context.Context, img image.Image, opts textextraction.Options) (*textextraction.ExtractResult, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(f.times[rand.IntN(len(f.times))]): //nolint:gosec // it is no secret
	}
	return textextraction.NewExtractResult(text, opts.Format), nil
}

// Fingerprint says who reads.
func (f *fake) Fingerprint(context.Context, textextraction.Options) (string, error) {
	return "simulation", nil
}

// measure reads letters of different lengths with the embedded model, and returns how long each took.
func measure(ctx context.Context, pages int, out io.Writer) (times []time.Duration, err error) {
	ex, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextPyTorchConfig{Model: textextraction.TinyModel, Device: "go"})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ex.Close()) }()
	for n := range pages {
		p, err := tiny.DrawPage(tiny.PageOptions{Markdown: tiny.SampleLetter(n)})
		if err != nil {
			return nil, err
		}
		r, err := ex.Extract(ctx, p.Image, textextraction.Markdown)
		if err != nil {
			return nil, err
		}
		times = append(times, r.Timings.Total)
	}
	slices.Sort(times)
	at := func(q float64) time.Duration { return times[int(q*float64(len(times)-1))].Round(time.Millisecond) }
	fmt.Fprintf(out, "%d pages with the embedded model, one at a time: median %v, 10 %% below %v, 10 %% above %v, longest %v\n", pages, at(0.5), at(0.1), at(0.9), at(1))
	return times, nil
}

// scale gives times another mean.
func scale(times []time.Duration, mean time.Duration) []time.Duration {
	var sum time.Duration
	for _, t := range times {
		sum += t
	}
	scaled := make([]time.Duration, len(times))
	for i, t := range times {
		scaled[i] = time.Duration(float64(t) * float64(mean) * float64(len(times)) / float64(sum))
	}
	return scaled
}

// serve is the server, until ctx ends or it is killed.
func serve(ctx context.Context, dir string, out io.Writer) error {
	s, err := embedded.Start(embedded.Options{Dir: dir})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, s.URL())
	<-ctx.Done()
	return s.Close()
}

// start starts a server as a process of its own, so that its memory is its own.
func start(ctx context.Context, dir string) (server *exec.Cmd, url string, err error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	server = exec.CommandContext(ctx, exe, "-serve", dir) //nolint:gosec // this program
	server.Stderr = os.Stderr
	said, err := server.StdoutPipe()
	if err == nil {
		err = server.Start()
	}
	if err == nil {
		url, err = bufio.NewReader(said).ReadString('\n')
	}
	return server, strings.TrimSpace(url), err
}

// resident is how many bytes of memory a process has; 0 where the system does not say.
func resident(pid int) int {
	var kib int
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(data); m != nil {
		_, _ = fmt.Sscan(string(m[1]), &kib)
	}
	return kib << 10
}

// cpu is how many seconds of processor time a process has had; 0 where the system does not say.
func cpu(pid int) float64 {
	const ticks = 100 // a second, on Linux
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	var user, system float64
	_, _ = fmt.Sscan(fields[11], &user)
	_, _ = fmt.Sscan(fields[12], &system)
	return (user + system) / ticks
}

// disk tells what the streams hold.
func disk(ctx context.Context, url string, pages int, out io.Writer) error {
	nc, err := jetstream.Connect(url)
	if err != nil {
		return err
	}
	defer nc.Close()
	api, err := js.New(nc)
	if err != nil {
		return err
	}
	for _, name := range []string{"omnidocs-work", "omnidocs-ledger", "omnidocs-results", "omnidocs-index"} {
		s, err := api.Stream(ctx, name)
		if err != nil {
			return err
		}
		state := s.CachedInfo().State
		fmt.Fprintf(out, "%s: %d messages, %d subjects, %d MB, %.0f bytes a page\n", name, state.Msgs, state.NumSubjects, state.Bytes/1e6, float64(state.Bytes)/float64(pages))
	}
	return nil
}
