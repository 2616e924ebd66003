package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"image"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/textextraction"
	"github.com/omnidocs/omnidocs/textextraction/httpapi"
)

// serving is a server that [httpapi.Serve] serves.
type serving struct {
	address string
	end     func()     // tells it to end
	ended   chan error // when it has
}

func serveReal(t *testing.T, x textextraction.TextExtractor, o httpapi.Options, grace time.Duration) serving {
	t.Helper()
	a, err := httpapi.New(x, o)
	require.NoError(t, err)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, end := context.WithCancel(t.Context())
	s := serving{l.Addr().String(), end, make(chan error, 1)}
	go func() { s.ended <- httpapi.Serve(ctx, l, a, grace) }()
	return s
}

// dial opens a connection on which a test says what no client would.
func (s serving) dial(t *testing.T, say string) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute))) // so that it does not hang
	_, err = io.WriteString(c, say)
	require.NoError(t, err)
	return c
}

// Callers who send their heads a letter at a time are cut off, whatever they send, and others are served meanwhile.
func TestSlowHeads(t *testing.T) {
	x := &fake{}
	s := serveReal(t, x, httpapi.Options{HeaderTimeout: 300 * time.Millisecond}, time.Minute)
	var slow []net.Conn
	for range 50 {
		slow = append(slow, s.dial(t, "POST /v1/extract HTTP/1.1\r\nHost: x\r\nX-Slow: "))
	}
	require.Equal(t, 200, call(t, "POST", "http://"+s.address+"/v1/extract", bytes.NewReader(pagePNG(t, 20))).status)
	for _, c := range slow {
		go func() {
			for { // until it is cut off
				if _, err := io.WriteString(c, "x"); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		}()
	}
	for _, c := range slow {
		answer, _ := io.ReadAll(c) // the end may come as a reset
		require.NotContains(t, string(answer), "200 OK")
	}
	require.EqualValues(t, 1, x.reads.Load())
	s.end()
	require.NoError(t, <-s.ended)
}

// What will be refused is refused by its head: the body is not waited for.
func TestRefusedByTheirHeads(t *testing.T) {
	x := &fake{}
	s := serveReal(t, x, httpapi.Options{MaxBodyBytes: 1000, Tokens: []string{"secret"}}, time.Minute)
	const token = "Authorization: Bearer secret\r\n"
	for name, test := range map[string]struct{ head, want string }{
		"a terabyte":              {"POST /v1/extract HTTP/1.1\r\n" + token + "Content-Length: 1099511627776\r\n", "413 "},
		"a terabyte, if asked":    {"POST /v1/extract HTTP/1.1\r\n" + token + "Expect: 100-continue\r\nContent-Length: 1099511627776\r\n", "413 "},
		"no token":                {"POST /v1/extract HTTP/1.1\r\nContent-Length: 900\r\n", "401 "},
		"no token, if asked":      {"POST /v1/jobs HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 900\r\n", "401 "},
		"a wrong token":           {"POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer wrong\r\nContent-Length: 900\r\n", "401 "},
		"a form for JSON":         {"POST /v1/chat/completions HTTP/1.1\r\n" + token + "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 900\r\n", "415 "},
		"a text for JSON":         {"POST /extract_from_url HTTP/1.1\r\n" + token + "Content-Type: text/plain\r\nContent-Length: 900\r\n", "415 "},
		"a type that is none":     {"POST /extract_from_url HTTP/1.1\r\n" + token + "Content-Type: /\r\nContent-Length: 900\r\n", "415 "},
		"nowhere":                 {"POST /v1/everything HTTP/1.1\r\n" + token + "Content-Length: 900\r\n", "404 "},
		"a method that is not":    {"PUT /v1/extract HTTP/1.1\r\n" + token + "Content-Length: 900\r\n", "405 "},
		"a head without an end":   {"GET /healthz HTTP/1.1\r\nX-Long: " + strings.Repeat("x", 100<<10) + "\r\n", "431 "},
		"a length that is none":   {"POST /v1/extract HTTP/1.1\r\nContent-Length: many\r\n", "400 "},
		"two lengths":             {"POST /v1/extract HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n", "400 "},
		"a length and chunks":     {"POST /v1/extract HTTP/1.1\r\n" + token + "Transfer-Encoding: chunked, gzip\r\nContent-Length: 6\r\n", "501 "},
		"no protocol of this age": {"POST /v1/extract HTTP/9.9\r\n", "505 "},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial(t, strings.Replace(test.head, "\r\n", "\r\nHost: x\r\n", 1)+"\r\n")
			line, err := bufio.NewReader(c).ReadString('\n')
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(line, "HTTP/1.1 "+test.want), line)
		})
	}
	// One that does not say how long it is is read up to the bound.
	endless := s.dial(t, "POST /v1/extract HTTP/1.1\r\nHost: x\r\n"+token+"Transfer-Encoding: chunked\r\n\r\n1000\r\n"+strings.Repeat("x", 0x1000)+"\r\n")
	line, err := bufio.NewReader(endless).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "413 ")
	require.Zero(t, x.reads.Load())
	s.end()
	require.NoError(t, <-s.ended)
}

