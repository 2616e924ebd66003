// Package textextractiontest checks implementations of [textextraction.TextExtractor], as testing/fstest checks file
// systems.
package textextractiontest

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/omnidocs/omnidocs/textextraction"
)

// TestExtractor checks that an extractor does what [textextraction.TextExtractor] says, and returns all that it does not,
// as one error. The extractor must read greedily, so that a page has one text; it is closed in the end. page is an image
// that it can read, which it will be asked to do about twenty times.
//
// A typical use is:
//
//	if err := textextractiontest.TestExtractor(t.Context(), ex, page); err != nil {
//		t.Fatal(err)
//	}
func TestExtractor(ctx context.Context, ex textextraction.TextExtractor, page image.Image) error {
	c := &checker{ex: ex, page: page}
	var content [2]string
	for _, format := range []textextraction.Format{textextraction.Markdown, textextraction.HTML} {
		res, err := ex.Extract(ctx, page, format)
		if err != nil {
			return errors.Join(fmt.Errorf("Extract as %s: %w", format, err), ex.Close())
		}
		c.result("Extract", res, format)
		content[format] = res.Content
	}
	c.options(ctx)
	c.streams(ctx, content)
	c.files(ctx)
	c.refusals(ctx)
	c.batch(ctx, content)
	c.sources(ctx)
	c.canceled(ctx)
	c.goroutines(ctx, content)
	c.closed(ctx)
	return errors.Join(c.faults...)
}

// checker collects what is wrong with an extractor.
type checker struct {
	ex     textextraction.TextExtractor
	page   image.Image
	faults []error
}

func (c *checker) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf(format, args...))
}

// check adds a fault unless ok.
func (c *checker) check(ok bool, format string, args ...any) {
	if !ok {
		c.fault(format, args...)
	}
}

// result checks a result for the page against itself.
func (c *checker) result(call string, r *textextraction.ExtractResult, format textextraction.Format) {
	size := c.page.Bounds().Size()
	c.check(r.Format == format, "%s: Format is %s, want %s", call, r.Format, format)
	c.check(r.ImageWidth == size.X && r.ImageHeight == size.Y, "%s: the image has %d×%d pixels, the result says %d×%d",
		call, size.X, size.Y, r.ImageWidth, r.ImageHeight)
	c.check(r.ModelName != "", "%s: ModelName is empty", call)
	reasons := []textextraction.FinishReason{textextraction.FinishStop, textextraction.FinishLength, textextraction.FinishRepetition}
	c.check(slices.Contains(reasons, r.FinishReason), "%s: FinishReason is %q, want one of %q", call, r.FinishReason, reasons)
	c.check(r.Truncated == (r.FinishReason != textextraction.FinishStop), "%s: Truncated is %t with FinishReason %q",
		call, r.Truncated, r.FinishReason)
	want := textextraction.NewExtractResult(r.RawOutput, format)
	c.check(r.Content == want.Content, "%s: Content is %q, Clean of RawOutput %q", call, r.Content, want.Content)
	c.check(r.PlainText == want.PlainText, "%s: PlainText is %q, that of RawOutput %q", call, r.PlainText, want.PlainText)
	c.check(r.WordCount == want.WordCount, "%s: WordCount is %d, want %d", call, r.WordCount, want.WordCount)
	c.check(r.ContentLength == want.ContentLength, "%s: ContentLength is %d, want %d", call, r.ContentLength, want.ContentLength)
}

func (c *checker) options(ctx context.Context) {
	r, err := c.ex.ExtractWith(ctx, c.page, textextraction.Options{MaxNewTokens: 1})
	if err != nil {
		c.fault("ExtractWith MaxNewTokens 1: %w", err)
		return
	}
	c.result("ExtractWith MaxNewTokens 1", r, textextraction.Markdown)
	c.check(r.CompletionTokens <= 1, "ExtractWith MaxNewTokens 1: CompletionTokens is %d", r.CompletionTokens)
}

// files checks ExtractFile on what is not an image: what is one is up to LoadImage.
func (c *checker) files(ctx context.Context) {
	dir, err := os.MkdirTemp("", "textextractiontest")
	if err != nil {
		c.fault("%w", err)
		return
	}
	defer os.RemoveAll(dir)
	missing := filepath.Join(dir, "missing.png")
	_, err = c.ex.ExtractFile(ctx, missing, textextraction.Markdown)
	c.check(errors.Is(err, fs.ErrNotExist), "ExtractFile of a file that is not there: %v, want fs.ErrNotExist", err)
	c.check(err != nil && strings.Contains(err.Error(), missing), "ExtractFile of a file that is not there does not name it: %v", err)
	text := filepath.Join(dir, "text.png")
	if err := os.WriteFile(text, []byte("no image"), 0o600); err != nil {
		c.fault("%w", err)
		return
	}
	_, err = c.ex.ExtractFile(ctx, text, textextraction.Markdown)
	c.check(errors.Is(err, textextraction.ErrImage), "ExtractFile of a text: %v, want ErrImage", err)
}

