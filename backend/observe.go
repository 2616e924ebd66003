package backend

import "time"

// Observer hears what happens in an engine, so that logs, Prometheus and the like can be fed from outside of this library. Each field
// is a function that may be nil. The zero value hears nothing.
//
// It is a struct and no interface so that a user writes the functions that are wanted and no others, and that an event which is
// added later breaks nobody's code.
//
// The functions are called by the engine's own goroutines, several of them at once, and hold up the pages meanwhile: they must
// return soon. The events of one page come one after the other. Any function may ask for the engine's [Stats].
type Observer struct {
	// Compiled is called when a program of the model has been compiled, or loaded from where an earlier process had put it. On XLA
	// compiling takes seconds, once a shape.
	Compiled func(CompileEvent)
	// Queued is called when a page has been handed in.
	Queued func(PageEvent)
	// Started is called when a page gets its slot, again if it was evicted.
	Started func(PageEvent)
	// FirstToken is called when the first token of a page is there: the vision tower and the prompt are done. Again if it was evicted.
	FirstToken func(PageEvent)
	// Evicted is called when a page loses its slot to others and waits again.
	Evicted func(PageEvent)
	// Finished is called once for each page that was queued, however it ended.
	Finished func(PageEvent)
	// Step is called after each call of the model that writes tokens into the slots.
	Step func(StepEvent)
}

// CompileEvent tells of a compilation.
type CompileEvent struct {
	// Engine is the number of the engine, where there are several.
	Engine int
	// Program says what part of the model it is, and its shapes.
	Program string
	// Took is the wall time.
	Took time.Duration
	// Loaded says that the program was not compiled but found in the cache of compiled programs.
	Loaded bool
}

// PageEvent tells of a page. A field that the page has not come to yet is zero.
type PageEvent struct {
	// Engine is the number of the engine, where there are several.
	Engine int
	// Page numbers the pages of an engine from 1, in the order in which they were handed in.
	Page uint64
	// Since is the time since the page was handed in.
	Since time.Duration
	// Waited is how long it waited for its first slot.
	Waited time.Duration
	// FirstToken is the time from when it was handed in to its first token.
	FirstToken time.Duration
	// PromptTokens counts the tokens of the prompt, the image's included; VisualTokens those of the image alone.
	PromptTokens, VisualTokens int
	// CachedTokens counts the tokens of the prompt that were not run again, since an earlier prompt began with them.
	CachedTokens int
	// Output is what the page ended with, in Finished only.
	Output Output
	// Err is why the page did not end well, in Finished only.
	Err error
}

// StepEvent tells of a call of the model that writes tokens.
type StepEvent struct {
	// Engine is the number of the engine, where there are several.
	Engine int
	// Active counts the pages that took part, Slots is how many there is room for.
	Active, Slots int
	// Queued counts the pages that wait for a slot.
	Queued int64
	// Tokens counts the tokens that were written, of all pages together.
	Tokens int
	// Took is the wall time.
	Took time.Duration
}

// call calls a function of an observer if it is there.
func call[E any](f func(E), event E) {
	if f != nil {
		f(event)
	}
}
