package modelcache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// DefaultMaxEntries is the default number of models that a cache keeps.
const DefaultMaxEntries = 10

// Config says how much a [Cache] keeps. A zero Config consists entirely of default values.
type Config struct {
	// MaxEntries is the number of models. Default 10; negative means that there is no limit, as Python's 0 does. Models in use
	// count, and are not closed: a model that has to go while it is in use is closed when its last user lets go of it.
	MaxEntries int
	// EvictOldest lets the model go that was used longest ago, even if it is in use and others are not. Python has it as
	// evict_unreferenced_first = False.
	EvictOldest bool
}

// Default is the cache of the process. To limit it, call [Cache.SetConfig].
var Default = New(Config{})

// Cache holds models under keys. It may be used from several goroutines.
type Cache struct {
	mu      sync.Mutex
	config  Config
	entries map[string]*entry
	clock   uint64 // counts uses
}

// entry is a model that is loaded, or being loaded.
type entry struct {
	key    string
	loaded chan struct{} // closed when value or err is set
	value  io.Closer
	err    error
	cancel context.CancelFunc // ends the loading

	// The others are guarded by the cache's mutex.
	refs    int // who use it, or wait for it
	uses    int
	used    uint64 // the clock at the last use
	since   time.Time
	evicted bool // it is not in the cache any more, and goes with its last user
}

// New returns an empty cache.
func New(config Config) *Cache {
	return &Cache{config: config, entries: map[string]*entry{}}
}

// Ref is a user's hold on a model.
type Ref[T io.Closer] struct {
	// Value is the model. It is not closed before Release is called.
	Value T

	release func() error
}

// Release lets go of the model, which stays in the cache for the next. An error is that of closing it, if it had left
// the cache. Releasing twice is no error.
func (r *Ref[T]) Release() error { return r.release() }

// ErrType is matched by the error of a key under which there is a value of another type.
var ErrType = errors.New("modelcache: another type of value")

// Load returns the model under key, or has it loaded. A model that several ask for at once is loaded once; the loading ends
// when the contexts of all of them have ended. A loading that fails leaves nothing behind.
func Load[T io.Closer](ctx context.Context, c *Cache, key string, load func(context.Context) (T, error)) (*Ref[T], error) {
	e, begin := c.take(key)
	if begin {
		loadCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		e.cancel = cancel
		go func() {
			value, err := load(loadCtx)
			if err == nil {
				e.value = value
			}
			c.finish(e, err)
		}()
	}
	select {
	case <-e.loaded:
	case <-ctx.Done():
		return nil, errors.Join(context.Cause(ctx), c.release(e))
	}
	if e.err != nil {
		return nil, errors.Join(e.err, c.release(e))
	}
	return newRef[T](c, e)
}

// Get returns the model under key if it is loaded, and else false.
func Get[T io.Closer](c *Cache, key string) (*Ref[T], bool) {
	c.mu.Lock()
	e, ok := c.entries[key]
	if ok && !e.ready() {
		ok = false
	}
	if ok {
		c.use(e)
	}
	c.mu.Unlock()
	if !ok {
		return nil, false
	}
	ref, err := newRef[T](c, e)
	return ref, err == nil
}

func newRef[T io.Closer](c *Cache, e *entry) (*Ref[T], error) {
	value, ok := e.value.(T)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%w: %q is a %T", ErrType, e.key, e.value), c.release(e))
	}
	return &Ref[T]{Value: value, release: sync.OnceValue(func() error { return c.release(e) })}, nil
}

// Remove takes a model out of the cache, and says whether it was there. It is closed at once, or when its last user lets
// go of it.
func (c *Cache) Remove(key string) (bool, error) {
	c.mu.Lock()
	e, ok := c.entries[key]
	var old []*entry
	if ok {
		old = c.evict(e, nil)
	}
	c.mu.Unlock()
	return ok, closeAll(old)
}

// Clear takes all models out of the cache; see [Cache.Remove]. It returns how many there were.
func (c *Cache) Clear() (int, error) {
	c.mu.Lock()
	n := len(c.entries)
	var old []*entry
	for _, e := range c.entries {
		old = c.evict(e, old)
	}
	c.mu.Unlock()
	return n, closeAll(old)
}

// SetConfig changes the limits, and lets go of what is beyond them.
func (c *Cache) SetConfig(config Config) error {
	c.mu.Lock()
	c.config = config
	old := c.shrink(nil)
	c.mu.Unlock()
	return closeAll(old)
}

// Config returns the limits.
func (c *Cache) Config() Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.config
}

