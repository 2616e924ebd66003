package report

import (
	"bytes"
	"context"
	"errors"
	"image"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/omnidocs/crosscheck"
	"github.com/omnidocs/omnidocs/omnidocs/jobs"
	"github.com/omnidocs/omnidocs/textextraction"
)

const hostile = `<script>document.title = "run"</script><img src=x onerror="document.title='run'">`

// sample is a job with a page of every kind, and what opens its documents.
func sample(t *testing.T) (*jobs.BatchResult, Options) {
	t.Helper()
	drawn, err := tiny.DrawPage(tiny.PageOptions{Markdown: tiny.SamplePage})
	require.NoError(t, err)
	img := drawn.Image
	w, h := img.Bounds().Dx(), img.Bounds().Dy()
	result := func(text string, edit func(*textextraction.ExtractResult)) *textextraction.ExtractResult {
		r := textextraction.NewExtractResult(text, textextraction.Markdown)
		r.ImageWidth, r.ImageHeight, r.ModelName, r.FinishReason, r.Device, r.DType = w, h, "omnidocs/tiny", textextraction.FinishStop, "go", "float32"
		r.PromptTokens, r.CompletionTokens = 210, 143
		r.Confidence = &textextraction.Confidence{Mean: -0.02, Min: -0.7, Tokens: 143}
		r.Timings = textextraction.Timings{Preprocess: 4 * time.Millisecond, Encode: 120 * time.Millisecond, Prefill: 80 * time.Millisecond, Decode: 640 * time.Millisecond, Total: 844 * time.Millisecond}
		if edit != nil {
			edit(r)
		}
		return r
	}
	good := result(tiny.SamplePage, func(r *textextraction.ExtractResult) {
		step := h / max(1, len(r.Elements)+1)
		for i := range r.Elements {
			r.Elements[i].Box = [4]int{w / 20, step/3 + i*step, w - w/20, step/3 + (i+1)*step - step/6}
			r.Elements[i].Confidence = 0.97 - 0.25*float64(i%2)
		}
	})
	layer := "The harbor handled 1,204 ships in the first quarter, more than in the year before."
	read := "The harbor handled 1,264 ships in the first quarter, more than in the year before. The mayor was very pleased indeed."
	check := crosscheck.Compare(read, layer, crosscheck.Options{})
	d := &jobs.DocumentResult{SourcePath: "/data/Annual report.pdf", PageCount: 6}
	d.Add(jobs.PageOutcome{Page: 0, Result: good, Attempts: 1, Render: 16 * time.Millisecond, Read: 900 * time.Millisecond})
	d.Add(jobs.PageOutcome{Page: 1, Result: result(read, nil), Check: &check, Attempts: 2, Render: 16 * time.Millisecond, Read: 3 * time.Second})
	d.Add(jobs.PageOutcome{Page: 2, Err: errors.New("network: " + hostile), Attempts: 3, Read: time.Second})
	d.Add(jobs.PageOutcome{Page: 3, Err: errors.New("deadline exceeded"), TextLayer: true, Result: textextraction.NewExtractResult(layer, textextraction.Markdown)})
	d.Add(jobs.PageOutcome{Page: 4, Resumed: true, Result: result("Cut in the mid", func(r *textextraction.ExtractResult) {
		r.Truncated, r.FinishReason = true, textextraction.FinishLength
		r.Confidence.Mean = -0.5
		r.UncertainSpans = []textextraction.TextSpan{{Text: "mid", Confidence: textextraction.Confidence{Mean: -1.2, Min: -1.2, Tokens: 1}}}
	})})
	d.Add(jobs.PageOutcome{Page: 5, Result: result(hostile, func(r *textextraction.ExtractResult) { r.Elements = nil })})
	b := &jobs.BatchResult{Elapsed: 95 * time.Second, Problems: []error{errors.New("nowhere.png: no such file")}}
	b.Add("2024/Annual report", d)
	b.Add("broken "+hostile, &jobs.DocumentResult{SourcePath: "broken.pdf", Err: errors.New("omnidocs: load: password required or wrong"), Problems: []error{errors.New("journal: no space left on device")}})
	return b, Options{
		Title: "Harbor <job>", CostPerHour: 1.10,
		Open: func(_ context.Context, id string, _ *jobs.DocumentResult) (*omnidocs.Document, error) {
			if strings.HasPrefix(id, "broken") {
				return nil, errors.New("it is broken")
			}
			return omnidocs.NewImageDocument("pages", img, img, img, img, img, img)
		},
	}
}

func TestRender(t *testing.T) {
	b, opts := sample(t)
	var out bytes.Buffer
	require.NoError(t, Render(t.Context(), &out, b, opts))
	page := out.String()
	require.NotContains(t, page, `<script>document`, "what is read is shown, not run")
	require.NotContains(t, page, `<img src=x`)
	require.Equal(t, 1, strings.Count(page, "<script>"))
	require.Equal(t, 6, strings.Count(page, `src="data:image/jpeg;base64,`))
	for _, want := range []string{
		"<title>Harbor &lt;job&gt;</title>", "2024/Annual report", "password required", "deadline exceeded", "no space left", "nowhere.png",
		`data-flags="ok"`, `data-flags="suspicious"`, `data-flags="failed"`, `data-flags="layer"`, `data-flags="truncated unsure"`,
		`<mark class="novel">1,264</mark>`, `<mark class="missing">1,204</mark>`, "The mayor was very pleased indeed", "mid (30.1 %)",
		"<dt>cost</dt><dd>$0.0290</dd>", "<dt>1,000 pages</dt><dd>$4.84</dd>", "<dt>attempts</dt><dd>2</dd>", "decode 640ms", "by an earlier job",
		`class="box heading "`,
	} {
		require.Contains(t, page, want)
	}
	require.Regexp(t, `style="left:[\d.]+%;top:[\d.]+%;width:[\d.]+%;height:[\d.]+%"`, page)
	require.NotContains(t, page, "ZgotmplZ")
	for _, outside := range []string{"http://", "https://", "@import", "url("} {
		require.NotContains(t, page, outside, "it needs nothing else")
	}
}

func TestPictures(t *testing.T) {
	b, opts := sample(t)
	count := func(opts Options) int {
		var out bytes.Buffer
		require.NoError(t, Render(t.Context(), &out, b, opts))
		require.Equal(t, 6, strings.Count(out.String(), "<article"))
		return strings.Count(out.String(), "data:image/jpeg")
	}
	opts.MaxPictures = 3
	require.Equal(t, 3, count(opts))
	opts.MaxPictures = -1
	require.Zero(t, count(opts))
	opts.MaxPictures = 0
	opts.Open = nil
	require.Zero(t, count(opts), "the files are not there")
	small, err := dataURL(image.NewGray(image.Rect(0, 0, 3000, 2)), 100)
	require.NoError(t, err)
	require.NotEmpty(t, small)
}

func TestWrite(t *testing.T) {
	b, opts := sample(t)
	dir := filepath.Join(t.TempDir(), "new")
	path, err := Write(t.Context(), dir, b, opts)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "report.html"), path)
	path, err = Write(t.Context(), dir, &jobs.BatchResult{}, Options{})
	require.NoError(t, err)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(data), "There are no documents.")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Write(ctx, dir, b, opts)
	require.ErrorIs(t, err, context.Canceled)
	kept, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, data, kept, "one that fails leaves the one before")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	_, err = Write(t.Context(), filepath.Join(path, "below"), b, opts)
	require.Error(t, err)
	require.NotErrorIs(t, err, fs.ErrNotExist)
}
