// Package remote reads pages with a model that runs elsewhere, behind a server that speaks OpenAI's protocol: vLLM, SGLang, llama.cpp,
// OpenRouter, Azure. Its [Engine] has the methods of [backend.Engine].
package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/internal/imageproc"
	"github.com/omnidocs/omnidocs/internal/openai"
	"github.com/omnidocs/omnidocs/qwen"
)

// Device is what [Engine.Info] calls the place where a remote model runs.
const Device = "remote"

// Options say where the server is and how it is asked.
type Options struct {
	// Base is the address below which the protocol's paths are, "https://openrouter.ai/api/v1" for example; for Azure that of the
	// resource.
	Base string
	// Model is the name that the server knows the model by; for Azure that of the deployment.
	Model string
	// Key is the API's key. Empty sends none.
	Key string
	// AzureVersion makes the server one of Azure's, with this api-version.
	AzureVersion string
	// Headers are sent with each request.
	Headers http.Header
	// HTTP does the calls. Nil means one as http.DefaultClient, which keeps as many connections as there are pages at a time.
	HTTP *http.Client
	// Timeout bounds one attempt at a page, to the last byte of the answer. Zero means none.
	Timeout time.Duration
	// Attempts is how often a page is asked for; the first wait between two is FirstWait, the longest MaxWait. Zero means 3, 1 s, 30 s.
	Attempts           int
	FirstWait, MaxWait time.Duration
	// Concurrency is how many pages are asked for at a time. Zero means 8.
	Concurrency int
}

const defaultConcurrency = 8

// Engine reads pages on a server. It may be used from several goroutines.
type Engine struct {
	client    *openai.Client
	transport *http.Transport // nil where it is the caller's
	model     string
	factor    int
	azure     bool
	free      chan struct{}

	mu      sync.Mutex
	closed  bool
	closing chan struct{}
	pages   sync.WaitGroup
}

// New returns an engine. Nothing is sent before there is a page.
func New(o Options) (*Engine, error) {
	if o.Model == "" {
		return nil, errors.New("backend: remote: no model is named")
	}
	n := o.Concurrency
	if n == 0 {
		n = defaultConcurrency
	}
	if n < 0 || o.Attempts < 0 || o.Timeout < 0 {
		return nil, fmt.Errorf("backend: remote: Concurrency is %d, Attempts %d, Timeout %s, want 0 or more", n, o.Attempts, o.Timeout)
	}
	e := &Engine{
		client: &openai.Client{
			Base: o.Base, Key: o.Key, AzureVersion: o.AzureVersion, Headers: o.Headers, HTTP: o.HTTP, Timeout: o.Timeout,
			Attempts: o.Attempts, FirstWait: o.FirstWait, MaxWait: o.MaxWait,
		},
		model: o.Model, factor: factorOf(o.Model), azure: o.AzureVersion != "", free: make(chan struct{}, n), closing: make(chan struct{}),
	}
	if o.HTTP == nil {
		e.transport = ownTransport(n)
		if e.transport != nil {
			e.client.HTTP = &http.Client{Transport: e.transport}
		}
	}
	return e, nil
}

// ownTransport is the default one, but keeps n connections to a server; that keeps two, and a third page at a time would open, and with
// TLS greet, another one each time. Nil where a program has put something else in its place.
func ownTransport(n int) *http.Transport {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil
	}
	t = t.Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = n, n
	return t
}

// factorOf is the side of a visual token in pixels: 28 for Qwen2-VL, Qwen2.5-VL and what is named after them, 32 since.
func factorOf(model string) int {
	name := strings.ToLower(model)
	for _, old := range []string{"qwen2-vl", "qwen2.5-vl", "qwen-2-vl", "qwen-2.5-vl", "qwen2_5_vl", "olmocr", "rolmocr", "nanonets", "mineru2.5"} {
		if strings.Contains(name, old) {
			return 28
		}
	}
	return 32
}

// Info says what runs, as far as that is known from here.
func (e *Engine) Info() backend.Info {
	return backend.Info{Model: e.model, Device: Device, Description: "a server at " + e.client.Base}
}

// Close fails later pages with [backend.ErrClosed], and waits for those that are under way, whose contexts end them sooner.
func (e *Engine) Close() error {
	e.mu.Lock()
	if !e.closed {
		e.closed = true
		close(e.closing)
	}
	e.mu.Unlock()
	e.pages.Wait()
	if e.transport != nil {
		e.transport.CloseIdleConnections()
	}
	return nil
}

