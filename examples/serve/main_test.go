package main

import (
	"bytes"
	"context"
	"encoding/json"
	"image/png"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/textextraction"
)

// start starts a server, and returns its address and how it is ended.
func start(t *testing.T, f flags) (address string, end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	at := make(chan string, 1)
	ended := make(chan error, 1)
	f.addr, f.model, f.slots, f.grace = "127.0.0.1:0", textextraction.TinyModel, 2, time.Minute
	go func() {
		ended <- run(ctx, f, "secret", slog.New(slog.DiscardHandler), func(address string) { at <- address })
	}()
	select {
	case address = <-at:
	case err := <-ended:
		require.NoError(t, err)
	}
	return address, func() {
		cancel()
		require.NoError(t, <-ended)
	}
}

// The embedded model behind a server, and that behind a balancer, read a page; the balancer says who read it.
func TestServe(t *testing.T) {
	page, err := tiny.DrawPage(tiny.PageOptions{Markdown: "the black house", Width: 384, Height: 128})
	require.NoError(t, err)
	var file bytes.Buffer
	require.NoError(t, png.Encode(&file, page.Image))
	worker, endWorker := start(t, flags{})
	balancer, endBalancer := start(t, flags{workers: "http://" + worker + "/v1"})
	for _, address := range []string{worker, balancer} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/v1/extract", bytes.NewReader(file.Bytes()))
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer secret")
		res, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		data, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		var got textextraction.ExtractResult
		require.NoError(t, json.Unmarshal(data, &got), string(data))
		require.Equal(t, "the black house", got.Content)
		if address == balancer {
			require.Equal(t, "http://"+worker+"/v1", got.Worker)
		}
	}
	endBalancer()
	endWorker()
}
