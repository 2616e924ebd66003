package observe

import (
	"context"
	"errors"
	"fmt"
	"image"
	"iter"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/semconv/v1.41.0/genaiconv"
	"go.opentelemetry.io/otel/trace"

	"github.com/omnidocs/omnidocs/textextraction"
)

// Extractor is a text extractor whose pages are spans and are measured. [Wrap] makes one.
type Extractor struct {
	inner    textextraction.TextExtractor
	model    string // as far as it is known before there is a result
	kind     trace.SpanKind
	tracer   trace.Tracer
	common   []attribute.KeyValue
	duration genaiconv.ClientOperationDuration
	tokens   genaiconv.ClientTokenUsage
	words    metric.Int64Counter
}

var _ textextraction.TextExtractor = (*Extractor)(nil)

// Wrap returns an extractor that reads with x, which it owns from here on. A page that is read by itself, or as a stream, is a span
// "generate_content MODEL" beneath that of its context, with one for each of its phases; a batch is a span with one for each page
// beneath it, which ends when the page is handed out.
func Wrap(x textextraction.TextExtractor, o Options) (*Extractor, error) {
	m := o.meter()
	e := &Extractor{inner: x, kind: trace.SpanKindClient, tracer: o.tracer(), common: o.Attributes}
	if p, ok := x.(interface{ Plan() *textextraction.Plan }); ok && p.Plan() != nil {
		e.model, e.kind = p.Plan().Model, trace.SpanKindInternal // in this process
	}
	var errs [3]error
	e.duration, errs[0] = genaiconv.NewClientOperationDuration(m, seconds)
	e.tokens, errs[1] = genaiconv.NewClientTokenUsage(m, metric.Int64HistogramOption(tokens))
	e.words, errs[2] = m.Int64Counter("omnidocs.words", metric.WithUnit("{word}"), metric.WithDescription("Words read."))
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("observe: %w", err)
	}
	return e, nil
}

// Unwrap is the extractor that was wrapped.
func (e *Extractor) Unwrap() textextraction.TextExtractor { return e.inner }

// Extract reads a page into the given markup. See [textextraction.TextExtractor].
func (e *Extractor) Extract(ctx context.Context, img image.Image, format textextraction.Format) (*textextraction.ExtractResult, error) {
	return e.ExtractWith(ctx, img, textextraction.Options{Format: format})
}

// ExtractWith is Extract with options of its own.
func (e *Extractor) ExtractWith(ctx context.Context, img image.Image, opts textextraction.Options) (*textextraction.ExtractResult, error) {
	ctx, p := e.begin(ctx, opts)
	r, err := e.inner.ExtractWith(ctx, img, opts)
	p.end(ctx, r, err)
	return r, err
}

// ExtractFile is Extract for an image file.
func (e *Extractor) ExtractFile(ctx context.Context, path string, format textextraction.Format) (*textextraction.ExtractResult, error) {
	ctx, p := e.begin(ctx, textextraction.Options{Format: format})
	r, err := e.inner.ExtractFile(ctx, path, format)
	p.end(ctx, r, err)
	return r, err
}

// Stream is ExtractWith that yields the text as it is written. Its span lasts from the beginning of the loop to its end.
func (e *Extractor) Stream(ctx context.Context, img image.Image, opts textextraction.Options) iter.Seq2[textextraction.Delta, error] {
	return func(yield func(textextraction.Delta, error) bool) {
		ctx, p := e.begin(ctx, opts)
		p.span.SetAttributes(semconv.GenAIRequestStream(true))
		var r *textextraction.ExtractResult
		err := context.Canceled // what it is if the loop is left
		defer func() { p.end(ctx, r, err) }()
		for d, failed := range e.inner.Stream(ctx, img, opts) {
			if p.first == 0 && d.Text != "" {
				p.first = time.Since(p.start)
				p.span.AddEvent("first text")
			}
			if d.Result != nil || failed != nil {
				r, err = d.Result, failed
			}
			if !yield(d, failed) {
				return
			}
		}
	}
}

