package openai

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Chat asks the server. If delta is not nil the answer is streamed, and delta is called with each piece of its text as it comes. What
// may pass (no connection, a time-out, 408, 409, 425, 429, 5xx) is tried again, unless a piece of text has been handed out.
func (c *Client) Chat(ctx context.Context, r Request, delta func(text string)) (Answer, error) {
	at, err := c.address(r.Model)
	if err != nil {
		return Answer{}, fmt.Errorf("openai: %w", err)
	}
	if delta != nil {
		r.Stream, r.StreamUsage = true, &streamOptions{IncludeUsage: true}
	}
	body, err := json.Marshal(r)
	if err != nil {
		return Answer{}, fmt.Errorf("openai: %w", err)
	}
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval, waits.Multiplier = or(c.FirstWait, time.Second), or(c.MaxWait, 30*time.Second), 2
	attempts := 0
	var last error
	answer, err := backoff.Retry(ctx, func() (Answer, error) {
		attempts++
		began := false
		a, err := c.once(ctx, at, body, r.Stream, func(text string) {
			began = true
			delta(text)
		})
		last = err
		switch {
		case err == nil:
			return a, nil
		case began || !temporary(ctx, err):
			return a, backoff.Permanent(err)
		}
		var status *StatusError
		if errors.As(err, &status) && status.RetryAfter > 0 {
			return a, &backoff.RetryAfterError{Duration: min(status.RetryAfter, waits.MaxInterval)}
		}
		return a, err
	}, backoff.WithBackOff(waits), backoff.WithMaxTries(uint(or(c.Attempts, 3))), backoff.WithMaxElapsedTime(0))
	answer.Attempts = attempts
	switch {
	case err == nil:
		return answer, nil
	case ctx.Err() != nil:
		return answer, fmt.Errorf("openai: %w", context.Cause(ctx))
	case attempts > 1:
		return answer, fmt.Errorf("openai: after %d attempts: %w", attempts, last)
	}
	return answer, fmt.Errorf("openai: %w", last)
}

func or[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

// temporary says whether a call that met an error may go well later: all that concerns the connection may.
func temporary(ctx context.Context, err error) bool {
	if ctx.Err() != nil || errors.Is(err, ErrAnswer) {
		return false
	}
	var status *StatusError
	return !errors.As(err, &status) || status.temporary()
}

// errTimeout is the cause of an attempt that took too long.
var errTimeout = errors.New("no answer in time")

// once makes one attempt.
func (c *Client) once(ctx context.Context, at string, body []byte, stream bool, delta func(string)) (_ Answer, err error) {
	if c.Timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("%w (%s)", errTimeout, c.Timeout))
		defer stop()
		defer func() {
			if err != nil && errors.Is(context.Cause(ctx), errTimeout) {
				err = context.Cause(ctx)
			}
		}()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	for name, values := range c.Headers {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	req.Header.Set("Content-Type", "application/json")
	switch {
	case c.Key == "":
	case c.AzureVersion != "":
		req.Header.Set("Api-Key", c.Key)
	default:
		req.Header.Set("Authorization", "Bearer "+c.Key)
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = res.Body.Close() }() // it was only read
	limit := or(c.MaxAnswer, 64<<20)
	in := &io.LimitedReader{R: res.Body, N: limit + 1}
	if res.StatusCode != http.StatusOK {
		data, _ := io.ReadAll(io.LimitReader(in, 64<<10)) // what there is of it
		return Answer{}, statusError(res.StatusCode, res.Header, data)
	}
	var a Answer
	if stream && strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		a, err = readStream(in, delta)
	} else if a, err = readAnswer(in); err == nil && stream { // a server that does not stream
		delta(a.Text)
	}
	if in.N == 0 {
		return a, fmt.Errorf("%w: it is longer than %d bytes", ErrAnswer, limit)
	}
	return a, err
}

// retryAfter reads how long a server asks to wait.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil && ms > 0 { // Azure's
		return time.Duration(min(ms, 1e9) * float64(time.Millisecond))
	}
	v := strings.TrimSpace(h.Get("Retry-After"))
	if s, err := strconv.ParseFloat(v, 64); err == nil && s > 0 {
		return time.Duration(min(s, 1e6) * float64(time.Second))
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
