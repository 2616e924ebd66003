package jobs

import (
	"context"
	"time"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/textextraction"
)

// ReadPage reads page i of a document, from 0, as [ProcessDocument] reads it among all: with its retries, its deadline, and what the options ask for with the
// text that the PDF has itself. It is for those who have a way of their own to hand out pages. The document stays open.
//
// What goes wrong with the page, the end of ctx included, is the outcome's Err; the error is that of the options.
func ReadPage(ctx context.Context, doc *omnidocs.Document, i int, ex textextraction.TextExtractor, opts Options) (PageOutcome, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return PageOutcome{}, err
	}
	r, err := newReader(ctx, ex, opts)
	if err != nil {
		return PageOutcome{}, err
	}
	p := PageOutcome{Page: i}
	start := time.Now()
	img, err := doc.Page(ctx, i)
	if err != nil {
		p.Err = err
	} else {
		render := time.Since(start)
		p, err = r.read(ctx, i, img)
		p.Render = render
		if err != nil {
			opts.Logger.WarnContext(ctx, "journal", "page", i, "error", err)
		}
	}
	if ctx.Err() == nil && (opts.CrossCheck || opts.TextLayerFallback) {
		layer, err := doc.PageText(ctx, i)
		if err != nil && ctx.Err() == nil {
			opts.Logger.WarnContext(ctx, "the page's own text cannot be read", "page", i, "error", err)
		}
		r.compare(&p, layer)
	}
	return p, nil
}
