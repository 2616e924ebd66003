package compilecache

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
)

// Replace puts other programs in the place of all, with sums that hold, and counts them.
func Replace(s *Store, program []byte) (int, error) {
	found, err := filepath.Glob(filepath.Join(s.dir, "*"+suffix))
	for _, file := range found {
		name, err := hex.DecodeString(strings.TrimSuffix(filepath.Base(file), suffix))
		if err != nil {
			return 0, err
		}
		if err := os.Remove(file); err != nil {
			return 0, err
		}
		s.put(key(name), program)
	}
	return len(found), err
}