// take returns the entry for a key, which the caller uses from here on, and whether the caller is to load it.
func (c *Cache) take(key string) (e *entry, begin bool) {
	c.mu.Lock()
	e, ok := c.entries[key]
	if !ok {
		e = &entry{key: key, loaded: make(chan struct{}), since: time.Now()}
		c.entries[key] = e
	}
	c.use(e)
	old := c.shrink(e)
	c.mu.Unlock()
	// To close a model must not keep others from theirs; what goes wrong with it is not this caller's concern.
	_ = closeAll(old)
	return e, !ok
}

func (c *Cache) use(e *entry) {
	c.clock++
	e.used = c.clock
	e.refs++
	e.uses++
}

// finish ends the loading of an entry.
func (c *Cache) finish(e *entry, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.err = err
	close(e.loaded)
	e.cancel()
	if err != nil && c.entries[e.key] == e {
		delete(c.entries, e.key)
	}
	if e.refs == 0 && e.evicted && e.value != nil { // all who wanted it have gone
		go e.value.Close()
	}
}

// release lets go of an entry.
func (c *Cache) release(e *entry) error {
	c.mu.Lock()
	e.refs--
	var old []*entry
	switch {
	case e.refs > 0:
	case !e.ready(): // nobody waits for the loading any more
		e.cancel()
		old = c.evict(e, old)
	case e.evicted:
		old = append(old, e)
	default:
		old = c.shrink(nil)
	}
	c.mu.Unlock()
	return closeAll(old)
}

// shrink evicts what is beyond the limit, but not keep. It returns what is to be closed.
func (c *Cache) shrink(keep *entry) (old []*entry) {
	limit := c.config.MaxEntries
	if limit == 0 {
		limit = DefaultMaxEntries
	}
	for limit > 0 && len(c.entries) > limit {
		var worst *entry
		for _, e := range c.entries {
			if e != keep && (worst == nil || c.before(e, worst)) {
				worst = e
			}
		}
		if worst == nil {
			break
		}
		old = c.evict(worst, old)
	}
	return old
}

// before says whether a is to go before b.
func (c *Cache) before(a, b *entry) bool {
	if !c.config.EvictOldest && (a.refs == 0) != (b.refs == 0) {
		return a.refs == 0
	}
	return a.used < b.used
}

// evict takes an entry out of the cache, and appends it to old if it is to be closed.
func (c *Cache) evict(e *entry, old []*entry) []*entry {
	if c.entries[e.key] == e {
		delete(c.entries, e.key)
	}
	e.evicted = true
	if e.refs == 0 && e.ready() {
		old = append(old, e)
	}
	return old
}

// ready says whether the entry has been loaded, well or not.
func (e *entry) ready() bool {
	select {
	case <-e.loaded:
		return true
	default:
		return false
	}
}

func closeAll(entries []*entry) error {
	var errs []error
	for _, e := range entries {
		if e.value == nil {
			continue
		}
		if err := e.value.Close(); err != nil {
			errs = append(errs, fmt.Errorf("modelcache: close %s: %w", e.key, err))
		}
	}
	return errors.Join(errs...)
}

// Info is a snapshot of a cache. In JSON it has Python's names.
type Info struct {
	NumEntries int                  `json:"num_entries"`
	MaxEntries int                  `json:"max_entries"`
	Keys       []string             `json:"keys"` // the one used longest ago first
	Entries    map[string]EntryInfo `json:"entries"`
}

// EntryInfo describes a model of a cache.
type EntryInfo struct {
	// RefCount is the number of users, AccessCount how often it was asked for.
	RefCount    int `json:"ref_count"`
	AccessCount int `json:"access_count"`
	// AgeSeconds is how long ago it was first asked for.
	AgeSeconds float64 `json:"age_seconds"`
	// Loading says that it is not there yet.
	Loading bool `json:"loading,omitzero"`
}

// Info tells what is in the cache.
func (c *Cache) Info() Info {
	c.mu.Lock()
	defer c.mu.Unlock()
	info := Info{NumEntries: len(c.entries), MaxEntries: c.config.MaxEntries, Entries: map[string]EntryInfo{}, Keys: []string{}}
	if info.MaxEntries == 0 {
		info.MaxEntries = DefaultMaxEntries
	}
	for key, e := range c.entries {
		info.Keys = append(info.Keys, key)
		info.Entries[key] = EntryInfo{e.refs, e.uses, time.Since(e.since).Seconds(), !e.ready()}
	}
	slices.SortFunc(info.Keys, func(a, b string) int {
		return int(c.entries[a].used) - int(c.entries[b].used)
	})
	return info
}
