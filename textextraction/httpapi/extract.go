package httpapi

import (
	"context"
	"errors"
	"fmt"
	"image"
	"net/http"
	"time"

	"github.com/omnidocs/omnidocs/internal/safehttp"
	"github.com/omnidocs/omnidocs/textextraction"
)

// enter waits until a page's turn has come. The caller calls leave.
func (a *API) enter(ctx context.Context, patient bool) (_ context.Context, leave func(), err error) {
	if a.draining.Load() && !patient {
		return nil, nil, &problem{status: http.StatusServiceUnavailable, kind: "draining", message: "the server ends: ask another"}
	}
	ctx, stop := context.WithTimeout(ctx, a.options.PageTimeout)
	if err := a.gate.enter(ctx, patient); err != nil {
		stop()
		return nil, nil, err
	}
	return ctx, func() {
		a.gate.leave()
		stop()
	}, nil
}

// read reads one page when its turn has come.
func (a *API) read(ctx context.Context, page image.Image, opts textextraction.Options, patient bool) (*textextraction.ExtractResult, error) {
	ctx, leave, err := a.enter(ctx, patient)
	if err != nil {
		return nil, err
	}
	defer leave()
	start := time.Now()
	r, err := a.extractor.ExtractWith(ctx, page, opts)
	if err != nil {
		r = nil // half a page is none
	}
	a.metrics.page(r, err, time.Since(start))
	return r, err
}

// extract reads a picture, or a document, which becomes a job unless the caller wants to wait.
func (a *API) extract(w http.ResponseWriter, r *http.Request) {
	u, err := a.upload(w, r)
	if err != nil {
		refuse(w, err)
		return
	}
	d, err := a.open(r.Context(), u.name, u.data)
	if err != nil {
		refuse(w, err)
		return
	}
	u.data = nil
	_, one := d.(picture)
	switch {
	case !one && !flag(r, "wait"):
		a.accept(r.Context(), w, d, u)
	case !one:
		job, err := a.jobs.add(r.Context(), d, u)
		if err != nil {
			refuse(w, err)
			return
		}
		select {
		case <-job.done:
			reply(w, http.StatusOK, job.show())
		case <-r.Context().Done():
			job.cancel()
		}
	default:
		a.readPicture(w, r, d, u.opts)
	}
}

func (a *API) readPicture(w http.ResponseWriter, r *http.Request, d Document, opts textextraction.Options) {
	page, err := d.Page(r.Context(), 0)
	if err != nil {
		refuse(w, err)
		return
	}
	if flag(r, "stream") {
		a.extractStream(w, r, page, opts)
		return
	}
	result, err := a.read(r.Context(), page, opts, false)
	if err != nil {
		refuse(w, err)
		return
	}
	reply(w, http.StatusOK, result)
}

// extractFromURL is the webhook of OmniDocs' guide for Modal.
func (a *API) extractFromURL(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		ImageURL     string                `json:"image_url"`
		OutputFormat textextraction.Format `json:"output_format"`
	}
	if err := a.jsonBody(w, r, &asked, `want {"image_url": "https://…"}`); err != nil {
		refuse(w, err)
		return
	}
	page, err := a.fetch(r.Context(), asked.ImageURL)
	if err != nil {
		refuse(w, err)
		return
	}
	result, err := a.read(r.Context(), page, textextraction.Options{Format: asked.OutputFormat}, false)
	if err != nil {
		refuse(w, err)
		return
	}
	reply(w, http.StatusOK, struct {
		Success bool `json:"success"`
		*textextraction.ExtractResult
	}{true, result})
}

// fetch gets the picture at an address.
func (a *API) fetch(ctx context.Context, address string) (image.Image, error) {
	switch {
	case address == "":
		return nil, bad("there is no address of a picture")
	case a.options.NoFetch:
		return nil, &problem{status: http.StatusForbidden, kind: "forbidden", message: "this server fetches nothing: send the picture itself"}
	}
	// What comes is not known before it is there.
	if err := held(ctx).take(a.options.MaxBodyBytes); err != nil {
		return nil, err
	}
	data, err := a.options.Fetch(ctx, address)
	held(ctx).give(a.options.MaxBodyBytes - int64(len(data)))
	if err != nil {
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, safehttp.ErrRefused):
			return nil, &problem{http.StatusForbidden, "forbidden", "the picture may not be fetched: " + err.Error(), err}
		case errors.Is(err, safehttp.ErrTooLarge):
			return nil, &problem{http.StatusRequestEntityTooLarge, "too_large", "the picture: " + err.Error(), err}
		}
		return nil, &problem{http.StatusBadGateway, "fetch_failed", "the picture could not be fetched: " + err.Error(), err}
	}
	d, err := a.open(ctx, address, data)
	if err != nil {
		return nil, err
	}
	page, ok := d.(picture)
	if !ok {
		return nil, errors.Join(&problem{http.StatusUnsupportedMediaType, "unsupported_media_type", fmt.Sprintf("what is at %s is no picture", address), nil}, d.Close())
	}
	return page.Image, nil
}
