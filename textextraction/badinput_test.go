package textextraction_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/textextraction"
)

// Each kind of bad page is its own clear error, and none of them costs more than a few megabytes.
func TestBadPages(t *testing.T) {
	ex, err := textextraction.NewQwenTextExtractor(t.Context(), textextraction.QwenTextPyTorchConfig{Model: textextraction.TinyModel, Device: "go"})
	require.NoError(t, err)
	defer func() { require.NoError(t, ex.Close()) }()
	var thin bytes.Buffer
	line := image.NewGray(image.Rect(0, 0, 1, 4000))
	copy(line.Pix[2000:], bytes.Repeat([]byte{200}, 500)) // not blank
	require.NoError(t, png.Encode(&thin, line))
	var whole bytes.Buffer
	require.NoError(t, png.Encode(&whole, image.NewGray(image.Rect(0, 0, 64, 64))))
	for name, test := range map[string]struct {
		data []byte
		says string
	}{
		"empty file":      {nil, "empty"},
		"text named .png": {[]byte("Dear Sir or Madam,\n\nthis is no picture."), "text"},
		"1×4000":          {thin.Bytes(), "4000"},
		"60000×60000":     {hugePNG(60000, 60000), "60000"},
		"half a file":     {whole.Bytes()[:whole.Len()/2], "page.png"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "page.png")
			require.NoError(t, os.WriteFile(path, test.data, 0o600))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := ex.ExtractFile(t.Context(), path, textextraction.Markdown)
			runtime.ReadMemStats(&after)
			require.ErrorContains(t, err, test.says)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20))
		})
	}
	_, err = ex.ExtractFile(t.Context(), filepath.Join(t.TempDir(), "none.png"), textextraction.Markdown)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "none.png")
	_, err = ex.Extract(t.Context(), nil, textextraction.Markdown)
	require.ErrorIs(t, err, textextraction.ErrImage)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = ex.Extract(ctx, image.NewGray(image.Rect(0, 0, 64, 64)), textextraction.Markdown)
	require.ErrorIs(t, err, context.Canceled)
}

// hugePNG is a PNG that is its header alone.
func hugePNG(width, height uint32) []byte {
	header := append([]byte("IHDR"), make([]byte, 13)...)
	binary.BigEndian.PutUint32(header[4:], width)
	binary.BigEndian.PutUint32(header[8:], height)
	header[12], header[13] = 8, 2 // 8-bit RGB
	out := append([]byte("\x89PNG\r\n\x1a\n"), 0, 0, 0, 13)
	out = append(out, header...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(header))
}

// Each kind of bad checkpoint is its own clear error.
func TestBadCheckpoints(t *testing.T) {
	for name, test := range map[string]struct {
		change func(t *testing.T, dir string)
		says   string
	}{
		"truncated weights": {func(t *testing.T, dir string) {
			require.NoError(t, os.Truncate(filepath.Join(dir, "model.safetensors"), 1<<20))
		}, "model.safetensors"},
		"2^62 bytes of header": {func(t *testing.T, dir string) {
			f, err := os.OpenFile(filepath.Join(dir, "model.safetensors"), os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.WriteAt(binary.LittleEndian.AppendUint64(nil, 1<<62), 0)
			require.NoError(t, err)
			require.NoError(t, f.Close())
		}, "4611686018427387904"},
		"no vision_config": {func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"model_type": "qwen3_vl", "text_config": {}}`), 0o600))
		}, "vision_config is missing"},
		"no weights": {func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "model.safetensors")))
		}, "safetensors"},
		"no tokenizer": {func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "tokenizer.json")))
		}, "tokenizer.json"},
		"no folder": {func(t *testing.T, dir string) {
			require.NoError(t, os.RemoveAll(dir))
		}, "not there"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.CopyFS(dir, tiny.FS()))
			test.change(t, dir)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := textextraction.NewQwenTextExtractor(t.Context(), textextraction.QwenTextPyTorchConfig{Model: dir, Device: "go"})
			runtime.ReadMemStats(&after)
			require.ErrorContains(t, err, test.says)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20))
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextPyTorchConfig{Model: textextraction.TinyModel, Device: "go"})
	require.ErrorIs(t, err, context.Canceled)
}
