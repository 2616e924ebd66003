package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/omnidocs/omnidocs/omnidocs/journal"
	"github.com/omnidocs/omnidocs/textextraction"
)

// Defaults of [Options].
const (
	// DefaultWorkers is how many pages are given to the extractor at a time.
	DefaultWorkers = 4
	// DefaultMaxDeaths is how many processes a page may kill before it is set aside.
	DefaultMaxDeaths = 3
)

// Errors that callers can act on.
var (
	// ErrOptions is matched by the errors of options that are out of range.
	ErrOptions = errors.New("jobs: invalid options")
	// ErrDeadline is matched by the errors of pages that took longer than PageTimeout, or whose document took longer than
	// DocumentTimeout.
	ErrDeadline = errors.New("deadline exceeded")
	// ErrPoisoned is matched by the errors of pages that are not read any more, since several processes died of them.
	ErrPoisoned = errors.New("set aside")
	// ErrInUse is matched by the error of a job whose output folder another process is writing to.
	ErrInUse = errors.New("in use by another job")
)

// Fingerprinter is an extractor that says what the text of a page depends on besides the page: its model and revision, and what the options
// come to. Two extractors that say the same give the same text. [textextraction.QwenTextExtractor] is one.
type Fingerprinter interface {
	Fingerprint(ctx context.Context, opts textextraction.Options) (string, error)
}

// Options are the choices of a job. The zero value consists entirely of default values.
type Options struct {
	// Page says how each page is read: the format, the prompt and so on.
	Page textextraction.Options
	// Workers is how many pages are given to the extractor at a time. Zero means 4. An extractor that reads pages together, as that of a
	// QwenTextVLLMConfig does, wants as many as it can take, and some more to choose from.
	Workers int
	// Window is how many page images there may be in memory, those that are being read included. Zero means two more than Workers.
	Window int
	// Retry says what is done with pages that fail.
	Retry Retry
	// PageTimeout bounds the time that a page takes to be read, with all attempts; DocumentTimeout that of a document, from its opening to the end of its last
	// page. The times in which they wait for others count. Zero means no bound.
	PageTimeout, DocumentTimeout time.Duration
	// Journal keeps what has been read. Nil means that of the output folder, where there is one, or none.
	Journal *journal.Journal
	// ExtractorID says what the text depends on besides the page and Page, for extractors that are no [Fingerprinter]. With a journal there must be
	// one or the other.
	ExtractorID string
	// MaxDeaths is how many processes may die while they read a page, and nothing else, before it is set aside with [ErrPoisoned]. Zero means 3. A
	// process that is killed on purpose counts too: end it through its context first, which does not.
	MaxDeaths int
	// RetryPoisoned gives the pages that were set aside another chance.
	RetryPoisoned bool
	// CrossCheck holds every page against the text that its PDF has itself, where it has any, see package crosscheck.
	CrossCheck bool
	// TextLayerFallback gives a page that failed the text that its PDF has itself, where it has any that is usable. The page keeps its error, and is marked.
	TextLayerFallback bool
	// Progress is told of every page that has ended, and of every document. It is called from one goroutine at a time and must return soon. Nil means nobody.
	Progress func(Progress)
	// OnPage is given every page that has ended, as soon as it has, with the id of its document. It is called as Progress is. Nil means nobody.
	OnPage func(document string, page PageOutcome)
	// Logger is told of retries and of pages that are set aside. Nil means nobody.
	Logger *slog.Logger
}

// Validate returns every fault of the options as one error, which matches [ErrOptions].
func (o Options) Validate() error {
	_, err := o.withDefaults()
	return err
}

// withDefaults fills in the defaults, or returns every fault.
func (o Options) withDefaults() (Options, error) {
	var faults []error
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"Workers", int64(o.Workers)}, {"Window", int64(o.Window)}, {"MaxDeaths", int64(o.MaxDeaths)},
		{"Retry.Attempts", int64(o.Retry.Attempts)}, {"Retry.Max", int64(o.Retry.Max)},
		{"PageTimeout", int64(o.PageTimeout)}, {"DocumentTimeout", int64(o.DocumentTimeout)},
	} {
		if f.value < 0 {
			faults = append(faults, fmt.Errorf("%s: %d is negative (0 means the default)", f.name, f.value))
		}
	}
	o.Workers = defaultTo(o.Workers, DefaultWorkers)
	o.Window = defaultTo(o.Window, o.Workers+2)
	o.MaxDeaths = defaultTo(o.MaxDeaths, DefaultMaxDeaths)
	o.Retry = o.Retry.withDefaults()
	if o.Window < o.Workers {
		faults = append(faults, fmt.Errorf("Window: %d is less than Workers, %d: each of them holds an image", o.Window, o.Workers))
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if len(faults) > 0 {
		return o, fmt.Errorf("%w: %w", ErrOptions, errors.Join(faults...))
	}
	return o, nil
}

func defaultTo[T comparable](value, byDefault T) T {
	var zero T
	if value == zero {
		return byDefault
	}
	return value
}
