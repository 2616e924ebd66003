package compilecache

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"sync"
)

// ErrNoPlugin is the error of [Attach] where no plugin can have a cache.
var ErrNoPlugin = errors.New("compilecache: plugins are loaded on Linux only, and with cgo")

// Cache is a store for one device: programs are found again only where all is as it was when they were compiled.
type Cache struct {
	store    *Store
	identity [sha256.Size]byte
	cannot   sync.Once // tells that the plugin cannot write its programs
}

// For is the store for a device. The identity is whatever a compiled program depends on beside its text and the options that it is
// compiled with: the plugin and its version, the hardware, flags.
func (s *Store) For(identity ...string) *Cache {
	h := sha256.New()
	for _, part := range identity {
		hashPart(h, []byte(part))
	}
	return &Cache{store: s, identity: [sha256.Size]byte(h.Sum(nil))}
}

// key is that of a program.
func (c *Cache) key(format, code, options []byte) key {
	h := sha256.New()
	h.Write(c.identity[:])
	for _, part := range [][]byte{format, code, options} {
		hashPart(h, part)
	}
	return key(h.Sum(nil))
}

// hashPart adds a part so that no two lists of parts are the same bytes.
func hashPart(h hash.Hash, part []byte) {
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], uint64(len(part)))
	h.Write(length[:])
	h.Write(part)
}
