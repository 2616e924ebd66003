// Command inspect says what a checkpoint holds, without loading it and without Python:
//
//	go run ./examples/inspect
//	go run ./examples/inspect -json Qwen/Qwen3-VL-2B-Instruct-FP8
//
// With no argument it looks at the model that is embedded in the library. A folder is looked at where it is; a model on the
// Hugging Face hub is downloaded first, all of it. What keeps a checkpoint from being loaded is among what it says.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"

	"github.com/omnidocs/omnidocs/internal/hub"
	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/qwen"
	"github.com/omnidocs/omnidocs/textextraction"
)

func main() {
	asJSON := flag.Bool("json", false, "print JSON")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: inspect [-json] [folder, or id on the Hugging Face hub]\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	model := textextraction.TinyModel
	if flag.NArg() > 0 {
		model = flag.Arg(0)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, model, *asJSON, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "inspect:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, model string, asJSON bool, out, progress io.Writer) error {
	files, err := folder(ctx, model, progress)
	if err != nil {
		return err
	}
	found, err := qwen.Inspect(files)
	if err != nil {
		return err
	}
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false) // the names of tokens have angle brackets
		return e.Encode(found)
	}
	_, err = found.WriteTo(out)
	return err
}

// folder finds the files of a model.
func folder(ctx context.Context, model string, progress io.Writer) (fs.FS, error) {
	if model == textextraction.TinyModel {
		return tiny.FS(), nil
	}
	downloaded := false
	dir, err := hub.Resolve(ctx, hub.Source{Model: model, Progress: func(p hub.Progress) {
		downloaded = true
		fmt.Fprintf(progress, "\r%s: %d of %d MB\033[K", model, p.Done/1e6, p.Total/1e6)
	}})
	if downloaded {
		fmt.Fprintln(progress)
	}
	if err != nil {
		return nil, err
	}
	return os.DirFS(dir), nil
}
