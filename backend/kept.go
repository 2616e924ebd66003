package backend

import (
	"errors"
	"slices"
)

// kept is what pages have left on the device for others that have something in common with them, within a limit of bytes: the least recently
// used of it goes first. It belongs to one goroutine at a time.
type kept[K any, V interface {
	Bytes() int64
	Close() error
}] struct {
	limit   int64
	entries []keptEntry[K, V] // the least recently used first
	bytes   int64
}

type keptEntry[K, V any] struct {
	key   K
	value V
	bytes int64
}

// use returns the i-th entry's value, which stays the store's, as the one used last.
func (c *kept[K, V]) use(i int) V {
	e := c.entries[i]
	c.entries = append(slices.Delete(c.entries, i, i+1), e)
	return e.value
}

// put gives the store a value. It reports false, and takes nothing, if that has no room in it.
func (c *kept[K, V]) put(key K, value V) (bool, error) {
	n := value.Bytes()
	if n > c.limit {
		return false, nil
	}
	var errs []error
	for len(c.entries) > 0 && c.bytes+n > c.limit {
		c.bytes -= c.entries[0].bytes
		errs = append(errs, c.entries[0].value.Close())
		c.entries = slices.Delete(c.entries, 0, 1)
	}
	c.entries = append(c.entries, keptEntry[K, V]{key, value, n})
	c.bytes += n
	return true, errors.Join(errs...)
}

// close frees all.
func (c *kept[K, V]) close() error {
	var errs []error
	for _, e := range c.entries {
		errs = append(errs, e.value.Close())
	}
	c.entries, c.bytes = nil, 0
	return errors.Join(errs...)
}
