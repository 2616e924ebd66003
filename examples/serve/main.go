// Command serve serves a model over HTTP: pictures and PDFs in, text out, for OpenAI's clients too, with a page to try it on.
//
//	go run ./examples/serve                                    # the embedded model, at http://127.0.0.1:8080/
//	curl --data-binary @page.png http://127.0.0.1:8080/v1/extract
//
//	OMNIDOCS_TOKEN=secret go run ./examples/serve -addr :8080 -model Qwen/Qwen3-VL-8B-Instruct -device cuda -slots 32
//
// With -workers it is the balancer in front of other servers, which it asks for pages by OpenAI's protocol:
//
//	go run ./examples/serve -workers http://gpu-1:8080/v1,http://gpu-2:8080/v1
//
// An interrupt (SIGINT, SIGTERM) ends it when the pages that are under way have been read.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/textextraction"
	"github.com/omnidocs/omnidocs/textextraction/httpapi"
)

type flags struct {
	addr, model, device, dtype, quantization, workers string
	slots, devices, tensorParallel                    int
	grace                                             time.Duration
}

func main() {
	var f flags
	flag.StringVar(&f.addr, "addr", "127.0.0.1:8080", "address to listen at; :8080 is every address of this machine")
	flag.StringVar(&f.model, "model", textextraction.TinyModel, "folder of a checkpoint, or id on the Hugging Face hub")
	flag.StringVar(&f.device, "device", "", "go, xla:cpu, cuda, … (default: go for the embedded model, else the best there is)")
	flag.StringVar(&f.dtype, "dtype", "", "type of the weights: float32, bfloat16, float16 (default: what suits the device)")
	flag.StringVar(&f.quantization, "quantization", "", "int8, or nothing")
	flag.IntVar(&f.slots, "slots", 4, "pages that are read together")
	flag.IntVar(&f.devices, "devices", 0, "devices to use in all (default: those of -tensor-parallel)")
	flag.IntVar(&f.tensorParallel, "tensor-parallel", 0, "devices that a model is divided among (default: 1)")
	flag.StringVar(&f.workers, "workers", "", "servers to ask in place of a model here, with commas")
	flag.DurationVar(&f.grace, "grace", 5*time.Minute, "how long what is under way may take in the end")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	err := run(ctx, f, os.Getenv("OMNIDOCS_TOKEN"), log, func(address string) { log.Info("serving", "address", "http://"+address+"/", "model", f.model) })
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends. listening is called with the address.
func run(ctx context.Context, f flags, token string, log *slog.Logger, listening func(address string)) (err error) {
	x, err := extractor(ctx, f, token, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	readers := 1 + strings.Count(f.workers, ",")
	o := httpapi.Options{Model: f.model, Concurrency: 2 * f.slots * readers, Logger: log, Documents: open}
	if token != "" {
		o.Tokens = []string{token}
	}
	api, err := httpapi.New(x, o)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.addr)
	if err != nil {
		return err
	}
	listening(l.Addr().String())
	return httpapi.Serve(ctx, l, api, f.grace)
}

// open opens PDFs and pictures with several pages.
func open(ctx context.Context, name string, data []byte) (httpapi.Document, error) {
	d, err := omnidocs.FromBytes(ctx, data, name, omnidocs.LoadOptions{})
	if err != nil {
		return nil, err // not a nil *omnidocs.Document in a Document
	}
	return d, nil
}

// extractor is the model here, or a pool of those elsewhere.
func extractor(ctx context.Context, f flags, token string, log *slog.Logger) (textextraction.TextExtractor, error) {
	if f.workers == "" {
		if f.device == "" && f.model == textextraction.TinyModel {
			f.device = "go" // it is so small that starting XLA takes longer than reading a page
		}
		return textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextVLLMConfig{
			Model: f.model, Device: f.device, TorchDtype: f.dtype, Quantization: f.quantization, MaxNumSeqs: f.slots,
			Devices: f.devices, TensorParallelSize: f.tensorParallel, Logger: log,
		})
	}
	var workers []textextraction.Worker
	for _, base := range strings.Split(f.workers, ",") {
		x, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextAPIConfig{
			Model: f.model, APIBase: base, APIKey: token, MaxConcurrency: f.slots, MaxRetries: -1, Logger: log, // the pool retries elsewhere
		})
		if err != nil {
			return nil, err
		}
		workers = append(workers, textextraction.Worker{Name: base, Extractor: x, MaxInFlight: f.slots, Health: ready(base)})
	}
	return textextraction.NewPoolOf(textextraction.PoolOptions{Logger: log}, workers...)
}

// ready asks a server whether it takes pages.
func ready(base string) func(context.Context) error {
	at := strings.TrimSuffix(strings.TrimSuffix(base, "/"), "/v1") + "/readyz"
	return func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", at, res.Status)
		}
		return nil
	}
}
