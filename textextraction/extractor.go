package textextraction

import (
	"context"
	"errors"
	"fmt"
	"image"
	"iter"
	"log/slog"
	"slices"
	"sync"

	"github.com/omnidocs/omnidocs/backend"
)

// TextExtractor reads pages. Its methods may be called from several goroutines.
type TextExtractor interface {
	// Extract reads a page into the given markup, with everything else as the extractor's config says.
	//
	// If ctx ends, the error matches that of ctx. If that, or Close, is while the page is being written, then the result,
	// marked FinishCanceled, holds what had been written. With every other error the result is nil.
	Extract(ctx context.Context, img image.Image, format Format) (*ExtractResult, error)
	// ExtractWith is Extract with options of its own.
	ExtractWith(ctx context.Context, img image.Image, opts Options) (*ExtractResult, error)
	// ExtractFile is Extract for an image file, see LoadImage.
	ExtractFile(ctx context.Context, path string, format Format) (*ExtractResult, error)
	// Stream is ExtractWith that yields the page's text as it is written, see Delta. The last value has the result, or the error, with
	// what ExtractWith returns beside it. Leaving the loop ends the page. Each loop over the sequence reads the page anew.
	Stream(ctx context.Context, img image.Image, opts Options) iter.Seq2[Delta, error]
	// Batch reads pages as they come from a source, such as Images or Files, and yields for each its result or its error,
	// in the order of the source. An error, also one of the source, is a *PageError and ends its page alone. When ctx
	// ends, or the extractor is closed, the pages that have been taken from the source end with that error, as with
	// Extract, and there the sequence stops.
	//
	// Pages are taken from the source as they are needed, a few at a time, and not held longer than they are read. The
	// sequence may be ranged over as often as the source allows.
	Batch(ctx context.Context, pages iter.Seq2[image.Image, error], opts BatchOptions) iter.Seq2[*ExtractResult, error]
	// Close ends the calls that are under way, with ErrClosed, and frees the model. Calls after it fail with ErrClosed.
	Close() error
}

// engine is what an extractor needs of [backend.Engine].
type engine interface {
	Generate(ctx context.Context, requests []backend.Request, done func(i int, out backend.Output, err error)) error
	Info() backend.Info
	Close() error
}

// QwenTextExtractor is the [TextExtractor] of Qwen-VL models. [NewQwenTextExtractor] makes one.
type QwenTextExtractor struct {
	engine   engine
	settings settings

	mu      sync.Mutex
	closed  bool
	running map[*context.CancelCauseFunc]struct{} // of the calls under way
	calls   sync.WaitGroup
	close   func() error
}

var _ TextExtractor = (*QwenTextExtractor)(nil)

// newExtractor returns an extractor over an engine, which it owns from here on.
func newExtractor(e engine, s settings) *QwenTextExtractor {
	if p, ok := e.(planned); ok {
		s.batchSize = p.Plan().Slots // as many as memory has room for
		if several, ok := e.(interface{ Len() int }); ok {
			s.batchSize *= several.Len()
		}
	}
	return &QwenTextExtractor{
		engine: e, settings: s,
		running: map[*context.CancelCauseFunc]struct{}{},
		close:   sync.OnceValue(e.Close),
	}
}

// Extract reads a page into the given markup, with everything else as the config says. See [TextExtractor].
func (x *QwenTextExtractor) Extract(ctx context.Context, img image.Image, format Format) (*ExtractResult, error) {
	return x.ExtractWith(ctx, img, Options{Format: format})
}

// ExtractFile is Extract for an image file, see [LoadImage].
func (x *QwenTextExtractor) ExtractFile(ctx context.Context, path string, format Format) (*ExtractResult, error) {
	if err := format.check(); err != nil {
		return nil, err
	}
	img, err := LoadImage(ctx, path)
	if err != nil {
		return nil, err
	}
	return x.Extract(ctx, img, format)
}

// ExtractWith is Extract with options of its own.
func (x *QwenTextExtractor) ExtractWith(ctx context.Context, img image.Image, opts Options) (*ExtractResult, error) {
	p := page{img: img}
	p.request, p.opts, p.err = x.request(ctx, img, opts)
	pages := []*page{&p}
	x.read(ctx, pages, func() {})
	return p.result, p.err
}

// page is a page on its way through a call: what is asked, and what came of it.
type page struct {
	img     image.Image
	opts    Options // with nothing left open
	turn    int     // of the image in the request against img, clockwise
	request backend.Request
	result  *ExtractResult
	err     error
}

// request makes what the engine takes of an image and the options for it.
func (x *QwenTextExtractor) request(ctx context.Context, img image.Image, opts Options) (backend.Request, Options, error) {
	opts, err := x.settings.resolve(opts)
	if err != nil {
		return backend.Request{}, Options{}, err
	}
	if err := checkImage(img); err != nil {
		return backend.Request{}, Options{}, err
	}
	r, err := x.requestFor(ctx, img, opts)
	return r, opts, err
}

// requestFor is request for options with nothing left open.
func (x *QwenTextExtractor) requestFor(ctx context.Context, img image.Image, opts Options) (backend.Request, error) {
	r := backend.Request{
		Image:            img,
		Prompt:           opts.Prompt,
		System:           opts.SystemPrompt,
		MaxNewTokens:     opts.MaxNewTokens,
		Sampling:         opts.Sampling,
		MinPixels:        opts.MinPixels,
		MaxPixels:        opts.MaxPixels,
		Repetition:       opts.Repetition,
		MaxContinuations: opts.MaxContinuations,

		OutOfMemoryRetries: x.settings.smaller,
		Progress:           opts.TokenProgress,
	}
	if err := x.settings.preset.request(ctx, &r, opts.MinPixels > 0 || opts.MaxPixels > 0); err != nil {
		return backend.Request{}, err
	}
	return r, nil
}

