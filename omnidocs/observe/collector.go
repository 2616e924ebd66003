package observe

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/omnidocs/omnidocs/textextraction"
)

// Engine is an extractor that tells how its engine is doing. A [textextraction.QwenTextExtractor] is one; where its model is behind a
// server the error matches [errors.ErrUnsupported].
type Engine interface {
	Stats() (textextraction.Stats, error)
}

// Workers is an extractor that tells how each of several is doing. A [textextraction.Pool] is one.
type Workers interface {
	Workers() []textextraction.WorkerStats
}

// NewCollector returns a [prometheus.Collector] for an extractor that is an [Engine] or has [Workers], or wraps one (see [Wrap]). The labels are on
// all of its metrics; with several extractors in one registry they must differ. An extractor that tells nothing is an error that matches
// [errors.ErrUnsupported]: wrap it, and measure it from outside.
//
// After the extractor is closed omnidocs_engine_up is 0, and nothing else is told.
func NewCollector(x textextraction.TextExtractor, labels prometheus.Labels) (prometheus.Collector, error) {
	for {
		wrapped, ok := x.(interface {
			Unwrap() textextraction.TextExtractor
		})
		if !ok {
			break
		}
		x = wrapped.Unwrap()
	}
	if pool, ok := x.(Workers); ok {
		return newWorkersCollector(pool, labels), nil
	}
	engine, ok := x.(Engine)
	if !ok {
		return nil, fmt.Errorf("observe: %w: a %T tells no statistics; observe.Wrap measures it from outside", errors.ErrUnsupported, x)
	}
	if _, err := engine.Stats(); errors.Is(err, errors.ErrUnsupported) {
		return nil, fmt.Errorf("observe: %w; observe.Wrap measures it from outside", err)
	}
	return newEngineCollector(engine, labels), nil
}

// row is one of a table of metrics: what it is called, and how it is read.
type row struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	read  func(s textextraction.Stats) float64
	of    []string                          // values of the variable labels
	known func(s textextraction.Stats) bool // nil: always
}

// engineCollector asks an engine.
type engineCollector struct {
	engine    Engine
	up        *prometheus.Desc
	metrics   []row
	summaries []summary
}

// summary is a time of which count, sum and quantiles are told.
type summary struct {
	desc *prometheus.Desc
	read func(s textextraction.Stats) durations
}

func newEngineCollector(e Engine, labels prometheus.Labels) *engineCollector {
	c := &engineCollector{engine: e}
	desc := func(name, help string, variable ...string) *prometheus.Desc {
		return prometheus.NewDesc("omnidocs_engine_"+name, help, variable, labels)
	}
	c.up = desc("up", "Whether the engine takes pages: 0 once it is closed.")
	c.metrics, c.summaries = engineMetrics(desc)
	return c
}

// Describe tells what there may be.
func (c *engineCollector) Describe(out chan<- *prometheus.Desc) {
	out <- c.up
	told := map[*prometheus.Desc]bool{}
	for _, m := range c.metrics {
		if !told[m.desc] {
			told[m.desc] = true
			out <- m.desc
		}
	}
	for _, s := range c.summaries {
		out <- s.desc
	}
}

// Collect asks for the statistics of now.
func (c *engineCollector) Collect(out chan<- prometheus.Metric) {
	s, err := c.engine.Stats()
	if err != nil {
		out <- prometheus.MustNewConstMetric(c.up, prometheus.GaugeValue, 0)
		return
	}
	out <- prometheus.MustNewConstMetric(c.up, prometheus.GaugeValue, 1)
	for _, m := range c.metrics {
		if m.known == nil || m.known(s) {
			out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.read(s), m.of...)
		}
	}
	for _, m := range c.summaries {
		d := m.read(s)
		out <- prometheus.MustNewConstSummary(m.desc, uint64(d.Count), d.Mean*float64(d.Count), d.quantiles())
	}
}

// workersCollector asks a pool.
type workersCollector struct {
	pool                Workers
	up, inFlight, pages *prometheus.Desc
}

func newWorkersCollector(w Workers, labels prometheus.Labels) *workersCollector {
	desc := func(name, help string, variable ...string) *prometheus.Desc {
		return prometheus.NewDesc("omnidocs_pool_"+name, help, append([]string{"worker"}, variable...), labels)
	}
	return &workersCollector{
		pool:     w,
		up:       desc("worker_up", "Whether the worker gets pages: 0 while it is ejected."),
		inFlight: desc("worker_pages_in_flight", "Pages that the worker has now."),
		pages:    desc("worker_pages_total", "Pages that the worker has read, or failed to.", "outcome"),
	}
}

// Describe tells what there may be.
func (c *workersCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.up, c.inFlight, c.pages} {
		out <- d
	}
}

// Collect asks for the workers of now.
func (c *workersCollector) Collect(out chan<- prometheus.Metric) {
	for _, w := range c.pool.Workers() {
		up := 0.0
		if w.Well {
			up = 1
		}
		out <- prometheus.MustNewConstMetric(c.up, prometheus.GaugeValue, up, w.Name)
		out <- prometheus.MustNewConstMetric(c.inFlight, prometheus.GaugeValue, float64(w.InFlight), w.Name)
		out <- prometheus.MustNewConstMetric(c.pages, prometheus.CounterValue, float64(w.Done), w.Name, "done")
		out <- prometheus.MustNewConstMetric(c.pages, prometheus.CounterValue, float64(w.Failed), w.Name, "failed")
	}
}