// Batch reads pages from a source.
func (e *Extractor) Batch(ctx context.Context, pages iter.Seq2[image.Image, error], opts textextraction.BatchOptions) iter.Seq2[*textextraction.ExtractResult, error] {
	return func(yield func(*textextraction.ExtractResult, error) bool) {
		ctx, span := e.tracer.Start(ctx, "omnidocs.batch", trace.WithAttributes(e.common...))
		n, failed := 0, 0
		defer func() {
			span.SetAttributes(attribute.Int("omnidocs.batch.pages", n), attribute.Int("omnidocs.batch.failed", failed))
			span.End()
		}()
		for r, err := range e.inner.Batch(ctx, pages, opts) {
			start := time.Now()
			if r != nil {
				start = start.Add(-r.Timings.Total)
			}
			pageCtx, p := e.beginAt(ctx, opts.Options, start)
			p.span.SetAttributes(attribute.Int("omnidocs.batch.page", n))
			p.end(pageCtx, r, err)
			if n++; err != nil {
				failed++
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// Close closes the extractor that was wrapped.
func (e *Extractor) Close() error { return e.inner.Close() }

// Fingerprint is that of the extractor that was wrapped, so that jobs can keep what it has read. It is an error if that has none.
func (e *Extractor) Fingerprint(ctx context.Context, opts textextraction.Options) (string, error) {
	x, ok := e.inner.(interface {
		Fingerprint(ctx context.Context, opts textextraction.Options) (string, error)
	})
	if !ok {
		return "", fmt.Errorf("observe: %w: a %T has no fingerprint", errors.ErrUnsupported, e.inner)
	}
	return x.Fingerprint(ctx, opts)
}

// page is the span of a page.
type page struct {
	of    *Extractor
	span  trace.Span
	start time.Time
	first time.Duration // to the first text of a stream
}

func (e *Extractor) begin(ctx context.Context, opts textextraction.Options) (context.Context, *page) {
	return e.beginAt(ctx, opts, time.Now())
}

func (e *Extractor) beginAt(ctx context.Context, opts textextraction.Options, start time.Time) (context.Context, *page) {
	attributes := append(e.common[:len(e.common):len(e.common)], semconv.GenAIOperationNameKey.String(string(operation)),
		semconv.GenAIProviderNameKey.String(string(provider)), semconv.GenAIOutputTypeText, attribute.String("omnidocs.format", opts.Format.String()))
	name := string(operation)
	if e.model != "" {
		name += " " + e.model
		attributes = append(attributes, semconv.GenAIRequestModel(e.model))
	}
	if opts.MaxNewTokens > 0 {
		attributes = append(attributes, semconv.GenAIRequestMaxTokens(opts.MaxNewTokens))
	}
	if opts.Sampling.Temperature > 0 {
		attributes = append(attributes, semconv.GenAIRequestTemperature(opts.Sampling.Temperature))
	}
	ctx, span := e.tracer.Start(ctx, name, trace.WithSpanKind(e.kind), trace.WithTimestamp(start), trace.WithAttributes(attributes...))
	return ctx, &page{of: e, span: span, start: start}
}

// end ends the span with what came of the page, and measures it.
func (p *page) end(ctx context.Context, r *textextraction.ExtractResult, err error) {
	e, now := p.of, time.Now()
	model := e.model
	if r != nil {
		model = r.ModelName
		if e.model == "" && model != "" {
			p.span.SetName(string(operation) + " " + model)
			p.span.SetAttributes(semconv.GenAIRequestModel(model))
		}
		p.span.SetAttributes(resultAttributes(r)...)
		e.phases(ctx, r, now)
	}
	if p.first > 0 {
		p.span.SetAttributes(semconv.GenAIResponseTimeToFirstChunk(p.first.Seconds()))
	}
	measured := append(e.common[:len(e.common):len(e.common)], semconv.GenAIRequestModel(model))
	if r != nil {
		if n := r.PromptTokens; n > 0 {
			e.tokens.Record(ctx, int64(n), operation, provider, genaiconv.TokenTypeInput, measured...)
		}
		if n := r.CompletionTokens; n > 0 {
			e.tokens.Record(ctx, int64(n), operation, provider, genaiconv.TokenTypeOutput, measured...)
		}
		e.words.Add(ctx, int64(r.WordCount), metric.WithAttributes(measured...))
	}
	if err != nil {
		p.span.SetStatus(codes.Error, err.Error())
		p.span.SetAttributes(errorType(err))
		measured = append(measured, errorType(err))
	}
	e.duration.Record(ctx, now.Sub(p.start).Seconds(), operation, provider, measured...)
	p.span.End(trace.WithTimestamp(now))
}

// resultAttributes are what a span tells of a result: not its text.
func resultAttributes(r *textextraction.ExtractResult) []attribute.KeyValue {
	all := []attribute.KeyValue{
		semconv.GenAIResponseModel(r.ModelName), semconv.GenAIResponseFinishReasons(string(r.FinishReason)),
		semconv.GenAIUsageInputTokens(r.PromptTokens), semconv.GenAIUsageOutputTokens(r.CompletionTokens),
		attribute.Int("omnidocs.visual_tokens", r.VisualTokens), attribute.Int("omnidocs.words", r.WordCount),
		attribute.Bool("omnidocs.truncated", r.Truncated),
	}
	for _, a := range []struct{ key, value string }{{"omnidocs.device", r.Device}, {"omnidocs.dtype", r.DType}, {"omnidocs.worker", r.Worker}} {
		if a.value != "" {
			all = append(all, attribute.String(a.key, a.value))
		}
	}
	if r.Recoveries > 0 {
		all = append(all, attribute.Int("omnidocs.recoveries", r.Recoveries))
	}
	if r.Confidence != nil {
		all = append(all, attribute.Float64("omnidocs.confidence", r.Confidence.Probability()))
	}
	return all
}

// phases are spans beneath the page's, for where its time went. What is in no phase is the time in which it waited for its turn, between
// its preprocessing and the vision tower.
func (e *Extractor) phases(ctx context.Context, r *textextraction.ExtractResult, end time.Time) {
	t := r.Timings
	at := end.Add(-t.Total)
	queue := max(0, t.Total-t.Preprocess-t.Encode-t.Prefill-t.Decode)
	for _, phase := range []struct {
		name string
		took time.Duration
	}{{"preprocess", t.Preprocess}, {"queue", queue}, {"encode", t.Encode}, {"prefill", t.Prefill}, {"decode", t.Decode}} {
		if phase.took <= 0 {
			continue
		}
		_, span := e.tracer.Start(ctx, "omnidocs."+phase.name, trace.WithTimestamp(at), trace.WithAttributes(e.common...))
		at = at.Add(phase.took)
		span.End(trace.WithTimestamp(at))
	}
}