// read reads the pages that have no error yet, together, and calls done as each of them ends. Afterwards every page has
// a result or an error.
func (x *QwenTextExtractor) read(ctx context.Context, pages []*page, done func()) {
	var todo []*page
	for _, p := range pages {
		if p.err == nil {
			todo = append(todo, p)
		}
	}
	if len(todo) == 0 {
		return
	}
	callCtx, end, err := x.begin(ctx)
	var requests []backend.Request
	if err == nil {
		defer end()
		todo = slices.DeleteFunc(todo, func(p *page) bool {
			if x.look(ctx, callCtx, p); p.result == nil && p.err == nil {
				requests = append(requests, p.request)
				return false
			}
			done()
			return true
		})
	}
	if err == nil && len(todo) > 0 {
		err = x.engine.Generate(callCtx, requests, func(i int, out backend.Output, err error) {
			if p := todo[i]; p.result == nil && p.err == nil {
				x.finish(ctx, p, out, err)
				done()
			}
		})
	}
	for _, p := range todo {
		if p.result != nil || p.err != nil {
			continue
		}
		if err == nil {
			err = errors.New("the engine gave no answer")
		}
		x.finish(ctx, p, backend.Output{}, err)
		done()
	}
}

// finish makes a page's result of the engine's output.
func (x *QwenTextExtractor) finish(ctx context.Context, p *page, out backend.Output, err error) {
	if err != nil {
		var interrupted bool
		if interrupted, p.err = callError(ctx, err); !interrupted || len(out.Tokens) == 0 && out.Text == "" {
			return
		}
		out.Finish = FinishCanceled
	}
	info := x.engine.Info()
	width, height := p.img.Bounds().Dx(), p.img.Bounds().Dy()
	r := x.settings.preset.readAnswer(out.Text, p.opts.Format, Sizes{
		Width: width, Height: height, ModelWidth: out.ImageWidth, ModelHeight: out.ImageHeight, Turn: p.turn,
	})
	r.Turn = p.turn
	r.ModelName, r.Revision = info.Model, info.Revision
	r.FinishReason, r.Truncated = out.Finish, out.Finish != FinishStop && out.Finish != FinishBlank
	r.Recoveries, r.Continuations = out.Recoveries, out.Continuations
	r.PromptTokens, r.VisualTokens, r.CompletionTokens = out.PromptTokens, out.VisualTokens, max(len(out.Tokens), out.CompletionTokens)
	r.CachedTokens = out.CachedTokens
	r.score(out.Offsets, out.LogProbs)
	r.Timings = Timings(out.Timings)
	r.Device, r.DType = info.Device, info.DType
	r.Run = x.settings.run(info, p.opts)
	p.result = r
	level, message := slog.LevelDebug, "page read"
	if r.FinishReason == FinishLength || r.FinishReason == FinishRepetition {
		level, message = slog.LevelWarn, "page cut short"
	}
	x.settings.logger.Log(ctx, level, message, "format", r.Format, "finish", r.FinishReason, "recoveries", r.Recoveries,
		"visual_tokens", r.VisualTokens, "tokens", r.CompletionTokens, "seconds", r.Timings.Total.Seconds())
}

// callError puts the error of a page in the words of this package, and tells whether it interrupted a page that was well.
func callError(ctx context.Context, err error) (interrupted bool, _ error) {
	ended := ctx.Err()
	switch {
	case errors.Is(err, ErrClosed):
		return true, ErrClosed
	case errors.Is(err, backend.ErrClosed):
		return true, fmt.Errorf("%w: %w", ErrClosed, err)
	case ended != nil && errors.Is(err, ended):
		return true, fmt.Errorf("textextraction: %w", err)
	case ended != nil && errors.Is(err, context.Cause(ctx)):
		return true, fmt.Errorf("textextraction: %w: %w", ended, err) // ended with a cause of the caller's own
	}
	return false, imageError(err)
}

// ended returns why no call can begin: the end of its context, or of the extractor.
func (x *QwenTextExtractor) ended(ctx context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return ErrClosed
	}
	return context.Cause(ctx)
}

// begin enters a call: its context ends also when the extractor is closed. The call must call end.
func (x *QwenTextExtractor) begin(ctx context.Context) (callCtx context.Context, end func(), err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return nil, nil, ErrClosed
	}
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	callCtx, cancel := context.WithCancelCause(ctx)
	x.calls.Add(1)
	x.running[&cancel] = struct{}{}
	return callCtx, func() {
		cancel(nil)
		x.mu.Lock()
		delete(x.running, &cancel)
		x.mu.Unlock()
		x.calls.Done()
	}, nil
}

// Close ends the calls that are under way, with [ErrClosed], waits until they have ended, and frees the model. A call on
// the device is not interrupted, so this may take as long as one. Close may be called again, and from any goroutine, but
// not from within a Progress function.
func (x *QwenTextExtractor) Close() error {
	x.mu.Lock()
	x.closed = true
	for cancel := range x.running {
		(*cancel)(ErrClosed)
	}
	x.mu.Unlock()
	x.calls.Wait()
	if err := x.close(); err != nil {
		return fmt.Errorf("textextraction: close: %w", err)
	}
	return nil
}
