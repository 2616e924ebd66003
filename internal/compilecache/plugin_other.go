//go:build !linux || !cgo

package compilecache

// Attach is an error: there are no plugins.
func Attach(string) error { return ErrNoPlugin }

// Run runs f, with no cache.
func (*Cache) Run(f func()) (ready bool) {
	f()
	return false
}
