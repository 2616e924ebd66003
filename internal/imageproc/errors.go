package imageproc

import "errors"

// What can be wrong with a picture. The errors of this package wrap one of these (test with errors.Is) and say what was
// found and what to do.
var (
	// ErrEmpty is a file without a byte in it, or a picture without a pixel.
	ErrEmpty = errors.New("picture is empty")
	// ErrFormat is content that is none of the picture formats read here, whatever the file is called.
	ErrFormat = errors.New("not a picture in a known format")
	// ErrTooLarge is a picture or a file beyond the [Limits].
	ErrTooLarge = errors.New("picture is too large")
	// ErrTruncated is a picture file whose end is missing.
	ErrTruncated = errors.New("picture file is cut short")
	// ErrCorrupt is a picture file whose content contradicts itself.
	ErrCorrupt = errors.New("picture file is damaged")
	// ErrUnsupported is a picture in a known format that uses a feature of it which the decoder lacks.
	ErrUnsupported = errors.New("picture uses an unsupported feature of its format")
)
