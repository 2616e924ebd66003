package safehttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// What can go wrong, besides the errors of the network and of the context.
var (
	// ErrRefused is a URL, or an address it leads to, that the policy forbids.
	ErrRefused = errors.New("refused")
	// ErrTooLarge is an answer with more bytes than the policy allows.
	ErrTooLarge = errors.New("too large")
	// ErrType is an answer of a type that the policy does not allow.
	ErrType = errors.New("unexpected content type")
	// ErrRedirects is a chain of more redirects than the policy allows.
	ErrRedirects = errors.New("too many redirects")
	// ErrTimeout is an answer that took longer than the policy allows.
	ErrTimeout = errors.New("timed out")
)

// StatusError is an answer that is not 200 OK.
type StatusError struct {
	Code int
	// RetryAfter is how long the server asks to wait, 0 if it does not.
	RetryAfter time.Duration
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("the server answered %d %s", e.Code, http.StatusText(e.Code))
}

// Policy says what may be fetched. A zero Policy consists entirely of default values.
type Policy struct {
	// MaxBytes limits the answer, after decompression. Default 256 MiB.
	MaxBytes int64
	// Timeout limits the whole, redirects and body included. Default 30 s.
	Timeout time.Duration
	// MaxRedirects limits the chain of redirects. Default 5; negative means none.
	MaxRedirects int
	// Types are the media types of answers, such as "application/pdf" or "image/*". Default: all. An answer that does not say
	// its type has one of "application/octet-stream".
	Types []string
	// Ports are those that URLs may name. Default 80 and 443.
	Ports []int
	// Networks are allowed although they are not public, such as netip.MustParsePrefix("10.1.0.0/16").
	Networks []netip.Prefix
	// Header is sent with the request, and not with those that redirects lead to on other hosts.
	Header http.Header
	// Resolver looks up names. Default: the system's.
	Resolver *net.Resolver
}

// Response is what was fetched.
type Response struct {
	Body []byte
	// URL is where the redirects led.
	URL *url.URL
	// ContentType is the media type, without parameters.
	ContentType string
	// FileName is what the server, or else the URL, calls it: the last part of a path, or "".
	FileName string
}

func (p Policy) withDefaults() Policy {
	if p.MaxBytes <= 0 {
		p.MaxBytes = 256 << 20
	}
	if p.Timeout <= 0 {
		p.Timeout = 30 * time.Second
	}
	if p.MaxRedirects == 0 {
		p.MaxRedirects = 5
	}
	if len(p.Ports) == 0 {
		p.Ports = []int{80, 443}
	}
	return p
}

// Get fetches a URL. Its errors match those of this package, a [StatusError], or those of the network and of ctx.
func (p Policy) Get(ctx context.Context, rawURL string) (*Response, error) {
	p = p.withDefaults()
	target, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("%w: it is no URL: %w", ErrRefused, errors.Unwrap(err)) // which repeats the URL, with its password
	}
	if err := p.checkURL(target); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.Timeout, fmt.Errorf("%w: more than %v", ErrTimeout, p.Timeout))
	defer cancel()
	client := p.client()
	defer client.CloseIdleConnections()
	response, err := p.get(ctx, client, target)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return response, err
}

func (p Policy) get(ctx context.Context, client *http.Client, target *url.URL) (*Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	for key, values := range p.Header {
		request.Header[key] = slices.Clone(values)
	}
	answer, err := client.Do(request)
	if err != nil {
		var urlError *url.Error
		if errors.As(err, &urlError) { // it names the URL, and so does the caller
			err = urlError.Err
		}
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, &StatusError{Code: answer.StatusCode, RetryAfter: retryAfter(answer.Header)}
	}
	response := &Response{URL: answer.Request.URL}
	if response.ContentType, err = p.checkType(answer.Header); err != nil {
		return nil, err
	}
	if answer.ContentLength > p.MaxBytes {
		return nil, fmt.Errorf("%w: the server says %d bytes, the limit is %d", ErrTooLarge, answer.ContentLength, p.MaxBytes)
	}
	if response.Body, err = io.ReadAll(io.LimitReader(answer.Body, p.MaxBytes+1)); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if int64(len(response.Body)) > p.MaxBytes {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, p.MaxBytes)
	}
	response.FileName = fileName(answer)
	return response, nil
}