// talker streams without an end: a megabyte at a time, or a piece, and the rest when it is told to.
type talker struct {
	*fake
	endless bool
	rest    chan struct{}
	left    atomic.Int64 // streams that were left before their end
}

func (x *talker) Stream(ctx context.Context, _ image.Image, o textextraction.Options) iter.Seq2[textextraction.Delta, error] {
	return func(yield func(textextraction.Delta, error) bool) {
		x.now.Add(1)
		defer x.now.Add(-1)
		megabyte := strings.Repeat("x", 1<<20)
		for at := 0; x.endless; at += len(megabyte) {
			if !yield(textextraction.Delta{Offset: at, Text: megabyte}, nil) {
				x.left.Add(1)
				return
			}
		}
		if !yield(textextraction.Delta{Text: "first "}, nil) {
			x.left.Add(1)
			return
		}
		select {
		case <-x.rest:
			r := textextraction.NewExtractResult("first and last", o.Format)
			r.FinishReason = textextraction.FinishStop
			yield(textextraction.Delta{Offset: 6, Text: "and last", Result: r}, nil)
		case <-ctx.Done():
			x.left.Add(1)
			yield(textextraction.Delta{}, ctx.Err())
		}
	}
}

// A caller who does not read is not waited for: the page ends, and with it all that it holds.
func TestCallerDoesNotRead(t *testing.T) {
	x := &talker{fake: &fake{}, endless: true}
	s := serveReal(t, x, httpapi.Options{AnswerTimeout: 100 * time.Millisecond}, time.Minute)
	page := pagePNG(t, 20)
	for range 3 {
		s.dial(t, fmt.Sprintf("POST /v1/extract?stream=true HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(page), page))
	}
	require.Eventually(t, func() bool { return x.left.Load() == 3 }, time.Minute, time.Millisecond)
	require.Contains(t, call(t, "GET", "http://"+s.address+"/metrics", nil).body, "omnidocs_pages_running 0\n")
	s.end()
	require.NoError(t, <-s.ended)
}

// An answer has its own time, whenever the one before it on the same connection was.
func TestAnswersOfOneConnection(t *testing.T) {
	s := serveReal(t, &fake{}, httpapi.Options{AnswerTimeout: 50 * time.Millisecond}, time.Minute)
	c := s.dial(t, "")
	in := bufio.NewReader(c)
	for _, path := range []string{"/readyz", "/metrics", "/", "/openapi.json", "/nothing", "/readyz"} {
		_, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		res, err := http.ReadResponse(in, nil)
		require.NoError(t, err, path)
		_, err = io.Copy(io.Discard, res.Body)
		require.NoError(t, err, path)
		require.NoError(t, res.Body.Close())
		time.Sleep(60 * time.Millisecond) // longer than the answer before had
	}
	require.NoError(t, c.Close())
	s.end()
	require.NoError(t, <-s.ended)
}

// streaming asks for a page as a stream, of either protocol, and waits for its first piece.
func streaming(t *testing.T, s serving, path, body string) (rest func() string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.address+path, strings.NewReader(body))
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(r) //nolint:bodyclose // rest does
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode)
	in := bufio.NewReader(res.Body)
	line, err := in.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "first ")
	return func() string {
		text, _ := io.ReadAll(in) // it may break off
		require.NoError(t, res.Body.Close())
		return string(text)
	}
}

