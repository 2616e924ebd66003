package textextraction

import (
	"image"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// As many connections are kept as there are pages at a time: not two, with another one opened for every third page.
func TestAPIKeepsConnections(t *testing.T) {
	const together, rounds = 4, 10
	var opened atomic.Int64
	var arrived sync.WaitGroup // of a round
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived.Done()
		arrived.Wait()
		_, _ = io.WriteString(w, `{"choices": [{"message": {"content": "text"}, "finish_reason": "stop"}]}`)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	x, err := NewQwenTextExtractor(t.Context(), QwenTextAPIConfig{Model: "any", APIBase: s.URL + "/v1", MaxConcurrency: together, ReadBlankPages: true})
	require.NoError(t, err)
	img := image.NewGray(image.Rect(0, 0, 64, 64))
	for range rounds {
		arrived.Add(together)
		n := 0
		for _, err := range x.Batch(t.Context(), Images(img, img, img, img), BatchOptions{}) {
			require.NoError(t, err)
			n++
		}
		require.Equal(t, together, n)
	}
	require.NoError(t, x.Close())
	// One that is on its way back when it is wanted may be replaced; the default client opens two a round.
	require.Less(t, opened.Load(), int64(2*rounds), "connections")
}
