// Command plan says what a model and its pages take of a device's memory before anything of it is taken:
//
//	go run ./examples/plan
//	go run ./examples/plan -model Qwen/Qwen3-VL-8B-Instruct -device cuda -memory 24GiB -document book.pdf -dpi 200
//	go run ./examples/plan -model DIR -device xla:cpu -quantization int8 -size 2480x3508 -pages 100
//
// It prints how many visual tokens a page makes, the bytes of weights, cache and page, how many pages can be read at a time, and, where
// that does not fit, what to change; then its status is 1. Of the model only the configuration and the headers of the weights are
// read; one on the Hugging Face hub is downloaded first. With -memory it plans for a device that need not be here.
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
	"strconv"
	"strings"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/textextraction"
)

type flags struct {
	config         textextraction.QwenTextVLLMConfig
	document, size string
	memory         string
	pages, dpi     int
	asJSON         bool
}

func main() {
	var f flags
	c := &f.config
	flag.StringVar(&c.Model, "model", textextraction.TinyModel, "folder of a checkpoint, or id on the Hugging Face hub")
	flag.StringVar(&c.Device, "device", "", "go, xla:cpu, cuda, … (default: the best there is)")
	flag.StringVar(&c.TorchDtype, "dtype", "", "float32, bfloat16, float16 or auto (default: auto)")
	flag.StringVar(&c.Quantization, "quantization", "", "int8, or nothing")
	flag.IntVar(&c.MaxModelLen, "max-model-len", 0, "longest page, prompt and answer, in tokens (default: 32768, or what fits)")
	flag.IntVar(&c.MaxNumSeqs, "slots", 0, "pages read at a time, at most (default: as many as fit)")
	flag.IntVar(&c.MaxPixels, "max-pixels", 0, "area that pages are scaled to, at most (default: the budget for documents)")
	flag.Float64Var(&c.GPUMemoryUtilization, "utilization", 0, "share of the device's memory to use, 0.1 to 1 (default: 0.85)")
	flag.StringVar(&f.memory, "memory", "", "memory to plan for in place of the device's, for example 24GiB or 16GB")
	flag.StringVar(&f.document, "document", "", "PDF or picture to plan for, by its largest page (default: the largest that is allowed)")
	flag.IntVar(&f.dpi, "dpi", 0, "resolution of a PDF's pages (default: 150)")
	flag.StringVar(&f.size, "size", "", "size of the pages in place of a document, for example 2480x3508")
	flag.IntVar(&f.pages, "pages", 0, "how many pages there are to read (default: those of the document, or many)")
	flag.BoolVar(&f.asJSON, "json", false, "print JSON")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, f, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "plan:", err)
		os.Exit(1)
	}
}

var errNoFit = errors.New("it does not fit")

func run(ctx context.Context, f flags, out io.Writer) (err error) {
	page, err := pageOf(ctx, f)
	if err != nil {
		return err
	}
	if f.memory != "" {
		if f.config.MemoryLimit, err = parseBytes(f.memory); err != nil {
			return err
		}
	}
	plan, err := textextraction.MakePlan(ctx, f.config, page)
	if err != nil {
		return err
	}
	if f.asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		err = e.Encode(plan)
	} else {
		_, err = fmt.Fprint(out, plan)
	}
	if err == nil && !plan.Fits {
		err = errNoFit
	}
	return err
}

// pageOf is the page to plan for, whose size is 0 where none is given.
func pageOf(ctx context.Context, f flags) (page textextraction.PlanPage, err error) {
	page.Pages = f.pages
	if f.size != "" {
		if _, err := fmt.Sscanf(f.size, "%dx%d", &page.Width, &page.Height); err != nil || page.Width < 1 || page.Height < 1 {
			return page, fmt.Errorf("-size %s: want width and height in pixels, as 2480x3508", f.size)
		}
		return page, nil
	}
	if f.document == "" {
		return page, nil
	}
	doc, err := omnidocs.Open(ctx, f.document, omnidocs.LoadOptions{DPI: f.dpi})
	if err != nil {
		return page, err
	}
	defer func() { err = errors.Join(err, doc.Close()) }()
	if page.Pages == 0 {
		page.Pages = doc.PageCount()
	}
	page.Width, page.Height, err = doc.LargestPage(ctx)
	return page, err
}

// parseBytes reads a number of bytes with a unit.
func parseBytes(text string) (int64, error) {
	for _, unit := range []struct {
		name  string
		bytes float64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"GB", 1e9}, {"MB", 1e6}} {
		if number, ok := strings.CutSuffix(text, unit.name); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
			if err != nil || !(n > 0) || n > 1e9 {
				break
			}
			return int64(n * unit.bytes), nil
		}
	}
	return 0, fmt.Errorf("-memory %s: want a number and a unit, as 24GiB, 16GB or 900MB", text)
}
