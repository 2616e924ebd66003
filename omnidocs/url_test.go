package omnidocs_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs"
)

func TestFromURL(t *testing.T) {
	stop := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/letter.pdf":
			_, _ = w.Write(letter(2))
		case "/scan":
			_, _ = w.Write(pngBytes(t, picture(6, 5, 4)))
		case "/moved":
			http.Redirect(w, r, "/letter.pdf", http.StatusMovedPermanently)
		case "/inside":
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusFound)
		case "/page.html":
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<html>"))
		case "/text":
			w.Header().Set("Content-Type", "application/octet-stream")
			_, _ = w.Write([]byte("no document"))
		case "/busy":
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(http.StatusTooManyRequests)
		case "/slow":
			<-stop
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	defer close(stop)
	u, err := url.Parse(server.URL)
	require.NoError(t, err)
	port, err := strconv.Atoi(u.Port())
	require.NoError(t, err)
	opts := omnidocs.URLOptions{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Ports: []int{port, 80}}

	doc, err := omnidocs.FromURL(t.Context(), server.URL+"/letter.pdf?key=secret", opts)
	require.NoError(t, err)
	defer doc.Close()
	require.Equal(t, 2, doc.PageCount())
	require.Equal(t, omnidocs.SourceURL, doc.Metadata().SourceType)
	require.Equal(t, "letter.pdf", doc.Metadata().FileName)
	require.Equal(t, server.URL+"/letter.pdf?key=secret", doc.Metadata().SourcePath)
	require.NotContains(t, doc.Name(), "secret")
	text, err := doc.PageText(t.Context(), 1)
	require.NoError(t, err)
	require.Contains(t, text, "page 2")

	scan, err := omnidocs.FromURL(t.Context(), server.URL+"/scan", opts)
	require.NoError(t, err)
	defer scan.Close()
	require.Equal(t, "png", scan.Metadata().Format)
	moved, err := omnidocs.FromURL(t.Context(), server.URL+"/moved", opts)
	require.NoError(t, err)
	defer moved.Close()

	small, short := opts, opts
	small.Load.MaxBytes = 10
	short.Timeout = 50 * time.Millisecond
	for _, test := range []struct {
		name, path string
		opts       omnidocs.URLOptions
		is         error
		status     int
		temporary  bool
	}{
		{"not there", "/none", opts, nil, 404, false},
		{"busy", "/busy", opts, nil, 429, true},
		{"a web page", "/page.html", opts, nil, 0, false},
		{"too large", "/letter.pdf?key=secret", small, omnidocs.ErrTooLarge, 0, false},
		{"slow", "/slow", short, context.DeadlineExceeded, 0, true},
		{"not allowed", "/letter.pdf", omnidocs.URLOptions{Ports: opts.Ports}, omnidocs.ErrURLRefused, 0, false},
		{"another port", "/letter.pdf", omnidocs.URLOptions{Networks: opts.Networks}, omnidocs.ErrURLRefused, 0, false},
		{"led inside", "/inside", opts, omnidocs.ErrURLRefused, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := omnidocs.FromURL(t.Context(), server.URL+test.path, test.opts)
			var download *omnidocs.URLDownloadError
			require.ErrorAs(t, err, &download)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
			require.Equal(t, test.status, download.Status)
			require.Equal(t, test.temporary, download.Temporary())
			require.NotContains(t, err.Error(), "secret")
		})
	}
	_, err = omnidocs.FromURL(t.Context(), server.URL+"/text", opts)
	var unsupported *omnidocs.UnsupportedFormatError
	require.ErrorAs(t, err, &unsupported)
}
