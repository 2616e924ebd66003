package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/omnidocs/omnidocs/internal/imageproc"
	"github.com/omnidocs/omnidocs/textextraction"
)

// upload is what a request brings: a file, and how it is to be read.
type upload struct {
	name string
	data []byte
	opts textextraction.Options
}

// jsonBody reads a request's body into v. Another type than JSON is refused: it is a mistake, or what a foreign page has a browser send,
// which it does without asking for the types of forms.
func (a *API) jsonBody(w http.ResponseWriter, r *http.Request, v any, want string) error {
	if given := r.Header.Get("Content-Type"); given != "" {
		kind, _, err := mime.ParseMediaType(given)
		if err != nil || kind != "application/json" {
			return &problem{http.StatusUnsupportedMediaType, "unsupported_media_type", fmt.Sprintf("Content-Type: is %q, want application/json", given), err}
		}
	}
	data, err := a.body(w, r)
	if err != nil {
		return err
	}
	if err := held(r.Context()).take(int64(len(data))); err != nil { // its strings are copies
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return bad(want + ": " + err.Error())
	}
	return nil
}

// body reads a request's body, which must come in time.
func (a *API) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > a.options.MaxBodyBytes { // it says so itself: nothing of it is read
		return nil, &http.MaxBytesError{Limit: a.options.MaxBodyBytes}
	}
	// A body that drips in holds nothing but its connection, until this.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(a.options.BodyTimeout)) // a recorder in a test has none
	data, err := io.ReadAll(held(r.Context()).reader(http.MaxBytesReader(w, r.Body, a.options.MaxBodyBytes)))
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &problem{http.StatusRequestTimeout, "timeout", fmt.Sprintf("the body was not there after %s", a.options.BodyTimeout), err}
	case err != nil:
		var tooLarge *http.MaxBytesError
		var refused *problem
		if errors.As(err, &tooLarge) || errors.As(err, &refused) {
			return nil, err
		}
		return nil, &problem{http.StatusBadRequest, "invalid_request_error", "the body broke off: " + err.Error(), err}
	}
	w.Header().Del("Connection")
	return data, nil
}

// upload reads a file from the body, or from the field "file" of a form. Choices come as fields of the form or in the query.
func (a *API) upload(w http.ResponseWriter, r *http.Request) (u upload, err error) {
	data, err := a.body(w, r)
	if err != nil {
		return u, err
	}
	values := r.URL.Query()
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case r.Header.Get("Content-Type") == "", err == nil && kind != "multipart/form-data":
		u.name, u.data = values.Get("filename"), data
	case err != nil:
		return u, bad("Content-Type: " + err.Error())
	default:
		if err := held(r.Context()).take(int64(len(data))); err != nil { // what is in the form is copied out of it
			return u, err
		}
		if err := u.form(data, params["boundary"], values); err != nil {
			return u, err
		}
	}
	if len(u.data) == 0 {
		return u, bad(`there is no file: send it as the body, or as the field "file" of a form`)
	}
	u.opts, err = options(values)
	return u, err
}

// form reads the fields of a form, which are added to values.
func (u *upload) form(data []byte, boundary string, values url.Values) error {
	parts := multipart.NewReader(bytes.NewReader(data), boundary)
	for n := 0; ; n++ {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && n == 100 {
			err = errors.New("it has more than 100 fields")
		}
		if err != nil {
			return bad("the form cannot be read: " + err.Error())
		}
		content, err := io.ReadAll(part)
		if err != nil {
			return bad("the form cannot be read: " + err.Error())
		}
		if part.FormName() == "file" {
			if u.data != nil {
				return bad(`the form has two fields "file": send one at a time`)
			}
			u.name, u.data = part.FileName(), content
		} else {
			values.Set(part.FormName(), string(content))
		}
	}
}

// options reads the choices of a request. Names that are not known are refused: a misspelled one would be passed over.
func options(values url.Values) (o textextraction.Options, err error) {
	for name, all := range values {
		v := all[0]
		switch name {
		case "filename", "stream", "wait":
		case "format":
			o.Format, err = textextraction.ParseFormat(v)
		case "prompt":
			o.Prompt = v
		case "system_prompt":
			o.SystemPrompt = v
		case "max_new_tokens", "max_tokens":
			o.MaxNewTokens, err = strconv.Atoi(v)
		case "min_pixels":
			o.MinPixels, err = strconv.Atoi(v)
		case "max_pixels":
			o.MaxPixels, err = strconv.Atoi(v)
		case "temperature":
			o.Sampling.Temperature, err = strconv.ParseFloat(v, 64)
		case "top_p":
			o.Sampling.TopP, err = strconv.ParseFloat(v, 64)
		case "top_k":
			o.Sampling.TopK, err = strconv.Atoi(v)
		case "seed":
			o.Sampling.Seed, err = strconv.ParseUint(v, 10, 64)
		default:
			err = errors.New("there is no such choice")
		}
		if err != nil {
			return o, bad(fmt.Sprintf("%s: %v", name, err))
		}
	}
	return o, nil
}

// flag reads a choice that is on or off.
func flag(r *http.Request, name string) bool {
	on, _ := strconv.ParseBool(r.URL.Query().Get(name)) // what is no boolean is off
	return on
}

// open makes a document of a file: a picture is one of a single page.
func (a *API) open(ctx context.Context, name string, data []byte) (Document, error) {
	img, err := imageproc.Decode(ctx, bytes.NewReader(data), imageproc.Limits{
		MaxPixels: a.options.MaxPixels,
		Room:      func(pixels int64) error { return held(ctx).take(pixels * pixelBytes) },
	})
	var refused *problem
	switch {
	case errors.As(err, &refused):
		return nil, err
	case err == nil:
		return picture{img}, nil
	case !errors.Is(err, imageproc.ErrFormat):
		if errors.Is(err, imageproc.ErrTooLarge) {
			return nil, &problem{http.StatusRequestEntityTooLarge, "too_large", err.Error(), err}
		}
		return nil, fmt.Errorf("%w: %w", textextraction.ErrImage, err)
	case a.options.Documents == nil:
		return nil, &problem{http.StatusUnsupportedMediaType, "unsupported_media_type", "this server takes pictures (PNG, JPEG, GIF, WebP, BMP, TIFF), and this is none", err}
	}
	d, err := a.options.Documents(ctx, name, data)
	if err != nil {
		return nil, &problem{http.StatusUnprocessableEntity, "unreadable_document", err.Error(), err}
	}
	if n := d.PageCount(); n > a.options.MaxPages {
		_ = d.Close() // it was only opened
		return nil, &problem{http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("the document has %d pages, this server takes %d", n, a.options.MaxPages), nil}
	}
	return d, nil
}

// picture is a document with one page.
type picture struct{ image.Image }

func (p picture) PageCount() int                                 { return 1 }
func (p picture) Page(context.Context, int) (image.Image, error) { return p.Image, nil }
func (p picture) Close() error                                   { return nil }
