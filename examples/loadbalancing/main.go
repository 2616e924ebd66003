// Command loadbalancing is "Multi-Function with Load Balancing" of the Python library's deployment guide: three workers read pages at the
// same time, each page goes to the one with the least to do, and every result says who read it.
//
//	go run ./examples/loadbalancing
//	go run ./examples/loadbalancing -workers http://gpu-1:8000/v1,http://gpu-2:8000/v1 -model Qwen/Qwen3-VL-8B-Instruct 1.png 2.png
//
// With no flags it starts three servers of its own with the embedded model, draws pages, and lets one of the servers fail in the middle,
// offline: its pages are read by the others. With -workers it asks servers that speak OpenAI's protocol: examples/serve, vLLM, SGLang.
// The same as a server for others is `go run ./examples/serve -workers …`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"io"
	"iter"
	"net"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/textextraction"
	"github.com/omnidocs/omnidocs/textextraction/httpapi"
)

type flags struct {
	images         []string
	workers, model string
	pages, fail    int
}

func main() {
	var f flags
	flag.StringVar(&f.workers, "workers", "", "addresses of servers, with commas; their key is in OPENAI_API_KEY (default: three that this program starts)")
	flag.StringVar(&f.model, "model", textextraction.TinyModel, "the servers' name for their model")
	flag.IntVar(&f.pages, "pages", 12, "how many pages to draw, where none are given")
	flag.IntVar(&f.fail, "fail", 3, "after how many pages the first of this program's own servers fails; 0 is never")
	flag.Parse()
	f.images = flag.Args()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, f, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "loadbalancing:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags, out io.Writer) (err error) {
	addresses, failOne := strings.Split(f.workers, ","), func() error { return nil }
	if f.workers == "" {
		own, startErr := startServers(ctx, 3)
		if startErr != nil {
			return startErr
		}
		defer func() { err = errors.Join(err, own.end()) }()
		addresses, failOne = own.addresses, own.extractors[0].Close
	}
	var workers []textextraction.Worker
	for i, address := range addresses {
		x, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextAPIConfig{
			Model: f.model, APIBase: address, MaxRetries: -1, // another worker is the better second try
		})
		if err != nil {
			return err
		}
		workers = append(workers, textextraction.Worker{Name: fmt.Sprintf("extract_%d", i), Extractor: x, MaxInFlight: 2})
	}
	pool, err := textextraction.NewPoolOf(textextraction.PoolOptions{}, workers...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()

	start, n, failed := time.Now(), 0, 0
	for res, err := range pool.Batch(ctx, failing(source(ctx, f), f.fail, failOne), textextraction.BatchOptions{}) {
		if n++; err != nil {
			failed++
			fmt.Fprintf(out, "  %v\n", err)
		} else {
			fmt.Fprintf(out, "  Worker %s: %d words\n", res.Worker, res.WordCount)
		}
	}
	fmt.Fprintf(out, "Processed %d images in parallel in %.1f s, %d failed\n", n, time.Since(start).Seconds(), failed)
	for _, w := range pool.Workers() {
		fmt.Fprintf(out, "%s: %d pages, %d failures", w.Name, w.Done, w.Failed)
		if w.LastError != "" {
			fmt.Fprintf(out, ", the last: %s", w.LastError)
		}
		fmt.Fprintln(out)
	}
	return ctx.Err()
}

// source is the pages to read: those that were given, or letters that it draws.
func source(ctx context.Context, f flags) iter.Seq2[image.Image, error] {
	if len(f.images) > 0 {
		return textextraction.Files(ctx, f.images...)
	}
	return func(yield func(image.Image, error) bool) {
		for n := range f.pages {
			p, err := tiny.DrawPage(tiny.PageOptions{Markdown: fmt.Sprintf("%d boxes of paper", n+2), Width: 384, Height: 64})
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

// failing is pages, with a worker that fails after so many have been handed out; 0 is never. It is done between two pages, so that
// pages are left for the pool to find out with.
func failing(pages iter.Seq2[image.Image, error], after int, failOne func() error) iter.Seq2[image.Image, error] {
	return func(yield func(image.Image, error) bool) {
		n := 0
		for img, err := range pages {
			if n == after && n > 0 {
				if err := failOne(); err != nil && !yield(nil, err) {
					return
				}
			}
			if n++; !yield(img, err) {
				return
			}
		}
	}
}

// servers stand for machines with a GPU each.
type servers struct {
	addresses  []string
	extractors []*textextraction.QwenTextExtractor
	end        func() error
}

// startServers starts servers with the embedded model on this machine.
func startServers(ctx context.Context, n int) (s servers, err error) {
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, n)
	s.end = func() error {
		stop()
		var errs []error
		for range s.addresses {
			errs = append(errs, <-ended)
		}
		for _, x := range s.extractors {
			errs = append(errs, x.Close())
		}
		return errors.Join(errs...)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.end())
		}
	}()
	for range n {
		x, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextVLLMConfig{Model: textextraction.TinyModel, Device: "go", MaxNumSeqs: 2, EnforceEager: true})
		if err != nil {
			return s, err
		}
		s.extractors = append(s.extractors, x)
		api, err := httpapi.New(x, httpapi.Options{Model: textextraction.TinyModel})
		if err != nil {
			return s, err
		}
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return s, err
		}
		s.addresses = append(s.addresses, "http://"+l.Addr().String()+"/v1")
		go func() { ended <- httpapi.Serve(ctx, l, api, time.Minute) }()
	}
	return s, nil
}
