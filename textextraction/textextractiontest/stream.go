package textextractiontest

import (
	"context"
	"errors"
	"unicode/utf8"

	"github.com/omnidocs/omnidocs/textextraction"
)

// streams checks that what is streamed comes to what Extract gives.
func (c *checker) streams(ctx context.Context, content [2]string) {
	for format, want := range content {
		opts := textextraction.Options{Format: textextraction.Format(format)}
		text := ""
		var result *textextraction.ExtractResult
		n := 0
		for d, err := range c.ex.Stream(ctx, c.page, opts) {
			if err != nil {
				c.fault("Stream: %w", err)
				break
			}
			c.check(result == nil, "Stream: there is a value behind the one with the result")
			c.check(d.Offset >= 0 && d.Offset <= len(text), "Stream: Offset is %d, the text has %d bytes", d.Offset, len(text))
			text, result = d.Apply(text), d.Result
			c.check(utf8.ValidString(text), "Stream: the text ends within a character: %q", text)
			n++
		}
		c.check(text == want, "Stream: the text is %q, Extract gives %q", text, want)
		if result == nil {
			c.fault("Stream: the last of %d values has no result", n)
			continue
		}
		c.result("Stream", result, opts.Format)
		c.check(result.Content == want, "Stream: the result's Content is %q, Extract gives %q", result.Content, want)
	}
	for _, err := range c.ex.Stream(ctx, c.page, textextraction.Options{}) {
		c.check(err == nil, "Stream: %v", err)
		break // which ends the page
	}
	c.streamFails(ctx, "of an unknown format", textextraction.ErrFormat)
}

// streamFails checks that a stream that cannot begin ends with its error alone.
func (c *checker) streamFails(ctx context.Context, when string, want error) {
	var opts textextraction.Options
	if errors.Is(want, textextraction.ErrFormat) {
		opts.Format = -1
	}
	n := 0
	for d, err := range c.ex.Stream(ctx, c.page, opts) {
		c.check(errors.Is(err, want), "Stream %s: %v, want %q", when, err, want)
		c.check(d.Text == "" && d.Result == nil, "Stream %s: there is a text beside the error", when)
		n++
	}
	c.check(n == 1, "Stream %s: it yields %d values, want the error alone", when, n)
}
