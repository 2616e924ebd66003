// Command quickstart reads a page with a vision-language model and prints its text:
//
//	go run ./examples/quickstart
//
// With no flags it draws a page and reads it with the model that is embedded in the library, in pure Go: no download, no
// Python, no C compiler, no GPU. The same program reads your page with a model from the hub:
//
//	go run ./examples/quickstart -image page.png -model Qwen/Qwen3-VL-8B-Instruct -device cuda
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/textextraction"
)

type flags struct {
	image, model, device, format, preset string
	json                                 bool
	maxTokens                            int
}

func main() {
	var f flags
	flag.StringVar(&f.image, "image", "", "page to read: PNG, JPEG, WebP, GIF, BMP or TIFF (default: a page that this program draws)")
	flag.StringVar(&f.model, "model", textextraction.TinyModel, "folder of a checkpoint, or id on the Hugging Face hub")
	flag.StringVar(&f.device, "device", "", "go, xla:cpu, cuda, … (default: go for the embedded model, else the best there is)")
	flag.StringVar(&f.format, "format", "markdown", "markdown or html")
	flag.StringVar(&f.preset, "preset", "", "how to ask the model, such as chandra2 (default: by the model's name)")
	flag.BoolVar(&f.json, "json", false, "print the whole result as JSON")
	flag.IntVar(&f.maxTokens, "max-tokens", 0, "longest answer, in tokens (default: 8192)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, f, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags, out, progress io.Writer) (err error) {
	format, err := textextraction.ParseFormat(f.format)
	if err != nil {
		return err
	}
	img, err := page(ctx, f.image, progress)
	if err != nil {
		return err
	}
	if f.device == "" && f.model == textextraction.TinyModel {
		f.device = "go" // it is so small that starting XLA takes longer than reading the page
	}
	ex, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextPyTorchConfig{
		Model: f.model, Device: f.device, Preset: f.preset, Progress: showLoading(progress, f.model),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ex.Close()) }()

	start := time.Now()
	res, err := ex.ExtractWith(ctx, img, textextraction.Options{
		Format: format, MaxNewTokens: f.maxTokens,
		TokenProgress: showReading(progress, start),
	})
	fmt.Fprintln(progress)
	if err != nil {
		return err
	}
	if f.json {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(res)
	}
	fmt.Fprintf(progress, "read on %s (%s) in %.1f s; the text ended with %q\n\n", res.Device, res.DType, time.Since(start).Seconds(), res.FinishReason)
	_, err = fmt.Fprintf(out, "%s\n\nword_count: %d\ncontent_length: %d\n", res.Content, res.WordCount, res.ContentLength)
	return err
}

// page loads the page to read, or draws one.
func page(ctx context.Context, path string, progress io.Writer) (image.Image, error) {
	if path != "" {
		return textextraction.LoadImage(ctx, path)
	}
	p, err := tiny.DrawPage(tiny.PageOptions{Markdown: tiny.SamplePage})
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(progress, "drew a page of %d×%d pixels\n", p.Image.Rect.Dx(), p.Image.Rect.Dy())
	return p.Image, nil
}

// showLoading shows how far a download and the loading of the weights have come, in whole percents.
func showLoading(w io.Writer, model string) func(textextraction.LoadProgress) {
	last := ""
	return func(p textextraction.LoadProgress) {
		line := fmt.Sprintf("%s: %s %s", model, p.Stage, p.File)
		if p.Total > 0 {
			line += fmt.Sprintf(" %d%%", 100*p.Done/p.Total)
		}
		if line == last {
			return
		}
		last = line
		fmt.Fprintf(w, "\r%s\033[K", line)
		if p.Done == p.Total && p.Total > 0 {
			fmt.Fprintln(w)
		}
	}
}

// showReading shows how many tokens are written, a few times a second.
func showReading(w io.Writer, start time.Time) func(tokens int) {
	var shown time.Time
	return func(tokens int) {
		if now := time.Now(); now.Sub(shown) >= 200*time.Millisecond {
			shown = now
			fmt.Fprintf(w, "\rreading: %d tokens, %.1f s", tokens, now.Sub(start).Seconds())
		}
	}
}
