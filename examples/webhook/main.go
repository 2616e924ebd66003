// Command webhook is the "Webhook Handler" of the Python library's deployment guide: it takes the address of a picture and answers with
// its text.
//
//	go run ./examples/webhook                        # offline: calls itself, and shows what is answered
//	OMNIDOCS_TOKEN=secret go run ./examples/webhook -addr :8080 -model Qwen/Qwen3-VL-8B-Instruct -device cuda
//
//	curl -X POST http://localhost:8080/extract_from_url \
//	  -H "Authorization: Bearer secret" -H "Content-Type: application/json" \
//	  -d '{"image_url": "https://example.com/doc.png"}'
//
// The guide's handler fetches whatever address it is given, of any size, for anybody. This one wants a token, bounds sizes and times, and
// refuses the addresses of its own machine and of the networks around it, also where names and redirects lead there; -allow names the
// networks that it may fetch from all the same, -ports the ports. The model is loaded once. It ends when the pages under way are read.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"image/png"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/textextraction"
	"github.com/omnidocs/omnidocs/textextraction/httpapi"
)

type flags struct {
	addr, model, device, allow, ports string
	slots                             int
}

func main() {
	var f flags
	flag.StringVar(&f.addr, "addr", "", "address to listen at, for example :8080 (default: call itself once, and end)")
	flag.StringVar(&f.model, "model", textextraction.TinyModel, "folder of a checkpoint, or id on the Hugging Face hub")
	flag.StringVar(&f.device, "device", "", "go, xla:cpu, cuda, … (default: go for the embedded model, else the best there is)")
	flag.StringVar(&f.allow, "allow", "", "networks to fetch from although they are not public, with commas, for example 10.1.0.0/16")
	flag.StringVar(&f.ports, "ports", "80,443", "ports that addresses may name, with commas")
	flag.IntVar(&f.slots, "slots", 4, "pages that are read together")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, f, os.Getenv("OMNIDOCS_TOKEN"), os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "webhook:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags, token string, out io.Writer) (err error) {
	if f.device == "" && f.model == textextraction.TinyModel {
		f.device = "go"
	}
	x, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextVLLMConfig{Model: f.model, Device: f.device, MaxNumSeqs: f.slots})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	if f.addr == "" {
		return show(ctx, f, x, out)
	}
	if token == "" {
		return errors.New("OMNIDOCS_TOKEN is not set: whoever reaches the address could have pages read")
	}
	address, served, err := serve(ctx, f, token, x)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "POST %s/extract_from_url\n", address)
	return <-served
}

// serve begins to serve, until ctx ends.
func serve(ctx context.Context, f flags, token string, x textextraction.TextExtractor) (address string, served <-chan error, err error) {
	o := httpapi.Options{
		Tokens: []string{token}, Model: f.model, Concurrency: 2 * f.slots, PageTimeout: 10 * time.Minute, MaxBodyBytes: 32 << 20,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	for text := range strings.SplitSeq(f.allow, ",") {
		if text == "" {
			continue
		}
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return "", nil, fmt.Errorf("-allow: %w", err)
		}
		o.FetchNetworks = append(o.FetchNetworks, network)
	}
	for text := range strings.SplitSeq(f.ports, ",") {
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return "", nil, fmt.Errorf("-ports: %w", err)
		}
		o.FetchPorts = append(o.FetchPorts, int(port))
	}
	api, err := httpapi.New(x, o)
	if err != nil {
		return "", nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.addr)
	if err != nil {
		return "", nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- httpapi.Serve(ctx, l, api, 5*time.Minute) }()
	return "http://" + l.Addr().String(), ended, nil
}

// show puts a page up at an address of this machine, and has it read as a caller would.
func show(ctx context.Context, f flags, x textextraction.TextExtractor, out io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	files, port, err := fileServer(ctx)
	if err != nil {
		return err
	}
	f.addr = "127.0.0.1:0"
	careful, carefulEnded, err := serve(ctx, f, "secret", x)
	if err != nil {
		return err
	}
	f.allow, f.ports = "127.0.0.0/8", port
	allowing, allowingEnded, err := serve(ctx, f, "secret", x)
	if err != nil {
		return err
	}
	for _, c := range []struct{ what, address, token, url string }{
		{"without a token", careful, "", files + "/doc.png"},
		{"a picture on this machine", careful, "secret", files + "/doc.png"},
		{"the cloud's metadata", careful, "secret", "http://169.254.169.254/latest/meta-data/"},
		{"a file", careful, "secret", "file:///etc/passwd"},
		{"a picture on this machine, with -allow", allowing, "secret", files + "/doc.png"},
		{"what is not there", allowing, "secret", files + "/nothing"},
		{"what is no picture", allowing, "secret", files + "/text"},
	} {
		status, body, err := call(ctx, c.address, c.token, c.url)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: %d\n  %.300s\n", c.what, status, body)
	}
	stop()
	return errors.Join(<-carefulEnded, <-allowingEnded)
}

// call asks a webhook for a picture's text, as any HTTP client can.
func call(ctx context.Context, address, token, imageURL string) (status int, body string, err error) {
	asked := strings.NewReader(fmt.Sprintf(`{"image_url": %q}`, imageURL))
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address+"/extract_from_url", asked)
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return res.StatusCode, strings.TrimSpace(string(data)), err
}

// fileServer serves a page that it draws, and a text, until ctx ends.
func fileServer(ctx context.Context) (address, port string, err error) {
	p, err := tiny.DrawPage(tiny.PageOptions{Markdown: tiny.SamplePage})
	if err != nil {
		return "", "", err
	}
	var page bytes.Buffer
	if err := png.Encode(&page, p.Image); err != nil {
		return "", "", err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	s := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/doc.png":
			_, _ = w.Write(page.Bytes())
		case "/text":
			_, _ = io.WriteString(w, "a text")
		default:
			http.NotFound(w, r)
		}
	})}
	go func() { _ = s.Serve(l) }() // until it is closed
	context.AfterFunc(ctx, func() { _ = s.Close() })
	_, port, err = net.SplitHostPort(l.Addr().String())
	return "http://" + l.Addr().String(), port, err
}
