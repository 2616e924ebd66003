package backend_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/internal/tiny"
)

// BenchmarkTinyA5 reads an A5 page at 100 dpi, 583×827 px, with the embedded model: about a token a character.
//
//	go test ./backend -run '^$' -bench TinyA5 -benchtime 3x
//
// The device is the pure-Go one. A page has as many tokens as the model writes, at most 1,400.
func BenchmarkTinyA5(b *testing.B) {
	engine, err := backend.Load(b.Context(), backend.LoadOptions{Model: tiny.Name, Device: "go", MaxBatch: 1, VisionCache: -1, PrefixCache: -1})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, engine.Close()) })
	var text []string
	for n := range 8 {
		text = append(text, tiny.SampleLetter(n))
	}
	page, err := tiny.DrawPage(tiny.PageOptions{Markdown: strings.Join(text, "\n\n"), Width: 583, Height: 827, Size: 24, Gap: 0.2})
	require.NoError(b, err)
	request := backend.Request{
		Image: page.Image, Prompt: "qwenvl markdown", MaxPixels: 600_000, MaxNewTokens: 1400, Repetition: backend.Repetition{Off: true},
	}
	var tokens, visual int
	var took backend.Timings
	read := func() {
		err := engine.Generate(b.Context(), []backend.Request{request}, func(_ int, out backend.Output, err error) {
			require.NoError(b, err)
			tokens, visual = tokens+len(out.Tokens), visual+out.VisualTokens
			took.Encode += out.Timings.Encode
			took.Prefill += out.Timings.Prefill
			took.Decode += out.Timings.Decode
		})
		require.NoError(b, err)
	}
	read() // builds the graphs
	tokens, visual, took = 0, 0, backend.Timings{}
	for b.Loop() {
		read()
	}
	n := float64(b.N)
	milliseconds := func(d time.Duration, per float64) float64 { return d.Seconds() * 1000 / per }
	b.ReportMetric(float64(visual)/n, "visual-tokens")
	b.ReportMetric(float64(tokens)/n, "tokens")
	b.ReportMetric(milliseconds(took.Encode, n), "encode-ms")
	b.ReportMetric(milliseconds(took.Prefill, n), "prefill-ms")
	b.ReportMetric(milliseconds(took.Decode, float64(tokens)), "ms/token")
}
