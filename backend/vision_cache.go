package backend

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"unsafe"

	"github.com/omnidocs/omnidocs/qwen"
)

// defaultVisionCache is the memory of the device, in bytes, that visual tokens of earlier pages may take.
const defaultVisionCache = 64 << 20

// visionCache keeps the visual tokens of the last pages by their content, so that a page which is read again, as HTML after
// Markdown, goes through the vision tower once.
type visionCache struct {
	kept[visionKey, *qwen.Visual]
}

type visionKey [sha256.Size]byte

// keyOf hashes what the vision tower is given.
func keyOf(p *qwen.Patches) visionKey {
	h := sha256.New()
	_ = binary.Write(h, binary.LittleEndian, [2]int64{int64(p.GridH), int64(p.GridW)}) // a hash does not fail
	h.Write(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(p.Pixels))), 4*len(p.Pixels)))
	return visionKey(h.Sum(nil))
}

func (c *visionCache) index(key visionKey) int {
	return slices.IndexFunc(c.entries, func(e keptEntry[visionKey, *qwen.Visual]) bool { return e.key == key })
}

// get returns the visual tokens of a page, which stay the cache's, or nil.
func (c *visionCache) get(key visionKey) *qwen.Visual {
	i := c.index(key)
	if i < 0 {
		return nil
	}
	return c.use(i)
}

// has says whether the visual tokens of a page are there.
func (c *visionCache) has(key visionKey) bool { return c.index(key) >= 0 }
