package omnidocs

import (
	"errors"
	"fmt"
)

// Errors that callers can act on. A file that is not there matches [io/fs.ErrNotExist], a picture that cannot be read
// [textextraction.ErrImage], a call that its context ended the context's error.
var (
	// ErrClosed is matched by the errors of a document that has been closed.
	ErrClosed = errors.New("omnidocs: document is closed")
	// ErrPassword is matched by the error of an encrypted PDF for which no password was given, or a wrong one.
	ErrPassword = errors.New("password missing or wrong")
	// ErrPageTimeout is matched by the error of a page that took longer than [LoadOptions].PageTimeout.
	ErrPageTimeout = errors.New("page timed out")
	// ErrOptions is matched by the errors of options that are out of range.
	ErrOptions = errors.New("omnidocs: invalid options")
	// ErrTooLarge is matched by the errors of what is beyond a limit of [LoadOptions].
	ErrTooLarge = errors.New("too large")
)

// DocumentLoadError says that a document could not be opened: it is not there, cannot be read, is damaged or encrypted.
type DocumentLoadError struct {
	// Source is the path, URL or name of the document.
	Source string
	// Err is the cause.
	Err error
}

// Error names the document and the cause.
func (e *DocumentLoadError) Error() string {
	return fmt.Sprintf("omnidocs: load %q: %v", e.Source, e.Err)
}

// Unwrap returns Err.
func (e *DocumentLoadError) Unwrap() error { return e.Err }

// UnsupportedFormatError says that a file is none of the formats that the call reads, whatever it is called.
type UnsupportedFormatError struct {
	// Source is the path, URL or name of the document.
	Source string
	// Err says what the content looks like.
	Err error
}

// Error names the document and what it is.
func (e *UnsupportedFormatError) Error() string {
	return fmt.Sprintf("omnidocs: unsupported format: %q: %v", e.Source, e.Err)
}

// Unwrap returns Err.
func (e *UnsupportedFormatError) Unwrap() error { return e.Err }

// PageRangeError says that a page, or a range of pages, is not in the document.
type PageRangeError struct {
	// Source is the path, URL or name of the document.
	Source string
	// First and Last are what was asked for, from 0; they are equal where it was one page.
	First, Last int
	// Count is how many pages there are.
	Count int
}

// Error says what was asked for and what there is.
func (e *PageRangeError) Error() string {
	asked := fmt.Sprintf("page %d", e.First)
	if e.First != e.Last {
		asked = fmt.Sprintf("pages %d to %d", e.First, e.Last)
	}
	if e.First > e.Last {
		return fmt.Sprintf("omnidocs: %q: %s: the first comes after the last", e.Source, asked)
	}
	return fmt.Sprintf("omnidocs: %q has no %s: it has %d pages, counted from 0", e.Source, asked, e.Count)
}

// PageError is the error of one page, which leaves the others as they are.
type PageError struct {
	// Source is the path, URL or name of the document.
	Source string
	// Page is the page's place in the document, from 0.
	Page int
	// Err is what went wrong with it.
	Err error
}

// Error names the document and the page.
func (e *PageError) Error() string {
	return fmt.Sprintf("omnidocs: %q: page %d: %v", e.Source, e.Page, e.Err)
}

// Unwrap returns Err.
func (e *PageError) Unwrap() error { return e.Err }

// as makes an error match target too, without saying it twice.
func as(target, err error) error { return &matching{err, target} }

type matching struct{ err, target error }

func (m *matching) Error() string   { return m.err.Error() }
func (m *matching) Unwrap() []error { return []error{m.err, m.target} }