// Generate reads pages, some of them at a time. done is called once for each request, from this goroutine, as it ends. See
// [backend.Engine.Generate].
func (e *Engine) Generate(ctx context.Context, requests []backend.Request, done func(i int, out backend.Output, err error)) error {
	type result struct {
		i   int
		out backend.Output
		err error
	}
	results := make(chan result, len(requests))
	go func() {
		for i, r := range requests {
			if err := e.enter(ctx); err != nil {
				results <- result{i: i, err: err}
				continue
			}
			go func() {
				defer e.leave()
				out, err := e.read(ctx, r)
				results <- result{i, out, err}
			}()
		}
	}()
	var closed error
	for range requests {
		r := <-results
		if r.err != nil && ctx.Err() != nil {
			r.out.Finish = backend.FinishCanceled
		}
		done(r.i, r.out, r.err)
		if errors.Is(r.err, backend.ErrClosed) {
			closed = r.err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return closed
}

// enter waits until a page may be asked for.
func (e *Engine) enter(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case e.free <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-e.closing:
		return backend.ErrClosed
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		<-e.free
		return backend.ErrClosed
	}
	e.pages.Add(1)
	return nil
}

func (e *Engine) leave() {
	<-e.free
	e.pages.Done()
}

// read asks for one page.
func (e *Engine) read(ctx context.Context, r backend.Request) (out backend.Output, err error) {
	start := time.Now()
	defer func() { out.Timings.Total = time.Since(start) }()
	ask, err := e.request(ctx, r)
	if err != nil {
		return out, fmt.Errorf("backend: remote: %w", err)
	}
	out.Timings.Preprocess = time.Since(start)
	asked := time.Now()
	var delta func(text string)
	if told := 0; r.Text != nil {
		delta = func(text string) {
			r.Text(told, text)
			told += len(text)
		}
	}
	a, err := e.client.Chat(ctx, ask, delta)
	out.Timings.Decode = time.Since(asked)
	out.Text, out.PromptTokens, out.CompletionTokens = a.Text, a.PromptTokens, a.CompletionTokens
	out.CachedTokens = a.CachedTokens
	if err != nil {
		return out, fmt.Errorf("backend: remote: %w", err)
	}
	out.Finish = backend.FinishStop
	if a.Finish == "length" {
		out.Finish = backend.FinishLength
	}
	return out, nil
}

// request is what the server is sent for a page.
func (e *Engine) request(ctx context.Context, r backend.Request) (openai.Request, error) {
	if r.Image == nil {
		return openai.Request{}, errors.New("the request has no image")
	}
	picture, err := e.picture(ctx, r)
	if err != nil {
		return openai.Request{}, err
	}
	parts := []openai.Part{openai.PNG(picture), openai.Text(r.Prompt)}
	if r.TextFirst {
		parts[0], parts[1] = parts[1], parts[0]
	}
	q := openai.Request{Model: e.model, Temperature: r.Sampling.Temperature, TopP: r.Sampling.TopP, TopK: r.Sampling.TopK, Stop: r.Stops}
	if r.System != "" {
		q.Messages = append(q.Messages, openai.Message{Role: "system", Content: []openai.Part{openai.Text(r.System)}})
	}
	q.Messages = append(q.Messages, openai.Message{Role: "user", Content: parts})
	if r.Sampling.Temperature > 0 {
		seed := int64(r.Sampling.Seed >> 1) // as many bits as fit
		q.Seed = &seed
	} else {
		q.TopP, q.TopK = 0, 0 // they count for nothing, and some servers refuse them there
	}
	if e.azure { // which knows no other names
		q.MaxCompletionTokens, q.TopK = r.MaxNewTokens, 0
	} else {
		q.MaxTokens = r.MaxNewTokens
	}
	if r.KeepSpecialTokens {
		q.Extra = map[string]json.RawMessage{"skip_special_tokens": json.RawMessage("false")} // vLLM's and SGLang's
	}
	return q, nil
}

// picture is the page as it is sent: one that is larger than a model in this process would read it, or smaller than the request asks,
// in that size, which its processor then leaves as it is; others as they are, since the server's processor has bounds of its own.
func (e *Engine) picture(ctx context.Context, r backend.Request) ([]byte, error) {
	unit := e.factor * e.factor
	low, high := r.MinPixels, r.MaxPixels
	if high == 0 && !r.CheckpointBounds {
		high = max(qwen.DocumentMaxTokens*unit, low)
	}
	page, size := r.Image, r.Image.Bounds().Size()
	area := size.X * size.Y
	if area < low || high > 0 && area > high {
		if high == 0 {
			high = max(low, area)
		}
		h, w, err := qwen.SmartResize(size.Y, size.X, e.factor, max(1, min(low, high)), high)
		if err != nil {
			return nil, err
		}
		rgb, err := imageproc.ToRGB(ctx, page)
		if err != nil {
			return nil, err
		}
		if rgb, err = imageproc.Resize(ctx, rgb, w, h); err != nil {
			return nil, err
		}
		page = rgb
	}
	return encode(ctx, page)
}

// encode makes a PNG of a page that has no transparent parts.
func encode(ctx context.Context, page image.Image) ([]byte, error) {
	rgb, err := imageproc.ToRGB(ctx, page)
	if err != nil {
		return nil, err
	}
	// A type that the encoder knows, which goes ten times faster than asking for each pixel.
	opaque := image.NewNRGBA(rgb.Bounds())
	for i, j := 0, 0; i < len(rgb.Pix); i, j = i+3, j+4 {
		opaque.Pix[j], opaque.Pix[j+1], opaque.Pix[j+2], opaque.Pix[j+3] = rgb.Pix[i], rgb.Pix[i+1], rgb.Pix[i+2], 255
	}
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := encoder.Encode(&out, opaque); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
