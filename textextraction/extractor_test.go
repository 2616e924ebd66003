package textextraction

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/png"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/internal/imageproc"
)

func TestExtract(t *testing.T) {
	x, f := fake(t, QwenTextPyTorchConfig{Temperature: 0.5, Seed: 3, MaxPixels: 999, SystemPrompt: "s"},
		says("# A **b**\n<!-- Image (1, 2, 3, 4) -->\n"), says(`<p data-bbox="1 2 3 4">B</p>`))
	r, err := x.Extract(t.Context(), picture(0), Markdown)
	require.NoError(t, err)
	require.Equal(t, Sampling{Temperature: 0.5, Seed: 3}, r.Run.Sampling)
	r.Run = nil // see TestRun
	require.Equal(t, &ExtractResult{
		Content: "# A **b**\n", Format: Markdown, RawOutput: "# A **b**\n<!-- Image (1, 2, 3, 4) -->\n", PlainText: "A b",
		ImageWidth: 10, ImageHeight: 20, ModelName: "omnidocs/fake", Revision: "abc", WordCount: 2, ContentLength: 10,
		FinishReason: FinishStop, PromptTokens: 30, VisualTokens: 20, CompletionTokens: 38,
		Timings: Timings{Encode: time.Second, Total: 2 * time.Second}, Device: "go", DType: "float32",
		Elements: []Element{
			{Kind: KindHeading, Level: 1, Text: "A b", Content: "# A **b**", End: 9},
			{Kind: KindFigure, Label: "Image", Start: 10, End: 38}, // a box that has no area in so small a picture
		},
	}, r)
	require.Equal(t, []backend.Request{{
		Image: picture(0), Prompt: "qwenvl markdown", System: "s", MaxNewTokens: 8192, MaxPixels: 999,
		Sampling: Sampling{Temperature: 0.5, Seed: 3},
	}}, f.batches[0])

	r, err = x.ExtractWith(t.Context(), picture(1), Options{
		Format: HTML, Prompt: "p", SystemPrompt: "t", MaxNewTokens: 50, MinPixels: 7, MaxPixels: 9, Sampling: Greedy,
	})
	require.NoError(t, err)
	require.Equal(t, "<p>B</p>", r.Content)
	require.Equal(t, 11, r.ImageWidth)
	require.Equal(t, []backend.Request{{
		Image: picture(1), Prompt: "p", System: "t", MaxNewTokens: 50, MinPixels: 7, MaxPixels: 9, Sampling: Greedy,
	}}, f.batches[1])
}

func TestExtractTruncated(t *testing.T) {
	cut := says("half of the te")
	cut.out.Finish = FinishLength
	var log bytes.Buffer
	x, _ := fake(t, QwenTextPyTorchConfig{Logger: slog.New(slog.NewTextHandler(&log, nil))}, cut)
	r, err := x.Extract(t.Context(), picture(0), Markdown)
	require.NoError(t, err, "the bound on tokens is no error")
	require.True(t, r.Truncated)
	require.Equal(t, FinishLength, r.FinishReason)
	require.Contains(t, log.String(), `level=WARN msg="page cut short" format=markdown finish=length`)
}

func TestExtractErrors(t *testing.T) {
	var nilRGBA *image.RGBA
	lost := errors.New("device lost")
	x, _ := fake(t, QwenTextPyTorchConfig{}, answer{err: lost}, answer{err: imageproc.ErrTooLarge})
	for _, row := range []struct {
		name   string
		img    image.Image
		format Format
		is     error
		want   string
	}{
		{"no image", nil, Markdown, ErrImage, "textextraction: unreadable image: the image is nil"},
		{"nil image", nilRGBA, Markdown, ErrImage, "the image is nil"},
		{"empty image", image.NewGray(image.Rect(3, 3, 3, 9)), Markdown, ErrImage, "it has 0×6 pixels"},
		{"format", picture(0), 7, ErrFormat, "invalid output_format: 7. Expected 'html' or 'markdown'"},
		{"the engine's", picture(0), HTML, lost, "textextraction: device lost"},
		{"the engine's of the image", picture(1), HTML, ErrImage, "textextraction: unreadable image: picture is too large"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, err := x.Extract(t.Context(), row.img, row.format)
			require.ErrorIs(t, err, row.is)
			require.ErrorContains(t, err, row.want)
			require.Nil(t, r)
		})
	}
	t.Run("an engine that fails as a whole", func(t *testing.T) {
		x, f := fake(t, QwenTextPyTorchConfig{})
		f.err = lost
		_, err := x.Extract(t.Context(), picture(0), Markdown)
		require.ErrorIs(t, err, lost)
	})
	t.Run("an engine that forgets a page", func(t *testing.T) {
		x, f := fake(t, QwenTextPyTorchConfig{})
		f.skip = true
		_, err := x.Extract(t.Context(), picture(0), Markdown)
		require.ErrorContains(t, err, "no answer")
	})
}

