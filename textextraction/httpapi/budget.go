package httpapi

import (
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// pixelBytes is what a picture takes for each of its pixels: four bytes, eight where it has 16 bits a channel.
const pixelBytes = 8

// budget bounds what all requests together hold: their bodies, files and pictures, from when they come to when they are answered.
type budget struct {
	limit int64
	held  atomic.Int64
}

// holding is what one request holds of a budget. It is used from several goroutines.
type holding struct {
	budget *budget
	mu     sync.Mutex
	bytes  int64
}

type holdingKey struct{}

// held is the holding of the request whose context it is.
func held(ctx context.Context) *holding {
	h, _ := ctx.Value(holdingKey{}).(*holding)
	return h
}

// take adds to what is held, unless that would be too much in all.
func (h *holding) take(bytes int64) error {
	if h.budget.held.Add(bytes) > h.budget.limit {
		h.budget.held.Add(-bytes)
		return &problem{status: http.StatusTooManyRequests, kind: "rate_limit_error", message: "too much is held already for those who wait: come back later"}
	}
	h.mu.Lock()
	h.bytes += bytes
	h.mu.Unlock()
	return nil
}

// give takes something back out of what is held.
func (h *holding) give(bytes int64) {
	h.mu.Lock()
	h.bytes -= bytes
	h.mu.Unlock()
	h.budget.held.Add(-bytes)
}

// end gives back all.
func (h *holding) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.budget.held.Add(-h.bytes)
	h.bytes = 0
}

// moved is a holding of what is held so far, which stays when the request has been answered.
func (h *holding) moved() *holding {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := &holding{budget: h.budget, bytes: h.bytes}
	h.bytes = 0
	return m
}

// holds gives a request a holding, which ends with its answer.
func (a *API) holds(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := &holding{budget: &a.budget}
		defer h.end()
		next(w, r.WithContext(context.WithValue(r.Context(), holdingKey{}, h)))
	}
}

// reader reads what r has, and takes as much.
func (h *holding) reader(r io.Reader) io.Reader { return &heldReader{r, h} }

type heldReader struct {
	io.Reader
	holding *holding
}

// Read is that of [io.Reader].
func (r *heldReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 {
		if refused := r.holding.take(int64(n)); refused != nil {
			return 0, refused
		}
	}
	return n, err
}
