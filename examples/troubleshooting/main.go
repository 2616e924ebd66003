// Command troubleshooting is "Troubleshooting" of the Python library's deployment guide. It provokes each of the guide's troubles for
// real, offline, with the embedded model, and shows how it looks, what the library has already done about it, and what is left to do:
//
//	go run ./examples/troubleshooting                       # all of them
//	go run ./examples/troubleshooting -only download        # or memory, timeout, network
//
// download: the hub stops sending in the middle of the weights, or wants a token. memory: a model, and a page, that is larger than what
// there is. timeout: a page whose time is up, a server's limit, an answer's bound. network: a server that is busy, breaks off, is gone.
//
// For a model, device and page of your own: examples/standardsetup, examples/plan and examples/monitoring.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/omnidocs/omnidocs/textextraction"
)

type flags struct {
	only     string
	patience time.Duration
}

// troubles are what can be shown.
var troubles = []struct {
	name, title string
	show        func(ctx context.Context, f flags, out io.Writer) error
}{
	{"download", "Model download stuck", download},
	{"memory", "Out of memory", memory},
	{"timeout", "Time-outs", timeouts},
	{"network", "Network errors", network},
}

func main() {
	var f flags
	flag.StringVar(&f.only, "only", "", "download, memory, timeout or network (default: all)")
	flag.DurationVar(&f.patience, "patience", 2*time.Second, "how long a download may bring nothing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, f, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "troubleshooting:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags, out io.Writer) error {
	shown := false
	for _, t := range troubles {
		if f.only != "" && f.only != t.name {
			continue
		}
		shown = true
		fmt.Fprintf(out, "# %s\n\n", t.title)
		if err := t.show(ctx, f, out); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		fmt.Fprintln(out)
	}
	if !shown {
		return fmt.Errorf("-only %s: want download, memory, timeout or network", f.only)
	}
	return nil
}

// load loads the embedded model.
func load(ctx context.Context) (*textextraction.QwenTextExtractor, error) {
	return textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextPyTorchConfig{Model: textextraction.TinyModel, Device: "go"})
}
