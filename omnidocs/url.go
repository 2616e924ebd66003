package omnidocs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/omnidocs/omnidocs/internal/safehttp"
)

// ErrURLRefused is matched by the error of a URL that leads to where it must not: to an address that is not public, another
// port than 80 and 443, another scheme than http and https.
var ErrURLRefused = errors.New("URL refused")

// URLOptions says how a document is downloaded. A zero URLOptions consists entirely of default values.
type URLOptions struct {
	// Load says how the document is opened. Its MaxBytes limits the download. Default 256 MiB.
	Load LoadOptions
	// Timeout limits the whole download. Default 30 s.
	Timeout time.Duration
	// MaxRedirects limits how often the server may point elsewhere. Default 5; negative means never.
	MaxRedirects int
	// Ports are those that URLs and redirects may name. Default 80 and 443.
	Ports []int
	// Networks are ranges of addresses that are allowed although they are not public, such as
	// netip.MustParsePrefix("10.1.0.0/16"). Default none.
	Networks []netip.Prefix
	// Header is sent along, for example for authentication; to the URL's own host only.
	Header http.Header
}

// documentTypes are the media types under which servers hand out documents.
var documentTypes = []string{
	"application/pdf", "application/x-pdf", "image/*", "application/octet-stream", "binary/octet-stream",
	"application/x-octet-stream", "application/download", "application/force-download", "application/x-download",
}

// FromURL downloads a document into memory and opens it by what is in it; see [Open].
//
// Whoever chooses the URL does not choose what this program can reach: addresses that are loopback, private, link-local or
// a cloud's metadata are refused, after the name has been resolved and for every redirect, unless URLOptions allow them.
// Proxies of the environment are not used. An error of the download is a [URLDownloadError].
func FromURL(ctx context.Context, rawURL string, opts URLOptions) (*Document, error) {
	load, err := opts.Load.withDefaults()
	if err != nil {
		return nil, err
	}
	Start() // while the download goes on
	policy := safehttp.Policy{
		MaxBytes: load.MaxBytes, Timeout: opts.Timeout, MaxRedirects: opts.MaxRedirects, Ports: opts.Ports,
		Networks: opts.Networks, Header: opts.Header, Types: documentTypes,
	}
	response, err := policy.Get(ctx, rawURL)
	if err != nil {
		return nil, downloadError(rawURL, err)
	}
	meta := DocumentMetadata{SourceType: SourceURL, SourcePath: rawURL, FileName: defaultTo(response.FileName, "downloaded")}
	return open(ctx, shownURL(rawURL), inMemory(response.Body), load, meta, false)
}

// URLDownloadError says that a URL could not be downloaded.
type URLDownloadError struct {
	// URL is the URL.
	URL string
	// Status is the server's answer, such as 404; 0 if there was none.
	Status int
	// RetryAfter is how long the server asked to wait, 0 if it did not.
	RetryAfter time.Duration
	// Err is the cause.
	Err error
}

// Error names the URL, without its query, which may hold a key, and the cause.
func (e *URLDownloadError) Error() string {
	return fmt.Sprintf("omnidocs: download %s: %v", shownURL(e.URL), e.Err)
}

// Unwrap returns Err.
func (e *URLDownloadError) Unwrap() error { return e.Err }

// Temporary says whether the same download may well succeed later: after a time-out, a broken connection, or an answer that says
// so.
func (e *URLDownloadError) Temporary() bool {
	switch {
	case errors.Is(e.Err, ErrURLRefused), errors.Is(e.Err, ErrTooLarge), errors.Is(e.Err, context.Canceled),
		errors.Is(e.Err, safehttp.ErrType), errors.Is(e.Err, safehttp.ErrRedirects):
		return false
	case e.Status == 0:
		return true
	}
	return e.Status == http.StatusRequestTimeout || e.Status == http.StatusTooEarly || e.Status == http.StatusTooManyRequests || e.Status >= 500
}

func downloadError(rawURL string, err error) error {
	download := &URLDownloadError{URL: rawURL, Err: err}
	var status *safehttp.StatusError
	switch {
	case errors.As(err, &status):
		download.Status, download.RetryAfter = status.Code, status.RetryAfter
	case errors.Is(err, safehttp.ErrRefused):
		download.Err = as(ErrURLRefused, err)
	case errors.Is(err, safehttp.ErrTooLarge):
		download.Err = as(ErrTooLarge, err)
	case errors.Is(err, safehttp.ErrTimeout):
		download.Err = as(context.DeadlineExceeded, err)
	}
	return download
}

// shownURL is a URL without what may be secret in it.
func shownURL(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "(no URL)"
	}
	if u.RawQuery != "" {
		u.RawQuery = "…"
	}
	u.User, u.Fragment = nil, ""
	return u.String()
}
