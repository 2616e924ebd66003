package modal_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/png"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs/modal"
	"github.com/omnidocs/omnidocs/omnidocs/modal/modaltest"
	"github.com/omnidocs/omnidocs/textextraction"
)

// deployed makes the class that Deployment.Python writes, before a server of the tests.
func deployed(t *testing.T, fake *modaltest.Server, app string, server http.Handler) {
	t.Helper()
	fake.HandleMethod(app, modal.WorkerClass, "request", func(ctx context.Context, args []any, named map[string]any) (any, error) {
		method, _ := named["method"].(string)
		path, _ := named["path"].(string)
		body, _ := named["body"].([]byte)
		if len(args) != 0 || len(named) != 4 {
			return nil, errors.New("TypeError: request() takes other arguments")
		}
		w := httptest.NewRecorder()
		server.ServeHTTP(w, httptest.NewRequestWithContext(ctx, method, path, bytes.NewReader(body)))
		if w.Code == http.StatusServiceUnavailable {
			return nil, errors.New("RuntimeError: the server answers 503: " + w.Body.String())
		}
		return map[string]any{"status": w.Code, "content_type": w.Header().Get("Content-Type"), "body": w.Body.Bytes()}, nil
	})
}

// A deployed class is an extractor, whose pages may be larger than what a call holds.
func TestWorker(t *testing.T) {
	fake, client := open(t)
	_, err := client.Worker(t.Context(), "", textextraction.QwenTextAPIConfig{})
	require.ErrorIs(t, err, modal.ErrNotFound)
	require.ErrorContains(t, err, "modal deploy modal_app.py")

	answer, status := `{"choices": [{"message": {"content": "read"}, "finish_reason": "stop"}]}`, http.StatusOK
	received := 0
	deployed(t, fake, modal.DefaultApp, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/chat/completions" {
			http.Error(w, "what is that?", http.StatusBadRequest)
			return
		}
		received = len(data)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer))
	}))
	x, err := client.Worker(t.Context(), "", textextraction.QwenTextAPIConfig{})
	require.NoError(t, err)
	defer func() { require.NoError(t, x.Close()) }()
	noise := image.NewRGBA(image.Rect(0, 0, 1200, 1600))
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(noise.Pix)
	r, err := x.Extract(t.Context(), noise, textextraction.Markdown)
	require.NoError(t, err)
	require.Equal(t, "read", r.Content)
	require.Greater(t, received, 2<<20, "more than a call holds")
	require.Contains(t, fake.Calls(), "BlobCreate")

	status, answer = http.StatusServiceUnavailable, "RESOURCE_EXHAUSTED: Out of memory"
	_, err = x.Extract(t.Context(), noise, textextraction.Markdown)
	require.ErrorIs(t, err, modal.ErrOutOfMemory)
	require.ErrorContains(t, err, "Worker.request")
	status, answer = http.StatusBadRequest, `{"error": {"message": "no such model"}}`
	_, err = x.Extract(t.Context(), noise, textextraction.Markdown)
	require.ErrorContains(t, err, "no such model")
}

// The guide's function: a picture in, a result out.
func TestExtract(t *testing.T) {
	fake, client := open(t)
	fake.HandleMethod("letters", modal.WorkerClass, "extract", func(_ context.Context, _ []any, named map[string]any) (any, error) {
		picture, _ := named["image_bytes"].([]byte)
		if _, err := png.DecodeConfig(bytes.NewReader(picture)); err != nil {
			return nil, errors.New("ValueError: no picture")
		}
		return map[string]any{"content": "# A letter", "format": named["output_format"], "word_count": 2, "content_length": 10}, nil
	})
	var page bytes.Buffer
	for img := range numberedPages(1) {
		require.NoError(t, png.Encode(&page, img))
	}
	r, err := client.Extract(t.Context(), "letters", page.Bytes(), textextraction.HTML)
	require.NoError(t, err)
	require.Equal(t, "# A letter", r.Content)
	require.Equal(t, textextraction.HTML, r.Format)
	require.Equal(t, 2, r.WordCount)
	_, err = client.Extract(t.Context(), "letters", []byte("text"), textextraction.Markdown)
	require.ErrorContains(t, err, "ValueError: no picture")
}

func TestScale(t *testing.T) {
	fake, client := open(t)
	deployed(t, fake, "letters", http.NotFoundHandler())
	require.NoError(t, client.Scale(t.Context(), "letters", 1, 20, 5*time.Minute))
	require.Equal(t, []modaltest.Scaling{{Min: 1, Max: 20, Window: 5 * time.Minute}}, fake.Scaled())
	require.ErrorIs(t, client.Scale(t.Context(), "letters", 3, 2, time.Minute), modal.ErrConfig)
}

// The web endpoint asks for a proxy token of Modal's, and may ask for one of its own.
func TestEndpoint(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Modal-Key") != "wk-1" || r.Header.Get("Modal-Secret") != "ws-1" || r.Header.Get("Authorization") != "Bearer secret" {
			http.Error(w, "modal-http: missing credentials for proxy authorization", http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"choices": [{"message": {"content": "read at ` + r.URL.Path + `"}, "finish_reason": "stop"}]}`))
	}))
	defer server.Close()
	e := modal.Endpoint{URL: server.URL + "/", ProxyKey: "wk-1", ProxySecret: "ws-1", Token: "secret"}
	cfg := e.Config("Qwen/Qwen3-VL-8B-Instruct")
	cfg.ReadBlankPages = true
	x, err := textextraction.NewQwenTextExtractor(t.Context(), cfg)
	require.NoError(t, err)
	defer func() { require.NoError(t, x.Close()) }()
	for r, err := range x.Batch(t.Context(), numberedPages(1), textextraction.BatchOptions{}) {
		require.NoError(t, err)
		require.Equal(t, "read at /v1/chat/completions", r.Content)
	}
}
