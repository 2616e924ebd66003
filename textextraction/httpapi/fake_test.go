package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/textextraction"
	"github.com/omnidocs/omnidocs/textextraction/httpapi"
)

// fake is an extractor that writes how wide a page is, and what it was asked.
type fake struct {
	textextraction.TextExtractor               // nil: what is not here is not called
	hold                         chan struct{} // if not nil, pages wait for it
	reads                        atomic.Int64
	now, most                    atomic.Int64
}

var errFake = errors.New("the device is on fire")

func (f *fake) ExtractWith(ctx context.Context, img image.Image, o textextraction.Options) (*textextraction.ExtractResult, error) {
	f.reads.Add(1)
	now := f.now.Add(1)
	defer f.now.Add(-1)
	for most := f.most.Load(); now > most && !f.most.CompareAndSwap(most, now); most = f.most.Load() {
	}
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	switch o.Prompt {
	case "fire":
		return nil, errFake
	case "image":
		return nil, fmt.Errorf("%w: it is a cat", textextraction.ErrImage)
	}
	if o.Sampling.Temperature > 2 {
		return nil, fmt.Errorf("%w: Temperature", textextraction.ErrConfig)
	}
	r := textextraction.NewExtractResult(fmt.Sprintf("# %d pixels, “%s” %s\n<!-- Image (1, 2, 3, 4) -->\n", img.Bounds().Dx(), o.Prompt, o.SystemPrompt), o.Format)
	r.PromptTokens, r.CachedTokens, r.CompletionTokens, r.FinishReason = 11, 9, 7, textextraction.FinishStop
	if o.MaxNewTokens == 1 {
		r.FinishReason, r.Truncated = textextraction.FinishLength, true
	}
	return r, nil
}

// Stream tells a text in three pieces, the middle one of which is taken back.
func (f *fake) Stream(ctx context.Context, img image.Image, o textextraction.Options) iter.Seq2[textextraction.Delta, error] {
	return func(yield func(textextraction.Delta, error) bool) {
		r, err := f.ExtractWith(ctx, img, o)
		if err != nil {
			yield(textextraction.Delta{}, err)
			return
		}
		text := r.Content
		if o.RawDeltas {
			text = r.RawOutput
		}
		for _, d := range []textextraction.Delta{{Text: text[:4]}, {Offset: 4, Text: "again again"}, {Offset: 4, Text: text[4:]}} {
			if o.Repetition.MaxRewinds < 0 && d.Text == "again again" {
				continue
			}
			if !yield(d, nil) {
				return
			}
		}
		if o.Prompt == "half" {
			yield(textextraction.Delta{}, errFake)
			return
		}
		yield(textextraction.Delta{Text: r.Content, Result: r}, nil)
	}
}

// serve starts a server.
func serve(t *testing.T, x textextraction.TextExtractor, o httpapi.Options) string {
	t.Helper()
	a, err := httpapi.New(x, o)
	require.NoError(t, err)
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	return s.URL
}

func pagePNG(t *testing.T, width int) []byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, width, 10))
	img.SetGray(1, 1, color.Gray{200})
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, img))
	return b.Bytes()
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	require.NoError(t, json.Unmarshal([]byte(a.body), &v), a.body)
	return v
}

// message is that of an error.
func (a answer) message(t *testing.T) string {
	t.Helper()
	e, ok := a.json(t)["error"].(map[string]any)
	require.True(t, ok, a.body)
	return fmt.Sprint(e["message"])
}

func call(t *testing.T, method, url string, body io.Reader, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return answer{res.StatusCode, res.Header, string(data)}
}

// pages is a document of blank pages. Page 2 is damaged.
type pages struct {
	n      int
	closed *atomic.Int64
}

func (p pages) PageCount() int { return p.n }
func (p pages) Close() error   { p.closed.Add(1); return nil }
func (p pages) Page(_ context.Context, i int) (image.Image, error) {
	if i == 2 {
		return nil, errors.New("page 2 is damaged")
	}
	return image.NewGray(image.Rect(0, 0, 100+i, 10)), nil
}

// documents opens "%PDF n" as n pages.
func documents(closed *atomic.Int64) func(context.Context, string, []byte) (httpapi.Document, error) {
	return func(_ context.Context, name string, data []byte) (httpapi.Document, error) {
		rest, ok := strings.CutPrefix(string(data), "%PDF ")
		n := 0
		if _, err := fmt.Sscan(rest, &n); !ok || err != nil {
			return nil, fmt.Errorf("%s is no document", name)
		}
		return pages{n, closed}, nil
	}
}

// fuzzed sends what nobody should, which must be answered with JSON.
func fuzzed(t *testing.T, a *httpapi.API, path, kind, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", kind)
	a.ServeHTTP(w, r)
	if w.Code >= 500 || !json.Valid(w.Body.Bytes()) && !strings.HasPrefix(w.Body.String(), "data: ") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
