package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/textextraction"
)

func TestRun(t *testing.T) {
	f := flags{model: textextraction.TinyModel, ports: "80,443", slots: 2}
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), f, "", &out))
	require.Regexp(t, `^without a token: 401
  \{"error":.*Authorization: Bearer TOKEN.*
a picture on this machine: 403
  .*may not be fetched.*
the cloud's metadata: 403
  .*may not be fetched.*
a file: 403
  .*may not be fetched.*
a picture on this machine, with -allow: 200
  \{"success":true,"content":"# Order 4711\\n\\nThank you for your letter .*
what is not there: 502
  .*404 Not Found.*
what is no picture: 415
  .*this is none.*
$`, out.String())

	f.addr = "127.0.0.1:0"
	require.ErrorContains(t, run(t.Context(), f, "", &out), "OMNIDOCS_TOKEN is not set")
	f.allow = "everywhere"
	require.ErrorContains(t, run(t.Context(), f, "secret", &out), "-allow: ")
	f.allow, f.ports = "", "http"
	require.ErrorContains(t, run(t.Context(), f, "secret", &out), "-ports: ")
}

// lines passes on what is written.
type lines chan string

func (l lines) Write(data []byte) (int, error) {
	l <- string(data)
	return len(data), nil
}

// For real it serves until it is told to end.
func TestServe(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	out, ended := make(lines, 1), make(chan error, 1)
	go func() {
		ended <- run(ctx, flags{addr: "127.0.0.1:0", model: textextraction.TinyModel, ports: "443", slots: 1}, "secret", out)
	}()
	var said string
	select {
	case said = <-out:
	case err := <-ended:
		require.NoError(t, err)
	}
	address, ok := strings.CutPrefix(strings.TrimSuffix(said, "/extract_from_url\n"), "POST ")
	require.True(t, ok, said)
	status, body, err := call(ctx, address, "secret", "http://127.0.0.1/doc.png")
	require.NoError(t, err)
	require.Equal(t, 403, status, body)
	end()
	require.NoError(t, <-ended)
}
