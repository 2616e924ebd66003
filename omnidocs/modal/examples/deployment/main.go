// Command deployment is the scheduled job, the web endpoint and the load balancing of OmniDocs' guide for Modal: it writes the Python
// program that deploys them, and reads pages with what was deployed.
//
//	go run ./examples/deployment                                          # offline: writes the program, reads with a Modal on this machine
//	go run ./examples/deployment -out modal_app.py -program /tmp/serve -job-program /tmp/scheduled -gpu A10G:1 -schedule "0 0 * * *"
//	modal deploy modal_app.py                                             # pip install modal
//	go run ./examples/deployment -call omnidocs-deployment page.png       # by the class, which Modal queues and scales
//	go run ./examples/deployment -url https://WORKSPACE--omnidocs-deployment-server.modal.run -proxy-key wk-… -proxy-secret ws-… page.png
//
// The last two cost money as long as containers run.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"

	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/omnidocs/modal"
	"github.com/omnidocs/omnidocs/omnidocs/modal/modaltest"
	"github.com/omnidocs/omnidocs/textextraction"
	"github.com/omnidocs/omnidocs/textextraction/httpapi"
)

type flags struct {
	deployment modal.Deployment
	endpoint   modal.Endpoint
	out, call  string
	images     []string
}

func main() {
	var f flags
	d := &f.deployment
	flag.StringVar(&f.out, "out", "", "file to write the program to (default: offline, to standard output)")
	flag.StringVar(&d.App, "app", modal.DefaultApp, "name of the app")
	flag.StringVar(&d.Model, "model", modal.DefaultModel, "id on the Hugging Face hub")
	flag.StringVar(&d.GPU, "gpu", modal.DefaultGPU, "GPU of a container, TYPE:NUMBER, or none")
	flag.StringVar(&d.Program, "program", "", "examples/serve, built for linux/amd64, to put into the image")
	flag.StringVar(&d.JobProgram, "job-program", "", "examples/scheduled, built for linux/amd64, to put into the image")
	flag.StringVar(&d.Image.Registry, "image", "", "image of a registry; with no -program it must have examples/serve")
	flag.StringVar(&d.Image.Python, "python", "", "version of Python to add to it, 3.12 for example (default: it has one)")
	flag.StringVar(&d.Schedule, "schedule", "", `when the job runs, "0 0 * * *" is midnight (default: no job)`)
	flag.StringVar(&d.Timezone, "timezone", "UTC", "where that is the time of")
	flag.IntVar(&d.MinContainers, "min", 0, "containers kept ready, and paid for")
	flag.IntVar(&d.MaxContainers, "max", 3, "containers at most")
	flag.StringVar(&f.call, "call", "", "app to read pages with, by its class")
	flag.StringVar(&f.endpoint.URL, "url", "", "web endpoint to read pages with")
	flag.StringVar(&f.endpoint.ProxyKey, "proxy-key", "", "the endpoint's proxy token: its key")
	flag.StringVar(&f.endpoint.ProxySecret, "proxy-secret", "", "and its secret")
	flag.Parse()
	f.images = flag.Args()
	f.endpoint.Token = os.Getenv("OMNIDOCS_TOKEN")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, f, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "deployment:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags, out io.Writer) error {
	switch {
	case f.call != "":
		return readByClass(ctx, f, modal.Options{}, out)
	case f.endpoint.URL != "":
		x, err := textextraction.NewQwenTextExtractor(ctx, f.endpoint.Config(f.deployment.Model))
		if err != nil {
			return err
		}
		return errors.Join(read(ctx, x, f.images, out), x.Close())
	case f.out != "":
		program, err := f.deployment.Python()
		if err != nil {
			return err
		}
		if err := os.WriteFile(f.out, program, 0o644); err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "wrote %s: modal deploy %s\n", f.out, f.out)
		return err
	}
	return offline(ctx, f, out)
}

// readByClass reads pages by calls of the deployed class.
func readByClass(ctx context.Context, f flags, o modal.Options, out io.Writer) error {
	client, err := modal.Open(o)
	if err != nil {
		return err
	}
	defer client.Close()
	x, err := client.Worker(ctx, f.call, textextraction.QwenTextAPIConfig{Model: f.deployment.Model})
	if err != nil {
		return err
	}
	return errors.Join(read(ctx, x, f.images, out), x.Close())
}

func read(ctx context.Context, x textextraction.TextExtractor, images []string, out io.Writer) error {
	if len(images) == 0 {
		return errors.New("name the pages to read, after the flags")
	}
	var all error
	n := 0
	for r, err := range x.Batch(ctx, textextraction.Files(ctx, images...), textextraction.BatchOptions{}) {
		if n++; err != nil {
			all = errors.Join(all, err)
			continue
		}
		fmt.Fprintf(out, "%s: %d words\n%s\n", images[n-1], r.WordCount, r.Content)
	}
	return all
}

// offline writes the program, and reads a page with a class of a Modal on this machine whose server has the embedded model.
func offline(ctx context.Context, f flags, out io.Writer) (err error) {
	if f.deployment.Image.Registry == "" && f.deployment.Program == "" {
		f.deployment.Image = modal.Image{Registry: "registry.example.com/omnidocs:cuda", Python: "3.12"}
	}
	program, err := f.deployment.Python()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s\n# offline: the class Worker of a Modal on this machine, with the embedded model, reads a page:\n", program)
	x, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextVLLMConfig{Model: textextraction.TinyModel, Device: "go", MaxNumSeqs: 2, EnforceEager: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	server, err := httpapi.New(x, httpapi.Options{Model: textextraction.TinyModel})
	if err != nil {
		return err
	}
	fake, err := modaltest.New(modaltest.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fake.Close()) }()
	for name, value := range fake.Env() {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	fake.HandleMethod(f.deployment.App, modal.WorkerClass, "request", hand(server))
	f.call, f.deployment.Model = f.deployment.App, textextraction.TinyModel
	if len(f.images) == 0 {
		page, err := drawn()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.Remove(page)) }()
		f.images = []string{page}
	}
	return readByClass(ctx, f, modal.Options{}, out)
}

// hand hands requests to a server, as the method of the deployed class does.
func hand(server http.Handler) modaltest.Function {
	return func(ctx context.Context, _ []any, named map[string]any) (any, error) {
		method, _ := named["method"].(string)
		path, _ := named["path"].(string)
		body, _ := named["body"].([]byte)
		r, err := http.NewRequestWithContext(ctx, method, "http://server"+path, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		return map[string]any{"status": w.Code, "content_type": w.Header().Get("Content-Type"), "body": w.Body.Bytes()}, nil
	}
}

// drawn is a file with a page that the embedded model can read.
func drawn() (string, error) {
	p, err := tiny.DrawPage(tiny.PageOptions{Markdown: "the black house", Width: 384, Height: 128})
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp("", "page-*.png")
	if err != nil {
		return "", err
	}
	return f.Name(), errors.Join(png.Encode(f, p.Image), f.Close())
}
