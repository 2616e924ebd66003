package jetstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/omnidocs/omnidocs/omnidocs/crosscheck"
)

// Version is that of all messages. One of another version is refused.
const Version = 1

// The kinds of [Source] that every worker knows.
const (
	// KindFile is a file that workers see under the same path.
	KindFile = "file"
	// KindURL is an http or https URL.
	KindURL = "url"
	// KindObject is an object in the queue's own store, see [Queue.Upload].
	KindObject = "object"
)

// Source says where a document is. Workers may know further kinds, see [WorkerOptions].Openers.
type Source struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// File is a document in a file that workers see under the same path, such as on a shared disk.
func File(path string) Source { return Source{KindFile, path} }

// URL is a document on the web.
func URL(url string) Source { return Source{KindURL, url} }

// Object is a document in the queue's own store of objects.
func Object(name string) Source { return Source{KindObject, name} }

// String is the kind and the name.
func (s Source) String() string { return s.Kind + ":" + s.Name }

func (s Source) check() error {
	if s.Kind == "" || s.Name == "" {
		return fmt.Errorf("source: kind %q, name %q: neither may be empty", s.Kind, s.Name)
	}
	return nil
}

// The types of [Task].
const (
	// TaskDocument asks to open a document and to make tasks of its pages.
	TaskDocument = "document"
	// TaskPages asks to read pages.
	TaskPages = "pages"
	// TaskCollection asks to make a job of the documents in a folder or among the objects, see [Schedule].
	TaskCollection = "collection"
)

// Task is what a worker is asked to do.
type Task struct {
	Version int    `json:"v"`
	Type    string `json:"type"`
	// Job is the job's id. That of a collection is made when it comes to it.
	Job string `json:"job"`
	// Document is the document's number in the job, from 0; ID the name of its results; Source where it is.
	Document int    `json:"document"`
	ID       string `json:"id,omitzero"`
	Source   Source `json:"source,omitzero"`
	// First and Last are the pages, from 0, both included.
	First int `json:"first,omitzero"`
	Last  int `json:"last,omitzero"`
	// Tries is how often the pages were given up by a worker, with an error that may pass.
	Tries int `json:"tries,omitzero"`
	// Suspect is set when a worker died that had the task.
	Suspect bool `json:"suspect,omitzero"`
	// Collection is what a schedule asks for.
	Collection *Collection `json:"collection,omitempty"`
}

func (t Task) version() int { return t.Version }

func (t Task) check() error {
	if t.Type == TaskCollection {
		if t.Collection == nil {
			return errors.New("a collection task without collection")
		}
		return t.Collection.check()
	}
	if err := errors.Join(checkID("job", t.Job), t.Source.check()); err != nil {
		return err
	}
	switch {
	case t.Type != TaskDocument && t.Type != TaskPages:
		return fmt.Errorf("type %q: want %q, %q or %q", t.Type, TaskDocument, TaskPages, TaskCollection)
	case t.Document < 0 || t.First < 0 || t.Last < t.First || t.Tries < 0:
		return fmt.Errorf("document %d, pages %d to %d, %d tries: want them from 0, and in this order", t.Document, t.First, t.Last, t.Tries)
	case t.Collection != nil:
		return errors.New("a collection in a task of another type")
	}
	return nil
}

// Entries is what a worker enters into a job's ledger at a time. Of each document, and of each page, the first entry is the one that counts: there may be others, of
// workers that were taken for dead.
type Entries struct {
	Version  int       `json:"v"`
	Opened   []Opened  `json:"opened,omitempty"`
	Outcomes []Outcome `json:"outcomes,omitempty"`
}

func (e Entries) version() int { return e.Version }

func (e Entries) check() error {
	if len(e.Opened)+len(e.Outcomes) == 0 {
		return errors.New("no entries")
	}
	for _, o := range e.Opened {
		if err := o.check(); err != nil {
			return err
		}
	}
	for _, o := range e.Outcomes {
		if err := o.check(); err != nil {
			return err
		}
	}
	return nil
}

// Opened is what came of opening a document.
type Opened struct {
	Document int    `json:"document"`
	ID       string `json:"id"`
	Source   Source `json:"source"`
	// Pages is the number of its pages.
	Pages int `json:"pages"`
	// Fault says why it could not be opened.
	Fault *Fault `json:"fault,omitempty"`
}

func (o Opened) check() error {
	if o.Document < 0 || o.Pages < 0 {
		return fmt.Errorf("document %d of %d pages", o.Document, o.Pages)
	}
	return nil
}

