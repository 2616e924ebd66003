package backend

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/omnidocs/omnidocs/internal/compilecache"
)

// CompileCacheEnv names the folder of compiled programs where options name none: see [OpenOptions.CompileCache].
const CompileCacheEnv = "OMNIDOCS_COMPILE_CACHE"

// CompileCacheLimit is how many bytes of compiled programs are kept in a folder. Those that have not been used for the longest time go
// first.
const CompileCacheLimit = 2 << 30

// noCompileCache are the words for no cache.
var noCompileCache = []string{"off", "none", "no", "false", "0"}

// compileCacheFolder is the folder of compiled programs that an option, or the environment, asks for, "" for none.
func (p place) compileCacheFolder(option string) (string, error) {
	folder := option
	if folder == "" {
		folder = p.getenv(CompileCacheEnv)
	}
	switch {
	case slices.Contains(noCompileCache, strings.ToLower(folder)):
		return "", nil
	case folder != "":
		return filepath.Abs(folder)
	}
	caches := p.getenv("XDG_CACHE_HOME")
	if !filepath.IsAbs(caches) && p.home != "" {
		caches = filepath.Join(p.home, ".cache")
	}
	if !filepath.IsAbs(caches) {
		return "", nil // there is no place for one
	}
	return filepath.Join(caches, "omnidocs", "compiled"), nil
}

// openCompileCache opens the folder of compiled programs. It is nil where there is to be none.
func (p place) openCompileCache(option string, log *slog.Logger) (*compilecache.Store, error) {
	folder, err := p.compileCacheFolder(option)
	if err != nil || folder == "" {
		return nil, err
	}
	return compilecache.OpenStore(folder, CompileCacheLimit, log)
}

// noCache is the note of a cache that there is not.
func noCache(err error) string { return fmt.Sprintf("compiled programs are not kept: %v", err) }
