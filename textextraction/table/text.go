package table

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
)

// CSV writes the table as CSV (RFC 4180, lines ending in "\n"). The text of a cell with spans is in its first slot; the
// caption is left out.
func (t *Table) CSV() string {
	var b strings.Builder
	w := csv.NewWriter(&b)
	_ = w.WriteAll(t.Grid()) // to memory, which does not fail
	return b.String()
}

// UnmarshalJSON reads a table. Unknown names, spans that are negative and heads that are longer than the table are errors.
func (t *Table) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil // as encoding/json asks of every UnmarshalJSON
	}
	type plain Table // without this method
	var read plain
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&read); err != nil {
		return fmt.Errorf("table: %w", err)
	}
	if err := (*Table)(&read).check(); err != nil {
		return err
	}
	sound, err := New(read.Rows, read.HeaderRows, read.Caption)
	if err != nil {
		return err
	}
	*t = *sound
	return nil
}
