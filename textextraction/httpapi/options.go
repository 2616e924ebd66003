package httpapi

import (
	"context"
	"errors"
	"fmt"
	"image"
	"log/slog"
	"net/netip"
	"time"

	"github.com/omnidocs/omnidocs/internal/safehttp"
)

// Options bound what a server does. The zero value is usable: everything is open to everybody who reaches it.
type Options struct {
	// Tokens are the bearer tokens that are let in. With none, everybody is.
	Tokens []string
	// Model is the name that the server gives its model. Empty means "omnidocs".
	Model string
	// MaxBodyBytes bounds a request's body. Zero means 64 MiB.
	MaxBodyBytes int64
	// MaxPixels bounds a picture's width times height. Zero means 100 million.
	MaxPixels int64
	// MaxMemory bounds, in bytes, what all requests together hold while they wait and are read: bodies, files and the pixels of pictures, 8 bytes
	// each; not what the extractor and Documents take. Who comes when there is no more is turned away with 429. Zero means 2 GiB, or what one
	// request of MaxBodyBytes and MaxPixels may take if that is more; it may not be less than that.
	MaxMemory int64
	// MaxPages bounds the pages of a document. Zero means 2,000.
	MaxPages int
	// Concurrency is how many pages are given to the extractor at a time; zero means 16. Queue is how many requests wait beyond
	// that before others are turned away with 429; zero means 256.
	Concurrency, Queue int
	// HeaderTimeout bounds the arrival of a request's head, where [Serve] serves, BodyTimeout that of its body, PageTimeout the reading of
	// one page with its time in the queue, and AnswerTimeout the sending of an answer, or of an event of a stream, to a caller who does
	// not read it. Zero means ten seconds, one minute, fifteen minutes, and 30 seconds.
	HeaderTimeout, BodyTimeout, PageTimeout, AnswerTimeout time.Duration
	// Documents opens what is not a picture, PDFs for example: omnidocs.FromBytes. Nil means that pictures alone are taken.
	Documents func(ctx context.Context, name string, data []byte) (Document, error)
	// Fetch gets what is at an address of a caller's choice. Nil means what is on the public Internet, on the ports of HTTP and HTTPS,
	// within MaxBodyBytes and 30 seconds: what this machine and the networks around it have, and what redirects and names lead to
	// there, is refused. NoFetch means that no addresses are taken.
	Fetch   func(ctx context.Context, url string) (data []byte, err error)
	NoFetch bool
	// FetchNetworks are allowed all the same, such as netip.MustParsePrefix("10.1.0.0/16"), and FetchPorts are the ports that addresses
	// may name; with none they are 80 and 443. Both are for where Fetch is nil.
	FetchNetworks []netip.Prefix
	FetchPorts    []int
	// Jobs bounds the jobs that are kept, JobTime is how long one is kept after its end. Zero means 1,000 and one hour.
	Jobs    int
	JobTime time.Duration
	// Logger hears of each request. Nil means nobody.
	Logger *slog.Logger
}

// Document is what Options.Documents opens: pages, counted from 0.
type Document interface {
	PageCount() int
	Page(ctx context.Context, i int) (image.Image, error)
	Close() error
}

func (o Options) withDefaults() (Options, error) {
	var errs []error
	fill(&errs, "MaxBodyBytes", &o.MaxBodyBytes, 64<<20)
	fill(&errs, "MaxPixels", &o.MaxPixels, 100e6)
	// A body may be a form, or base64 in JSON, from which the file is taken.
	one := 3*o.MaxBodyBytes + pixelBytes*o.MaxPixels
	fill(&errs, "MaxMemory", &o.MaxMemory, max(2<<30, one))
	if o.MaxMemory < one && len(errs) == 0 {
		errs = append(errs, fmt.Errorf("httpapi: MaxMemory is %d, and one request may take %d: raise it, or lower MaxBodyBytes or MaxPixels", o.MaxMemory, one))
	}
	fill(&errs, "MaxPages", &o.MaxPages, 2000)
	fill(&errs, "Concurrency", &o.Concurrency, 16)
	fill(&errs, "Queue", &o.Queue, 256)
	fill(&errs, "HeaderTimeout", &o.HeaderTimeout, 10*time.Second)
	fill(&errs, "BodyTimeout", &o.BodyTimeout, time.Minute)
	fill(&errs, "PageTimeout", &o.PageTimeout, 15*time.Minute)
	fill(&errs, "AnswerTimeout", &o.AnswerTimeout, 30*time.Second)
	fill(&errs, "Jobs", &o.Jobs, 1000)
	fill(&errs, "JobTime", &o.JobTime, time.Hour)
	for i, token := range o.Tokens {
		if token == "" {
			errs = append(errs, fmt.Errorf("httpapi: Tokens[%d] is empty: leave Tokens out to let everybody in", i))
		}
	}
	if o.Fetch == nil {
		public := safehttp.Policy{MaxBytes: o.MaxBodyBytes, Networks: o.FetchNetworks, Ports: o.FetchPorts}
		o.Fetch = func(ctx context.Context, url string) ([]byte, error) {
			got, err := public.Get(ctx, url)
			if err != nil {
				return nil, err
			}
			return got.Body, nil
		}
	}
	if o.Model == "" {
		o.Model = "omnidocs"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, errors.Join(errs...)
}

func fill[T int | int64 | time.Duration](errs *[]error, name string, v *T, fallback T) {
	if *v < 0 {
		*errs = append(*errs, fmt.Errorf("httpapi: %s is %v, want more than 0, or 0 for %v", name, *v, fallback))
	}
	if *v == 0 {
		*v = fallback
	}
}
