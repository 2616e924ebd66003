// Command bench measures the extraction job and prints a JSON line for each batch size and page size, with the fields that a script
// around Hugging Face transformers prints too, so that both can stand side by side:
//
//	go run ./examples/bench -model DIR -image PAGE.png -batch 1,4 -new-tokens 64 -device xla:cpu -dtype bfloat16
//	go run ./examples/bench -model DIR -size 640x832,1700x2200 -batch 1,8,32 -device cuda -dtype bfloat16
//
// Fields: load_s; compiled and compile_s, found_compiled and found_compiled_s (programs that were compiled so far, and those that an
// earlier process had compiled, see OMNIDOCS_COMPILE_CACHE, and what both took); preprocess_s (a page); prefill_s (vision tower and prompt of the whole batch, to the first token);
// decode_s_per_step; decode_tokens_per_s (all pages); pages_per_s (end to end at -new-tokens a page, without preprocessing);
// weights_gb (on each device), peak_memory_gb (of the process), device_peak_gb (of the device, where it says); bytes_per_step (the weights that a token needs, and
// the keys and values of all pages at their mean length), bandwidth_gb_s (of the device's memory: measured by copying on CPUs, from
// a table on GPUs, or -bandwidth) and roofline_share, how much of that bandwidth those bytes in that time are: a step cannot be
// faster than 1. The best of -runs runs; the first of them compiles.
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

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/qwen"
	"github.com/omnidocs/omnidocs/textextraction"
)

type flags struct {
	model, image, device, dtype, prompt string
	batch, size                         string
	newTokens, runs, programs           int
	parallel, loop                      int
	bandwidth                           float64
}

func main() {
	var f flags
	flag.StringVar(&f.model, "model", "", "folder of a checkpoint")
	flag.StringVar(&f.image, "image", "", "page image; empty is a drawn one, of the first of -size or Letter at 100 dpi")
	flag.StringVar(&f.size, "size", "", "WIDTHxHEIGHT,… in pixels, to which the page is scaled; empty leaves it")
	flag.StringVar(&f.device, "device", "", "go, xla:cpu, cuda; empty chooses")
	flag.StringVar(&f.dtype, "dtype", "float32", "float32, bfloat16, float16, or int8 made from any of them")
	flag.StringVar(&f.prompt, "prompt", "qwenvl markdown", "the user's text")
	flag.StringVar(&f.batch, "batch", "1", "N,…: pages written together, all the same page")
	flag.IntVar(&f.newTokens, "new-tokens", 64, "tokens a page, whatever they are")
	flag.IntVar(&f.runs, "runs", 2, "runs, of which the best counts")
	flag.IntVar(&f.loop, "loop", 0, "tokens a call to the device, with the cache on it; 1 is layer by layer, 0 as the device has it")
	flag.IntVar(&f.programs, "programs", 0, "how many of the programs that took most time to print too, on stderr")
	flag.IntVar(&f.parallel, "tensor-parallel", 1, "devices that the model is divided among")
	flag.Float64Var(&f.bandwidth, "bandwidth", 0, "of the device's memory, in GB/s; 0 measures it or looks it up")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := bench(ctx, f, json.NewEncoder(os.Stdout)); err != nil {
		slog.Error("bench", "error", err)
		stop()
		os.Exit(1) //nolint:gocritic // the deferred stop has just been called
	}
}

// dataTypes are the types that weights can have.
var dataTypes = map[string]dtypes.DType{"float32": dtypes.Float32, "bfloat16": dtypes.BFloat16, "float16": dtypes.Float16, "int8": dtypes.Int8}

func bench(ctx context.Context, f flags, out *json.Encoder) (err error) {
	batches, err := numbers(f.batch)
	if err != nil {
		return fmt.Errorf("-batch: %w", err)
	}
	dtype, ok := dataTypes[f.dtype]
	switch {
	case f.model == "":
		return errors.New("-model is needed")
	case f.newTokens < 2 || f.runs < 1 || f.parallel < 1:
		return errors.New("-runs and -tensor-parallel must be 1 or more, -new-tokens 2 or more")
	case !ok:
		return fmt.Errorf("-dtype %q: want float32, bfloat16, float16 or int8", f.dtype)
	}
	pages, err := pagesOf(ctx, f)
	if err != nil {
		return err
	}
	start := time.Now()
	device, err := backend.OpenWith(ctx, f.device, backend.OpenOptions{Devices: f.parallel})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, device.Close()) }()
	where := device.Runtime()
	for i := range f.parallel {
		where.Devices = append(where.Devices, compute.DeviceNum(i))
	}
	if f.loop > 0 {
		where.HostCache, where.LoopTokens = false, f.loop
	}
	model, err := qwen.Load(ctx, where, os.DirFS(f.model), qwen.LoadOptions{DType: dtype})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	model.Spec.EOS = nil // a page has its tokens, whatever they are
	base := report{
		Engine: "omnidocs " + runtime.Version(), Model: f.model, Device: device.Name(), DType: f.dtype,
		NewTokens: f.newTokens, Loop: where.LoopTokens, Load: time.Since(start).Seconds(), Bandwidth: f.bandwidth, Weights: float64(model.WeightBytes()[0]) / 1e9,
	}
	if base.Bandwidth <= 0 {
		base.Bandwidth = bandwidth(ctx, device)
	}
	for _, page := range pages {
		for _, n := range batches {
			base.Batch = n
			best, err := base.best(ctx, model, page, f)
			if err != nil {
				return err
			}
			best.PeakMemory = peakMemory()
			s := model.Stats()
			best.Compiled, best.Compile, best.Found, best.FoundLoad = s.Compilations, s.CompileTime.Seconds(), s.Loaded, s.LoadTime.Seconds()
			if m, err := device.Memory(ctx); err == nil && !device.IsCPU() {
				best.DevicePeak = float64(m.Peak) / 1e9
			}
			if err := out.Encode(best); err != nil {
				return err
			}
		}
	}
	for _, p := range model.ProgramStats()[:min(f.programs, len(model.ProgramStats()))] {
		fmt.Fprintf(os.Stderr, "%8.1f ms in %5d calls: %s\n", p.CallTime.Seconds()*1e3, p.Calls, p.Name)
	}
	return nil
}

// numbers reads numbers of 1 or more, with commas between them.
func numbers(list string) ([]int, error) {
	var all []int
	for word := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q: want numbers of 1 or more, with commas between them", list)
		}
		all = append(all, n)
	}
	return all, nil
}

// pagesOf makes the page in each of the sizes.
func pagesOf(ctx context.Context, f flags) ([]image.Image, error) {
	var sizes []image.Point
	for word := range strings.SplitSeq(f.size, ",") {
		if word == "" {
			continue
		}
		w, h, ok := strings.Cut(word, "x")
		width, errW := strconv.Atoi(w)
		height, errH := strconv.Atoi(h)
		if !ok || errW != nil || errH != nil || width < 1 || height < 1 {
			return nil, fmt.Errorf("-size %q: want WIDTHxHEIGHT, in pixels", word)
		}
		sizes = append(sizes, image.Pt(width, height))
	}
	if f.image == "" {
		if len(sizes) == 0 {
			sizes = []image.Point{{850, 1100}}
		}
		var pages []image.Image
		for _, size := range sizes {
			pages = append(pages, drawnPage(size))
		}
		return pages, nil
	}
	page, err := textextraction.LoadImage(ctx, f.image)
	if err != nil || len(sizes) == 0 {
		return []image.Image{page}, err
	}
	var pages []image.Image
	for _, size := range sizes {
		pages = append(pages, scaled(page, size))
	}
	return pages, nil
}
