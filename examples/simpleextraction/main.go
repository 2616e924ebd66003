// Command simpleextraction is "Simple Text Extraction" of the Python library's deployment guide: a function that takes the bytes of an
// image and gives back its text and the counts that the guide gives back.
//
//	go run ./examples/simpleextraction
//	go run ./examples/simpleextraction -image test_document.png -model Qwen/Qwen3-VL-8B-Instruct -device cuda
//	go run ./examples/simpleextraction -image test_document.png -base http://gpu-1:8000/v1 -model Qwen/Qwen3-VL-8B-Instruct
//
// With no flags it draws a page and reads it with the embedded model, offline. With -base a server reads it: one of examples/serve, vLLM,
// a model of Modal's. Where the guide loads the model for every image, here it is loaded once, and the function is called with it.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"image/png"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/textextraction"
)

type flags struct {
	image, model, device, base string
	timeout                    time.Duration
}

func main() {
	var f flags
	flag.StringVar(&f.image, "image", "", "page to read (default: a page that this program draws)")
	flag.StringVar(&f.model, "model", textextraction.TinyModel, "folder of a checkpoint, or id on the Hugging Face hub; with -base the server's name for it")
	flag.StringVar(&f.device, "device", "", "go, xla:cpu, cuda, … (default: go for the embedded model, else the best there is)")
	flag.StringVar(&f.base, "base", "", "address of a server to ask in place of a model here; its key is in OPENAI_API_KEY")
	flag.DurationVar(&f.timeout, "timeout", 10*time.Minute, "longest time for a page")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, f, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "simpleextraction:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags, out io.Writer) (err error) {
	image, err := imageBytes(f.image)
	if err != nil {
		return err
	}
	x, err := extractor(ctx, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.Close()) }()

	result, err := extractText(ctx, x, image, f.timeout)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Extraction succeeded: %v\n", !result.Truncated)
	fmt.Fprintf(out, "Content length: %d chars\n", result.ContentLength)
	fmt.Fprintf(out, "Word count: %d\n", result.WordCount)
	_, err = fmt.Fprintf(out, "\nContent preview:\n%.500s\n", result.Content)
	return err
}

// extractText reads an image file, PNG or JPEG for example, within a time.
func extractText(ctx context.Context, x textextraction.TextExtractor, image []byte, timeout time.Duration) (*textextraction.ExtractResult, error) {
	ctx, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	page, err := textextraction.DecodeImage(ctx, bytes.NewReader(image))
	if err != nil {
		return nil, err
	}
	return x.Extract(ctx, page, textextraction.Markdown)
}

// extractor loads the model, or stands for the one behind a server.
func extractor(ctx context.Context, f flags) (textextraction.TextExtractor, error) {
	var config textextraction.Config
	if f.base != "" {
		config = textextraction.QwenTextAPIConfig{Model: f.model, APIBase: f.base}
	} else {
		if f.device == "" && f.model == textextraction.TinyModel {
			f.device = "go"
		}
		config = textextraction.QwenTextPyTorchConfig{Model: f.model, Device: f.device}
	}
	x, err := textextraction.NewQwenTextExtractor(ctx, config)
	if err != nil {
		return nil, err // not a nil *QwenTextExtractor in a TextExtractor
	}
	return x, nil
}

// imageBytes reads an image file, or draws a page as one.
func imageBytes(path string) ([]byte, error) {
	if path != "" {
		return os.ReadFile(path)
	}
	p, err := tiny.DrawPage(tiny.PageOptions{Markdown: tiny.SamplePage})
	if err != nil {
		return nil, err
	}
	var file bytes.Buffer
	err = png.Encode(&file, p.Image)
	return file.Bytes(), err
}
