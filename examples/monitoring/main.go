// Command monitoring is "Monitoring & Logging" of the Python library's deployment guide: it reads pages, logs the time and the words of
// each and the GPU's name, and tells how much memory the device has in use before the model is loaded, after it, and after each page.
//
//	go run ./examples/monitoring
//	go run ./examples/monitoring -model Qwen/Qwen3-VL-8B-Instruct -device cuda -image 1.png 2.png 3.png
//
// With no flags it does so with a page that it draws and the embedded model, offline. The log is log/slog's, as text or with -json as
// JSON. Of the memory it prints, in gigabytes of 10⁹ bytes, what holds data (used), what is held from other programs (reserved; the same where the source
// cannot tell them apart), the most that was used (peak) and what there is (total), and in brackets who says so: the PJRT plugin's
// allocator, nvidia-smi, which counts all programs on the GPU, or the system, which counts the whole process. A number that the
// source does not know is a dash. The memory of an allocator does not shrink when a page ends; it is used again for the next.
//
// Prometheus and OpenTelemetry are fed by omnidocs/observe, a module of its own; the servers of examples/serve have /metrics.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/textextraction"
)

type flags struct {
	images               []string
	model, device, dtype string
	maxTokens            int
	json                 bool
}

func main() {
	var f flags
	first := flag.String("image", "", "page to read, and after the flags further ones (default: a page that this program draws)")
	flag.StringVar(&f.model, "model", textextraction.TinyModel, "folder of a checkpoint, or id on the Hugging Face hub")
	flag.StringVar(&f.device, "device", "", "go, xla:cpu, cuda, … (default: go for the embedded model, else the best there is)")
	flag.StringVar(&f.dtype, "dtype", "auto", "float32, bfloat16, float16 or auto")
	flag.IntVar(&f.maxTokens, "max-tokens", 0, "longest answer, in tokens (default: 8192)")
	flag.BoolVar(&f.json, "json", false, "log JSON")
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
	var handler slog.Handler = slog.NewTextHandler(out, nil)
	if f.json {
		handler = slog.NewJSONHandler(out, nil)
	}
	log := slog.New(handler)
	start := time.Now()
	ex, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextPyTorchConfig{
		Model: f.model, Device: f.device, TorchDtype: f.dtype, Logger: log,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ex.Close()) }()
	log.Info("ready", "seconds", round(time.Since(start)))
	if err := logMemory(ctx, out, "After model load", ex); err != nil {
		return err
	}

	log.Info("starting batch processing", "images", len(f.images), "gpu", gpuNames(ctx, ex))
	start = time.Now()
	var faults []error
	for i, path := range f.images {
		image := log.With("image", i+1, "of", len(f.images))
		if err := extract(ctx, ex, path, f.maxTokens, image); err != nil {
			if ctx.Err() != nil {
				return err
			}
			faults = append(faults, fmt.Errorf("%s: %w", path, err)) // this page's: the others go on
			image.Error("failed", "name", filepath.Base(path), "error", err)
		}
		if err := logMemory(ctx, out, "After extraction", ex); err != nil {
			return err
		}
	}
	took := time.Since(start)
	log.Info("batch complete", "seconds", round(took), "seconds_per_image", round(took/time.Duration(len(f.images))), "failed", len(faults))
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

// extract reads a page and logs what it took.
func extract(ctx context.Context, ex *textextraction.QwenTextExtractor, path string, maxTokens int, log *slog.Logger) error {
	img, name, err := page(ctx, path)
	if err != nil {
		return err
	}
	start := time.Now()
	res, err := ex.ExtractWith(ctx, img, textextraction.Options{MaxNewTokens: maxTokens})
	if err != nil {
		return err
	}
	log.Info("processed", "name", name, "seconds", round(time.Since(start)), "words", res.WordCount,
		"first_token_seconds", round(res.Timings.Total-res.Timings.Decode), "prompt_tokens", res.PromptTokens,
		"tokens", res.CompletionTokens, "finish", res.FinishReason)
	return nil
}

// round is a time in seconds, to the millisecond.
func round(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }

// gpuNames are the products' names, or what there is in their place.
func gpuNames(ctx context.Context, ex *textextraction.QwenTextExtractor) string {
	gpus, err := ex.GPUs(ctx)
	if err != nil {
		return err.Error()
	}
	var names []string
	for _, g := range gpus {
		names = append(names, g.Name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
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
