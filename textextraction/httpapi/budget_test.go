package httpapi_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/textextraction/httpapi"
)

// What waits is bounded in bytes, of pictures that are much larger than their files too, and given back with the answer.
func TestMemoryIsBounded(t *testing.T) {
	const pixels = 1 << 20
	var file bytes.Buffer
	require.NoError(t, png.Encode(&file, image.NewGray(image.Rect(0, 0, 1024, pixels/1024))))
	require.Less(t, file.Len(), 10_000)
	url := "data:image/png;base64," + base64.StdEncoding.EncodeToString(file.Bytes())
	chat := fmt.Sprintf(`{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":%q}}]}]}`, url)
	for path, body := range map[string]string{"/v1/extract": file.String(), "/v1/chat/completions": chat, "/v1/jobs": file.String()} {
		t.Run(path, func(t *testing.T) {
			x := &fake{hold: make(chan struct{})}
			a, err := httpapi.New(x, httpapi.Options{MaxBodyBytes: 100_000, MaxPixels: pixels, MaxMemory: 3*100_000 + 2*8*pixels})
			require.NoError(t, err)
			post := func() *httptest.ResponseRecorder {
				w := httptest.NewRecorder()
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
				if strings.HasPrefix(body, "{") {
					r.Header.Set("Content-Type", "application/json")
				}
				a.ServeHTTP(w, r)
				return w
			}
			const most = 2 // pictures that there is room for
			answers := make(chan int, most)
			for i := range most {
				go func() { answers <- post().Code }()
				require.Eventually(t, func() bool { return x.now.Load() == int64(i+1) }, time.Minute, time.Millisecond)
			}
			refused := post()
			require.Equal(t, http.StatusTooManyRequests, refused.Code, refused.Body)
			require.Contains(t, refused.Body.String(), "come back later")
			require.EqualValues(t, most, x.reads.Load())
			close(x.hold)
			for range most {
				require.Less(t, <-answers, 300)
			}
			require.Eventually(t, func() bool { return post().Code < 300 }, time.Minute, time.Millisecond, "what they held is given back")
		})
	}
	_, err := httpapi.New(&fake{}, httpapi.Options{MaxMemory: 1 << 20})
	require.ErrorContains(t, err, "MaxMemory is 1048576, and one request may take")
}

// Of bodies that together do not fit, one is given up while it comes; the others are waited for.
func TestBodiesAreBounded(t *testing.T) {
	x := &fake{hold: make(chan struct{})}
	a, err := httpapi.New(x, httpapi.Options{MaxBodyBytes: 1 << 20, MaxPixels: 1, MaxMemory: 3<<20 + 8})
	require.NoError(t, err)
	server := httptest.NewServer(a)
	defer server.Close()
	answers := make(chan int, 4)
	for range 4 { // each is nearly a mebibyte, and its end does not come
		pipe := &slow{head: bytes.Repeat([]byte("x"), 1<<20-100), more: make(chan struct{})}
		defer close(pipe.more)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/v1/extract", pipe)
		require.NoError(t, err)
		go func() {
			if res, err := http.DefaultClient.Do(r); err == nil {
				answers <- res.StatusCode
				res.Body.Close()
			}
		}()
	}
	require.Equal(t, http.StatusTooManyRequests, <-answers)
}

// slow is a body whose end does not come until more is closed.
type slow struct {
	head []byte
	more chan struct{}
}

func (s *slow) Read(p []byte) (int, error) {
	if len(s.head) == 0 {
		<-s.more
		return 0, http.ErrBodyReadAfterClose
	}
	n := copy(p, s.head)
	s.head = s.head[n:]
	return n, nil
}
