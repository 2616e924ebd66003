// Command throughput reads a mix of small and large pages with short and long answers through the engine, and prints one JSON
// line: how many pages and tokens a second that makes, and how long a page took.
//
//	go run ./examples/throughput -model DIR -image PAGE.png -pages 16 -batch 8 -device xla:cpu -dtype int8
//
// The mix is fixed: pages of 128 to 672 visual tokens, answers of 16 to 256 tokens. static_batches.py beside this file does the same
// with Hugging Face transformers in static batches. The model should be one that does not end its answers itself, such as one
// with random weights.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"image"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"time"

	"golang.org/x/image/draw"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/textextraction"
)

// The mix: the pages' sizes in visual tokens of 32×32 pixels, and the lengths of their answers.
var (
	sizes   = []image.Point{{8, 16}, {12, 16}, {16, 22}, {20, 24}, {24, 28}, {16, 20}, {22, 30}, {14, 18}}
	answers = []int{16, 48, 96, 160, 256, 32, 128, 64}
)

type report struct {
	Engine   string  `json:"engine"`
	Device   string  `json:"device"`
	DType    string  `json:"dtype"`
	Pages    int     `json:"pages"`
	Batch    int     `json:"batch"`
	Tokens   int     `json:"tokens"`
	Seconds  float64 `json:"seconds"`
	PageRate float64 `json:"pages_per_s"`
	Rate     float64 `json:"tokens_per_s"`
	Median   float64 `json:"page_s_median"`
	Steps    int64   `json:"steps"`       // calls of the model that wrote tokens
	Active   float64 `json:"mean_active"` // pages in one of them, on average
}

func main() {
	var o backend.LoadOptions
	var path string
	pages := flag.Int("pages", 16, "number of pages")
	flag.StringVar(&o.Model, "model", "", "folder of a checkpoint")
	flag.StringVar(&path, "image", "", "page image, which is scaled to the sizes of the mix")
	flag.StringVar(&o.Device, "device", "", "go, xla:cpu, cuda; empty chooses")
	flag.StringVar(&o.DType, "dtype", "", "float32, bfloat16, float16, or int8")
	flag.IntVar(&o.MaxBatch, "batch", 8, "pages written together")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if o.DType == backend.QuantizationInt8 {
		o.DType, o.Quantization = "", backend.QuantizationInt8
	}
	o.VisionCache, o.PrefixCache = -1, -1 // all pages are one picture
	r, err := run(ctx, o, path, *pages)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(r)
	}
	if err != nil {
		slog.Error("throughput", "error", err)
		stop()
		os.Exit(1) //nolint:gocritic // the deferred stop has just been called
	}
}

func run(ctx context.Context, o backend.LoadOptions, path string, pages int) (_ report, err error) {
	img, err := textextraction.LoadImage(ctx, path)
	if err != nil {
		return report{}, err
	}
	e, err := backend.Load(ctx, o)
	if err != nil {
		return report{}, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	var requests []backend.Request
	for i := range pages {
		// The second round has the answers in another order.
		size, answer := sizes[i%len(sizes)].Mul(32), answers[(i+i/len(answers)*3)%len(answers)]
		page := image.NewRGBA(image.Rectangle{Max: size})
		draw.BiLinear.Scale(page, page.Bounds(), img, img.Bounds(), draw.Src, nil)
		requests = append(requests, backend.Request{Image: page, Prompt: "qwenvl markdown", MaxNewTokens: answer, CheckpointBounds: true,
			// A model with random weights writes loops, and all of an answer counts.
			Repetition: backend.Repetition{Off: true}})
	}
	// A first round compiles.
	if err := e.Generate(ctx, requests, func(int, backend.Output, error) {}); err != nil {
		return report{}, err
	}
	r := report{Engine: "omnidocs", Device: e.Info().Device, DType: e.Info().DType, Pages: pages, Batch: o.MaxBatch}
	var times []time.Duration
	var failed error
	before := e.Stats() //nolint:contextcheck // it takes none
	start := time.Now()
	err = e.Generate(ctx, requests, func(_ int, out backend.Output, err error) {
		failed = errors.Join(failed, err)
		r.Tokens += len(out.Tokens)
		times = append(times, out.Timings.Total)
	})
	if err := errors.Join(err, failed); err != nil {
		return report{}, err
	}
	r.Seconds = time.Since(start).Seconds()
	r.PageRate, r.Rate = float64(pages)/r.Seconds, float64(r.Tokens)/r.Seconds
	after := e.Stats() //nolint:contextcheck // it takes none
	r.Steps = after.Slots.Steps - before.Slots.Steps
	r.Active = float64(after.Tokens.Generated-before.Tokens.Generated) / float64(max(1, r.Steps))
	slices.Sort(times)
	r.Median = times[len(times)/2].Seconds()
	return r, nil
}
