package jobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/omnidocs/omnidocs/omnidocs/crosscheck"
	"github.com/omnidocs/omnidocs/omnidocs/internal/atomicfile"
	"github.com/omnidocs/omnidocs/textextraction"
)

// pageErrorJSON is the error of a page in JSON.
type pageErrorJSON struct {
	Error    string `json:"error"`
	Attempts int    `json:"attempts"`
}

// documentJSON is a document in JSON.
type documentJSON struct {
	SourcePath     *string                                      `json:"source_path"`
	PageCount      int                                          `json:"page_count"`
	ProcessedPages int                                          `json:"processed_pages"`
	Results        orderedByPage[*textextraction.ExtractResult] `json:"results"`
	Errors         orderedByPage[pageErrorJSON]                 `json:"errors,omitempty"`
	TextLayer      []int                                        `json:"text_layer,omitempty"`
	Checks         orderedByPage[*crosscheck.Report]            `json:"checks,omitempty"`
	Error          string                                       `json:"error,omitempty"`
}

// orderedByPage is written as an object with a page's number as the name of each value, in the order of the pages; encoding/json would sort a map's 10
// before 2.
type orderedByPage[T any] []paged[T]

type paged[T any] struct {
	page  int
	value T
}

func (o orderedByPage[T]) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, p := range o {
		if i > 0 {
			out = append(out, ',')
		}
		value, err := marshal(p.value)
		if err != nil {
			return nil, err
		}
		out = append(out, strconv.Quote(strconv.Itoa(p.page))+":"...)
		out = append(out, value...)
	}
	return append(out, '}'), nil
}

func (o *orderedByPage[T]) UnmarshalJSON(data []byte) error {
	var read map[string]T
	if err := json.Unmarshal(data, &read); err != nil {
		return err
	}
	*o = nil
	for name, value := range read {
		page, err := strconv.Atoi(name)
		if err != nil || page < 0 {
			return fmt.Errorf("page %q: want its number from 0", name)
		}
		*o = append(*o, paged[T]{page, value})
	}
	return nil
}

// MarshalJSON writes the shape of Python's DocumentResult.to_dict.
func (d *DocumentResult) MarshalJSON() ([]byte, error) { return marshal(d.json(true)) }

// json is the document for encoding/json. Without times, and who read what, it is the same for all jobs that read the same.
func (d *DocumentResult) json(times bool) documentJSON {
	out := documentJSON{PageCount: d.PageCount, ProcessedPages: d.ProcessedPages()}
	if d.SourcePath != "" {
		out.SourcePath = &d.SourcePath
	}
	for _, p := range d.pages {
		if r := p.Result; r != nil {
			if !times {
				r = repeatable(r)
			}
			out.Results = append(out.Results, paged[*textextraction.ExtractResult]{p.Page, r})
		}
		if p.Err != nil {
			out.Errors = append(out.Errors, paged[pageErrorJSON]{p.Page, pageErrorJSON{p.Err.Error(), p.Attempts}})
		}
		if p.TextLayer {
			out.TextLayer = append(out.TextLayer, p.Page)
		}
		if p.Check != nil {
			out.Checks = append(out.Checks, paged[*crosscheck.Report]{p.Page, p.Check})
		}
	}
	if d.Err != nil {
		out.Error = d.Err.Error()
	}
	return out
}

// repeatable is a result without what is another one each time: times, and which worker of a pool read it.
func repeatable(r *textextraction.ExtractResult) *textextraction.ExtractResult {
	copied := *r
	copied.Timings, copied.Worker = textextraction.Timings{}, ""
	return &copied
}

