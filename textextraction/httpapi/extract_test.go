package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/textextraction"
	"github.com/omnidocs/omnidocs/textextraction/httpapi"
)

func TestExtract(t *testing.T) {
	url := serve(t, &fake{}, httpapi.Options{})
	a := call(t, "POST", url+"/v1/extract?format=html&prompt=go", bytes.NewReader(pagePNG(t, 33)), "Content-Type", "image/png")
	require.Equal(t, http.StatusOK, a.status)
	v := a.json(t)
	require.Contains(t, v["content"], "# 33 pixels, “go”")
	require.Equal(t, "html", v["format"])
	require.EqualValues(t, 11, v["prompt_tokens"])
	require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))

	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	require.NoError(t, w.WriteField("system_prompt", "exact"))
	f, err := w.CreateFormFile("file", "page.png")
	require.NoError(t, err)
	_, _ = f.Write(pagePNG(t, 44))
	require.NoError(t, w.Close())
	a = call(t, "POST", url+"/v1/extract", &form, "Content-Type", w.FormDataContentType())
	require.Contains(t, a.json(t)["content"], "# 44 pixels, “” exact")
}

// The pieces of a stream make up what there is without one, also when some are taken back.
func TestExtractStream(t *testing.T) {
	url := serve(t, &fake{}, httpapi.Options{})
	a := call(t, "POST", url+"/v1/extract?stream=true&prompt=é", bytes.NewReader(pagePNG(t, 33)))
	require.Equal(t, http.StatusOK, a.status)
	require.Equal(t, "text/event-stream", a.header.Get("Content-Type"))
	text := ""
	var result *textextraction.ExtractResult
	lines := strings.Split(strings.TrimSpace(a.body), "\n\n")
	require.Len(t, lines, 5)
	for _, line := range lines[:4] {
		var d textextraction.Delta
		require.NoError(t, json.Unmarshal([]byte(strings.TrimPrefix(line, "data: ")), &d))
		text, result = d.Apply(text), d.Result
	}
	require.Equal(t, "data: [DONE]", lines[4])
	require.Equal(t, "# 33 pixels, “é” \n", text)
	require.Equal(t, text, result.Content)

	a = call(t, "POST", url+"/v1/extract?stream=true&prompt=fire", bytes.NewReader(pagePNG(t, 33)))
	require.Equal(t, 500, a.status, "before the first piece it is an answer like any other")
	a = call(t, "POST", url+"/v1/extract?stream=true&prompt=half", bytes.NewReader(pagePNG(t, 33)))
	require.Equal(t, 200, a.status)
	require.Contains(t, a.body, `data: {"error":{"message":"the device is on fire"`)
	require.NotContains(t, a.body, "[DONE]")
	m := call(t, "GET", url+"/metrics", nil).body
	require.Contains(t, m, `omnidocs_pages_total{outcome="ok"} 1`)
	require.Contains(t, m, `omnidocs_pages_total{outcome="failed"} 2`)
}

func TestExtractRefuses(t *testing.T) {
	x := &fake{}
	url := serve(t, x, httpapi.Options{MaxBodyBytes: 5000, MaxPixels: 5000, BodyTimeout: 5 * time.Second})
	png, huge := pagePNG(t, 33), pagePNG(t, 501)
	form := func(fields ...string) (string, string) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		for _, name := range fields {
			f, _ := w.CreateFormFile(name, "x")
			_, _ = f.Write(png)
		}
		_ = w.Close()
		return b.String(), w.FormDataContentType()
	}
	two, twoType := form("file", "file")
	none, noneType := form("page")
	for _, test := range []struct {
		name, query, body, kind string
		status                  int
		want                    string
	}{
		{"no file", "", "", "image/png", 400, "there is no file"},
		{"no picture", "", "hello", "text/plain", 415, "takes pictures (PNG, JPEG"},
		{"half a picture", "", string(png[:50]), "image/png", 422, "unreadable image"},
		{"too many pixels", "", string(huge), "image/png", 413, "501 x 10"},
		{"too long", "", strings.Repeat("x", 5001), "image/png", 413, "longer than this server takes"},
		{"format", "?format=pdf", string(png), "image/png", 400, "format: "},
		{"a choice that there is not", "?paper=red", string(png), "image/png", 400, "paper: there is no such choice"},
		{"not a number", "?max_tokens=many", string(png), "image/png", 400, "max_tokens: "},
		{"out of range", "?temperature=3", string(png), "image/png", 400, "Temperature"},
		{"two files", "", two, twoType, 400, `two fields "file"`},
		{"no field file", "", none, noneType, 400, "there is no file"},
		{"broken form", "", two[:200], twoType, 400, "the form cannot be read"},
		{"no boundary", "", two, "multipart/form-data", 400, "the form cannot be read"},
		{"a type that is none", "", two, "multipart/", 400, "Content-Type"},
		{"the page's fault", "?prompt=image", string(png), "image/png", 422, "it is a cat"},
		{"the server's", "?prompt=fire", string(png), "image/png", 500, "on fire"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := call(t, "POST", url+"/v1/extract"+test.query, strings.NewReader(test.body), "Content-Type", test.kind)
			require.Equal(t, test.status, a.status, a.body)
			require.Contains(t, a.message(t), test.want)
		})
	}
}

