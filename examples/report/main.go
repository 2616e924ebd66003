// Command report reads documents and writes a page of HTML to look through them: pictures of the pages, the boxes of what was found on them, the text, how sure the model was, what
// failed, and where the time went.
//
//	go run ./examples/report
//	go run ./examples/report -in scans -out report -model datalab-to/chandra -format html -device cuda -cost 1.10
//
// With no flags it draws letters and reads them with the embedded model. That model does not say where on the page things are: models that do, such as Qwen3-VL with -format html or
// Chandra, give the boxes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/omnidocs/jobs"
	"github.com/omnidocs/omnidocs/omnidocs/report"
	"github.com/omnidocs/omnidocs/omnidocs/sample"
	"github.com/omnidocs/omnidocs/textextraction"
)

type flags struct {
	in, out, pattern, model, device, format string
	cost                                    float64
	workers, maxTokens                      int
}

func main() {
	var f flags
	flag.StringVar(&f.in, "in", "", "folder to read (default: one that this program draws)")
	flag.StringVar(&f.out, "out", "", "folder for the report and the results (default: a new one)")
	flag.StringVar(&f.pattern, "pattern", "*.pdf", "which files of the folder to read")
	flag.StringVar(&f.model, "model", textextraction.TinyModel, "folder of a checkpoint, or id on the Hugging Face hub")
	flag.StringVar(&f.device, "device", "", "go, xla:cpu, cuda, … (default: go for the embedded model, else the best there is)")
	flag.StringVar(&f.format, "format", "markdown", "markdown or html")
	flag.Float64Var(&f.cost, "cost", 0, "what the machine costs in an hour, in $")
	flag.IntVar(&f.workers, "workers", 4, "pages that are read together")
	flag.IntVar(&f.maxTokens, "max-tokens", 0, "longest answer, in tokens (default: 8192)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, f, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags, out io.Writer) (err error) {
	format, err := textextraction.ParseFormat(f.format)
	if err != nil {
		return err
	}
	if f.out == "" {
		if f.out, err = os.MkdirTemp("", "omnidocs-report-"); err != nil {
			return err
		}
	}
	if f.in == "" {
		f.in = filepath.Join(f.out, "letters")
		if err := draw(f.in); err != nil {
			return err
		}
	}
	if f.device == "" && f.model == textextraction.TinyModel {
		f.device = "go"
	}
	ex, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextVLLMConfig{Model: f.model, Device: f.device, MaxNumSeqs: f.workers, EnforceEager: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ex.Close()) }()
	files := omnidocs.BatchOptions{Pattern: f.pattern}
	batch, err := jobs.ProcessDirectory(ctx, f.in, ex, jobs.DirectoryOptions{
		Options: jobs.Options{
			Page: textextraction.Options{Format: format, MaxNewTokens: f.maxTokens}, Workers: f.workers, CrossCheck: true, TextLayerFallback: true,
			Progress: func(p jobs.Progress) { fmt.Fprintf(out, "\r%d/%d pages\033[K", p.Done, p.PagesExpected) },
		},
		Files: files, OutputDir: filepath.Join(f.out, "results"),
	})
	fmt.Fprintln(out)
	if err != nil {
		return err
	}
	path, err := report.Write(ctx, f.out, batch, report.Options{CostPerHour: f.cost, Load: files.Load})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%d documents, %d pages read, %d failed: look at %s\n", batch.Len(), batch.TotalPages(), batch.FailedPages(), path)
	return err
}

// draw draws a PDF of two letters, and writes one that is damaged.
func draw(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	letters, err := sample.PDF(0, 1)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "letters.pdf"), letters, 0o644),
		os.WriteFile(filepath.Join(dir, "damaged.pdf"), []byte("%PDF-1.7\nand then nothing"), 0o644))
}
