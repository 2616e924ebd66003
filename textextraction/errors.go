package textextraction

import (
	"errors"
	"fmt"

	"github.com/omnidocs/omnidocs/backend"
)

// Errors that callers can act on. [ErrFormat] is another. A file that is not there matches [io/fs.ErrNotExist], a call
// that its context ended matches the context's error.
var (
	// ErrConfig is matched by the errors of configs and options with fields that are out of range or not supported.
	ErrConfig = errors.New("textextraction: invalid configuration")
	// ErrImage is matched by the errors of images that cannot be read: no image, an empty one, a damaged or foreign file.
	ErrImage = errors.New("textextraction: unreadable image")
	// ErrClosed is matched by the errors of an extractor that has been closed.
	ErrClosed = errors.New("textextraction: extractor is closed")
	// ErrOutOfMemory is matched by the errors of models and pages that the device's memory has no room for. As an
	// [OutOfMemoryError] they have the [Plan] in them, which says what would help.
	ErrOutOfMemory = backend.ErrOutOfMemory
)

// PageError is the error of one page of a batch.
type PageError struct {
	// Index is the place of the page in the batch's source, from 0.
	Index int
	// Err is what went wrong with it.
	Err error
}

// Error names the page.
func (e *PageError) Error() string { return fmt.Sprintf("page %d: %v", e.Index, e.Err) }

// Unwrap returns Err.
func (e *PageError) Unwrap() error { return e.Err }

// fieldError says that a field's value is not allowed, and why.
func fieldError(field string, value any, problem string) error {
	if s, ok := value.(string); ok {
		return fmt.Errorf("%s: %q %s", field, s, problem)
	}
	return fmt.Errorf("%s: %v %s", field, value, problem)
}

// faults collects what is wrong with a struct of settings, so that a user sees all of it at once.
type faults []error

// check adds a fault unless ok.
func (f *faults) check(ok bool, field string, value any, problem string) {
	if !ok {
		*f = append(*f, fieldError(field, value, problem))
	}
}

// add adds an error, or the errors that are joined in it, if there is one.
func (f *faults) add(err error) {
	if err != nil {
		*f = append(*f, err)
	}
}

// err returns all faults as one error that matches ErrConfig and begins with the struct's name, or nil.
func (f faults) err(of string) error {
	if len(f) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s: %w", ErrConfig, of, errors.Join(f...))
}
