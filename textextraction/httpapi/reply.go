package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/omnidocs/omnidocs/textextraction"
)

// problem is an error with the status that it is answered with.
type problem struct {
	status  int
	kind    string
	message string
	cause   error
}

func (p *problem) Error() string { return p.message }
func (p *problem) Unwrap() error { return p.cause }

// bad is a request that cannot be served as it is.
func bad(message string) *problem {
	return &problem{status: http.StatusBadRequest, kind: "invalid_request_error", message: message}
}

// statusClosed is what proxies log for a caller who has gone.
const statusClosed = 499

// problemOf finds the status for an error.
func problemOf(err error) *problem {
	var p *problem
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &tooLarge):
		return &problem{http.StatusRequestEntityTooLarge, "too_large", "the body is longer than this server takes", err}
	case errors.Is(err, textextraction.ErrImage):
		return &problem{http.StatusUnprocessableEntity, "unreadable_image", err.Error(), err}
	case errors.Is(err, textextraction.ErrConfig), errors.Is(err, textextraction.ErrFormat):
		return &problem{http.StatusBadRequest, "invalid_request_error", err.Error(), err}
	case errors.Is(err, textextraction.ErrClosed), errors.Is(err, textextraction.ErrNoWorker):
		return &problem{http.StatusServiceUnavailable, "unavailable", "no model is there to read: " + err.Error(), err}
	case errors.Is(err, context.DeadlineExceeded):
		return &problem{http.StatusGatewayTimeout, "timeout", "the page took longer than this server gives one", err}
	case errors.Is(err, context.Canceled):
		return &problem{statusClosed, "canceled", "the caller has gone", err}
	}
	return &problem{http.StatusInternalServerError, "server_error", err.Error(), err}
}

type errorBody struct {
	Error errorDetail `json:"error"`
}

type errorDetail struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

func (p *problem) body() errorBody { return errorBody{errorDetail{Message: p.message, Type: p.kind}} }

// refuse answers with an error.
func refuse(w http.ResponseWriter, err error) {
	p := problemOf(err)
	if p.status == http.StatusTooManyRequests || p.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	reply(w, p.status, p.body())
}

func fail(w http.ResponseWriter, status int, kind, message string) {
	refuse(w, &problem{status: status, kind: kind, message: message})
}

// reply answers with JSON.
func reply(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil { // of a value of ours
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // a caller who has gone is none of our business
}
