// Command batch is "Batch Processing with Progress" of the Python library's deployment guide: it reads a folder of PDFs and images and
// writes the text of each, with a line that says how far it has come, how fast it is and how long it will take:
//
//	go run ./examples/batch
//	go run ./examples/batch -in scans -out results -model Qwen/Qwen3-VL-8B-Instruct -device cuda -workers 16
//
// With no flags it draws a folder of letters, as PDFs and as pictures, and reads it with the embedded model. Interrupted by Ctrl-C, by kill -9 or by the power and started again
// with the same -out, it reads what it had not read.
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
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/omnidocs/assemble"
	"github.com/omnidocs/omnidocs/omnidocs/jobs"
	"github.com/omnidocs/omnidocs/omnidocs/sample"
	"github.com/omnidocs/omnidocs/textextraction"
)

type flags struct {
	in, out, pattern, outputs, model, device, format string
	recursive, dropMargins, check                    bool
	workers, dpi, maxTokens                          int
	pageTimeout                                      time.Duration
}

func main() {
	var f flags
	flag.StringVar(&f.in, "in", "", "folder to read (default: one that this program draws)")
	flag.StringVar(&f.out, "out", "", "folder for the results (default: a new one)")
	flag.StringVar(&f.pattern, "pattern", "*", "which files of the folder to read")
	flag.BoolVar(&f.recursive, "recursive", false, "read the folders within it too")
	flag.StringVar(&f.outputs, "outputs", "json,markdown", "what to write for each document: json, jsonl, markdown, html")
	flag.StringVar(&f.model, "model", textextraction.TinyModel, "folder of a checkpoint, or id on the Hugging Face hub")
	flag.StringVar(&f.device, "device", "", "go, xla:cpu, cuda, … (default: go for the embedded model, else the best there is)")
	flag.StringVar(&f.format, "format", "markdown", "markdown or html")
	flag.IntVar(&f.workers, "workers", 4, "pages that are read together")
	flag.IntVar(&f.dpi, "dpi", 0, "resolution of PDF pages (default: 150)")
	flag.IntVar(&f.maxTokens, "max-tokens", 0, "longest answer, in tokens (default: 8192)")
	flag.BoolVar(&f.dropMargins, "drop-margins", false, "leave running headers, footers and page numbers out of the Markdown")
	flag.BoolVar(&f.check, "check", false, "hold what is read against the text that the PDFs have themselves")
	flag.DurationVar(&f.pageTimeout, "page-timeout", 0, "longest time for a page (default: none)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, f, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "batch:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags, out io.Writer) (err error) {
	format, err := textextraction.ParseFormat(f.format)
	if err != nil {
		return err
	}
	if f.out == "" {
		if f.out, err = os.MkdirTemp("", "omnidocs-results-"); err != nil {
			return err
		}
	}
	if f.in == "" {
		f.in = filepath.Join(f.out, "letters")
		if err := sample.Folder(f.in); err != nil {
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

	var outputs []jobs.Output
	for kind := range strings.SplitSeq(f.outputs, ",") {
		outputs = append(outputs, jobs.Output(kind))
	}
	bar := newBar(out)
	batch, err := jobs.ProcessDirectory(ctx, f.in, ex, jobs.DirectoryOptions{
		Options: jobs.Options{
			Page:        textextraction.Options{Format: format, MaxNewTokens: f.maxTokens},
			Workers:     f.workers,
			PageTimeout: f.pageTimeout,
			CrossCheck:  f.check,
			Progress:    func(p jobs.Progress) { show(bar, p) },
		},
		Files:     omnidocs.BatchOptions{Pattern: f.pattern, Recursive: f.recursive, Load: omnidocs.LoadOptions{DPI: f.dpi}},
		OutputDir: f.out, Outputs: outputs, Assemble: assemble.Options{DropMargins: f.dropMargins},
		DiscardText: true,
	})
	if err == nil {
		_ = bar.Finish()
	}
	fmt.Fprintln(out)
	if batch != nil {
		summarize(out, batch, f.out)
	}
	if err != nil {
		return err
	}
	if batch.FailedPages()+batch.FailedDocuments() > 0 {
		return errors.New("not everything was read; started again, it tries what failed once more")
	}
	return nil
}

// newBar is a bar that shows how far the job has come, in the place of what it showed before.
func newBar(out io.Writer) *progressbar.ProgressBar {
	return progressbar.NewOptions(1, progressbar.OptionSetWriter(out), progressbar.OptionSetWidth(30), progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetElapsedTime(false), progressbar.OptionThrottle(0), progressbar.OptionUseANSICodes(true),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "=", SaucerPadding: " ", BarStart: "[", BarEnd: "]"}))
}

// show moves the bar. The numbers are the job's: the bar does not know of pages that failed, nor how fast the last ones were.
func show(bar *progressbar.ProgressBar, p jobs.Progress) {
	text := fmt.Sprintf("%d/%d pages", p.Done, p.PagesExpected)
	if p.Failed > 0 {
		text += fmt.Sprintf(", %d failed", p.Failed)
	}
	bar.Describe(fmt.Sprintf("%s, %.2f pages/s, %v left", text, p.Rate, p.Remaining.Round(time.Second)))
	bar.ChangeMax(max(p.PagesExpected, p.Done+1)) // a bar that is full stays as it is, and there may be more pages than were expected
	_ = bar.Set(p.Done)                           // what cannot be shown is none of the job's errors
}

// summarize tells what was done, and names what failed.
func summarize(out io.Writer, batch *jobs.BatchResult, dir string) {
	resumed := 0
	for id, d := range batch.All() {
		if d.Err != nil {
			fmt.Fprintf(out, "failed: %q: %v\n", id, d.Err)
		}
		for _, p := range d.Pages() {
			if p.Resumed {
				resumed++
			}
			if p.Err != nil {
				fmt.Fprintf(out, "failed: %q, page %d, after %d attempts: %v\n", id, p.Page+1, p.Attempts, p.Err)
			}
			if p.Check != nil && p.Check.Suspicious() {
				fmt.Fprintf(out, "suspicious: %q, page %d: %.0f %% of the PDF's own text was read, %.0f %% of what was read is not in it\n",
					id, p.Page+1, 100*p.Check.Coverage, 100*p.Check.Novelty)
			}
		}
	}
	for _, problem := range batch.Problems {
		fmt.Fprintln(out, "problem:", problem)
	}
	fmt.Fprintf(out, "%d documents, %d pages read (%d of them by an earlier run), %d failed, in %v", batch.Len(), batch.TotalPages(), resumed,
		batch.FailedPages(), batch.Elapsed.Round(10*time.Millisecond))
	if n := batch.TotalPages() - resumed; n > 0 {
		fmt.Fprintf(out, ", %.2f s a page", batch.Elapsed.Seconds()/float64(n))
	}
	fmt.Fprintf(out, "; the results are in %s\n", dir)
}
