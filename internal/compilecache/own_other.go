//go:build !unix

package compilecache

import "io/fs"

// own is not asked: no plugin is loaded there.
func own(fs.FileInfo) bool { return false }
