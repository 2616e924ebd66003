package pdf

import (
	"context"
	"errors"
	"fmt"
	"strings"

	pdfium "github.com/klippa-app/go-pdfium/errors"
)

// What can be wrong with a PDF. The errors of this package wrap one of these, or the error of the context or of reading
// the file.
var (
	// ErrPassword is an encrypted PDF for which there is no password, or a wrong one.
	ErrPassword = errors.New("PDF is encrypted: the password is missing or wrong")
	// ErrDamaged is a file, or a page, that PDFium cannot make sense of.
	ErrDamaged = errors.New("PDF is damaged")
	// ErrUnsupported is a PDF with an encryption that PDFium does not know.
	ErrUnsupported = errors.New("PDF uses an unsupported feature")
	// ErrTooLarge is a page beyond the limit on pixels, or a file beyond what PDFium can address.
	ErrTooLarge = errors.New("PDF is too large")
	// ErrTimeout is a page that took longer than the limit.
	ErrTimeout = errors.New("PDF page took too long")
	// ErrFailed is a page on which PDFium broke down: it was damaged in a way that it does not catch, or took more memory than the
	// sandbox has.
	ErrFailed = errors.New("PDFium broke down")
	// ErrClosed is a file that was closed.
	ErrClosed = errors.New("PDF is closed")
)

// known are PDFium's own errors, as go-pdfium tells them.
var known = []struct{ theirs, ours error }{
	{pdfium.ErrPassword, ErrPassword},
	{pdfium.ErrSecurity, fmt.Errorf("%w: its encryption", ErrUnsupported)},
	{pdfium.ErrFormat, fmt.Errorf("%w: it is cut short, or no PDF at all", ErrDamaged)},
	{pdfium.ErrFile, fmt.Errorf("%w: it cannot be read", ErrDamaged)},
	{pdfium.ErrPage, fmt.Errorf("%w: the page is not there, or makes no sense", ErrDamaged)},
	{pdfium.ErrUnknown, fmt.Errorf("%w: PDFium does not say how", ErrDamaged)},
	{pdfium.ErrSuccess, fmt.Errorf("%w: PDFium does not say how", ErrDamaged)},
	{pdfium.ErrUnexpected, fmt.Errorf("%w: PDFium does not say how", ErrDamaged)},
}

// sandboxError makes one of this package's errors of what go-pdfium returned.
func sandboxError(err error) error {
	if err == nil {
		return nil
	}
	for _, k := range known {
		if errors.Is(err, k.theirs) {
			return k.ours
		}
	}
	for _, ours := range []error{ErrPassword, ErrDamaged, ErrUnsupported, ErrTooLarge, ErrFailed, ErrClosed, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, ours) {
			return err
		}
	}
	text, _, _ := strings.Cut(err.Error(), "\n") // the rest is a stack trace of the sandbox
	return fmt.Errorf("%w: %s; the file is damaged, or the page needs more than %d MiB", ErrFailed, text, memoryLimit>>20)
}
