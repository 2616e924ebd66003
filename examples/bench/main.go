// Command bench measures the extraction job and prints one JSON line, with the fields that a script around Hugging Face
// transformers prints too, so that both can stand side by side:
//
//	go run ./examples/bench -model DIR -image PAGE.png -batch 4 -new-tokens 64 -device xla:cpu -dtype bfloat16
//
// Fields: load_s; preprocess_s (a page); prefill_s (vision tower and prompt of the whole batch, to the first token);
// decode_s_per_step; decode_tokens_per_s (all pages); pages_per_s (end to end at -new-tokens a page, without preprocessing);
// peak_memory_gb (of the process). The best of -runs runs; the first of them compiles.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/gomlx/compute/dtypes"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/qwen"
	"github.com/omnidocs/omnidocs/textextraction"
)

type flags struct {
	model, image, device, dtype, prompt string
	batch, newTokens, runs              int
}

// report has the fields of the line.
type report struct {
	Engine       string  `json:"engine"`
	Model        string  `json:"model"`
	Device       string  `json:"device"`
	DType        string  `json:"dtype"`
	Batch        int     `json:"batch"`
	VisualTokens int     `json:"visual_tokens"`
	PromptTokens int     `json:"prompt_tokens"`
	NewTokens    int     `json:"new_tokens"`
	Load         float64 `json:"load_s"`
	PeakMemory   float64 `json:"peak_memory_gb"`
	Preprocess   float64 `json:"preprocess_s"`
	Prefill      float64 `json:"prefill_s"`
	DecodeStep   float64 `json:"decode_s_per_step"`
	DecodeRate   float64 `json:"decode_tokens_per_s"`
	PageRate     float64 `json:"pages_per_s"`
	Encode       float64 `json:"encode_s"`
}

func main() {
	var f flags
	flag.StringVar(&f.model, "model", "", "folder of a checkpoint")
	flag.StringVar(&f.image, "image", "", "page image")
	flag.StringVar(&f.device, "device", "", "go, xla:cpu, cuda; empty chooses")
	flag.StringVar(&f.dtype, "dtype", "float32", "float32, bfloat16, float16, or int8 made from any of them")
	flag.StringVar(&f.prompt, "prompt", "qwenvl markdown", "the user's text")
	flag.IntVar(&f.batch, "batch", 1, "pages written together, all the same page")
	flag.IntVar(&f.newTokens, "new-tokens", 64, "tokens a page, whatever they are")
	flag.IntVar(&f.runs, "runs", 2, "runs, of which the best counts")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r, err := bench(ctx, f)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(r)
	}
	if err != nil {
		slog.Error("bench", "error", err)
		stop()
		os.Exit(1) //nolint:gocritic // the deferred stop has just been called
	}
}

func bench(ctx context.Context, f flags) (_ report, err error) {
	if f.model == "" || f.image == "" {
		return report{}, errors.New("-model and -image are needed")
	}
	if f.batch < 1 || f.newTokens < 2 || f.runs < 1 {
		return report{}, errors.New("-batch and -runs must be 1 or more, -new-tokens 2 or more")
	}
	types := map[string]dtypes.DType{"float32": dtypes.Float32, "bfloat16": dtypes.BFloat16, "float16": dtypes.Float16, "int8": dtypes.Int8}
	dtype, ok := types[f.dtype]
	if !ok {
		return report{}, fmt.Errorf("-dtype %q: want float32, bfloat16, float16 or int8", f.dtype)
	}
	img, err := textextraction.LoadImage(ctx, f.image)
	if err != nil {
		return report{}, err
	}
	start := time.Now()
	device, err := backend.Open(ctx, f.device)
	if err != nil {
		return report{}, err
	}
	defer func() { err = errors.Join(err, device.Close()) }()
	model, err := qwen.Load(ctx, device.Runtime(), os.DirFS(f.model), qwen.LoadOptions{DType: dtype})
	if err != nil {
		return report{}, err
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	best := report{
		Engine: "omnidocs " + runtime.Version(), Model: f.model, Device: device.Name(), DType: f.dtype,
		Batch: f.batch, NewTokens: f.newTokens, Load: time.Since(start).Seconds(),
	}
	for i := range f.runs {
		r := best
		if err := r.run(ctx, model, img, f); err != nil {
			return report{}, err
		}
		if i == 0 {
			best = r
		}
		best.Preprocess, best.Encode = min(best.Preprocess, r.Preprocess), min(best.Encode, r.Encode)
		best.Prefill, best.DecodeStep = min(best.Prefill, r.Prefill), min(best.DecodeStep, r.DecodeStep)
		best.PageRate = max(best.PageRate, r.PageRate)
	}
	best.DecodeRate = float64(f.batch) / best.DecodeStep
	best.PeakMemory = peakMemory()
	return best, nil
}

// run reads the page once in every slot.
func (r *report) run(ctx context.Context, m *qwen.Model, img image.Image, f flags) (err error) {
	start := time.Now()
	patches, err := m.Processor.Process(ctx, img, qwen.Bounds{})
	if err != nil {
		return err
	}
	layout, err := m.Layout(qwen.Prompt{Text: f.prompt}, []qwen.Grid{{Height: patches.GridH, Width: patches.GridW}})
	if err != nil {
		return err
	}
	r.Preprocess = time.Since(start).Seconds()
	r.VisualTokens, r.PromptTokens = patches.VisualTokens(), len(layout.IDs)

	cache := m.NewCache(f.batch, len(layout.IDs)+f.newTokens)
	defer func() { err = errors.Join(err, cache.Close()) }()
	tokens, active := make([]int32, f.batch), make([]bool, f.batch)
	start = time.Now()
	var encoding time.Duration
	for slot := range f.batch {
		lap := time.Now()
		visual, err := m.Encode(ctx, patches)
		if err != nil {
			return err
		}
		encoding += time.Since(lap)
		h, err := m.Prefill(ctx, layout, []*qwen.Visual{visual}, cache, slot)
		if err != nil {
			return errors.Join(err, visual.Close())
		}
		next, err := m.Choose(ctx, h, nil)
		if err := errors.Join(err, h.Close(), visual.Close()); err != nil {
			return err
		}
		tokens[slot], active[slot] = next.Tokens[0], true
	}
	r.Encode, r.Prefill = encoding.Seconds(), time.Since(start).Seconds()
	decoding := time.Now()
	for range f.newTokens - 1 {
		h, err := m.Step(ctx, cache, tokens, active)
		if err != nil {
			return err
		}
		next, err := m.Choose(ctx, h, nil)
		if err := errors.Join(err, h.Close()); err != nil {
			return err
		}
		tokens = next.Tokens
	}
	r.DecodeStep = time.Since(decoding).Seconds() / float64(f.newTokens-1)
	r.PageRate = float64(f.batch) / time.Since(start).Seconds()
	return nil
}

// peakMemory is the largest resident size of this process in GB, where the system tells it (Linux), else 0.
func peakMemory() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kb, err := strconv.ParseFloat(fields[0], 64)
	if err != nil {
		return 0
	}
	return kb / 1e6
}
