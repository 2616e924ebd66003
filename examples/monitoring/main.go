// Command monitoring reads pages and tells how much memory the device has in use before the model is loaded, after it, and after each
// page, as the deployment guide of the Python library does:
//
//	go run ./examples/monitoring
//	go run ./examples/monitoring -model Qwen/Qwen3-VL-8B-Instruct -device cuda -image 1.png 2.png 3.png
//
// It prints, in gigabytes of 10⁹ bytes, what holds data (used), what is held from other programs (reserved; the same where the source
// cannot tell them apart), the most that was used (peak) and what there is (total), and in brackets who says so: the PJRT plugin's
// allocator, nvidia-smi, which counts all programs on the GPU, or the system, which counts the whole process. A number that the
// source does not know is a dash. The memory of an allocator does not shrink when a page ends; it is used again for the next.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/textextraction"
)

type flags struct {
	images               []string
	model, device, dtype string
	maxTokens            int
}

func main() {
	var f flags
	first := flag.String("image", "", "page to read, and after the flags further ones (default: a page that this program draws)")
	flag.StringVar(&f.model, "model", textextraction.TinyModel, "folder of a checkpoint, or id on the Hugging Face hub")
	flag.StringVar(&f.device, "device", "", "go, xla:cpu, cuda, … (default: go for the embedded model, else the best there is)")
	flag.StringVar(&f.dtype, "dtype", "auto", "float32, bfloat16, float16 or auto")
	flag.IntVar(&f.maxTokens, "max-tokens", 0, "longest answer, in tokens (default: 8192)")
	flag.Parse()
	if *first != "" {
		f.images = append(f.images, *first)
	}
	f.images = append(f.images, flag.Args()...)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, f, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "monitoring:", err)
		os.Exit(1)
	}
}

// source is what tells its memory: a device, or an extractor.
type source interface {
	Memory(ctx context.Context) (backend.MemoryStats, error)
	GPUs(ctx context.Context) ([]backend.GPU, error)
}

func run(ctx context.Context, f flags, out io.Writer) (err error) {
	if f.device == "" && f.model == textextraction.TinyModel {
		f.device = "go"
	}
	if len(f.images) == 0 {
		f.images = []string{""}
	}
	if err := initial(ctx, f.device, out); err != nil {
		return err
	}
	start := time.Now()
	ex, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextPyTorchConfig{
		Model: f.model, Device: f.device, TorchDtype: f.dtype,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ex.Close()) }()
	fmt.Fprintf(out, "Loaded %s in %.1f s\n", f.model, time.Since(start).Seconds())
	if err := logMemory(ctx, out, "After model load", ex); err != nil {
		return err
	}

	var faults []error
	for i, path := range f.images {
		if err := extract(ctx, ex, path, f.maxTokens, fmt.Sprintf("[%d/%d]", i+1, len(f.images)), out); err != nil {
			if ctx.Err() != nil {
				return err
			}
			faults = append(faults, fmt.Errorf("%s: %w", path, err)) // this page's: the others go on
			fmt.Fprintf(out, "[%d/%d] Failed: %v\n", i+1, len(f.images), err)
		}
		if err := logMemory(ctx, out, "After extraction", ex); err != nil {
			return err
		}
	}
	return errors.Join(faults...)
}

// initial tells what is in use before a model is there. The extractor opens the device again, for itself.
func initial(ctx context.Context, name string, out io.Writer) (err error) {
	device, err := backend.Open(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, device.Close()) }()
	fmt.Fprintf(out, "Device: %s\n", device.Description())
	return logMemory(ctx, out, "Initial", device)
}

// extract reads a page and tells what it took.
func extract(ctx context.Context, ex *textextraction.QwenTextExtractor, path string, maxTokens int, label string, out io.Writer) error {
	img, name, err := page(ctx, path)
	if err != nil {
		return err
	}
	start := time.Now()
	res, err := ex.ExtractWith(ctx, img, textextraction.Options{MaxNewTokens: maxTokens})
	if err != nil {
		return err
	}
	took, t := time.Since(start), res.Timings
	_, err = fmt.Fprintf(out, "%s %s: processed in %.2f s (first token after %.2f s), ",
		label, name, took.Seconds(), (t.Total - t.Decode).Seconds())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%d words, %d prompt tokens, %d tokens written, ended with %q\n",
		res.WordCount, res.PromptTokens, res.CompletionTokens, res.FinishReason)
	return err
}

// page loads a page, or draws one.
func page(ctx context.Context, path string) (image.Image, string, error) {
	if path != "" {
		img, err := textextraction.LoadImage(ctx, path)
		return img, filepath.Base(path), err
	}
	p, err := tiny.DrawPage(tiny.PageOptions{Markdown: tiny.SamplePage})
	if err != nil {
		return nil, "", err
	}
	return p.Image, "a drawn page", nil
}

// logMemory prints a line of the report.
func logMemory(ctx context.Context, out io.Writer, label string, from source) error {
	m, err := from.Memory(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: used=%s, reserved=%s, peak=%s, total=%s",
		label, gigabytes(m.Used), gigabytes(m.Reserved), gigabytes(m.Peak), gigabytes(m.Total))
	// The allocator's own account does without nvidia-smi, and so does this program.
	if gpus, err := from.GPUs(ctx); err == nil && len(gpus) > 0 && gpus[0].Utilization >= 0 {
		fmt.Fprintf(out, ", utilization=%d%%", gpus[0].Utilization)
	}
	_, err = fmt.Fprintf(out, " (%s)\n", m.Source)
	return err
}

func gigabytes(bytes int64) string {
	if bytes == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2fGB", float64(bytes)/1e9)
}
