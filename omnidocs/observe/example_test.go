package observe_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/omnidocs/observe"
	"github.com/omnidocs/omnidocs/textextraction"
)

// A model here, for Prometheus.
func ExampleNewCollector() {
	x, err := textextraction.NewQwenTextExtractor(context.Background(), textextraction.QwenTextPyTorchConfig{Model: textextraction.TinyModel, Device: "go"})
	if err != nil {
		log.Fatal(err)
	}
	defer x.Close()
	collector, err := observe.NewCollector(x, prometheus.Labels{"model": "tiny"})
	if err != nil {
		log.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector)
	metrics := promhttp.HandlerFor(registry, promhttp.HandlerOpts{}) // for /metrics

	answer := httptest.NewRecorder()
	metrics.ServeHTTP(answer, httptest.NewRequestWithContext(context.Background(), "GET", "/metrics", nil))
	for line := range strings.Lines(answer.Body.String()) {
		if strings.HasPrefix(line, "omnidocs_engine_pages") {
			fmt.Print(line)
		}
	}
	// Output:
	// omnidocs_engine_pages{model="tiny",state="queued"} 0
	// omnidocs_engine_pages{model="tiny",state="running"} 0
	// omnidocs_engine_pages_total{model="tiny",outcome="canceled"} 0
	// omnidocs_engine_pages_total{model="tiny",outcome="done"} 0
	// omnidocs_engine_pages_total{model="tiny",outcome="failed"} 0
}

// A page as spans of OpenTelemetry, and what happens in the engine as its measurements. The exporter here keeps them in memory; that of
// otlptracehttp, for example, sends them to a collector.
func ExampleWrap() {
	exporter := tracetest.NewInMemoryExporter()
	o := observe.Options{TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))}
	observer, err := observe.NewObserver(textextraction.TinyModel, o)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	model, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextPyTorchConfig{
		Model: textextraction.TinyModel, Device: "go", Observer: observer,
	})
	if err != nil {
		log.Fatal(err)
	}
	x, err := observe.Wrap(model, o)
	if err != nil {
		log.Fatal(err)
	}
	defer x.Close()
	page, err := tiny.DrawPage(tiny.PageOptions{Markdown: "the black house", Width: 384, Height: 128})
	if err != nil {
		log.Fatal(err)
	}
	res, err := x.Extract(ctx, page.Image, textextraction.Markdown)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.Content)
	for _, span := range exporter.GetSpans() {
		if span.Name != "omnidocs.queue" {
			fmt.Println(span.Name)
		}
	}
	// Output:
	// the black house
	// omnidocs.preprocess
	// omnidocs.encode
	// omnidocs.prefill
	// omnidocs.decode
	// generate_content omnidocs/tiny
}