// Outcome is what came of a page.
type Outcome struct {
	Document int `json:"document"`
	Page     int `json:"page"`
	// Key is the one of the page's result in the store, in hexadecimal digits; empty if it has none.
	Key string `json:"key,omitzero"`
	// Fault says why the page was not read. With TextLayer it has a result all the same: the text that its PDF has itself.
	Fault     *Fault `json:"fault,omitempty"`
	TextLayer bool   `json:"text_layer,omitzero"`
	// Check says how the result and that text agree, where the job asked.
	Check *crosscheck.Report `json:"check,omitempty"`
	// Attempts is how often the page was given to an extractor; Resumed is set when the result was there before.
	Attempts int  `json:"attempts,omitzero"`
	Resumed  bool `json:"resumed,omitzero"`
	// Render and Read are the seconds that the page took to become an image, and to be read.
	Render float64 `json:"render,omitzero"`
	Read   float64 `json:"read,omitzero"`
	// PromptTokens and CompletionTokens are those of the result, where this page was read for it.
	PromptTokens     int `json:"prompt_tokens,omitzero"`
	CompletionTokens int `json:"completion_tokens,omitzero"`
	// Cost is the page's share of what its worker's machine costs, in US dollars, where that is known.
	Cost float64 `json:"cost,omitzero"`
	// Worker is who read it.
	Worker string `json:"worker,omitzero"`
}

func (o Outcome) check() error {
	if o.Document < 0 || o.Page < 0 || o.Key == "" && o.Fault == nil {
		return fmt.Errorf("page %d of document %d, with key %q: want a key or a fault", o.Page, o.Document, o.Key)
	}
	return nil
}

// DeadLetter is a task that was given up, or a message that could not be understood.
type DeadLetter struct {
	Version int `json:"v"`
	// Job is the job's id; empty if the message could not be understood.
	Job string `json:"job,omitzero"`
	// Task is the task, as it is for one page; Message, where it could not be understood, its bytes, and Subject where it was.
	Task    *Task  `json:"task,omitempty"`
	Message []byte `json:"message,omitzero"`
	Subject string `json:"subject,omitzero"`
	// Fault is the reason.
	Fault Fault `json:"fault"`
	// Worker is who gave it up, and when.
	Worker string    `json:"worker"`
	Time   time.Time `json:"time"`
}

func (d DeadLetter) version() int { return d.Version }
func (d DeadLetter) check() error { return nil }

// StoredResult is the result of a page on the server.
type StoredResult struct {
	// Result is the [textextraction.ExtractResult]. Where it is too large for a message, Object is the name of the object that it is in.
	Result json.RawMessage `json:"result,omitempty"`
	Object string          `json:"object,omitzero"`
}

func (s StoredResult) check() error {
	if (len(s.Result) == 0) == (s.Object == "") {
		return errors.New("want a result or an object")
	}
	return nil
}

// StoredResults are results that were kept at the same time.
type StoredResults struct {
	Version int            `json:"v"`
	Results []StoredResult `json:"results"`
}

func (s StoredResults) version() int { return s.Version }

func (s StoredResults) check() error {
	for _, r := range s.Results {
		if err := r.check(); err != nil {
			return err
		}
	}
	return nil
}

// message is what all of them have.
type message interface {
	version() int
	check() error
}

// decode reads a message, and refuses what it does not know.
func decode[T message](data []byte) (T, error) {
	var m T
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(&m)
	if err == nil {
		if _, end := d.Token(); !errors.Is(end, io.EOF) {
			err = errors.New("there is more behind the JSON object")
		}
	}
	if err == nil && m.version() != Version {
		err = fmt.Errorf("version %d: this program knows %d", m.version(), Version)
	}
	if err == nil {
		err = m.check()
	}
	if err != nil {
		return m, fmt.Errorf("%w: %T: %w", ErrMessage, m, err)
	}
	return m, nil
}

// encode writes a message, leaving text as it is.
func encode(m message) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := errors.Join(m.check(), e.Encode(m)); err != nil {
		return nil, fmt.Errorf("%w: %T: %w", ErrMessage, m, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// names are what jobs and queues may be called: names of subjects, keys and streams have them as a part.
var names = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func checkID(what, id string) error {
	if !names.MatchString(id) {
		return fmt.Errorf("%s %q: want 1 to 64 of the letters, digits, - and _", what, id)
	}
	return nil
}