func TestRoutes(t *testing.T) {
	url := serve(t, &fake{}, httpapi.Options{Model: "tiny"})
	require.Equal(t, 200, call(t, "GET", url+"/healthz", nil).status)
	require.Equal(t, 200, call(t, "GET", url+"/readyz", nil).status)
	require.Contains(t, call(t, "GET", url+"/v1/models", nil).body, `"id":"tiny"`)
	home := call(t, "GET", url+"/", nil)
	require.Contains(t, home.body, "<title>omnidocs</title>")
	require.Contains(t, home.header.Get("Content-Security-Policy"), "default-src 'none'")
	a := call(t, "GET", url+"/v1/extract", nil)
	require.Equal(t, 405, a.status)
	require.Equal(t, "POST", a.header.Get("Allow"))
	require.Contains(t, a.message(t), "GET /v1/extract is nothing")
	a = call(t, "GET", url+"/nothing", nil)
	require.Equal(t, 404, a.status)
	require.Contains(t, a.message(t), "/nothing")
}

func TestOpenAPI(t *testing.T) {
	url := serve(t, &fake{}, httpapi.Options{})
	paths, ok := call(t, "GET", url+"/openapi.json", nil).json(t)["paths"].(map[string]any)
	require.True(t, ok)
	for path, methods := range paths {
		m, ok := methods.(map[string]any)
		require.True(t, ok)
		for method := range m {
			if method == "parameters" {
				continue
			}
			a := call(t, strings.ToUpper(method), url+strings.ReplaceAll(path, "{id}", "x"), nil)
			require.NotContains(t, a.body, "is nothing that is served here", method+" "+path)
		}
	}
	require.Len(t, paths, 11)
}

func TestTokens(t *testing.T) {
	url := serve(t, &fake{}, httpapi.Options{Tokens: []string{"first", "second"}})
	for header, status := range map[string]int{
		"": 401, "Bearer wrong": 401, "Bearer ": 401, "first": 401, "Basic first": 401, "Bearer first": 200, "bearer second": 200, "Bearer first second": 401,
	} {
		a := call(t, "GET", url+"/v1/models", nil, "Authorization", header)
		require.Equal(t, status, a.status, header)
		if status == 401 {
			require.Contains(t, a.header.Get("WWW-Authenticate"), "Bearer")
			require.NotContains(t, a.body, "first")
		}
	}
	require.Equal(t, 401, call(t, "GET", url+"/metrics", nil).status)
	require.Equal(t, 200, call(t, "GET", url+"/healthz", nil).status)
	_, err := httpapi.New(&fake{}, httpapi.Options{Tokens: []string{""}})
	require.ErrorContains(t, err, "Tokens[0] is empty")
	_, err = httpapi.New(&fake{}, httpapi.Options{Queue: -1})
	require.ErrorContains(t, err, "Queue is -1")
}

func TestExtractFromURL(t *testing.T) {
	fetch := func(_ context.Context, url string) ([]byte, error) {
		switch url {
		case "https://example.com/page.png":
			return pagePNG(t, 55), nil
		case "https://example.com/text":
			return []byte("text"), nil
		}
		return nil, fmt.Errorf("%s is an address of this machine", url)
	}
	url := serve(t, &fake{}, httpapi.Options{Fetch: fetch}) + "/extract_from_url"
	a := call(t, "POST", url, strings.NewReader(`{"image_url": "https://example.com/page.png", "output_format": "html"}`))
	require.Equal(t, 200, a.status)
	v := a.json(t)
	require.Equal(t, true, v["success"])
	require.Equal(t, "html", v["format"])
	require.Contains(t, v["content"], "55 pixels")
	require.Positive(t, v["word_count"])
	for body, want := range map[string]string{
		`{"image_url": "http://169.254.169.254/"}`:  "502 could not be fetched: http://169.254.169.254/ is an address of this machine",
		`{"image_url": "https://example.com/text"}`: "415 takes pictures",
		`{}`:                      "400 no address",
		`{"image_url": 7}`:        `400 want {"image_url"`,
		`{"image_url": "x"`:       `400 want {"image_url"`,
		`{"output_format": "md"}`: `400 want {"image_url"`,
	} {
		a := call(t, "POST", url, strings.NewReader(body))
		status, text, _ := strings.Cut(want, " ")
		require.Equal(t, status, fmt.Sprint(a.status), body)
		require.Contains(t, a.message(t), text)
	}
	closed := serve(t, &fake{}, httpapi.Options{NoFetch: true})
	require.Equal(t, 403, call(t, "POST", closed+"/extract_from_url", strings.NewReader(`{"image_url": "https://example.com/page.png"}`)).status)
}

