package openai_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/openai"
)

// serve answers call i with answers[i], the last of them from then on.
func serve(t *testing.T, answers ...http.HandlerFunc) (*openai.Client, *atomic.Int64) {
	t.Helper()
	var calls atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i := min(int(calls.Add(1)), len(answers)) - 1
		answers[i](w, r)
	}))
	t.Cleanup(s.Close)
	return &openai.Client{Base: s.URL + "/v1", HTTP: s.Client(), FirstWait: time.Millisecond}, &calls
}

func say(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func events(data ...string) http.HandlerFunc {
	var body strings.Builder
	for _, d := range data {
		fmt.Fprintf(&body, ": keep-alive\n\ndata: %s\n\n", d)
	}
	return say(200, body.String(), "Content-Type", "text/event-stream; charset=utf-8")
}

// abort sends what it is given and breaks the connection.
func abort(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h(w, r)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

const good = `{"model": "m-1", "choices": [{"message": {"role": "assistant", "content": "# Ça va"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}`

var request = openai.Request{Model: "m", Messages: []openai.Message{{Role: "user", Content: []openai.Part{openai.PNG([]byte("png")), openai.Text("read")}}}, MaxTokens: 9}

func TestChat(t *testing.T) {
	var sent map[string]any
	var header http.Header
	var path string
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		path, header = r.URL.String(), r.Header
		_ = json.NewDecoder(r.Body).Decode(&sent)
		_, _ = io.WriteString(w, good)
	})
	c.Key, c.Headers = "secret", http.Header{"X-Title": {"omnidocs"}}
	a, err := c.Chat(t.Context(), request, nil)
	require.NoError(t, err)
	require.Equal(t, openai.Answer{Text: "# Ça va", Finish: "stop", Model: "m-1", PromptTokens: 7, CompletionTokens: 3, Attempts: 1}, a)
	require.Equal(t, "/v1/chat/completions", path)
	require.Equal(t, "Bearer secret", header.Get("Authorization"))
	require.Equal(t, "omnidocs", header.Get("X-Title"))
	require.Equal(t, map[string]any{
		"model": "m", "max_tokens": 9.0, "temperature": 0.0,
		"messages": []any{map[string]any{"role": "user", "content": []any{
			map[string]any{"type": "image_url", "image_url": map[string]any{"url": "data:image/png;base64,cG5n"}},
			map[string]any{"type": "text", "text": "read"},
		}}},
	}, sent)
}

func TestAzure(t *testing.T) {
	var got *http.Request
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { got = r; _, _ = io.WriteString(w, good) })
	c.Base, c.Key, c.AzureVersion = strings.TrimSuffix(c.Base, "/v1"), "secret", "2024-10-21"
	_, err := c.Chat(t.Context(), request, nil)
	require.NoError(t, err)
	require.Equal(t, "/openai/deployments/m/chat/completions?api-version=2024-10-21", got.URL.String())
	require.Equal(t, "secret", got.Header.Get("Api-Key"))
	require.Empty(t, got.Header.Get("Authorization"))
}

func TestStream(t *testing.T) {
	piece := func(s string) string { return fmt.Sprintf(`{"choices": [{"delta": {"content": %q}}]}`, s) }
	end := `{"choices": [{"delta": {}, "finish_reason": "length"}]}`
	for _, test := range []struct {
		name    string
		answers []http.HandlerFunc
		deltas  []string
		err     string
		calls   int64
	}{
		{"whole", []http.HandlerFunc{events(piece("a"), piece("é"), end, `{"choices": [], "usage": {"completion_tokens": 2}}`, "[DONE]")}, []string{"a", "é"}, "", 1},
		{"without DONE", []http.HandlerFunc{events(piece("a"), end)}, []string{"a"}, "", 1},
		{"broken off before any text", []http.HandlerFunc{abort(events(`{"choices": [{"delta": {"role": "assistant"}}]}`)), events(piece("a"), end)}, []string{"a"}, "", 2},
		{"broken off", []http.HandlerFunc{abort(events(piece("ab"))), events(piece("a"), end)}, []string{"ab"}, "EOF", 1},
		{"ended too soon", []http.HandlerFunc{events(piece("ab"))}, []string{"ab"}, "broke off after 2 characters", 1},
		{"an error in the stream", []http.HandlerFunc{events(piece("ab"), `{"error": {"message": "overloaded", "code": 503}}`)}, []string{"ab"}, "503 Service Unavailable (503): overloaded", 1},
		{"no stream", []http.HandlerFunc{say(200, good)}, []string{"# Ça va"}, "", 1},
		{"no JSON", []http.HandlerFunc{events("{")}, nil, "not that of chat completions", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, calls := serve(t, test.answers...)
			var deltas []string
			a, err := c.Chat(t.Context(), request, func(s string) { deltas = append(deltas, s) })
			if test.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, test.err)
			}
			require.Equal(t, test.deltas, deltas)
			require.Equal(t, strings.Join(test.deltas, ""), a.Text)
			require.Equal(t, test.calls, calls.Load())
		})
	}
}

