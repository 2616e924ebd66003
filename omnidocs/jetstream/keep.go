package jetstream

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"

	"github.com/omnidocs/omnidocs/omnidocs/jobs"
	"github.com/omnidocs/omnidocs/omnidocs/journal"
	"github.com/omnidocs/omnidocs/textextraction"
)

// keeping is an extractor for one page, whose result it keeps in the store, under the key of its content; what is there already is not read again.
type keeping struct {
	textextraction.TextExtractor
	id     jobs.Identity
	store  Store
	worker string

	key   journal.Key // of the result
	found bool        // it was there
}

// ExtractWith returns the result that the store has, or else what the extractor reads, and keeps it.
func (k *keeping) ExtractWith(ctx context.Context, img image.Image, opts textextraction.Options) (*textextraction.ExtractResult, error) {
	k.key = k.id.PageKey(img)
	if r, err := k.get(ctx); r != nil || err != nil {
		k.found = r != nil
		return r, err
	}
	r, err := k.TextExtractor.ExtractWith(ctx, img, opts)
	if err != nil {
		return r, err
	}
	if r.Worker == "" {
		named := *r
		named.Worker = k.worker
		r = &named
	}
	created, err := k.keep(ctx, r)
	if err != nil {
		return nil, err
	}
	if !created { // somebody was quicker: theirs is the page's
		if theirs, err := k.get(ctx); theirs != nil || err != nil {
			return theirs, err
		}
	}
	return r, nil
}

func (k *keeping) get(ctx context.Context) (*textextraction.ExtractResult, error) {
	r, err := load(ctx, k.store, k.key)
	if err != nil {
		return nil, fmt.Errorf("the store of results: %w", err)
	}
	return r, nil
}

func (k *keeping) keep(ctx context.Context, r *textextraction.ExtractResult) (created bool, err error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err = e.Encode(r)
	if err == nil {
		created, err = k.store.Create(ctx, k.key, bytes.TrimSuffix(b.Bytes(), []byte("\n")))
	}
	if err != nil {
		return false, fmt.Errorf("the store of results: %w", err)
	}
	return created, nil
}

// keepLayer keeps the text that a PDF has itself: under a key of its own, since it is not what the model reads in the page.
func (k *keeping) keepLayer(ctx context.Context, r *textextraction.ExtractResult) error {
	k.key = journal.NewKey([]byte("omnidocs text layer 1"), []byte(r.Format.String()), []byte(r.Content))
	_, err := k.keep(ctx, r)
	return err
}

// load returns a result; nil if there is none.
func load(ctx context.Context, store Store, key journal.Key) (*textextraction.ExtractResult, error) {
	data, ok, err := store.Get(ctx, key)
	if err != nil || !ok {
		return nil, err
	}
	r := &textextraction.ExtractResult{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("result %v: %w", key, err)
	}
	return r, nil
}
