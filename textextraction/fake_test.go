package textextraction

import (
	"context"
	"errors"
	"image"
	"image/color"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
)

// fakeEngine answers with what is written in the page itself, see answerPage.
type fakeEngine struct {
	mu       sync.Mutex
	batches  [][]backend.Request // what Generate was called with
	running  int                 // calls of Generate, and
	most     int                 // the most that there were at a time
	closed   int
	answers  map[color.Gray]answer // by the color of the page's first pixel
	err      error                 // of Generate
	skip     bool                  // Generate does not answer
	reversed bool                  // pages end in reverse order
	entered  chan struct{}         // told when Generate waits for its context
}

// answer is what the engine says of a page.
type answer struct {
	out  backend.Output
	err  error
	hang bool // until the context ends; then out goes out with its error
}

func (f *fakeEngine) Generate(ctx context.Context, requests []backend.Request, done func(i int, out backend.Output, err error)) error {
	f.mu.Lock()
	f.batches = append(f.batches, requests)
	f.running++
	f.most = max(f.most, f.running)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.running--
		f.mu.Unlock()
	}()
	if f.err != nil || f.skip {
		return f.err
	}
	var ended error
	for n := range requests {
		i := n
		if f.reversed {
			i = len(requests) - 1 - n
		}
		gray, ok := requests[i].Image.At(requests[i].Image.Bounds().Min.X, requests[i].Image.Bounds().Min.Y).(color.Gray)
		if !ok {
			return errors.New("a page that is not of the test")
		}
		a := f.answers[gray]
		if limit := requests[i].MaxNewTokens; len(a.out.Tokens) > limit { // a token is a byte, see says
			a.out.Tokens, a.out.Text, a.out.Finish = a.out.Tokens[:limit], a.out.Text[:limit], FinishLength
		}
		if a.hang {
			f.entered <- struct{}{}
			<-ctx.Done()
		}
		if ended = context.Cause(ctx); ended != nil {
			a.err = ended
		}
		done(i, a.out, a.err)
	}
	return ended
}

func (f *fakeEngine) Info() backend.Info {
	return backend.Info{Model: "omnidocs/fake", Revision: "abc", Device: "go", DType: "float32"}
}

func (f *fakeEngine) Close() error {
	f.closed++
	return nil
}

// fake returns an extractor over a fake engine that answers page n with the answers' nth.
func fake(t *testing.T, cfg QwenTextPyTorchConfig, answers ...answer) (*QwenTextExtractor, *fakeEngine) {
	t.Helper()
	f := &fakeEngine{answers: map[color.Gray]answer{}, entered: make(chan struct{}, 1)}
	for n, a := range answers {
		f.answers[color.Gray{Y: uint8(n)}] = a
	}
	cfg.ReadBlankPages = true // the pages are of one color
	s, err := cfg.check()
	require.NoError(t, err)
	return newExtractor(f, s), f
}

// says is the answer of a model that ends by itself.
func says(text string) answer {
	return answer{out: backend.Output{
		Text: text, Tokens: make([]int32, len(text)), Finish: FinishStop, PromptTokens: 30, VisualTokens: 20,
		Timings: backend.Timings{Encode: time.Second, Total: 2 * time.Second},
	}}
}

// picture is page n: 10+n by 20 pixels, not at the origin.
func picture(n int) image.Image {
	img := image.NewGray(image.Rect(5, 5, 15+n, 25))
	for i := range img.Pix {
		img.Pix[i] = uint8(n)
	}
	return img
}

func pictures(n int) []image.Image {
	var all []image.Image
	for i := range n {
		all = append(all, picture(i))
	}
	return all
}

// NewFakeExtractor is an extractor that reads FakePage, for the tests from outside.
func NewFakeExtractor(t *testing.T, batchSize int) TextExtractor {
	t.Helper()
	x, _ := fake(t, QwenTextPyTorchConfig{BatchSize: batchSize}, says("# Größe\n<!-- Image (1, 2, 3, 4) -->\n*one* two"))
	return x
}

// FakePage is a page that NewFakeExtractor's extractor reads.
func FakePage() image.Image { return picture(0) }
