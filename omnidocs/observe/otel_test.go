package observe_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/omnidocs/observe"
	"github.com/omnidocs/omnidocs/textextraction"
)

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	require.NoError(t, err)
	return n
}

// telemetry gathers in memory what is told.
type telemetry struct {
	observe.Options
	spans   *tracetest.InMemoryExporter
	metrics *sdkmetric.ManualReader
}

func newTelemetry() telemetry {
	spans, metrics := tracetest.NewInMemoryExporter(), sdkmetric.NewManualReader()
	return telemetry{observe.Options{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)),
		MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(metrics)),
		Attributes:     []attribute.KeyValue{attribute.String("deployment", "test")},
	}, spans, metrics}
}

// measured are the data of all instruments.
func (o telemetry) measured(t *testing.T) map[string]metricdata.Aggregation {
	t.Helper()
	var data metricdata.ResourceMetrics
	require.NoError(t, o.metrics.Collect(t.Context(), &data))
	all := map[string]metricdata.Aggregation{}
	for _, s := range data.ScopeMetrics {
		for _, m := range s.Metrics {
			all[m.Name] = m.Data
		}
	}
	return all
}

// points are those of a histogram.
func points[N int64 | float64](t *testing.T, data metricdata.Aggregation) []metricdata.HistogramDataPoint[N] {
	t.Helper()
	h, ok := data.(metricdata.Histogram[N])
	require.True(t, ok, "%T", data)
	return h.DataPoints
}

