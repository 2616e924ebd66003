package pdf

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/klippa-app/go-pdfium"
	"github.com/klippa-app/go-pdfium/webassembly"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// memoryLimit bounds the memory of one sandbox, in bytes. A Letter page at 600 dpi, the largest resolution, takes 101 MB of
// it for the pixels, and pages with transparency two or three times that.
const memoryLimit = 1 << 30

// engine is PDFium, compiled to machine code: what sandboxes are made from.
type engine struct {
	ready chan struct{} // closed when the others are set
	pool  pdfium.Pool
	err   error
}

var (
	engineMu sync.Mutex
	current  *engine
)

// Start begins to compile PDFium, if nobody has yet, and does not wait. It takes some seconds of a processor the first
// time; the result is kept in the user's cache folder, and from there it takes a fifth of a second.
func Start() { start() }

func start() *engine {
	engineMu.Lock()
	defer engineMu.Unlock()
	if current == nil {
		current = &engine{ready: make(chan struct{})}
		go current.compile()
	}
	return current
}

// sandboxes is what makes sandboxes, when it is ready.
func sandboxes(ctx context.Context) (pdfium.Pool, error) {
	e := start()
	select {
	case <-e.ready:
		return e.pool, e.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (e *engine) compile() {
	defer close(e.ready)
	pages := uint32(memoryLimit / (64 << 10))
	config := wazero.NewRuntimeConfig().
		WithCoreFeatures(api.CoreFeaturesV2 | experimental.CoreFeaturesExceptionHandling). // go-pdfium asks for both
		WithMemoryLimitPages(pages).
		WithCloseOnContextDone(true) // so that a page that hangs can be ended
	if cache := compilationCache(); cache != nil {
		config = config.WithCompilationCache(cache)
	}
	e.pool, e.err = webassembly.Init(webassembly.Config{
		Context:       experimental.WithCompilationWorkers(context.Background(), runtime.GOMAXPROCS(0)),
		MaxTotal:      -1, // bounded by workers
		RuntimeConfig: config,
		FSConfig:      wazero.NewFSConfig(), // nothing: the default is all that the process can read
		Stdout:        io.Discard,
		Stderr:        io.Discard,
	})
	if e.err != nil {
		e.err = fmt.Errorf("start PDFium: %w", e.err)
		engineMu.Lock()
		current = nil // the next may have more luck
		engineMu.Unlock()
	}
}

// compilationCache is on disk where there is a place for it.
func compilationCache() wazero.CompilationCache {
	dir, err := os.UserCacheDir()
	if err != nil {
		return nil
	}
	cache, err := wazero.NewCompilationCacheWithDir(filepath.Join(dir, "omnidocs", "pdfium"))
	if err != nil {
		return nil
	}
	return cache
}
