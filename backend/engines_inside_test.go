package backend

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/program"
	"github.com/omnidocs/omnidocs/internal/tiny"
)

// handed is a page that an engine has been given.
type handed struct {
	request  Request
	finished func(Output, error)
}

// fakes are engines that end pages when a test says so.
type fakes struct {
	*Engines
	mu    sync.Mutex
	pages []chan handed // of each engine
	full  []error       // what an engine says to a new page
}

func newFakes(t *testing.T, n, slots int) *fakes {
	t.Helper()
	device, err := Open(t.Context(), "go")
	require.NoError(t, err)
	f := &fakes{Engines: &Engines{device: device, room: make(chan struct{}, 2*slots*n), closing: make(chan struct{})}, full: make([]error, n)}
	for i := range n {
		pages := make(chan handed, 100)
		f.pages = append(f.pages, pages)
		f.members = append(f.members, &member{slots: slots, submit: func(_ context.Context, r Request, finished func(Output, error)) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.full[i] == nil {
				pages <- handed{r, finished}
			}
			return f.full[i]
		}})
	}
	return f
}

// read submits a page with a prompt, and returns where its end is told.
func (f *fakes) read(ctx context.Context, t *testing.T, prompt string) chan error {
	t.Helper()
	end := make(chan error, 1)
	require.NoError(t, f.Submit(ctx, Request{Prompt: prompt}, func(_ Output, err error) { end <- err }))
	return end
}

// waiting counts the pages that an engine has been given and not ended.
func (f *fakes) waiting(engine int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.pages[engine])
}

var errDevice = &program.RunError{Program: "step", Err: errors.New("the device is gone")}

// A page goes to the engine with the fewest pages.
func TestLeastWork(t *testing.T) {
	f := newFakes(t, 3, 2)
	for range 6 {
		f.read(t.Context(), t, "x")
	}
	require.Equal(t, [3]int{2, 2, 2}, [3]int{f.waiting(0), f.waiting(1), f.waiting(2)})
	(<-f.pages[1]).finished(Output{}, nil)
	f.read(t.Context(), t, "x")
	require.Equal(t, [3]int{2, 2, 2}, [3]int{f.waiting(0), f.waiting(1), f.waiting(2)})
}

// There is room for twice the slots; then a page waits until one has ended, its context has, or the engines are closed.
func TestEnginesBackpressure(t *testing.T) {
	f := newFakes(t, 2, 1)
	for range 4 {
		f.read(t.Context(), t, "x")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, f.Submit(ctx, Request{}, nil), context.Canceled)
	in := make(chan error)
	go func() { in <- f.Submit(t.Context(), Request{}, func(Output, error) {}) }()
	(<-f.pages[1]).finished(Output{}, nil)
	require.NoError(t, <-in)
	require.Equal(t, 2, f.waiting(1))
	go func() { in <- f.Submit(t.Context(), Request{}, nil) }()
	close(f.closing)
	require.ErrorIs(t, <-in, ErrClosed)
}

// A page that a device fails is read by another engine, once; its engine gets no page while the others have little to do, and is as
// before when it has read one well.
func TestFailedEngine(t *testing.T) {
	f := newFakes(t, 2, 2)
	first := f.read(t.Context(), t, "first")
	(<-f.pages[0]).finished(Output{}, errDevice)
	again := <-f.pages[1]
	require.Equal(t, "first", again.request.Prompt)
	second := f.read(t.Context(), t, "second")
	require.Equal(t, 1, f.waiting(1), "it has as much to do, and has not failed")
	again.finished(Output{}, nil)
	require.NoError(t, <-first)
	(<-f.pages[1]).finished(Output{}, nil)
	require.NoError(t, <-second)

	for range 3 {
		f.read(t.Context(), t, "more")
	}
	require.Equal(t, 2, f.waiting(1))
	require.Equal(t, 1, f.waiting(0), "a failure weighs as its slots")
	(<-f.pages[0]).finished(Output{}, nil)
	require.Zero(t, f.members[0].failed)
	require.EqualValues(t, 1, f.moved)
	require.Len(t, f.room, 2, "pages that have ended hold no room")
}

// With the second engine the page has had its chance.
func TestBothEnginesFail(t *testing.T) {
	f := newFakes(t, 3, 1)
	end := f.read(t.Context(), t, "x")
	(<-f.pages[0]).finished(Output{}, errDevice)
	(<-f.pages[1]).finished(Output{}, errDevice)
	require.ErrorIs(t, <-end, errDevice)
	require.Zero(t, f.waiting(2))
	require.Empty(t, f.room)
}

// What is no fault of a device's is the page's, and so is what happens when no other engine takes it.
func TestPagesOwnFaults(t *testing.T) {
	f := newFakes(t, 2, 1)
	end := f.read(t.Context(), t, "x")
	(<-f.pages[0]).finished(Output{}, io.ErrUnexpectedEOF)
	require.ErrorIs(t, <-end, io.ErrUnexpectedEOF)
	ctx, cancel := context.WithCancel(t.Context())
	end = f.read(ctx, t, "x")
	cancel()
	(<-f.pages[0]).finished(Output{}, errDevice)
	require.ErrorIs(t, <-end, errDevice)
	require.Zero(t, f.members[0].failed)

	f.mu.Lock()
	f.full[1] = ErrClosed
	f.mu.Unlock()
	end = f.read(t.Context(), t, "x")
	(<-f.pages[0]).finished(Output{}, errDevice)
	require.ErrorIs(t, <-end, errDevice, "the other engine takes no more")
	require.Zero(t, f.moved)
	require.Empty(t, f.room)
	require.Zero(t, f.members[1].pages)
}

// If one engine is not loaded, none is, and the error is that one's.
func TestLoadOfOneEngineFails(t *testing.T) {
	device, err := OpenWith(t.Context(), "xla:cpu", OpenOptions{Devices: 2})
	if errors.Is(err, ErrUnavailable) {
		t.Skipf("several devices are XLA's: %v", err)
	}
	require.NoError(t, err)
	defer func() { require.NoError(t, device.Close()) }()
	l := &loading{
		o: LoadOptions{Model: "omnidocs/tiny"}, fsys: tiny.FS(), device: device, dtype: dtypes.Float32,
		places: [][]compute.DeviceNum{{0}, {7}, {1}}, plan: &Plan{Slots: 1},
	}
	l.planner, err = l.plannerFor(l.places[0])
	require.NoError(t, err)
	_, err = l.engines(t.Context())
	require.ErrorContains(t, err, "engine 1 of 3, device 7: backend: load omnidocs/tiny: ")
	require.NotErrorIs(t, err, context.Canceled)
}
