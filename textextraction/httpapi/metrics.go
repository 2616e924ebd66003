package httpapi

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/omnidocs/omnidocs/textextraction"
)

// metrics count what the server does. They are few, and written by hand in Prometheus' text format, so that a server of ours does not
// need its client library.
type metrics struct {
	mu       sync.Mutex
	requests map[[2]string]int64 // by route and status
	pages    map[string]int64    // by outcome
	words    int64
	tokens   int64
	visual   int64
	times    histogram // of pages, in seconds
	took     histogram // of requests
}

// bounds are those of the histograms, in seconds.
var bounds = []float64{0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900}

type histogram struct {
	counts []int64 // one more than bounds
	sum    float64
}

func newMetrics() *metrics {
	h := func() histogram { return histogram{counts: make([]int64, len(bounds)+1)} }
	return &metrics{requests: map[[2]string]int64{}, pages: map[string]int64{}, times: h(), took: h()}
}

func (h *histogram) add(seconds float64) {
	i, _ := slices.BinarySearch(bounds, seconds)
	h.counts[i]++
	h.sum += seconds
}

func (m *metrics) request(route string, status int, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests[[2]string{route, fmt.Sprint(status)}]++
	m.took.add(took.Seconds())
}

// page counts a page that was read or not.
func (m *metrics) page(r *textextraction.ExtractResult, err error, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	outcome := "ok"
	switch {
	case err != nil && problemOf(err).status == statusClosed:
		outcome = "canceled"
	case err != nil:
		outcome = "failed"
	case r.Truncated:
		outcome = "truncated"
	}
	m.pages[outcome]++
	m.times.add(took.Seconds())
	if r != nil {
		m.words += int64(r.WordCount)
		m.tokens += int64(r.CompletionTokens)
		m.visual += int64(r.VisualTokens)
	}
}

func (m *metrics) write(w io.Writer, running, waiting int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	head := func(name, kind, help string) { fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind) }
	one := func(name, kind, help string, v any) {
		head(name, kind, help)
		fmt.Fprintf(w, "%s %v\n", name, v)
	}
	head("omnidocs_requests_total", "counter", "Requests answered.")
	for _, key := range slices.SortedFunc(maps.Keys(m.requests), func(a, b [2]string) int { return strings.Compare(a[0]+a[1], b[0]+b[1]) }) {
		fmt.Fprintf(w, "omnidocs_requests_total{route=%q,code=%q} %d\n", key[0], key[1], m.requests[key])
	}
	head("omnidocs_pages_total", "counter", "Pages given to the extractor.")
	for _, outcome := range []string{"ok", "truncated", "failed", "canceled"} {
		fmt.Fprintf(w, "omnidocs_pages_total{outcome=%q} %d\n", outcome, m.pages[outcome])
	}
	one("omnidocs_words_total", "counter", "Words read.", m.words)
	one("omnidocs_completion_tokens_total", "counter", "Tokens written.", m.tokens)
	one("omnidocs_visual_tokens_total", "counter", "Visual tokens read.", m.visual)
	one("omnidocs_pages_running", "gauge", "Pages at the extractor now.", running)
	one("omnidocs_pages_waiting", "gauge", "Requests that wait for their turn.", waiting)
	m.times.write(w, "omnidocs_page_seconds", "Times of pages.", head)
	m.took.write(w, "omnidocs_request_seconds", "Times of requests.", head)
}

func (h *histogram) write(w io.Writer, name, help string, head func(name, kind, help string)) {
	head(name, "histogram", help)
	var n int64
	for i, c := range h.counts {
		n += c
		le := "+Inf"
		if i < len(bounds) {
			le = fmt.Sprint(bounds[i])
		}
		fmt.Fprintf(w, "%s_bucket{le=%q} %d\n", name, le, n)
	}
	fmt.Fprintf(w, "%s_sum %g\n%s_count %d\n", name, h.sum, name, n)
}

func (a *API) showMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	a.metrics.write(w, a.gate.running(), int(a.gate.waiting.Load()))
}
