package backend

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"unsafe"

	"github.com/omnidocs/omnidocs/qwen"
)

// defaultVisionCache is the memory of the device, in bytes, that visual tokens of earlier pages may take.
const defaultVisionCache = 64 << 20

// visionCache keeps the visual tokens of the last pages by their content, so that a page which is read again, as HTML after
// Markdown, goes through the vision tower once. It belongs to one goroutine at a time.
type visionCache struct {
	limit   int64
	entries []visionEntry // the least recently used first
	bytes   int64
	hits    int
}

type visionEntry struct {
	key    visionKey
	visual *qwen.Visual
}

type visionKey [sha256.Size]byte

// keyOf hashes what the vision tower is given.
func keyOf(p *qwen.Patches) visionKey {
	h := sha256.New()
	_ = binary.Write(h, binary.LittleEndian, [2]int64{int64(p.GridH), int64(p.GridW)}) // a hash does not fail
	h.Write(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(p.Pixels))), 4*len(p.Pixels)))
	return visionKey(h.Sum(nil))
}

// get returns the visual tokens of a page, which stay the cache's, or nil.
func (c *visionCache) get(key visionKey) *qwen.Visual {
	i := slices.IndexFunc(c.entries, func(e visionEntry) bool { return e.key == key })
	if i < 0 {
		return nil
	}
	e := c.entries[i]
	c.entries = append(slices.Delete(c.entries, i, i+1), e)
	c.hits++
	return e.visual
}

// has says whether the visual tokens of a page are there.
func (c *visionCache) has(key visionKey) bool {
	return slices.ContainsFunc(c.entries, func(e visionEntry) bool { return e.key == key })
}

// put gives the cache visual tokens. It reports false, and takes nothing, if they have no room in it.
func (c *visionCache) put(key visionKey, v *qwen.Visual) (bool, error) {
	n := v.Bytes()
	if n > c.limit {
		return false, nil
	}
	var errs []error
	for len(c.entries) > 0 && c.bytes+n > c.limit {
		c.bytes -= c.entries[0].visual.Bytes()
		errs = append(errs, c.entries[0].visual.Close())
		c.entries = slices.Delete(c.entries, 0, 1)
	}
	c.entries = append(c.entries, visionEntry{key, v})
	c.bytes += n
	return true, errors.Join(errs...)
}

// close frees all.
func (c *visionCache) close() error {
	var errs []error
	for _, e := range c.entries {
		errs = append(errs, e.visual.Close())
	}
	c.entries, c.bytes = nil, 0
	return errors.Join(errs...)
}
