package main

import (
	"bytes"
	"context"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.png")
	var out, progress bytes.Buffer
	require.NoError(t, run(context.Background(), flags{format: "html", out: path}, &out, &progress))
	require.Contains(t, progress.String(), "No model runs")
	require.Contains(t, out.String(), `heading 1    [114 126 667 184] "Tea and the Speed of Proofs"`)
	require.Contains(t, out.String(), "\n| Room | Cups | Minutes |\n| --- | --- | --- |\n| North | 1 | 41.5 |\n")
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	picture, err := png.Decode(file)
	require.NoError(t, err)
	require.Equal(t, pageWidth, picture.Bounds().Dx())

	require.ErrorContains(t, run(context.Background(), flags{format: "html", image: path}, io.Discard, io.Discard), "-image needs -model, or -answer")
	answer := filepath.Join(t.TempDir(), "answer.html")
	require.NoError(t, os.WriteFile(answer, []byte(`<div data-bbox="0 0 512 512" data-label="Caption">a</div>`), 0o600))
	out.Reset()
	require.NoError(t, run(context.Background(), flags{format: "html", image: path, answer: answer, preset: "chandra1"}, &out, &progress))
	require.Equal(t, "caption      [0 0 620 877] \"a\"\n", out.String())
}
