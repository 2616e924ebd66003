package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	"reflect"

	"github.com/omnidocs/omnidocs/omnidocs/journal"
	"github.com/omnidocs/omnidocs/textextraction"
)

// pageVersion is part of every key. It changes when results from before shall not be used any more.
const pageVersion = "omnidocs page 1"

// Identity stands for everything that the text of a page depends on besides the page: who reads it, and with which options.
type Identity string

// IdentityOf returns the identity of an extractor that reads pages with opts.Page. Opts.ExtractorID takes the place of what a [Fingerprinter] says of itself; where there
// is neither, the error matches [ErrOptions].
func IdentityOf(ctx context.Context, ex textextraction.TextExtractor, opts Options) (Identity, error) {
	options, err := json.Marshal(pageOptions(opts.Page))
	if err != nil {
		return "", fmt.Errorf("jobs: %w", err)
	}
	id := opts.ExtractorID
	if f, ok := ex.(Fingerprinter); ok && id == "" {
		if id, err = f.Fingerprint(ctx, opts.Page); err != nil {
			return "", fmt.Errorf("jobs: %w", err)
		}
	}
	if id == "" {
		return "", fmt.Errorf("%w: ExtractorID: it is empty, and a %T does not say what it is: the journal needs to know whose results to use again", ErrOptions, ex)
	}
	return Identity(id + "\n" + string(options)), nil
}

// PageKey is the key under which journals, and whoever else keeps results, know the result of a page: of its pixels, and of who reads it.
func (id Identity) PageKey(img image.Image) journal.Key {
	pixels := journal.ImageKey(img)
	return journal.NewKey([]byte(pageVersion), pixels[:], []byte(id))
}

// pageOptions are what of the options the text depends on: all fields but functions.
func pageOptions(o textextraction.Options) map[string]any {
	fields := map[string]any{}
	for field, value := range reflect.ValueOf(o).Fields() {
		if field.IsExported() && field.Type.Kind() != reflect.Func {
			fields[field.Name] = value.Interface()
		}
	}
	return fields
}