// UnmarshalJSON reads what MarshalJSON, or Python, writes. Of errors it knows the text alone.
func (d *DocumentResult) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil // as encoding/json asks of every UnmarshalJSON
	}
	var read documentJSON
	if err := json.Unmarshal(data, &read); err != nil {
		return fmt.Errorf("jobs: DocumentResult: %w", err)
	}
	*d = DocumentResult{PageCount: read.PageCount}
	if read.SourcePath != nil {
		d.SourcePath = *read.SourcePath
	}
	if read.Error != "" {
		d.Err = errors.New(read.Error)
	}
	pages := map[int]PageOutcome{}
	set := func(page int, set func(*PageOutcome)) {
		p := pages[page]
		p.Page = page
		set(&p)
		pages[page] = p
	}
	for _, r := range read.Results {
		set(r.page, func(p *PageOutcome) { p.Result = r.value })
	}
	for _, e := range read.Errors {
		set(e.page, func(p *PageOutcome) { p.Err, p.Attempts = errors.New(e.value.Error), e.value.Attempts })
	}
	for _, page := range read.TextLayer {
		set(page, func(p *PageOutcome) { p.TextLayer = true })
	}
	for _, c := range read.Checks {
		set(c.page, func(p *PageOutcome) { p.Check = c.value })
	}
	for _, p := range pages {
		d.Add(p)
	}
	return nil
}

// MarshalJSON writes the shape of Python's BatchResult.to_dict.
func (b *BatchResult) MarshalJSON() ([]byte, error) {
	docs := []byte{'{'}
	for id, d := range b.All() {
		if len(docs) > 1 {
			docs = append(docs, ',')
		}
		name, err := marshal(id)
		if err != nil {
			return nil, err
		}
		doc, err := marshal(d)
		if err != nil {
			return nil, err
		}
		docs = append(append(append(docs, name...), ':'), doc...)
	}
	return marshal(struct {
		DocumentCount int             `json:"document_count"`
		TotalPages    int             `json:"total_pages"`
		Documents     json.RawMessage `json:"documents"`
	}{b.Len(), b.TotalPages(), append(docs, '}')})
}

// UnmarshalJSON reads what MarshalJSON, or Python, writes.
func (b *BatchResult) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil // as encoding/json asks of every UnmarshalJSON
	}
	var read struct {
		Documents json.RawMessage `json:"documents"`
	}
	if err := json.Unmarshal(data, &read); err != nil {
		return fmt.Errorf("jobs: BatchResult: %w", err)
	}
	var got BatchResult
	in := json.NewDecoder(bytes.NewReader(read.Documents))
	if open, err := in.Token(); err != nil || open != json.Delim('{') {
		return errors.New("jobs: BatchResult: documents must be there, as an object")
	}
	for in.More() { // in their order, which a map would lose
		token, err := in.Token()
		id, ok := token.(string)
		if err != nil || !ok {
			return fmt.Errorf("jobs: BatchResult: documents: %w", err)
		}
		doc := &DocumentResult{}
		if err := in.Decode(doc); err != nil {
			return fmt.Errorf("jobs: BatchResult: %q: %w", id, err)
		}
		got.Add(id, doc)
	}
	*b = got
	return nil
}

// SaveJSON writes the result to a file, indented by two spaces as Python does. The folder is made if it is not there; the file is there whole
// or not at all.
func (d *DocumentResult) SaveJSON(path string) error { return saveJSON(path, d) }

// SaveJSON writes the result to a file, see [DocumentResult.SaveJSON].
func (b *BatchResult) SaveJSON(path string) error { return saveJSON(path, b) }

func saveJSON(path string, value any) error {
	data, err := encode(value, "  ")
	if err == nil {
		dir := filepath.Dir(path)
		if err = os.MkdirAll(dir, 0o755); err == nil {
			err = atomicfile.Write(path, dir, data)
		}
	}
	if err != nil {
		return fmt.Errorf("jobs: save %q: %w", path, err)
	}
	return nil
}

// marshal is json.Marshal, but leaves text as it is. What calls it may still be asked to escape.
func marshal(value any) ([]byte, error) {
	data, err := encode(value, "")
	return bytes.TrimSuffix(data, []byte("\n")), err
}

// encode is a value as JSON with a line break at its end. Text stays as it is: "<" is no "\u003c".
func encode(value any, indent string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	err := e.Encode(value)
	return b.Bytes(), err
}
