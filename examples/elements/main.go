// Command elements shows the typed elements of a page: it lists headings, paragraphs, tables and figures with their places, prints the
// tables as Markdown, and writes the page with the boxes drawn over it:
//
//	go run ./examples/elements -out elements.png
//
// With no flags it draws a page, and reads an answer that was prepared for it in the form in which Qwen3-VL answers; no model
// runs, since the one embedded in the library writes no coordinates. With a model it reads your page:
//
//	go run ./examples/elements -image page.png -model Qwen/Qwen3-VL-8B-Instruct -device cuda
//
// An answer that another program got can be given in a file:
//
//	go run ./examples/elements -image page.png -answer answer.html -preset qwen3vl
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"os/signal"

	"github.com/omnidocs/omnidocs/textextraction"
)

type flags struct {
	image, answer, model, device, format, preset, out string
}

func main() {
	var f flags
	flag.StringVar(&f.image, "image", "", "page to read (default: a page that this program draws)")
	flag.StringVar(&f.answer, "answer", "", "file with a model's answer for the page (default: that of -model, or without one a prepared answer)")
	flag.StringVar(&f.model, "model", "", "folder of a checkpoint, or id on the Hugging Face hub")
	flag.StringVar(&f.device, "device", "", "go, xla:cpu, cuda, … (default: the best there is)")
	flag.StringVar(&f.format, "format", "html", "markdown or html; the base models give places to all elements in html alone")
	flag.StringVar(&f.preset, "preset", "", "how to ask the model and to read its answer, such as chandra2 (default: by the model's name)")
	flag.StringVar(&f.out, "out", "", "PNG to write, with the boxes over the page (default: none)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, f, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "elements:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags, out, progress io.Writer) error {
	img, res, err := read(ctx, f, progress)
	if err != nil {
		return err
	}
	for _, e := range res.Elements {
		fmt.Fprintf(out, "%-12s %v %.60q\n", kind(e), e.Box, e.Text)
	}
	for _, e := range res.Elements {
		if e.Table != nil {
			fmt.Fprintf(out, "\n%s\n", e.Table.Markdown())
		}
	}
	if f.out == "" {
		return nil
	}
	file, err := os.Create(f.out)
	if err != nil {
		return err
	}
	return errors.Join(png.Encode(file, res.Overlay(img)), file.Close())
}

func kind(e textextraction.Element) string {
	if e.Level > 0 {
		return fmt.Sprint(e.Kind, " ", e.Level)
	}
	return string(e.Kind)
}

// read returns the page and what is on it: by a model, or from an answer that there is.
func read(ctx context.Context, f flags, progress io.Writer) (img image.Image, res *textextraction.ExtractResult, err error) {
	format, err := textextraction.ParseFormat(f.format)
	if err != nil {
		return nil, nil, err
	}
	drawn, prepared, err := drawSheet()
	if err != nil {
		return nil, nil, err
	}
	if img = drawn; f.image != "" {
		if img, err = textextraction.LoadImage(ctx, f.image); err != nil {
			return nil, nil, err
		}
	}
	if f.model != "" {
		return readByModel(ctx, f, format, img)
	}
	switch {
	case f.answer != "":
		data, err := os.ReadFile(f.answer)
		if err != nil {
			return nil, nil, err
		}
		prepared = string(data)
	case f.image != "":
		return nil, nil, errors.New("-image needs -model, or -answer")
	default:
		fmt.Fprintln(progress, "No model runs: this is an answer prepared for the page, in the form of Qwen3-VL's.")
	}
	name := f.preset
	if name == "" {
		name = "qwen3vl"
	}
	preset, err := textextraction.LookupPreset(name)
	if err != nil {
		return nil, nil, err
	}
	size := img.Bounds().Size()
	// Where a model's coordinates are pixels of the image as it was scaled for the model, that is taken to be this image.
	sizes := textextraction.Sizes{Width: size.X, Height: size.Y, ModelWidth: size.X, ModelHeight: size.Y}
	return img, preset.ReadAnswer(prepared, format, sizes), nil
}

func readByModel(ctx context.Context, f flags, format textextraction.Format, img image.Image) (_ image.Image, _ *textextraction.ExtractResult, err error) {
	ex, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextPyTorchConfig{Model: f.model, Device: f.device, Preset: f.preset})
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, ex.Close()) }()
	res, err := ex.Extract(ctx, img, format)
	return img, res, err
}
