package modal

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	sdk "github.com/modal-labs/modal-client/go"
)

var (
	// ErrConfig is matched by errors of a [Config] or a [Deployment] that says what cannot be.
	ErrConfig = errors.New("modal: config")
	// ErrNotFound is matched by errors of secrets, apps and classes that Modal does not have. The message says how they are made.
	ErrNotFound = errors.New("modal: not found")
	// ErrNoCapacity is matched when Modal had no such GPU free.
	ErrNoCapacity = errors.New("modal: no capacity")
	// ErrOutOfMemory is matched when a sandbox or a function ended for want of memory, its GPU's or its own.
	ErrOutOfMemory = errors.New("modal: out of memory")
)

// SandboxError says that a sandbox has ended by itself.
type SandboxError struct {
	// ID is Modal's id of it.
	ID string
	// ExitCode is that of its program: 124 when its lifetime was over, 137 when it was killed.
	ExitCode int
	// Log is the end of what its program wrote.
	Log []string
}

// Error says what is known of the end.
func (e *SandboxError) Error() string {
	why := ""
	switch {
	case e.ExitCode == exitTimeout:
		why = " (its lifetime was over: raise Lifetime)"
	case e.outOfMemory():
		why = " (out of memory: take a larger GPU, fewer Slots, or a smaller model)"
	case e.ExitCode == exitKilled:
		why = " (it was killed: by hand, or for want of memory, which MemoryMiB raises)"
	}
	s := fmt.Sprintf("modal: sandbox %s has ended with code %d%s", e.ID, e.ExitCode, why)
	if len(e.Log) > 0 {
		s += ": " + strings.Join(e.Log, "\n\t")
	}
	return s
}

// Is says that a sandbox that wrote that it had no memory is out of memory.
func (e *SandboxError) Is(target error) bool { return target == ErrOutOfMemory && e.outOfMemory() }

// Codes that Modal gives in place of a program's own.
const (
	exitTimeout = 124
	exitKilled  = 137
)

func (e *SandboxError) outOfMemory() bool { return slices.ContainsFunc(e.Log, saysOutOfMemory) }

// saysOutOfMemory looks for how CUDA, XLA, PyTorch and the kernel put it.
func saysOutOfMemory(s string) bool {
	s = strings.ToLower(s)
	for _, words := range []string{"out of memory", "resource_exhausted", "cuda_error_out_of_memory", "oom-kill"} {
		if strings.Contains(s, words) {
			return true
		}
	}
	return false
}

// wrapped gives the SDK's errors the sentinels of this package. They are kept within.
func wrapped(err error) error {
	if err == nil {
		return nil
	}
	var notFound sdk.NotFoundError
	var exhausted sdk.ResourceExhaustedError
	var remote sdk.RemoteError
	switch {
	case errors.As(err, &notFound):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.As(err, &exhausted):
		return fmt.Errorf("%w: %w", ErrNoCapacity, err)
	case errors.As(err, &remote) && saysOutOfMemory(remote.Exception):
		return fmt.Errorf("%w: %w", ErrOutOfMemory, err)
	}
	return err
}

// faults collects what is wrong with a config.
type faults []error

func (f *faults) check(ok bool, field string, value any, what string) {
	if !ok {
		*f = append(*f, fmt.Errorf("%s is %v: %s", field, value, what))
	}
}

func (f *faults) add(err error) {
	if err != nil {
		*f = append(*f, err)
	}
}

func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrConfig, errors.Join(f...))
}
