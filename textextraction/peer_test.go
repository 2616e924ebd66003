package textextraction_test

import (
	"context"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/freeport"
	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/textextraction"
)

// A server that nobody here wrote, transformers' own, reads with the embedded checkpoint what this library reads with it.
//
//	pip install torch==2.13.0 torchvision==0.28.0 transformers==5.23.0 fastapi uvicorn openai rich
//	OMNIDOCS_PYTHON=$(which python) go test ./textextraction -run TestTransformersServe -v
func TestTransformersServe(t *testing.T) {
	python := os.Getenv("OMNIDOCS_PYTHON")
	program := filepath.Join(filepath.Dir(python), "transformers")
	if _, err := os.Stat(program); python == "" || err != nil {
		t.Skip("OMNIDOCS_PYTHON is not set to a Python that has transformers' server beside it")
	}
	dir := t.TempDir()
	checkpoint := tiny.FS()
	files, err := fs.Glob(checkpoint, "*")
	require.NoError(t, err)
	for _, name := range files {
		data, err := fs.ReadFile(checkpoint, name)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	address, err := freeport.Address()
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	server := exec.CommandContext(ctx, program, "serve", "--host", "127.0.0.1", "--port", port, "--device", "cpu", "--dtype", "float32", dir)
	server.Env = append(os.Environ(), "HF_HUB_OFFLINE=1")
	server.Stderr = t.Output()
	require.NoError(t, server.Start())
	defer func() {
		stop()
		_ = server.Wait() // it was killed
	}()
	require.Eventually(t, func() bool {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/health", nil)
		require.NoError(t, err)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	}, 5*time.Minute, 200*time.Millisecond)

	page, err := tiny.DrawPage(tiny.PageOptions{Markdown: "# Order 4711\n\nThank you for your letter of March 3.\n\n- 12 brass lamps\n- 3 boxes", Width: 512, Height: 320})
	require.NoError(t, err)
	read := func(c textextraction.Config) *textextraction.ExtractResult {
		x, err := textextraction.NewQwenTextExtractor(ctx, c)
		require.NoError(t, err)
		defer x.Close()
		r, err := x.ExtractWith(ctx, page.Image, textextraction.Options{MinPixels: 65536, MaxPixels: 262144})
		require.NoError(t, err)
		return r
	}
	there := read(textextraction.QwenTextAPIConfig{Model: dir, APIBase: "http://" + address + "/v1"})
	here := read(textextraction.QwenTextPyTorchConfig{Model: textextraction.TinyModel, Device: "go"})
	require.Equal(t, here.RawOutput, there.RawOutput)
	require.Equal(t, here.PromptTokens, there.PromptTokens)
	require.Equal(t, textextraction.FinishStop, there.FinishReason)
}
