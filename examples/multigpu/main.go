// Command multigpu is "Multi-GPU Deployment" of the Python library's deployment guide: a model that is divided among GPUs
// (TensorParallelSize), and copies of it on several (Devices), behind one extractor.
//
//	go run ./examples/multigpu
//	go run ./examples/multigpu -model Qwen/Qwen3-VL-8B-Instruct -device cuda -tensor-parallel 2 -devices 2 -image page.png
//	go run ./examples/multigpu -model Qwen/Qwen3-VL-8B-Instruct -device cuda -tensor-parallel 2 -memory 24GB -plan   # GPUs that need not be here
//	go run ./examples/multigpu -device xla:cpu -devices 2                                                            # two devices made of one CPU
//
// With no flags it runs offline with the embedded model in pure Go, which is a single device: it says so, and puts two extractors into a
// pool, as one does with machines that have a GPU each. Dividing a model makes room for one that is too large for a GPU; copies read more
// pages. On several GPUs this has not been run; on devices made of a CPU it is tested.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"io"
	"iter"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/textextraction"
)

type flags struct {
	config textextraction.QwenTextVLLMConfig
	images []string
	memory string
	plan   bool
	pages  int
}

func main() {
	var f flags
	c := &f.config
	flag.StringVar(&c.Model, "model", textextraction.TinyModel, "folder of a checkpoint, or id on the Hugging Face hub")
	flag.StringVar(&c.Device, "device", "", "cuda, xla:cpu, go (default: go for the embedded model, else the best there is)")
	flag.IntVar(&c.TensorParallelSize, "tensor-parallel", 1, "GPUs that a copy of the model is divided among")
	flag.IntVar(&c.Devices, "devices", 2, "GPUs in all, a multiple of -tensor-parallel: one copy for each so many")
	flag.Float64Var(&c.GPUMemoryUtilization, "utilization", 0, "share of each GPU's memory to use, 0.1 to 1 (default: 0.85)")
	flag.IntVar(&c.MaxTokens, "max-tokens", 4096, "longest answer, in tokens")
	flag.StringVar(&f.memory, "memory", "", "memory of each GPU to plan for in place of what it has, for example 24GB")
	flag.BoolVar(&f.plan, "plan", false, "only say what would be on each GPU")
	image := flag.String("image", "", "page to read, and after the flags further ones (default: pages that this program draws)")
	flag.IntVar(&f.pages, "pages", 4, "how many pages to draw, where none are given")
	flag.Parse()
	if *image != "" {
		f.images = append([]string{*image}, flag.Args()...)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, f, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "multigpu:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags, out io.Writer) (err error) {
	c := f.config
	if c.Device == "" && c.Model == textextraction.TinyModel {
		c.Device = "go"
	}
	if f.memory != "" {
		gigabytes, err := strconv.ParseFloat(strings.TrimSuffix(f.memory, "GB"), 64)
		if err != nil || gigabytes <= 0 {
			return fmt.Errorf("-memory %s: want gigabytes, as 24GB", f.memory)
		}
		c.MemoryLimit = int64(gigabytes * 1e9)
	}
	plan, err := textextraction.MakePlan(ctx, c, textextraction.PlanPage{})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s on %s, divided among %d: %.3f GB of weights on each, %.3f GB with cache and pages, %d pages together\n",
		plan.Model, plan.Device, plan.Devices, float64(plan.Weights.Bytes)/1e9, float64(plan.Total)/1e9, plan.Slots)
	if !plan.Fits {
		return fmt.Errorf("it does not fit into %.3f GB; what would help: %s", float64(plan.Limit)/1e9, strings.Join(plan.Advice, "; or: "))
	}
	if f.plan {
		return nil
	}
	x, err := load(ctx, c, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.Close()) }()

	start, n := time.Now(), 0
	for res, err := range x.Batch(ctx, source(ctx, f), textextraction.BatchOptions{}) {
		if n++; err != nil {
			fmt.Fprintf(out, "%v\n", err)
			continue
		}
		by := ""
		if res.Worker != "" {
			by = " by " + res.Worker
		}
		fmt.Fprintf(out, "[%d] %d words on %s%s\n", n, res.WordCount, res.Device, by)
	}
	_, err = fmt.Fprintf(out, "%d pages in %.1f s\n", n, time.Since(start).Seconds())
	return err
}

// load loads the model onto the devices. Where the device is a single one, which only the offline run is content with, there are as many
// extractors as devices were asked for.
func load(ctx context.Context, c textextraction.QwenTextVLLMConfig, out io.Writer) (textextraction.TextExtractor, error) {
	x, err := textextraction.NewQwenTextExtractor(ctx, c)
	if err == nil {
		return x, nil
	}
	if !errors.Is(err, backend.ErrUnavailable) || c.Device != "go" || c.TensorParallelSize > 1 {
		return nil, err
	}
	fmt.Fprintf(out, "%v\nso a pool of %d extractors stands for them\n", err, c.Devices)
	copies := c.Devices
	c.Devices, c.EnforceEager = 1, true
	var all []textextraction.TextExtractor
	for range copies {
		x, err := textextraction.NewQwenTextExtractor(ctx, c)
		if err != nil {
			for _, x := range all {
				err = errors.Join(err, x.Close())
			}
			return nil, err
		}
		all = append(all, x)
	}
	pool, err := textextraction.NewPool(all...)
	if err != nil {
		return nil, err
	}
	return pool, nil
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
