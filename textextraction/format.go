package textextraction

import (
	"errors"
	"fmt"
)

// Format is the markup that a page is turned into, Python's output_format. The zero value is [Markdown].
type Format int

const (
	// Markdown asks for Markdown. Qwen-VL writes tables in it as LaTeX tabular, which is left as it is.
	Markdown Format = iota
	// HTML asks for HTML.
	HTML
)

// ErrFormat is matched by the errors of formats that do not exist.
var ErrFormat = errors.New("textextraction: invalid output_format")

// formats is the table of all formats, in the order of their constants. The prompts are those that Qwen3-VL was trained
// with for reading documents (Python's QWEN_PROMPTS).
var formats = []struct{ name, prompt string }{
	Markdown: {"markdown", "qwenvl markdown"},
	HTML:     {"html", "qwenvl html"},
}

// ParseFormat returns the format that Python calls s: "markdown" or "html". Its error matches [ErrFormat].
func ParseFormat(s string) (Format, error) {
	for i, f := range formats {
		if f.name == s {
			return Format(i), nil
		}
	}
	return 0, fmt.Errorf("%w: %q. Expected 'html' or 'markdown'", ErrFormat, s)
}

// String returns Python's name of the format, or "Format(N)" for a number that is no format.
func (f Format) String() string {
	if !f.valid() {
		return fmt.Sprintf("Format(%d)", int(f))
	}
	return formats[f].name
}

// Prompt returns the user turn that asks a Qwen-VL model for this format, or "" for a number that is no format.
func (f Format) Prompt() string {
	if !f.valid() {
		return ""
	}
	return formats[f].prompt
}

// MarshalText writes Python's name, so that a Format in JSON reads "markdown" or "html".
func (f Format) MarshalText() ([]byte, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	return []byte(formats[f].name), nil
}

// UnmarshalText reads what [Format.MarshalText] writes. Its error matches [ErrFormat].
func (f *Format) UnmarshalText(text []byte) error {
	parsed, err := ParseFormat(string(text))
	if err != nil {
		return err
	}
	*f = parsed
	return nil
}

func (f Format) valid() bool { return f >= 0 && int(f) < len(formats) }

func (f Format) check() error {
	if f.valid() {
		return nil
	}
	return fmt.Errorf("%w: %d. Expected 'html' or 'markdown'", ErrFormat, int(f))
}