// Without a Fetch of one's own, addresses of this machine and of the networks around it are refused. (internal/safehttp has the rest.)
func TestFetchIsGuarded(t *testing.T) {
	url := serve(t, &fake{}, httpapi.Options{})
	for _, address := range []string{
		"http://127.0.0.1/page.png", "http://localhost/page.png", "http://[::1]/", "http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/",
		"http://192.168.1.1/", "http://[::ffff:127.0.0.1]/", "file:///etc/passwd", "ftp://example.com/", url + "/healthz",
	} {
		a := call(t, "POST", url+"/extract_from_url", strings.NewReader(fmt.Sprintf(`{"image_url": %q}`, address)))
		require.Equal(t, 403, a.status, address+" "+a.body)
	}
}

// No more pages are read at a time than was said, no more wait, and the others are told to come back.
func TestGate(t *testing.T) {
	x := &fake{hold: make(chan struct{})}
	url := serve(t, x, httpapi.Options{Concurrency: 2, Queue: 3})
	png := pagePNG(t, 20)
	var wg sync.WaitGroup
	var ok, refused atomic.Int64
	post := func() {
		wg.Go(func() {
			a := call(t, "POST", url+"/v1/extract", bytes.NewReader(png))
			switch a.status {
			case 200:
				ok.Add(1)
			case 429:
				refused.Add(1)
				if a.header.Get("Retry-After") == "" {
					t.Error("no Retry-After")
				}
			default:
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	for range 5 {
		post()
	}
	full := func() bool {
		m := call(t, "GET", url+"/metrics", nil).body
		return strings.Contains(m, "omnidocs_pages_running 2\n") && strings.Contains(m, "omnidocs_pages_waiting 3\n")
	}
	require.Eventually(t, full, 20*time.Second, 5*time.Millisecond)
	for range 4 {
		post()
	}
	require.Eventually(t, func() bool { return refused.Load() == 4 }, 20*time.Second, 5*time.Millisecond)
	close(x.hold)
	wg.Wait()
	require.EqualValues(t, 5, ok.Load())
	require.EqualValues(t, 2, x.most.Load())
	m := call(t, "GET", url+"/metrics", nil).body
	require.Contains(t, m, `omnidocs_pages_total{outcome="ok"} 5`)
	require.Contains(t, m, `omnidocs_requests_total{route="POST /v1/extract",code="429"} 4`)
	require.Contains(t, m, `omnidocs_page_seconds_bucket{le="+Inf"} 5`)
}

// A page that takes too long, and one whose caller has gone, leave nothing behind.
func TestPageEnds(t *testing.T) {
	x := &fake{hold: make(chan struct{})}
	url := serve(t, x, httpapi.Options{PageTimeout: 30 * time.Millisecond})
	a := call(t, "POST", url+"/v1/extract", bytes.NewReader(pagePNG(t, 20)))
	require.Equal(t, 504, a.status)
	require.Contains(t, a.message(t), "longer than this server gives")

	url = serve(t, x, httpapi.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/extract", bytes.NewReader(pagePNG(t, 20)))
	require.NoError(t, err)
	before := x.reads.Load()
	go func() {
		for x.reads.Load() == before {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	_, err = http.DefaultClient.Do(r) //nolint:bodyclose // there is none
	require.ErrorIs(t, err, context.Canceled)
	require.Eventually(t, func() bool { return x.now.Load() == 0 }, 20*time.Second, time.Millisecond)
}

// A body that does not come is not waited for.
func TestSlowBody(t *testing.T) {
	url := serve(t, &fake{}, httpapi.Options{BodyTimeout: 50 * time.Millisecond})
	r, w := io.Pipe()
	defer w.Close()
	go func() { _, _ = w.Write([]byte("x")) }()
	a := call(t, "POST", url+"/v1/extract", r)
	require.Equal(t, 408, a.status)
	require.Contains(t, a.message(t), "not there after 50ms")
}
