package backend

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/omnidocs/omnidocs/qwen"
)

// ErrOutOfMemory is matched by the errors of models and pages that the device's memory has no room for. See [OutOfMemoryError].
var ErrOutOfMemory = errors.New("out of memory")

// OutOfMemoryError says that memory has no room for a model or a page: because its plan does not fit, and nothing was taken, or
// because the device has said so all the same. It matches [ErrOutOfMemory].
type OutOfMemoryError struct {
	// Plan is that of the engine, with what to change. Nil where there is none.
	Plan *Plan
	// Page is the page's, nil where it is about the model.
	Page *qwen.PagePlan
	// Room is what there was for the page, with its cache, in bytes; 0 where it is about the model, or where it is not known.
	Room int64
	// Err is what the device said, nil where it was not asked.
	Err error
}

// Error says what did not fit and what to change.
func (e *OutOfMemoryError) Error() string {
	text := "out of memory"
	switch {
	case e.Page != nil:
		text += fmt.Sprintf(": a page of %d visual tokens needs about %s beside its cache", e.Page.VisualTokens, size(e.Page.Peak()))
		if e.Room > 0 {
			text += fmt.Sprintf(", and there are %s for both", size(e.Room))
		}
		text += "; a smaller MaxPixels makes it smaller"
	case e.Plan != nil:
		text += fmt.Sprintf(": %s in %s on %s needs %s, of %s (%s)", e.Plan.Model, e.Plan.DType, e.Plan.Device, size(e.Plan.Total), size(e.Plan.Limit),
			e.Plan.LimitFrom)
		for i, a := range e.Plan.Advice {
			text += []string{"; what would help: ", "; or: "}[min(i, 1)] + a
		}
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Is tells that it is an ErrOutOfMemory.
func (e *OutOfMemoryError) Is(target error) bool { return target == ErrOutOfMemory }

// Unwrap returns what the device said.
func (e *OutOfMemoryError) Unwrap() error { return e.Err }

// exhaustedText is how PJRT says it: the code's name, which its messages begin with, or the code as go-xla writes it; and how the C
// library and CUDA do, whose words XLA passes on.
var exhaustedText = regexp.MustCompile(`RESOURCE_EXHAUSTED|\(code=8\)|CUDA_ERROR_OUT_OF_MEMORY|(?i:out of memory (?:allocating|while trying))`)

// exhausted says whether the device had no memory left for a call.
func exhausted(err error) bool {
	return err != nil && (errors.Is(err, ErrOutOfMemory) || exhaustedText.MatchString(err.Error()))
}
