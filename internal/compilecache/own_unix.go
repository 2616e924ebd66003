//go:build unix

package compilecache

import (
	"io/fs"
	"os"
	"syscall"
)

// own says whether a file is this user's, or root's, and nobody else's to write.
func own(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && (int(stat.Uid) == os.Geteuid() || stat.Uid == 0) && info.Mode().Perm()&0o022 == 0
}
