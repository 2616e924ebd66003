package program

import "context"

// Pacer decides when the calls to the device that are made under a context may go: it calls run once, when it is time.
type Pacer interface{ Pace(run func()) }

type pacerKey struct{}

// WithPacer returns a context whose calls to the device are paced.
func WithPacer(ctx context.Context, p Pacer) context.Context {
	return context.WithValue(ctx, pacerKey{}, p)
}

// Paced runs a call when the context's pacer says so, or at once. Programs do so by themselves; it is for what the host computes in
// their place.
func Paced(ctx context.Context, run func()) {
	if p, ok := ctx.Value(pacerKey{}).(Pacer); ok {
		p.Pace(run)
		return
	}
	run()
}
