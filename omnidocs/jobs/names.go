package jobs

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"strings"
)

// resultNames gives each of the paths, which are those below the job's folder, the name of its results without extension. That is the path without its extension,
// as in Python, where no other document has the same; with it, where one has; and with a checksum of the path besides, where even that is taken. Names
// that differ in upper and lower case alone count as the same, for the sake of file systems that do not tell them apart. The names of some documents do not depend on
// the order of the paths.
func resultNames(paths []string) []string {
	names := make([]string, len(paths))
	taken := map[string]bool{}
	open := make([]int, len(paths))
	for i := range open {
		open[i] = i
	}
	for _, name := range []func(string) string{withoutExtension, within, withChecksum} {
		wanted := map[string]int{}
		for _, i := range open {
			wanted[fold(name(paths[i]))]++
		}
		var left []int
		for _, i := range open {
			n := name(paths[i])
			if wanted[fold(n)] > 1 || taken[fold(n)] {
				left = append(left, i)
				continue
			}
			names[i] = n
		}
		for _, i := range open {
			if names[i] != "" {
				taken[fold(names[i])] = true
			}
		}
		open = left
	}
	for _, i := range open { // the same path twice: its results are the same
		names[i] = withChecksum(paths[i])
	}
	return names
}

func fold(name string) string { return strings.ToLower(name) }

// within keeps a path below the folder of the results, whatever is in it.
func within(path string) string {
	path = filepath.Clean("/" + filepath.ToSlash(path))
	return strings.TrimPrefix(filepath.ToSlash(path), "/")
}

func withoutExtension(path string) string {
	path = within(path)
	stem := strings.TrimSuffix(path, filepath.Ext(path))
	if base := filepath.Base(filepath.FromSlash(stem)); stem == "" || strings.HasSuffix(stem, "/") || base == "." {
		return path // a name such as ".pdf"
	}
	return stem
}

func withChecksum(path string) string {
	sum := sha256.Sum256([]byte(path))
	return within(path) + "-" + hex.EncodeToString(sum[:4])
}