func TestExtractCanceled(t *testing.T) {
	partial := says("so far")
	partial.hang = true
	partial.out.Finish = ""
	own := errors.New("the user left")
	for _, row := range []struct {
		name string
		end  func(ctx context.Context, x *QwenTextExtractor) (context.Context, func())
		is   []error
	}{
		{"canceled", func(ctx context.Context, _ *QwenTextExtractor) (context.Context, func()) {
			ctx, cancel := context.WithCancel(ctx)
			return ctx, cancel
		}, []error{context.Canceled}},
		{"with a cause", func(ctx context.Context, _ *QwenTextExtractor) (context.Context, func()) {
			ctx, cancel := context.WithCancelCause(ctx)
			return ctx, func() { cancel(own) }
		}, []error{context.Canceled, own}},
		{"deadline", func(ctx context.Context, _ *QwenTextExtractor) (context.Context, func()) {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
			return ctx, func() { <-ctx.Done(); cancel() }
		}, []error{context.DeadlineExceeded}},
		{"closed", func(ctx context.Context, x *QwenTextExtractor) (context.Context, func()) {
			return ctx, func() { go x.Close() }
		}, []error{ErrClosed}},
	} {
		t.Run(row.name, func(t *testing.T) {
			x, f := fake(t, QwenTextPyTorchConfig{}, partial)
			ctx, end := row.end(t.Context(), x)
			go func() {
				<-f.entered
				end()
			}()
			r, err := x.Extract(ctx, picture(0), Markdown)
			for _, is := range row.is {
				require.ErrorIs(t, err, is)
			}
			require.NotErrorIs(t, err, ErrImage)
			require.Equal(t, "so far", r.Content)
			require.Equal(t, FinishCanceled, r.FinishReason)
			require.True(t, r.Truncated)
		})
	}
	t.Run("before it begins", func(t *testing.T) {
		x, f := fake(t, QwenTextPyTorchConfig{}, partial)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r, err := x.Extract(ctx, picture(0), Markdown)
		require.ErrorIs(t, err, context.Canceled)
		require.Nil(t, r)
		require.Empty(t, f.batches, "the engine was not asked")
	})
}

func TestClose(t *testing.T) {
	x, f := fake(t, QwenTextPyTorchConfig{}, says("a"), answer{hang: true})
	ended := make(chan error)
	go func() {
		_, err := x.Extract(t.Context(), picture(1), Markdown)
		ended <- err
	}()
	<-f.entered
	require.NoError(t, x.Close())
	require.ErrorIs(t, <-ended, ErrClosed)
	require.NoError(t, x.Close())
	require.Equal(t, 1, f.closed)
	_, err := x.Extract(t.Context(), picture(0), Markdown)
	require.ErrorIs(t, err, ErrClosed)
	require.Len(t, f.batches, 1, "the engine was not asked again")
}

func TestExtractFile(t *testing.T) {
	x, _ := fake(t, QwenTextPyTorchConfig{}, says("a"))
	dir := t.TempDir()
	path := filepath.Join(dir, "page.png")
	file, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, png.Encode(file, picture(0)))
	require.NoError(t, file.Close())

	r, err := x.ExtractFile(t.Context(), path, Markdown)
	require.NoError(t, err)
	require.Equal(t, 10, r.ImageWidth)

	content, err := os.ReadFile(path)
	require.NoError(t, err)
	img, err := DecodeImage(t.Context(), bytes.NewReader(content))
	require.NoError(t, err)
	require.Equal(t, image.Pt(10, 20), img.Bounds().Size())
	_, err = DecodeImage(t.Context(), bytes.NewReader(content[:20]))
	require.ErrorIs(t, err, ErrImage)

	missing := filepath.Join(dir, "none.png")
	_, err = x.ExtractFile(t.Context(), missing, Markdown)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "image not found: "+missing)
	require.NotErrorIs(t, err, ErrImage)

	for name, content := range map[string]string{"empty.png": "", "text.png": "this is no picture", "cut.png": "\x89PNG\r\n\x1a\n\x00"} {
		bad := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(bad, []byte(content), 0o600))
		_, err = x.ExtractFile(t.Context(), bad, Markdown)
		require.ErrorIs(t, err, ErrImage, name)
		require.ErrorContains(t, err, name)
	}
	_, err = x.ExtractFile(t.Context(), dir, Markdown)
	require.ErrorIs(t, err, ErrImage)

	_, err = x.ExtractFile(t.Context(), missing, -1)
	require.ErrorIs(t, err, ErrFormat)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = x.ExtractFile(ctx, path, Markdown)
	require.ErrorIs(t, err, context.Canceled)
}

func TestNewQwenTextExtractorRefuses(t *testing.T) {
	_, err := NewQwenTextExtractor(t.Context(), nil)
	require.ErrorIs(t, err, ErrConfig)
	_, err = NewQwenTextExtractor(t.Context(), QwenTextPyTorchConfig{Model: TinyModel, MaxNewTokens: 1})
	require.ErrorIs(t, err, ErrConfig)
	_, err = NewQwenTextExtractor(t.Context(), &QwenTextPyTorchConfig{Model: TinyModel, BatchSize: -1})
	require.ErrorIs(t, err, ErrConfig)
}
