package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/omnidocs/omnidocs/textextraction"
)

// API is the handler. It reads with an extractor that stays the caller's, and may be used from several goroutines.
type API struct {
	extractor textextraction.TextExtractor
	options   Options
	tokens    [][sha256.Size]byte
	mux       *http.ServeMux
	gate      *gate
	budget    budget
	jobs      *jobs
	metrics   *metrics
	draining  atomic.Bool
}

// New returns the handler for an extractor.
func New(x textextraction.TextExtractor, o Options) (*API, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	a := &API{extractor: x, options: o, mux: http.NewServeMux(), gate: newGate(o.Concurrency, o.Queue), metrics: newMetrics(), budget: budget{limit: o.MaxMemory}}
	a.jobs = newJobs(a)
	for _, token := range o.Tokens {
		a.tokens = append(a.tokens, sha256.Sum256([]byte(token)))
	}
	for _, r := range []struct {
		pattern string
		open    bool // to those without a token
		serve   http.HandlerFunc
	}{
		{"POST /v1/extract", false, a.extract},
		{"POST /extract_from_url", false, a.extractFromURL},
		{"POST /v1/chat/completions", false, a.chat},
		{"GET /v1/models", false, a.models},
		{"POST /v1/jobs", false, a.submitJob},
		{"GET /v1/jobs/{id}", false, a.showJob},
		{"DELETE /v1/jobs/{id}", false, a.cancelJob},
		{"GET /healthz", true, a.health},
		{"GET /readyz", true, a.ready},
		{"GET /metrics", false, a.showMetrics},
		{"GET /openapi.json", true, a.openAPI},
		{"GET /{$}", true, a.home},
	} {
		serve := r.serve
		if !r.open {
			serve = a.withToken(a.holds(serve))
		}
		a.mux.Handle(r.pattern, a.counted(r.pattern, serve))
	}
	return a, nil
}

// restTimeout is how long a body that nobody wants is taken in, so that its caller comes to read the answer.
const restTimeout = time.Second

// ServeHTTP answers a request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.ContentLength != 0 {
		// Until the body has been read, see API.body. A connection that is kept open would have net/http wait for the rest of it before it
		// sends an answer, and any connection after it: for ever, where a caller who is refused by his head sends no more.
		w.Header().Set("Connection", "close")
		defer func() {
			if w.Header().Get("Connection") != "" {
				_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(restTimeout)) // a recorder in a test has none
			}
		}()
	}
	if _, pattern := a.mux.Handler(r); pattern == "" {
		// The mux's own answers are text; ours say the same as JSON.
		status := &statusWriter{ResponseWriter: discard{http.Header{}}}
		a.mux.ServeHTTP(status, r)
		if allow := status.Header().Get("Allow"); allow != "" {
			w.Header().Set("Allow", allow)
		}
		fail(&statusWriter{ResponseWriter: w, patience: a.options.AnswerTimeout}, status.status, "not_found", r.Method+" "+r.URL.Path+" is nothing that is served here")
		return
	}
	a.mux.ServeHTTP(w, r)
}

// withToken lets those in who have a token.
func (a *API) withToken(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !a.knows(r) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="omnidocs"`)
			fail(w, http.StatusUnauthorized, "invalid_token", "send a token that is let in: Authorization: Bearer TOKEN")
			return
		}
		next(w, r)
	}
}

// knows compares a request's token in a time that says nothing of the tokens.
func (a *API) knows(r *http.Request) bool {
	if len(a.tokens) == 0 {
		return true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	found := 0
	for _, known := range a.tokens {
		found |= subtle.ConstantTimeCompare(sum[:], known[:])
	}
	return found == 1 && strings.EqualFold(scheme, "bearer")
}

// counted counts and logs requests.
func (a *API) counted(route string, next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		status := &statusWriter{ResponseWriter: w, patience: a.options.AnswerTimeout}
		next(status, r)
		took := time.Since(start)
		a.metrics.request(route, status.code(), took)
		a.options.Logger.InfoContext(r.Context(), "request", "method", r.Method, "path", r.URL.Path, "status", status.code(),
			"seconds", took.Seconds(), "remote", r.RemoteAddr)
	})
}

// health says that the process lives.
func (a *API) health(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, map[string]string{"status": "ok"})
}

// ready says whether pages are taken.
func (a *API) ready(w http.ResponseWriter, _ *http.Request) {
	if a.draining.Load() {
		fail(w, http.StatusServiceUnavailable, "draining", "the server ends: ask another")
		return
	}
	reply(w, http.StatusOK, map[string]string{"status": "ready"})
}

func (a *API) models(w http.ResponseWriter, _ *http.Request) {
	type model struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		OwnedBy string `json:"owned_by"`
	}
	reply(w, http.StatusOK, struct {
		Object string  `json:"object"`
		Data   []model `json:"data"`
	}{"list", []model{{a.options.Model, "model", "omnidocs"}}})
}

// statusWriter remembers the status of an answer, and gives its caller so much time to read each piece of it.
type statusWriter struct {
	http.ResponseWriter
	status   int
	patience time.Duration
}

// Write sets a deadline of its own: one that an earlier answer on the same connection has left may have passed.
func (w *statusWriter) Write(data []byte) (int, error) {
	if w.patience > 0 {
		_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(w.patience)) // a recorder in a test has none
	}
	return w.ResponseWriter.Write(data)
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) code() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}

// Unwrap is for [http.ResponseController].
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// discard is an answer that nobody reads.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}
