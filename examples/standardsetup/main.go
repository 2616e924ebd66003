// Command standardsetup is the "Standard Setup" of the Python library's deployment guide. It says what a program that reads pages
// finds on this machine, in the order in which it will want it: the configuration, the folder that models are kept in, the hub's
// token, the device, its memory and what the model takes of it; then it loads the model and reads a page.
//
//	go run ./examples/standardsetup
//	go run ./examples/standardsetup -model Qwen/Qwen3-VL-8B-Instruct -device cuda
//	go run ./examples/standardsetup -config setup.json        # {"model": "Qwen/Qwen3-VL-8B-Instruct", "device": "cuda", "max_tokens": 4096}
//
// With no flags it does so with the embedded model, offline. The file's names are Python's, and names that are not known are errors.
//
// The guide's environment is honored: HF_HOME, OMNIDOCS_MODEL_CACHE (and OMNIDOCS_MODELS_DIR, which is what Python reads) and HF_TOKEN.
// HF_HUB_ENABLE_HF_TRANSFER, the image, its CUDA and its wheels have no counterpart: the program is one file, and its CUDA is the
// plugin's (examples/container). Modal's volumes, secrets and GPUs are for omnidocs/modal, a module of its own.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/omnidocs/modelcache"
	"github.com/omnidocs/omnidocs/textextraction"
)

type flags struct {
	config, model, device string
	timeout               time.Duration
}

func main() {
	var f flags
	flag.StringVar(&f.config, "config", "", "file with a textextraction.QwenTextVLLMConfig in JSON")
	flag.StringVar(&f.model, "model", "", "folder of a checkpoint, or id on the Hugging Face hub (default: the file's, or the embedded model)")
	flag.StringVar(&f.device, "device", "", "go, xla:cpu, cuda, … (default: the file's, or go for the embedded model, else the best there is)")
	flag.DurationVar(&f.timeout, "timeout", 10*time.Minute, "longest time for a page, as the guide has it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, f, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "standardsetup:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags, out io.Writer) (err error) {
	config, err := configuration(f)
	if err != nil {
		return err
	}
	text, err := json.Marshal(config)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Configuration: %s\n", text)
	if err := cache(out); err != nil {
		return err
	}
	if err := device(ctx, config.Device, out); err != nil {
		return err
	}
	plan, err := textextraction.MakePlan(ctx, config, textextraction.PlanPage{})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Plan: %s in %s takes %.2f of %.2f GB, %d pages together\n", plan.Model, plan.DType, float64(plan.Total)/1e9,
		float64(plan.Limit)/1e9, plan.Slots)

	start := time.Now()
	x, err := textextraction.NewQwenTextExtractor(ctx, config)
	if err != nil {
		return err // names what is missing, or what does not fit, and what would help
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	fmt.Fprintf(out, "Loaded in %.1f s\n", time.Since(start).Seconds())
	return read(ctx, x, f.timeout, out)
}

// configuration is that of the file, with what the flags say.
func configuration(f flags) (textextraction.QwenTextVLLMConfig, error) {
	var c textextraction.QwenTextVLLMConfig
	if f.config != "" {
		text, err := os.ReadFile(f.config)
		if err != nil {
			return c, err
		}
		if err := json.Unmarshal(text, &c); err != nil {
			return c, fmt.Errorf("%s: %w", f.config, err)
		}
	} else {
		c.Model = textextraction.TinyModel
	}
	if f.model != "" {
		c.Model = f.model
	}
	if f.device != "" {
		c.Device = f.device
	}
	if c.Device == "" && c.Model == textextraction.TinyModel {
		c.Device = "go"
	}
	return c, nil
}

// cache tells where models are kept, what is there, and whether the hub will know who asks.
func cache(out io.Writer) error {
	storage, err := modelcache.Storage()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Models: in %s, %d of them, %.2f GB\n", storage.OmnidocsCache, len(storage.Models), float64(storage.TotalBytes)/1e9)
	token := "not set; models that are gated or private want one"
	if os.Getenv("HF_TOKEN") != "" {
		token = "set"
	}
	_, err = fmt.Fprintf(out, "HF_TOKEN: %s\n", token)
	return err
}

// device tells what the model will run on. The extractor opens it again, for itself.
func device(ctx context.Context, name string, out io.Writer) (err error) {
	d, err := backend.Open(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	fmt.Fprintf(out, "Device: %s, %s\n", d, d.Description())
	for _, note := range d.Notes() {
		fmt.Fprintf(out, "  %s\n", note)
	}
	gpus, err := d.GPUs(ctx)
	if err != nil {
		fmt.Fprintf(out, "  GPUs: %v\n", err) // nvidia-smi may be missing where CUDA is there
	}
	for _, g := range gpus {
		fmt.Fprintf(out, "  GPU %d: %s, %.1f GB\n", g.Index, g.Name, float64(g.Memory.Total)/1e9)
	}
	return nil
}

// read reads a page that it draws.
func read(ctx context.Context, x textextraction.TextExtractor, timeout time.Duration, out io.Writer) error {
	p, err := tiny.DrawPage(tiny.PageOptions{Markdown: tiny.SamplePage})
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	res, err := x.Extract(ctx, p.Image, textextraction.Markdown)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "Read a page of %d words in %.1f s\nReady\n", res.WordCount, res.Timings.Total.Seconds())
	return err
}
