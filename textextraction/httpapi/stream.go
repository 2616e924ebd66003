package httpapi

import (
	"context"
	"encoding/json"
	"image"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/omnidocs/omnidocs/textextraction"
)

// stream reads one page when its turn has come, as [API.read] does, and yields its text as it is written.
func (a *API) stream(ctx context.Context, page image.Image, opts textextraction.Options) iter.Seq2[textextraction.Delta, error] {
	return func(yield func(textextraction.Delta, error) bool) {
		ctx, leave, err := a.enter(ctx, false)
		if err != nil {
			yield(textextraction.Delta{}, err)
			return
		}
		defer leave()
		start := time.Now()
		var result *textextraction.ExtractResult
		err = context.Canceled // what it is for a caller who has gone
		for d, failed := range a.extractor.Stream(ctx, page, opts) {
			if d.Result != nil || failed != nil {
				result, err = d.Result, failed
			}
			if !yield(d, failed) {
				break
			}
		}
		a.metrics.page(result, err, time.Since(start))
	}
}

// events writes server-sent events.
type events struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	begun bool
}

func newEvents(w http.ResponseWriter) *events {
	return &events{w: w, rc: http.NewResponseController(w)}
}

// send sends an event. It is false when the caller has gone.
func (e *events) send(v any) bool {
	data, err := json.Marshal(v)
	return err == nil && e.line(string(data))
}

func (e *events) line(data string) bool {
	if !e.begun {
		h := e.w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Accel-Buffering", "no") // proxies must not hold events back
		e.w.WriteHeader(http.StatusOK)
		e.begun = true
	}
	if _, err := e.w.Write([]byte("data: " + data + "\n\n")); err != nil {
		return false
	}
	return e.rc.Flush() == nil
}

// fail tells of an error: as the answer to the request, or as an event where that has begun.
func (e *events) fail(err error) {
	if !e.begun {
		refuse(e.w, err)
		return
	}
	e.send(problemOf(err).body())
}

// extractStream reads a picture and sends its text as it is written, as [textextraction.Delta], the last with the result.
func (a *API) extractStream(w http.ResponseWriter, r *http.Request, page image.Image, opts textextraction.Options) {
	e := newEvents(w)
	for d, err := range a.stream(r.Context(), page, opts) {
		if err != nil {
			e.fail(err)
			return
		}
		if !e.send(d) {
			return
		}
	}
	e.line("[DONE]")
}

// chatStream is a chat's answer in pieces. The protocol takes nothing back, so a loop ends the answer where elsewhere it is undone,
// and when another worker takes the page over, what has been sent is not sent again.
func (a *API) chatStream(w http.ResponseWriter, r *http.Request, page image.Image, opts textextraction.Options, answer chatAnswer, usage bool) {
	answer.Object = "chat.completion.chunk"
	opts.RawDeltas = true
	opts.Repetition.MaxRewinds = -1
	e := newEvents(w)
	sent, text, role := "", "", "assistant"
	var result *textextraction.ExtractResult
	for d, err := range a.stream(r.Context(), page, opts) {
		if err != nil {
			e.fail(err)
			return
		}
		if result = d.Result; result != nil {
			text = result.RawOutput
		} else {
			text = d.Apply(text)
		}
		rest, ok := strings.CutPrefix(text, sent)
		if !ok || rest == "" {
			continue
		}
		answer.Choices = []chatChoice{{Delta: &chatText{role, rest}}}
		if !e.send(answer) {
			return
		}
		sent, role = text, ""
	}
	if result == nil {
		return // the caller has gone
	}
	answer.Choices = []chatChoice{{Delta: &chatText{}, FinishReason: finishOf(result)}}
	if !e.send(answer) {
		return
	}
	if usage {
		answer.Choices, answer.Usage = []chatChoice{}, usageOf(result)
		if !e.send(answer) {
			return
		}
	}
	e.line("[DONE]")
}
