package omnidocs

import (
	"errors"
	"fmt"
	"time"

	"github.com/omnidocs/omnidocs/internal/imageproc"
)

const (
	// DefaultDPI is the default resolution, in dots per inch, at which a PDF's pages are rendered.
	DefaultDPI = 150
	// MinDPI is the least resolution.
	MinDPI = 50
	// MaxDPI is the highest.
	MaxDPI = 600
	// DefaultMaxPixels is the default limit on a page: an A4 page at 1,350 dpi.
	DefaultMaxPixels = imageproc.DefaultMaxPixels
	// DefaultMaxBytes is the default limit on a document that is not a file, and on a picture file: 256 MiB.
	DefaultMaxBytes = imageproc.DefaultMaxBytes
	// DefaultPageTimeout is the default limit on the time that one page of a PDF may take.
	DefaultPageTimeout = 2 * time.Minute
	// DefaultCachedPages is the default number of rendered pages that a document holds on to.
	DefaultCachedPages = 2
)

// PageRange is the pages from First to Last, both counted from 0 and both included.
type PageRange struct {
	First int `json:"first"`
	Last  int `json:"last"`
}

// LoadOptions says how a document is opened. A zero LoadOptions consists entirely of default values.
type LoadOptions struct {
	// Pages selects pages; nil means all. The document then has these alone, counted from 0 again; see
	// [Document.PageNumber]. A range that is not in the file is a [PageRangeError].
	Pages *PageRange `json:"page_range,omitempty"`
	// DPI is the resolution at which a PDF's pages are rendered, 50 to 600. Default 150. Pictures are not scaled.
	DPI int `json:"dpi,omitzero"`
	// Password opens an encrypted PDF. Either its user's or its owner's does.
	Password string `json:"-"`
	// MaxPixels limits width × height of a page. Default 178,956,970. A page beyond it is an error that matches
	// [ErrTooLarge], before memory is taken for it.
	MaxPixels int64 `json:"max_pixels,omitzero"`
	// MaxBytes limits what is read of a document that does not come from a file, and the size of a picture file other
	// than TIFF. Default 256 MiB. Of PDF and TIFF files only what a page needs is read, so they have no limit.
	MaxBytes int64 `json:"max_bytes,omitzero"`
	// PageTimeout limits the time that one page of a PDF takes to render, or to give its text. Default 2 minutes.
	PageTimeout time.Duration `json:"page_timeout,omitzero"`
	// CachedPages is how many rendered pages the document holds on to, so that asking again for the page that one has
	// does not render it again. Default 2; negative means none.
	CachedPages int `json:"cached_pages,omitzero"`
}

func (o LoadOptions) withDefaults() (LoadOptions, error) {
	o.DPI = defaultTo(o.DPI, DefaultDPI)
	o.MaxPixels = defaultTo(o.MaxPixels, DefaultMaxPixels)
	o.MaxBytes = defaultTo(o.MaxBytes, DefaultMaxBytes)
	o.PageTimeout = defaultTo(o.PageTimeout, DefaultPageTimeout)
	o.CachedPages = defaultTo(o.CachedPages, DefaultCachedPages)
	return o, o.check()
}

func (o LoadOptions) check() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(o.DPI < MinDPI || o.DPI > MaxDPI, "DPI: %d must be from %d to %d", o.DPI, MinDPI, MaxDPI)
	fault(o.MaxPixels < 0, "MaxPixels: %d must not be negative", o.MaxPixels)
	fault(o.MaxBytes < 0, "MaxBytes: %d must not be negative", o.MaxBytes)
	fault(o.PageTimeout < 0, "PageTimeout: %v must not be negative", o.PageTimeout)
	if len(faults) > 0 {
		return fmt.Errorf("%w: LoadOptions: %w", ErrOptions, errors.Join(faults...))
	}
	return nil
}

func (o LoadOptions) imageLimits() imageproc.Limits {
	return imageproc.Limits{MaxPixels: o.MaxPixels, MaxBytes: o.MaxBytes}
}

// pages resolves the range for a document of n pages.
func (o LoadOptions) pages(source string, n int) (PageRange, error) {
	if o.Pages == nil {
		return PageRange{0, n - 1}, nil
	}
	r := *o.Pages
	if r.First < 0 || r.Last >= n || r.First > r.Last {
		return r, &PageRangeError{Source: source, First: r.First, Last: r.Last, Count: n}
	}
	return r, nil
}

func defaultTo[T comparable](value, byDefault T) T {
	var zero T
	if value == zero {
		return byDefault
	}
	return value
}