// client returns a client that looks at every address before it connects to it.
func (p Policy) client() *http.Client {
	dialer := &net.Dialer{Timeout: p.Timeout, Resolver: p.Resolver, ControlContext: p.checkDial}
	return &http.Client{
		Transport: &http.Transport{
			// No proxy: it would make the connection in our stead, and look at no address.
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			DisableKeepAlives:      true,
			TLSHandshakeTimeout:    p.Timeout,
			ResponseHeaderTimeout:  p.Timeout,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(request *http.Request, via []*http.Request) error {
			if len(via) > p.MaxRedirects {
				return fmt.Errorf("%w: more than %d", ErrRedirects, max(p.MaxRedirects, 0))
			}
			if via[len(via)-1].URL.Scheme == "https" && request.URL.Scheme != "https" {
				return fmt.Errorf("%w: a redirect from https to %s", ErrRefused, request.URL.Scheme)
			}
			if request.URL.Host != via[0].URL.Host {
				for key := range p.Header {
					request.Header.Del(key)
				}
			}
			request.Header.Del("Referer")
			return p.checkURL(request.URL)
		},
	}
}

// checkURL looks at what can be told from a URL alone.
func (p Policy) checkURL(u *url.URL) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%w: the scheme %q; only http and https are fetched", ErrRefused, u.Scheme)
	case u.User != nil:
		return fmt.Errorf("%w: a URL with a user name or password", ErrRefused)
	case u.Hostname() == "":
		return fmt.Errorf("%w: a URL without a host", ErrRefused)
	}
	port := 80
	if u.Scheme == "https" {
		port = 443
	}
	if text := u.Port(); text != "" {
		var err error
		if port, err = strconv.Atoi(text); err != nil {
			return fmt.Errorf("%w: the port %q", ErrRefused, text)
		}
	}
	if !slices.Contains(p.Ports, port) {
		return fmt.Errorf("%w: the port %d; allowed are %v", ErrRefused, port, p.Ports)
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil { // a name is looked at when it has been resolved
		return checkAddress(addr, p.Networks)
	}
	return nil
}

// checkDial is called with the address of each connection before it is made.
func (p Policy) checkDial(_ context.Context, network, address string, _ syscall.RawConn) error {
	addr, err := netip.ParseAddrPort(address)
	if err != nil || network != "tcp4" && network != "tcp6" {
		return fmt.Errorf("%w: a connection to %s by %s", ErrRefused, address, network)
	}
	return checkAddress(addr.Addr(), p.Networks)
}

// checkType returns the media type of an answer if it is one of those allowed.
func (p Policy) checkType(header http.Header) (string, error) {
	kind := "application/octet-stream"
	if text := header.Get("Content-Type"); text != "" {
		var err error
		if kind, _, err = mime.ParseMediaType(text); err != nil && kind == "" {
			return "", fmt.Errorf("%w: %q", ErrType, text)
		}
	}
	if len(p.Types) == 0 || slices.ContainsFunc(p.Types, func(t string) bool {
		all, wildcard := strings.CutSuffix(t, "*")
		return t == kind || wildcard && strings.HasPrefix(kind, all)
	}) {
		return kind, nil
	}
	return "", fmt.Errorf("%w: %s; allowed are %s", ErrType, kind, strings.Join(p.Types, ", "))
}

// fileName is the name that the answer gives itself, without folders.
func fileName(answer *http.Response) string {
	name := answer.Request.URL.Path
	if _, params, err := mime.ParseMediaType(answer.Header.Get("Content-Disposition")); err == nil && params["filename"] != "" {
		name = params["filename"]
	}
	name = path.Base(strings.ReplaceAll(name, `\`, "/"))
	if name == "." || name == "/" || name == ".." {
		return ""
	}
	return name
}

// retryAfter reads the header of that name, in seconds or as a date.
func retryAfter(header http.Header) time.Duration {
	text := header.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil && seconds > 0 {
		return time.Duration(min(seconds, 1<<20)) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}
