package observe_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs/observe"
	"github.com/omnidocs/omnidocs/textextraction"
)

// scrape asks as Prometheus does.
func scrape(t *testing.T, collectors ...prometheus.Collector) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(collectors...)
	s := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	defer s.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode, string(text))
	return string(text)
}

func TestCollector(t *testing.T) {
	x := tinyExtractor(t, textextraction.Observer{})
	wrapped, err := observe.Wrap(x, observe.Options{})
	require.NoError(t, err)
	collector, err := observe.NewCollector(wrapped, prometheus.Labels{"model": "tiny"})
	require.NoError(t, err)
	before := scrape(t, collector)
	require.Contains(t, before, `omnidocs_engine_pages_total{model="tiny",outcome="done"} 0`)
	require.Contains(t, before, `omnidocs_engine_page_seconds_count{model="tiny"} 0`)
	require.NotContains(t, before, `quantile`)

	res, err := wrapped.ExtractWith(t.Context(), blank(64), short)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	canceling := short
	canceling.TokenProgress = func(int) { cancel() }
	_, err = wrapped.ExtractWith(ctx, blank(64), canceling)
	require.ErrorIs(t, err, context.Canceled)
	after := scrape(t, collector)
	for _, want := range []string{
		`omnidocs_engine_up{model="tiny"} 1`,
		`omnidocs_engine_slots{model="tiny"} 2`,
		`omnidocs_engine_pages{model="tiny",state="running"} 0`,
		`omnidocs_engine_pages_total{model="tiny",outcome="done"} 1`,
		`omnidocs_engine_pages_total{model="tiny",outcome="canceled"} 1`,
		`omnidocs_engine_pages_total{model="tiny",outcome="failed"} 0`,
		`omnidocs_engine_page_seconds_count{model="tiny"} 1`,
		`omnidocs_engine_first_token_seconds_count{model="tiny"} 2`,
		"# TYPE omnidocs_engine_page_seconds summary",
		"# TYPE omnidocs_engine_generated_tokens_total counter",
	} {
		require.Contains(t, after, want+"\n")
	}
	require.Regexp(t, `omnidocs_engine_page_seconds\{model="tiny",quantile="0.99"\} \d`, after)
	require.Regexp(t, `omnidocs_engine_memory_bytes\{kind="used",model="tiny"\} [1-9]`, after)
	prompt := regexp.MustCompile(`omnidocs_engine_prompt_tokens_total\{model="tiny"\} (\d+)`).FindStringSubmatch(after)
	require.NotNil(t, prompt)
	require.Equal(t, 2*res.PromptTokens, atoi(t, prompt[1]))
	problems, err := testutil.CollectAndLint(collector)
	require.NoError(t, err)
	require.Empty(t, problems, "the names are as Prometheus' tools want them")

	require.NoError(t, wrapped.Close())
	closed := scrape(t, collector)
	require.Equal(t, 1, strings.Count(closed, "\nomnidocs_engine_up{model=\"tiny\"} 0\n"), closed)
	require.NotContains(t, closed, "pages_total")
}

func TestWorkers(t *testing.T) {
	pool, err := textextraction.NewPoolOf(textextraction.PoolOptions{Attempts: 1},
		textextraction.Worker{Name: "gpu-1", Extractor: fake{}}, textextraction.Worker{Name: "gpu-2", Extractor: fake{}})
	require.NoError(t, err)
	collector, err := observe.NewCollector(pool, nil)
	require.NoError(t, err)
	for _, width := range []int{64, 13, 64} { // the second fails
		_, _ = pool.ExtractWith(t.Context(), blank(width), textextraction.Options{})
	}
	text := scrape(t, collector)
	for _, want := range []string{
		`omnidocs_pool_worker_up{worker="gpu-1"} 1`,
		`omnidocs_pool_worker_pages_in_flight{worker="gpu-2"} 0`,
		`omnidocs_pool_worker_pages_total{outcome="done",worker="gpu-1"} 2`,
		`omnidocs_pool_worker_pages_total{outcome="failed",worker="gpu-2"} 1`,
	} {
		require.Contains(t, text, want+"\n")
	}
	problems, err := testutil.CollectAndLint(collector)
	require.NoError(t, err)
	require.Empty(t, problems)
	require.NoError(t, pool.Close())
}

// Several extractors in one registry are told apart by their labels; one that tells nothing is an error.
func TestSeveral(t *testing.T) {
	one, err := observe.NewCollector(tinyExtractor(t, textextraction.Observer{}), prometheus.Labels{"model": "one"})
	require.NoError(t, err)
	two, err := observe.NewCollector(tinyExtractor(t, textextraction.Observer{}), prometheus.Labels{"model": "two"})
	require.NoError(t, err)
	text := scrape(t, one, two)
	require.Contains(t, text, `omnidocs_engine_up{model="one"} 1`)
	require.Contains(t, text, `omnidocs_engine_up{model="two"} 1`)

	_, err = observe.NewCollector(fake{}, nil)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	remote, err := textextraction.NewQwenTextExtractor(t.Context(), textextraction.QwenTextAPIConfig{Model: "any", APIBase: "http://127.0.0.1:1/v1"})
	require.NoError(t, err)
	_, err = observe.NewCollector(remote, nil)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorContains(t, err, "observe.Wrap")
	require.NoError(t, remote.Close())
}
