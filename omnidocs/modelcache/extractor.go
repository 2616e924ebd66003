package modelcache

import (
	"context"
	"errors"
	"fmt"

	"github.com/omnidocs/omnidocs/textextraction"
)

// Extractor returns an extractor for a config, with the model from the cache, or loaded into it. Closing the extractor lets
// go of the model, which stays in the cache. An extractor of a model behind a server is made anew, and not kept.
func (c *Cache) Extractor(ctx context.Context, cfg textextraction.Config) (textextraction.TextExtractor, error) {
	key, err := Key(cfg)
	if err != nil {
		return nil, err
	}
	if key == "" {
		ex, err := textextraction.NewQwenTextExtractor(ctx, cfg)
		if err != nil {
			return nil, err
		}
		return ex, nil
	}
	ref, err := Load(ctx, c, key, func(ctx context.Context) (*textextraction.QwenTextExtractor, error) {
		return textextraction.NewQwenTextExtractor(ctx, cfg)
	})
	if err != nil {
		return nil, err
	}
	ex, err := ref.Value.WithConfig(cfg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("modelcache: %w", err), ref.Release())
	}
	return &cached{ex, ref}, nil
}

// cached is an extractor that uses a model of the cache.
type cached struct {
	*textextraction.QwenTextExtractor
	ref *Ref[*textextraction.QwenTextExtractor]
}

// Close ends the calls under way, and lets go of the model.
func (c *cached) Close() error { return errors.Join(c.QwenTextExtractor.Close(), c.ref.Release()) }
