package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/omnidocs/jetstream"
	"github.com/omnidocs/omnidocs/omnidocs/jetstream/embedded"
	"github.com/omnidocs/omnidocs/omnidocs/jobs"
	"github.com/omnidocs/omnidocs/textextraction"
)

// fake is an extractor that says of each page which one it is, or does what the test says.
type fake struct {
	textextraction.TextExtractor // what workers do not call

	do func(ctx context.Context, page, attempt int) error // nil: nothing

	mu       sync.Mutex
	attempts map[int]int // by page
	running  int
	most     int
}

func (f *fake) ExtractWith(ctx context.Context, img image.Image, opts textextraction.Options) (*textextraction.ExtractResult, error) {
	page := pageOf(img)
	f.mu.Lock()
	if f.attempts == nil {
		f.attempts = map[int]int{}
	}
	f.attempts[page]++
	attempt := f.attempts[page]
	f.running++
	f.most = max(f.most, f.running)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.running--
		f.mu.Unlock()
	}()
	if f.do != nil {
		if err := f.do(ctx, page, attempt); err != nil {
			return nil, err
		}
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("fake: %w", ctx.Err())
	}
	r := textextraction.NewExtractResult(fmt.Sprintf("# Page %d\n\nIt says <%d>.", page, page*page), opts.Format)
	r.PromptTokens, r.CompletionTokens = 10, 5
	return r, nil
}

func (f *fake) Fingerprint(context.Context, textextraction.Options) (string, error) {
	return "fake", nil
}

// reads is how often pages were read in all.
func (f *fake) reads() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, a := range f.attempts {
		n += a
	}
	return n
}

// passingError may pass.
type passingError struct{}

func (passingError) Error() string   { return "the device is busy" }
func (passingError) Retryable() bool { return true }

var errBad = errors.New("nobody can read this")

// picture is page n.
func picture(n int) image.Image {
	img := image.NewRGBA(image.Rect(0, 0, 8, 4))
	img.SetRGBA(3, 2, color.RGBA{uint8(n >> 16), uint8(n >> 8), uint8(n), 255})
	return img
}

// pageOf tells which page a picture is.
func pageOf(img image.Image) int {
	r, g, b, _ := img.At(img.Bounds().Min.X+3, img.Bounds().Min.Y+2).RGBA()
	return int(r>>8<<16 | g>>8<<8 | b>>8)
}

// draw writes page n to a file.
func draw(t *testing.T, n int, path ...string) {
	t.Helper()
	name := filepath.Join(path...)
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	f, err := os.Create(name)
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, picture(n)))
	require.NoError(t, f.Close())
}

// drawn opens documents of the kind "drawn", whose names say which pages they have: "100+3" has 100, 101 and 102.
func drawn(_ context.Context, name string, load omnidocs.LoadOptions) (*omnidocs.Document, error) {
	var first, count int
	if _, err := fmt.Sscanf(name, "%d+%d", &first, &count); err != nil {
		return nil, fmt.Errorf("drawn: %q: %w", name, err)
	}
	images := make([]image.Image, count)
	for i := range images {
		images[i] = picture(first + i)
	}
	return omnidocs.NewImageDocument(name, images...)
}

func drawnSource(first, count int) jetstream.Source {
	return jetstream.Source{Kind: "drawn", Name: fmt.Sprintf("%d+%d", first, count)}
}

// serve starts a server for the test.
func serve(t testing.TB) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(embedded.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// dial opens a queue for the test.
func dial(t testing.TB, url string, config jetstream.Config) *jetstream.Queue {
	t.Helper()
	q, err := jetstream.Dial(context.WithoutCancel(t.Context()), url, config)
	require.NoError(t, err)
	t.Cleanup(q.Close)
	return q
}

// hire starts a worker for the test, which ends with it.
func hire(t testing.TB, q *jetstream.Queue, ex textextraction.TextExtractor, opts jetstream.WorkerOptions) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	opts.Openers = map[string]jetstream.Opener{"drawn": drawn}
	if opts.Retry.Initial == 0 {
		opts.Retry.Initial = -1
	}
	ended := make(chan error, 1)
	go func() { ended <- q.Work(ctx, ex, opts) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
}

// guardTime bounds what hangs, poll is how often it is looked.
const (
	guardTime = 5 * time.Minute
	poll      = 20 * time.Millisecond
)

// guard bounds a test that hangs.
func guard(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), guardTime)
	t.Cleanup(cancel)
	return ctx
}

// outcomes are the outcomes of a job, by document and page. That none is there twice is checked.
func outcomes(t testing.TB, q *jetstream.Queue, job string) map[[2]int]jetstream.Outcome {
	t.Helper()
	all := map[[2]int]jetstream.Outcome{}
	for o, err := range q.Outcomes(guard(t), job) {
		require.NoError(t, err)
		at := [2]int{o.Document, o.Page}
		_, twice := all[at]
		require.False(t, twice, "page %v", at)
		all[at] = o
	}
	return all
}

// letters are the dead letters of a job, by what they are about.
func letters(t testing.TB, q *jetstream.Queue, job string) map[string]jetstream.DeadLetter {
	t.Helper()
	all := map[string]jetstream.DeadLetter{}
	for l, err := range q.DeadLetters(guard(t), job) {
		require.NoError(t, err)
		key := l.Subject
		if l.Task != nil {
			key = fmt.Sprintf("%d.%d", l.Task.Document, l.Task.First)
		}
		require.NotContains(t, all, key, "twice")
		all[key] = l
	}
	return all
}

// streams asks a server for its streams.
func streams(t testing.TB, url string) js.JetStream {
	t.Helper()
	nc, err := nats.Connect(url)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	api, err := js.New(nc)
	require.NoError(t, err)
	return api
}

// storedResults is how many results the index on a server has.
func storedResults(t testing.TB, url string) (n int) {
	t.Helper()
	ctx := guard(t)
	index, err := streams(t, url).OrderedConsumer(ctx, "omnidocs-index", js.OrderedConsumerConfig{})
	require.NoError(t, err)
	info, err := index.Info(ctx)
	require.NoError(t, err)
	messages, err := index.Messages()
	require.NoError(t, err)
	defer messages.Stop()
	for left := info.NumPending; left > 0; {
		m, err := messages.Next(js.NextContext(ctx))
		require.NoError(t, err)
		meta, err := m.Metadata()
		require.NoError(t, err)
		left = meta.NumPending
		n += len(m.Data()) / 24
	}
	return n
}

// files are the contents of all files below a folder, but the job's own.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || strings.Contains(path, ".omnidocs") || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		all[rel] = string(data)
		return err
	}))
	return all
}

var _ jobs.Fingerprinter = (*fake)(nil)
