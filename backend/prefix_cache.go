package backend

import (
	"errors"

	"github.com/omnidocs/omnidocs/qwen"
)

// prefixCache keeps what the last prompts have left in the layers of the text tower, by their pictures. A prompt that begins with the same
// tokens, those of the same picture included, begins behind them: HTML after Markdown of one page, pages behind one long system prompt.
type prefixCache struct {
	kept[visionKey, *qwen.Prefix]
}

// find returns what a prompt can best begin behind, which stays the cache's, and how many tokens that are; nil and 0 if there is nothing.
func (c *prefixCache) find(l *qwen.Layout, image visionKey) (*qwen.Prefix, int) {
	best, most := 0, 0
	for i, e := range c.entries {
		if n := e.value.Behind(l, func(int) bool { return e.key == image }); n > most {
			best, most = i, n
		}
	}
	if most == 0 {
		return nil, 0
	}
	return c.use(best), most
}

// keep takes the prefix of a prompt, if it has one.
func (c *prefixCache) keep(image visionKey, p *qwen.Prompted) error {
	if p.Prefix == nil {
		return nil
	}
	kept, err := c.put(image, p.Prefix)
	if !kept {
		err = errors.Join(err, p.Prefix.Close())
	}
	p.Prefix = nil
	return err
}

// caches are what pages leave for others. They belong to the admission that is under way, and to the loop where there is none.
type caches struct {
	vision visionCache
	prefix prefixCache
}

// newCaches makes those of a plan.
func newCaches(p *Plan) caches {
	var c caches
	c.vision.limit, c.prefix.limit = p.VisionCache, p.PrefixCache
	return c
}

// close frees all that is in them.
func (c *caches) close() error { return errors.Join(c.vision.close(), c.prefix.close()) }
