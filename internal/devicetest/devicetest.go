// Package devicetest wraps a backend for tests: it counts what is on the device and makes calls to it fail.
//
// It knows every buffer that was made and not finalized, so that a test can say that nothing has leaked, and how many bytes they
// have been at most. A hook may fail any call, as a device does whose memory is exhausted.
package devicetest

import (
	"errors"
	"reflect"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"
)

// ErrExhausted is the error of a device that has no memory left, in PJRT's words.
var ErrExhausted = errors.New("PJRT error (code=8): RESOURCE_EXHAUSTED: Out of memory allocating 1073741824 bytes")

// Call is a call to the device.
type Call struct {
	// Op is "compile", "execute", "upload" or "share".
	Op string
	// Name is the program's, for the first two.
	Name string
	// Number counts the calls of all kinds, from 1.
	Number int
}

// Backend counts what a backend holds.
type Backend struct {
	compute.Backend

	mu    sync.Mutex
	fail  func(Call) error
	taken bool
	calls int
	live  map[*buffer]int64
	bytes int64
	peak  int64
	round func(bytes int64) int64
}

// Wrap counts for a backend. The bytes of a buffer are those of its numbers, or what round makes of them, unless it is nil.
func Wrap(b compute.Backend, round func(bytes int64) int64) *Backend {
	return &Backend{Backend: b, live: map[*buffer]int64{}, round: round}
}

// Fail has f asked before each call, which fails with what f returns, if that is not nil. taken says what then becomes of the
// buffers that a call was to take: whether the device has them, or their owner still does.
func (b *Backend) Fail(taken bool, f func(Call) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail, b.taken, b.calls = f, taken, 0
}

// Live counts the buffers on the device and their bytes.
func (b *Backend) Live() (buffers int, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.live), b.bytes
}

// Peak is the most bytes that there were since the last call of it: of buffers, and of what the programs that ran say that they
// need beside them, which those of the pure-Go backend do not say.
func (b *Backend) Peak() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	peak := b.peak
	b.peak = b.bytes
	return peak
}

// call says whether a call is to fail.
func (b *Backend) call(op, name string) (bool, error) {
	b.mu.Lock()
	fail, taken := b.fail, b.taken
	b.calls++
	c := Call{Op: op, Name: name, Number: b.calls}
	b.mu.Unlock()
	if fail == nil {
		return false, nil
	}
	return taken, fail(c)
}

func (b *Backend) add(inner compute.Buffer, shape shapes.Shape) *buffer {
	n := shape.ByteSize()
	if b.round != nil {
		n = b.round(n)
	}
	made := &buffer{Buffer: inner, backend: b}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.live[made] = n
	b.bytes += n
	b.peak = max(b.peak, b.bytes)
	return made
}

func (b *Backend) remove(gone *buffer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes -= b.live[gone]
	delete(b.live, gone)
}

// BufferFromFlatData makes a buffer that is counted.
func (b *Backend) BufferFromFlatData(device compute.DeviceNum, flat any, shape shapes.Shape) (compute.Buffer, error) {
	if _, err := b.call("upload", ""); err != nil {
		return nil, err
	}
	inner, err := b.Backend.BufferFromFlatData(device, flat, shape)
	if err != nil {
		return nil, err
	}
	return b.add(inner, shape), nil
}

// NewSharedBuffer makes a buffer that is counted.
func (b *Backend) NewSharedBuffer(device compute.DeviceNum, shape shapes.Shape) (compute.Buffer, any, error) {
	if _, err := b.call("share", ""); err != nil {
		return nil, nil, err
	}
	inner, flat, err := b.Backend.NewSharedBuffer(device, shape)
	if err != nil {
		return nil, nil, err
	}
	return b.add(inner, shape), flat, nil
}

// Builder makes programs that are counted.
func (b *Backend) Builder(name string) compute.Builder {
	return &builder{Builder: b.Backend.Builder(name), backend: b, name: name}
}

type buffer struct {
	compute.Buffer
	backend *Backend
}

func (b *buffer) Backend() compute.Backend { return b.backend }

func (b *buffer) Finalize() error {
	b.backend.remove(b)
	return b.Buffer.Finalize()
}

type builder struct {
	compute.Builder
	backend *Backend
	name    string
}

func (b *builder) Compile() (compute.Executable, error) {
	if _, err := b.backend.call("compile", b.name); err != nil {
		return nil, err
	}
	e, err := b.Builder.Compile()
	if err != nil {
		return nil, err
	}
	return &executable{Executable: e, backend: b.backend, name: b.name, temporary: temporary(e)}, nil
}

type executable struct {
	compute.Executable
	backend   *Backend
	name      string
	temporary int64
}

func (e *executable) Execute(inputs []compute.Buffer, donate []bool, device compute.DeviceNum) ([]compute.Buffer, error) {
	b := e.backend
	donated := func() {
		for i, in := range inputs {
			if i < len(donate) && donate[i] {
				b.remove(in.(*buffer)) //nolint:errcheck // all are
			}
		}
	}
	if taken, err := b.call("execute", e.name); err != nil {
		if taken {
			for i, in := range inputs {
				if i < len(donate) && donate[i] {
					_ = in.(*buffer).Buffer.Finalize() //nolint:errcheck // all are
				}
			}
			donated()
		}
		return nil, err
	}
	inner := make([]compute.Buffer, len(inputs))
	for i, in := range inputs {
		if wrapped, ok := in.(*buffer); ok {
			inner[i] = wrapped.Buffer
		}
	}
	made, err := e.Executable.Execute(inner, donate, device)
	if err != nil {
		return nil, err
	}
	donated()
	out := make([]compute.Buffer, len(made))
	for i, o := range made {
		out[i] = b.add(o, e.Outputs()[i])
	}
	b.mu.Lock()
	b.peak = max(b.peak, b.bytes+e.temporary)
	b.mu.Unlock()
	return out, nil
}

// temporary is what an XLA program needs beside its inputs and outputs; 0 where that is not known.
func temporary(e compute.Executable) int64 {
	v := reflect.ValueOf(e)
	for _, field := range []string{"exec", "OnDeviceMemoryUsageStats", "Temporary"} {
		if v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			return 0
		}
		if v = v.FieldByName(field); !v.IsValid() {
			return 0
		}
	}
	return v.Int()
}