// A server that ends in the middle of streams lets them go on to their ends, and takes no more; what does not end in time is cut off.
func TestServeEndsStreams(t *testing.T) {
	page := pagePNG(t, 20)
	chat := chatBody(imagePart("data:image/png,"+escape(page))+","+textPart, `, "stream": true`)
	x := &talker{fake: &fake{}, rest: make(chan struct{})}
	s := serveReal(t, x, httpapi.Options{}, time.Minute)
	ours, openAI := streaming(t, s, "/v1/extract?stream=true", string(page)), streaming(t, s, "/v1/chat/completions", chat)
	s.end()
	require.Eventually(t, func() bool {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.address)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	}, time.Minute, time.Millisecond, "it takes no more")
	close(x.rest)
	text := ours()
	require.Contains(t, text, `"text":"and last"`)
	require.Contains(t, text, `"content":"first and last"`)
	require.True(t, strings.HasSuffix(text, "data: [DONE]\n\n"), text)
	text = openAI()
	require.Contains(t, text, `"content":"and last"`)
	require.Contains(t, text, `"finish_reason":"stop"`)
	require.True(t, strings.HasSuffix(text, "data: [DONE]\n\n"), text)
	require.NoError(t, <-s.ended)

	x = &talker{fake: &fake{}, rest: make(chan struct{})} // never closed
	s = serveReal(t, x, httpapi.Options{}, 20*time.Millisecond)
	ours, openAI = streaming(t, s, "/v1/extract?stream=true", string(page)), streaming(t, s, "/v1/chat/completions", chat)
	s.end()
	require.NoError(t, <-s.ended)
	require.NotContains(t, ours(), "[DONE]")
	require.NotContains(t, openAI(), "[DONE]")
	require.Eventually(t, func() bool { return x.now.Load() == 0 && x.left.Load() == 2 }, time.Minute, time.Millisecond)
}

func escape(data []byte) string {
	var b strings.Builder
	for _, c := range data {
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}

func FuzzExtractFromURL(f *testing.F) {
	a, err := httpapi.New(&fake{}, httpapi.Options{MaxPixels: 1e6, Fetch: func(_ context.Context, url string) ([]byte, error) { return []byte(url), nil }})
	require.NoError(f, err)
	f.Add(`{"image_url": "https://example.com/doc.png", "output_format": "html"}`)
	f.Add(`{"image_url": 7}`)
	f.Add(`[{}]`)
	f.Fuzz(func(t *testing.T, body string) { fuzzed(t, a, "/extract_from_url", "application/json", body) })
}

// FuzzHead has the choices of a request, its type and its token be anything.
func FuzzHead(f *testing.F) {
	a, err := httpapi.New(&fake{}, httpapi.Options{MaxPixels: 1e6, Tokens: []string{"a secret that nobody guesses"}})
	require.NoError(f, err)
	f.Add("format=html&prompt=x&max_tokens=5&temperature=0.5", "image/png", "Bearer secret")
	f.Add("%zz&;stream=true", "multipart/form-data; boundary=", "Bearer")
	f.Fuzz(func(t *testing.T, query, kind, token string) {
		for _, authorization := range []string{token, "Bearer a secret that nobody guesses"} {
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/extract", strings.NewReader("no picture"))
			r.URL.RawQuery = query
			r.Header.Set("Content-Type", kind)
			r.Header.Set("Authorization", authorization)
			a.ServeHTTP(w, r)
			if want := authorization == token; w.Code >= 500 || w.Code < 400 || (w.Code == 401) != want {
				t.Errorf("%d with %q: %s", w.Code, authorization, w.Body)
			}
		}
	})
}
