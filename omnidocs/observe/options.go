package observe

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/semconv/v1.41.0/genaiconv"
	"go.opentelemetry.io/otel/trace"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/textextraction"
)

// Options say where spans and measurements go. A zero Options consists entirely of default values.
type Options struct {
	// TracerProvider makes the tracer. Nil means the global one.
	TracerProvider trace.TracerProvider
	// MeterProvider makes the meter. Nil means the global one.
	MeterProvider metric.MeterProvider
	// Attributes are put on all spans and measurements.
	Attributes []attribute.KeyValue
}

const (
	scope    = "github.com/omnidocs/omnidocs/omnidocs/observe"
	provider = genaiconv.ProviderNameAttr("omnidocs")
	// A page is read by handing a picture and a prompt to a model.
	operation = genaiconv.OperationNameAttr("generate_content")
)

// Boundaries of histograms, those that the conventions advise.
var (
	seconds     = metric.WithExplicitBucketBoundaries(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68)
	tokens      = metric.WithExplicitBucketBoundaries(1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144)
	firstTokens = metric.WithExplicitBucketBoundaries(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60)
	perToken    = metric.WithExplicitBucketBoundaries(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5)
)

func (o Options) tracer() trace.Tracer {
	p := o.TracerProvider
	if p == nil {
		p = otel.GetTracerProvider()
	}
	return p.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL))
}

func (o Options) meter() metric.Meter {
	p := o.MeterProvider
	if p == nil {
		p = otel.GetMeterProvider()
	}
	return p.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL))
}

// errorType is a word for an error, of which there are few.
func errorType(err error) attribute.KeyValue {
	for _, known := range []struct {
		err  error
		name string
	}{
		{context.DeadlineExceeded, "timeout"},
		{context.Canceled, "canceled"},
		{textextraction.ErrOutOfMemory, "out_of_memory"},
		{textextraction.ErrImage, "image"},
		{textextraction.ErrConfig, "config"},
		{textextraction.ErrFormat, "format"},
		{textextraction.ErrNoWorker, "no_worker"},
		{textextraction.ErrClosed, "closed"},
		{backend.ErrClosed, "closed"},
	} {
		if errors.Is(err, known.err) {
			return semconv.ErrorTypeKey.String(known.name)
		}
	}
	return semconv.ErrorType(err)
}