func (c *checker) refusals(ctx context.Context) {
	refused := func(what string, is error, img image.Image, opts textextraction.Options) {
		r, err := c.ex.ExtractWith(ctx, img, opts)
		c.check(errors.Is(err, is), "%s: the error is %v, want one that matches %q", what, err, is)
		c.check(r == nil, "%s: there is a result beside the error", what)
	}
	refused("a nil image", textextraction.ErrImage, nil, textextraction.Options{})
	refused("an empty image", textextraction.ErrImage, image.NewGray(image.Rectangle{}), textextraction.Options{})
	refused("an unknown format", textextraction.ErrFormat, c.page, textextraction.Options{Format: -1})
	refused("negative tokens", textextraction.ErrConfig, c.page, textextraction.Options{MaxNewTokens: -1})
	refused("negative temperature", textextraction.ErrConfig, c.page,
		textextraction.Options{Sampling: textextraction.Sampling{Temperature: -1}})
}

// batch checks that a batch gives what single calls give, in order, around a page that fails.
func (c *checker) batch(ctx context.Context, content [2]string) {
	broken := errors.New("broken page")
	source := func(yield func(image.Image, error) bool) {
		_ = yield(c.page, nil) && yield(nil, broken) && yield(c.page, nil)
	}
	for format, want := range content {
		opts := textextraction.BatchOptions{Options: textextraction.Options{Format: textextraction.Format(format)}, Total: 3}
		var progress []int
		opts.Progress = func(done, total int) {
			c.check(total == 3, "Batch: Progress is told of %d pages, want 3", total)
			progress = append(progress, done)
		}
		n := 0
		for r, err := range c.ex.Batch(ctx, source, opts) {
			var page *textextraction.PageError
			switch {
			case n == 1:
				c.check(errors.As(err, &page) && page.Index == 1 && errors.Is(err, broken) && r == nil,
					"Batch: page 1 ends with %v and the result %v, want a *PageError with its Index and the source's error", err, r)
			case err != nil:
				c.fault("Batch: page %d: %w", n, err)
			default:
				c.result("Batch", r, opts.Format)
				c.check(r.Content == want, "Batch: page %d is %q, Extract gives %q", n, r.Content, want)
			}
			n++
		}
		c.check(n == 3, "Batch: it yields %d pages, want 3", n)
		c.check(fmt.Sprint(progress) == "[1 2 3]", "Batch: Progress is told %v, want [1 2 3]", progress)
	}
}

// sources checks how a batch treats its source: lazily, and not beyond what the consumer wants.
func (c *checker) sources(ctx context.Context) {
	const many = 1 << 20
	taken, stopped := 0, false
	var source iter.Seq2[image.Image, error] = func(yield func(image.Image, error) bool) {
		defer func() { stopped = true }()
		for range many {
			taken++
			if !yield(nil, errors.New("nothing to read")) {
				return
			}
		}
	}
	for _, err := range c.ex.Batch(ctx, source, textextraction.BatchOptions{}) {
		c.check(err != nil, "Batch: it yields a page whose source had an error without one")
		break
	}
	c.check(taken < many, "Batch: it takes all pages of its source before it yields the first")
	c.check(stopped, "Batch: it leaves its source running")
}

func (c *checker) canceled(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	_, err := c.ex.Extract(ctx, c.page, textextraction.Markdown)
	c.check(errors.Is(err, context.Canceled), "Extract with a canceled context: %v, want context.Canceled", err)
	c.ends(ctx, "with a canceled context", context.Canceled)
	c.streamFails(ctx, "with a canceled context", context.Canceled)
}

// ends checks that a batch that cannot go on ends with an error, and soon.
func (c *checker) ends(ctx context.Context, when string, want error) {
	n := 0
	for _, err := range c.ex.Batch(ctx, textextraction.Images(c.page, c.page, c.page), textextraction.BatchOptions{}) {
		c.check(errors.Is(err, want), "Batch %s: %v, want %q", when, err, want)
		n++
	}
	c.check(n > 0, "Batch %s: it ends without an error", when)
}

// goroutines checks that calls at the same time do not get into each other's way.
func (c *checker) goroutines(ctx context.Context, content [2]string) {
	var wait sync.WaitGroup
	results := make([]string, 4)
	errs := make([]error, len(results))
	for i := range results {
		wait.Go(func() {
			r, err := c.ex.Extract(ctx, c.page, textextraction.Format(i%2))
			if errs[i] = err; err == nil {
				results[i] = r.Content
			}
		})
	}
	wait.Wait()
	for i, got := range results {
		c.check(errs[i] == nil, "four calls at once: %v", errs[i])
		c.check(errs[i] != nil || got == content[i%2], "four calls at once: one gives %q, alone it gives %q", got, content[i%2])
	}
}

func (c *checker) closed(ctx context.Context) {
	for range 2 {
		if err := c.ex.Close(); err != nil {
			c.fault("Close: %w", err)
		}
	}
	r, err := c.ex.Extract(ctx, c.page, textextraction.Markdown)
	c.check(errors.Is(err, textextraction.ErrClosed), "Extract after Close: %v, want ErrClosed", err)
	c.check(r == nil, "Extract after Close: there is a result")
	c.ends(ctx, "after Close", textextraction.ErrClosed)
	c.streamFails(ctx, "after Close", textextraction.ErrClosed)
}
