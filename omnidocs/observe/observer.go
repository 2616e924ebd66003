package observe

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/semconv/v1.41.0/genaiconv"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/textextraction"
)

// NewObserver returns an observer that measures what happens in an engine, for the Observer of a config. model is what the measurements
// call its model. They are
//
//	gen_ai.server.request.duration        a page from being handed in to its end; error.type where it did not end well
//	gen_ai.server.time_to_first_token     from being handed in to the first token
//	gen_ai.server.time_per_output_token   of the tokens after the first
//	omnidocs.engine.queue.duration        from being handed in to the first slot
//	omnidocs.engine.pages.active          pages that wait or are read
//	omnidocs.engine.evictions             pages that lost their slot to others
//	omnidocs.engine.step.duration         calls of the model that write tokens
//	omnidocs.engine.tokens                tokens that these have written
//	omnidocs.engine.compile.duration      compilations
//
// with gen_ai.request.model and, where there are several engines behind an extractor, omnidocs.engine.
func NewObserver(model string, o Options) (textextraction.Observer, error) {
	m := o.meter()
	e := &engineMeter{common: append([]attribute.KeyValue{semconv.GenAIRequestModel(model)}, o.Attributes...)}
	var errs [9]error
	e.request, errs[0] = genaiconv.NewServerRequestDuration(m, seconds)
	e.first, errs[1] = genaiconv.NewServerTimeToFirstToken(m, firstTokens)
	e.perToken, errs[2] = genaiconv.NewServerTimePerOutputToken(m, perToken)
	e.queue, errs[3] = m.Float64Histogram("omnidocs.engine.queue.duration", seconds, metric.WithUnit("s"), metric.WithDescription("Time of pages to their first slot."))
	e.active, errs[4] = m.Int64UpDownCounter("omnidocs.engine.pages.active", metric.WithUnit("{page}"), metric.WithDescription("Pages that wait or are read."))
	e.evictions, errs[5] = m.Int64Counter("omnidocs.engine.evictions", metric.WithUnit("{page}"), metric.WithDescription("Pages that lost their slot to others."))
	e.step, errs[6] = m.Float64Histogram("omnidocs.engine.step.duration", perToken, metric.WithUnit("s"), metric.WithDescription("Calls of the model that write tokens."))
	e.tokens, errs[7] = m.Int64Counter("omnidocs.engine.tokens", metric.WithUnit("{token}"), metric.WithDescription("Tokens that these have written."))
	e.compile, errs[8] = m.Float64Histogram("omnidocs.engine.compile.duration", seconds, metric.WithUnit("s"), metric.WithDescription("Compilations of the model's programs."))
	if err := errors.Join(errs[:]...); err != nil {
		return textextraction.Observer{}, err
	}
	return textextraction.Observer{
		Compiled: e.compiled, Queued: e.queued, Evicted: e.evicted, Finished: e.finished, Step: e.stepped,
	}, nil
}

// engineMeter measures an engine.
type engineMeter struct {
	common    []attribute.KeyValue
	request   genaiconv.ServerRequestDuration
	first     genaiconv.ServerTimeToFirstToken
	perToken  genaiconv.ServerTimePerOutputToken
	queue     metric.Float64Histogram
	active    metric.Int64UpDownCounter
	evictions metric.Int64Counter
	step      metric.Float64Histogram
	tokens    metric.Int64Counter
	compile   metric.Float64Histogram
}

// of are the attributes of what an engine does.
func (e *engineMeter) of(engine int) []attribute.KeyValue {
	return append(e.common[:len(e.common):len(e.common)], attribute.Int("omnidocs.engine", engine))
}

func (e *engineMeter) queued(p backend.PageEvent) {
	e.active.Add(context.Background(), 1, metric.WithAttributes(e.of(p.Engine)...))
}

func (e *engineMeter) evicted(p backend.PageEvent) {
	e.evictions.Add(context.Background(), 1, metric.WithAttributes(e.of(p.Engine)...))
}

func (e *engineMeter) finished(p backend.PageEvent) {
	ctx, attributes := context.Background(), e.of(p.Engine)
	e.active.Add(ctx, -1, metric.WithAttributes(attributes...))
	if p.PromptTokens > 0 { // it had a slot
		e.queue.Record(ctx, p.Waited.Seconds(), metric.WithAttributes(attributes...))
		e.first.Record(ctx, p.FirstToken.Seconds(), operation, provider, attributes...)
	}
	if n := len(p.Output.Tokens); n > 1 && p.Err == nil {
		e.perToken.Record(ctx, (p.Since-p.FirstToken).Seconds()/float64(n-1), operation, provider, attributes...)
	}
	if p.Err != nil {
		attributes = append(attributes, errorType(p.Err))
	}
	e.request.Record(ctx, p.Since.Seconds(), operation, provider, attributes...)
}

func (e *engineMeter) stepped(s backend.StepEvent) {
	ctx, attributes := context.Background(), metric.WithAttributes(e.of(s.Engine)...)
	e.step.Record(ctx, s.Took.Seconds(), attributes)
	e.tokens.Add(ctx, int64(s.Tokens), attributes)
}

func (e *engineMeter) compiled(c backend.CompileEvent) {
	e.compile.Record(context.Background(), c.Took.Seconds(), metric.WithAttributes(e.of(c.Engine)...)) // the program's name would be one a shape
}