func TestRetries(t *testing.T) {
	for _, test := range []struct {
		name    string
		answers []http.HandlerFunc
		calls   int64
		err     string
	}{
		{"500 and 502", []http.HandlerFunc{say(500, "x"), say(502, "<html>bad gateway</html>"), say(200, good)}, 3, ""},
		{"429", []http.HandlerFunc{say(429, `{"error": {"message": "slow down", "code": "rate_limit"}}`, "Retry-After", "0.01"), say(200, good)}, 2, ""},
		{"no connection", []http.HandlerFunc{abort(func(http.ResponseWriter, *http.Request) {}), say(200, good)}, 2, ""},
		{"no end of it", []http.HandlerFunc{say(503, `{"detail": "loading the model"}`)}, 3, "after 3 attempts: the server answers 503 Service Unavailable: loading the model"},
		{"401", []http.HandlerFunc{say(401, `{"error": {"message": "no such key", "code": null}}`)}, 1, "401 Unauthorized: no such key: check the API key"},
		{"404", []http.HandlerFunc{say(404, `{"object": "error", "message": "the model m does not exist"}`)}, 1, "does not exist: check the base address and the name of the model"},
		{"400", []http.HandlerFunc{say(400, `{"error": "max_tokens is too large"}`)}, 1, "400 Bad Request: max_tokens is too large"},
		{"413", []http.HandlerFunc{say(413, "")}, 1, "send a smaller image"},
		{"an error with 200", []http.HandlerFunc{say(200, `{"error": {"message": "rate limited", "code": 429}}`), say(200, good)}, 2, ""},
		{"no JSON", []http.HandlerFunc{say(200, "<html>")}, 1, "not that of chat completions"},
		{"no choices", []http.HandlerFunc{say(200, "{}")}, 1, "no choices"},
		{"too long", []http.HandlerFunc{say(200, good+strings.Repeat(" ", 2000))}, 1, "longer than 1000 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, calls := serve(t, test.answers...)
			c.MaxAnswer = 1000
			a, err := c.Chat(t.Context(), request, nil)
			if test.err == "" {
				require.NoError(t, err)
				require.Equal(t, "# Ça va", a.Text)
				require.EqualValues(t, test.calls, a.Attempts)
			} else {
				require.ErrorContains(t, err, test.err)
			}
			require.Equal(t, test.calls, calls.Load())
		})
	}
}

func TestRetryAfterIsWaited(t *testing.T) {
	c, _ := serve(t, say(429, "", "Retry-After", "0.05"), say(200, good))
	start := time.Now()
	_, err := c.Chat(t.Context(), request, nil)
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(start), 50*time.Millisecond)
}

func TestTimeout(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the server sees that a client has gone only when it has read all of the request
		<-r.Context().Done()
	}
	c, calls := serve(t, hang, say(200, good))
	c.Timeout = 100 * time.Millisecond
	_, err := c.Chat(t.Context(), request, nil)
	require.NoError(t, err)
	require.EqualValues(t, 2, calls.Load())

	c, _ = serve(t, hang)
	c.Timeout, c.Attempts = 20*time.Millisecond, 2
	_, err = c.Chat(t.Context(), request, nil)
	require.ErrorContains(t, err, "after 2 attempts: no answer in time (20ms)")

	c, calls = serve(t, hang)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	time.AfterFunc(20*time.Millisecond, func() { cancel(enough) })
	_, err = c.Chat(ctx, request, nil)
	require.ErrorIs(t, err, enough)
	require.EqualValues(t, 1, calls.Load())
}

func TestBase(t *testing.T) {
	for _, base := range []string{"", "host/v1", "ftp://host", "http://"} {
		_, err := (&openai.Client{Base: base}).Chat(t.Context(), request, nil)
		require.ErrorContains(t, err, "base address")
	}
}

// answering answers each call with a status and a body.
type answering struct {
	status     int
	kind, body string
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: a.status, Header: http.Header{"Content-Type": {a.kind}, "Retry-After": {"0"}}, Request: r, Body: io.NopCloser(strings.NewReader(a.body)),
	}, nil
}

// FuzzAnswer has a server answer anything: it ends in an error, or in the text that has been handed out.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "data: {\"choices\": [{\"delta\": {\"content\": \"a\"}, \"finish_reason\": \"stop\"}]}\n\ndata: [DONE]\n\n")
	f.Add(200, good)
	f.Add(200, `{"error": {"message": "no", "code": "404"}}`)
	f.Add(500, `{"detail": [{"msg": "no"}]}`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		for _, kind := range []string{"text/event-stream", "application/json"} {
			c := openai.Client{Base: "http://nowhere/v1", HTTP: &http.Client{Transport: answering{status, kind, body}}, Attempts: 1, MaxAnswer: 1 << 16}
			text := ""
			a, err := c.Chat(t.Context(), request, func(s string) { text += s })
			if status != 200 && err == nil || err == nil && a.Text != text {
				t.Errorf("%v: %q of %q", err, a.Text, text)
			}
		}
	})
}