// values are a span's attributes as strings.
func values(attributes []attribute.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range attributes {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

// A page of a model here is a span beneath the caller's, with its phases one after the other beneath it.
func TestSpans(t *testing.T) {
	o := newTelemetry()
	x, err := observe.Wrap(tinyExtractor(t, textextraction.Observer{}), o.Options)
	require.NoError(t, err)
	p, err := tiny.DrawPage(tiny.PageOptions{Markdown: "3 boxes of paper", Width: 384, Height: 64})
	require.NoError(t, err)
	ctx, caller := o.TracerProvider.Tracer("test").Start(t.Context(), "caller")
	res, err := x.ExtractWith(ctx, p.Image, textextraction.Options{MaxNewTokens: 50})
	require.NoError(t, err)
	caller.End()
	spans := o.spans.GetSpans()
	var page tracetest.SpanStub
	var phases []string
	for _, s := range spans {
		switch s.Name {
		case "generate_content omnidocs/tiny":
			page = s
		case "caller":
		default:
			phases = append(phases, s.Name)
		}
	}
	require.Equal(t, caller.SpanContext().SpanID(), page.Parent.SpanID())
	require.Equal(t, trace.SpanKindInternal, page.SpanKind)
	v := values(page.Attributes)
	for key, want := range map[string]string{
		"gen_ai.operation.name": "generate_content", "gen_ai.provider.name": "omnidocs", "gen_ai.request.model": "omnidocs/tiny",
		"gen_ai.response.model": "omnidocs/tiny", "gen_ai.request.max_tokens": "50", "gen_ai.response.finish_reasons": `["stop"]`,
		"gen_ai.usage.input_tokens": strconv.Itoa(res.PromptTokens), "gen_ai.usage.output_tokens": strconv.Itoa(res.CompletionTokens),
		"omnidocs.words": "4", "omnidocs.device": "go", "omnidocs.format": "markdown", "deployment": "test",
	} {
		require.Equal(t, want, v[key], key)
	}
	for key, value := range v {
		require.NotContains(t, value, "boxes", "%s: the text goes nowhere", key)
	}
	phases = slices.DeleteFunc(phases, func(name string) bool { return name == "omnidocs.queue" })
	require.Equal(t, []string{"omnidocs.preprocess", "omnidocs.encode", "omnidocs.prefill", "omnidocs.decode"}, phases)
	last := page.StartTime
	for _, s := range spans {
		if s.Parent.SpanID() == page.SpanContext.SpanID() {
			require.False(t, s.StartTime.Before(last), s.Name)
			last = s.EndTime
		}
	}
	require.Equal(t, page.EndTime, last)
	duration := points[float64](t, o.measured(t)["gen_ai.client.operation.duration"])
	require.Len(t, duration, 1)
	require.EqualValues(t, 1, duration[0].Count)
}

func TestErrorsStreamsAndBatches(t *testing.T) {
	o := newTelemetry()
	x, err := observe.Wrap(fake{}, o.Options)
	require.NoError(t, err)
	_, err = x.ExtractFile(t.Context(), "page.png", textextraction.HTML)
	require.ErrorIs(t, err, errFake)
	failed := o.spans.GetSpans()[0]
	require.Equal(t, "generate_content", failed.Name, "the model is not known")
	require.Equal(t, trace.SpanKindClient, failed.SpanKind)
	require.Equal(t, sdktrace.Status{Code: codes.Error, Description: "the device is on fire"}, failed.Status)
	require.Equal(t, "*errors.errorString", values(failed.Attributes)["error.type"])
	require.Equal(t, "html", values(failed.Attributes)["omnidocs.format"])

	o.spans.Reset()
	for d, err := range x.Stream(t.Context(), blank(64), textextraction.Options{}) {
		require.NoError(t, err)
		_ = d
	}
	spans := o.spans.GetSpans()
	stream := spans[len(spans)-1]
	require.Equal(t, "generate_content m-1", stream.Name)
	require.Equal(t, "true", values(stream.Attributes)["gen_ai.request.stream"])
	require.NotEmpty(t, values(stream.Attributes)["gen_ai.response.time_to_first_chunk"])
	require.Equal(t, "first text", stream.Events[0].Name)
	var queue time.Duration
	for _, s := range spans {
		if s.Name == "omnidocs.queue" {
			queue = s.EndTime.Sub(s.StartTime)
		}
	}
	require.Equal(t, 5*time.Millisecond, queue, "what is in no other phase")

	o.spans.Reset()
	for range x.Stream(t.Context(), blank(64), textextraction.Options{}) {
		break
	}
	require.Equal(t, "canceled", values(o.spans.GetSpans()[0].Attributes)["error.type"])

	o.spans.Reset()
	for range x.Batch(t.Context(), textextraction.Images(blank(64), blank(13), blank(64)), textextraction.BatchOptions{}) {
	}
	spans = o.spans.GetSpans()
	batch := spans[len(spans)-1]
	require.Equal(t, "omnidocs.batch", batch.Name)
	require.Equal(t, "3", values(batch.Attributes)["omnidocs.batch.pages"])
	require.Equal(t, "1", values(batch.Attributes)["omnidocs.batch.failed"])
	pages := 0
	for _, s := range spans {
		if s.Parent.SpanID() == batch.SpanContext.SpanID() {
			pages++
		}
	}
	require.Equal(t, 3, pages)

	m := o.measured(t)
	var counts, errs uint64
	for _, p := range points[float64](t, m["gen_ai.client.operation.duration"]) {
		counts += p.Count
		if kind, ok := p.Attributes.Value("error.type"); ok {
			errs += p.Count
			require.Contains(t, []string{"canceled", "*errors.errorString"}, kind.AsString())
		}
	}
	require.EqualValues(t, 6, counts)
	require.EqualValues(t, 3, errs)
	for _, p := range points[int64](t, m["gen_ai.client.token.usage"]) {
		kind, _ := p.Attributes.Value("gen_ai.token.type")
		require.Equal(t, map[string]int64{"input": 33, "output": 21}[kind.AsString()], p.Sum)
	}
	words, ok := m["omnidocs.words"].(metricdata.Sum[int64])
	require.True(t, ok)
	require.EqualValues(t, 9, words.DataPoints[0].Value)

	_, err = x.Fingerprint(t.Context(), textextraction.Options{})
	require.ErrorContains(t, err, "observe_test.fake has no fingerprint")
	require.Equal(t, fake{}, x.Unwrap())
	require.NoError(t, x.Close())
}

// An engine's observer measures what happens in it.
func TestObserver(t *testing.T) {
	o := newTelemetry()
	observer, err := observe.NewObserver("tiny", o.Options)
	require.NoError(t, err)
	x := tinyExtractor(t, observer)
	page, err := tiny.DrawPage(tiny.PageOptions{Markdown: "Thank you for your letter", Width: 448, Height: 64})
	require.NoError(t, err)
	pages := textextraction.Images(page.Image, page.Image, page.Image)
	for res, err := range x.Batch(t.Context(), pages, textextraction.BatchOptions{Options: short}) {
		require.NoError(t, err)
		require.Equal(t, 5, res.CompletionTokens)
	}
	m := o.measured(t)
	for name, want := range map[string]uint64{
		"gen_ai.server.request.duration": 3, "gen_ai.server.time_to_first_token": 3, "gen_ai.server.time_per_output_token": 3, "omnidocs.engine.queue.duration": 3,
	} {
		all := points[float64](t, m[name])
		require.Len(t, all, 1, name)
		require.Equal(t, want, all[0].Count, name)
		model, _ := all[0].Attributes.Value("gen_ai.request.model")
		require.Equal(t, "tiny", model.AsString())
	}
	active, ok := m["omnidocs.engine.pages.active"].(metricdata.Sum[int64])
	require.True(t, ok)
	require.Zero(t, active.DataPoints[0].Value, "all have ended")
	written, ok := m["omnidocs.engine.tokens"].(metricdata.Sum[int64])
	require.True(t, ok)
	require.EqualValues(t, 12, written.DataPoints[0].Value, "of three pages, after the first of each")
	steps := points[float64](t, m["omnidocs.engine.step.duration"])
	require.GreaterOrEqual(t, steps[0].Count, uint64(4))
	compiled := points[float64](t, m["omnidocs.engine.compile.duration"])
	require.Positive(t, compiled[0].Count)
}
