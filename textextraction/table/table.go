package table

import (
	"errors"
	"fmt"
	"strings"
)

// Table is a table. The slots of its grid are numbered by row and column; every slot belongs to exactly one cell.
//
// In JSON it has the names that its tags say. Reading it is strict, and goes through [New].
type Table struct {
	// Caption is the text above or below the table, if it came with it.
	Caption string `json:"caption,omitzero"`
	// HeaderRows is how many rows, from the top, are its head. Zero means that the source does not tell.
	HeaderRows int `json:"header_rows"`
	// Rows are the rows. Each has the cells that begin in it, from left to right; of what reaches down from the rows above it
	// has nothing, so that it may be empty.
	Rows [][]Cell `json:"rows"`
}

// Cell is a cell.
type Cell struct {
	// Text is its text without markup; math stays LaTeX between dollars. Lines are divided by "\n".
	Text string `json:"text"`
	// RowSpan and ColSpan are how many rows and columns it takes. Zero means one.
	RowSpan int `json:"row_span,omitzero"`
	ColSpan int `json:"col_span,omitzero"`
	// Header tells that the cell is the head of its row. In the head of the table every cell is one, without it.
	Header bool `json:"header,omitzero"`
}

var (
	// ErrNoTable is matched by the errors of sources in which there is no table, or none with a cell.
	ErrNoTable = errors.New("table: there is no table")
	// ErrTooLarge is matched by the errors of tables with more than a million slots.
	ErrTooLarge = errors.New("table: more than 1,048,576 slots")
)

const (
	maxSlots = 1 << 20
	maxSpan  = 1 << 16 // above that a span is as good as endless
)

// New returns a sound table of rows as a source has them: like the tables of HTML, each cell takes the first slots of its row
// that are free. Spans end where another cell, the head, or the table does; rows that are too short are filled up; columns in
// which no cell begins go; white space is collapsed; the first rows, if they have only headers, become the head if there is none. Its errors match
// [ErrNoTable] or [ErrTooLarge].
func New(rows [][]Cell, headerRows int, caption string) (*Table, error) {
	b := builder{rows: make([][]Cell, len(rows)), head: min(max(headerRows, 0), len(rows))}
	for i, row := range rows {
		if headerRows <= 0 && i == b.head && allHeaders(row) {
			b.head++
		}
	}
	grid := make([][]*Cell, len(rows))
	for r, row := range rows {
		for _, c := range row {
			var err error
			if grid, err = b.place(grid, r, c); err != nil {
				return nil, err
			}
		}
	}
	if b.width == 0 {
		return nil, ErrNoTable
	}
	if len(rows)*b.width > maxSlots {
		return nil, ErrTooLarge
	}
	return &Table{Caption: tidy(caption), HeaderRows: b.head, Rows: b.fill(grid)}, nil
}

func allHeaders(row []Cell) bool {
	for _, c := range row {
		if !c.Header {
			return false
		}
	}
	return len(row) > 0
}

// builder places cells.
type builder struct {
	rows  [][]Cell
	head  int // rows of the head
	width int
	slots int // taken
}

// place puts a cell into the first free slots of row r.
func (b *builder) place(grid [][]*Cell, r int, c Cell) ([][]*Cell, error) {
	x := 0
	for x < len(grid[r]) && grid[r][x] != nil {
		x++
	}
	w := 1
	for w < min(max(c.ColSpan, 1), maxSpan) && (x+w >= len(grid[r]) || grid[r][x+w] == nil) {
		w++
	}
	end := len(grid)
	if r < b.head {
		end = b.head
	}
	h := min(max(c.RowSpan, 1), maxSpan, end-r)
	// A slot that is free in this row is free in those below: only cells that are here, too, reach down to them.
	if b.slots += w * h; b.slots > maxSlots {
		return nil, ErrTooLarge
	}
	b.width = max(b.width, x+w)
	c.Text, c.RowSpan, c.ColSpan = tidy(c.Text), h, w
	if h == 1 {
		c.RowSpan = 0
	}
	if w == 1 {
		c.ColSpan = 0
	}
	c.Header = c.Header && r >= b.head
	for i := r; i < r+h; i++ {
		for len(grid[i]) < x+w {
			grid[i] = append(grid[i], nil)
		}
		for j := x; j < x+w; j++ {
			grid[i][j] = &c
		}
	}
	return grid, nil
}

// fill makes the rows of a sound table of the cells that have been placed: what is free gets an empty cell, and columns in
// which no cell begins, because a span was too large, go.
func (b *builder) fill(grid [][]*Cell) [][]Cell {
	begins := make([]bool, b.width)
	for r := range grid {
		for x, c := range grid[r] {
			if c != nil && (x == 0 || grid[r][x-1] != c) {
				begins[x] = true
			}
		}
	}
	rows := make([][]Cell, len(grid))
	seen := map[*Cell]bool{}
	for r := range grid {
		rows[r] = []Cell{}
		for x := range b.width {
			var c *Cell
			if x < len(grid[r]) {
				c = grid[r][x]
			}
			switch {
			case c == nil:
				if begins[x] {
					rows[r] = append(rows[r], Cell{})
				}
			case !seen[c]:
				seen[c] = true
				rows[r] = append(rows[r], narrowed(*c, begins[x:x+max(c.ColSpan, 1)]))
			}
		}
	}
	return rows
}

// narrowed is a cell without the columns in which none begins.
func narrowed(c Cell, begins []bool) Cell {
	w := 0
	for _, b := range begins {
		if b {
			w++
		}
	}
	if c.ColSpan = w; w <= 1 {
		c.ColSpan = 0
	}
	return c
}

// Columns is the number of columns.
func (t *Table) Columns() (n int) {
	for _, row := range t.slots() {
		n = max(n, len(row))
	}
	return n
}

// Slots returns the grid: for each row and column the cell that is there. A cell with spans is there several times.
func (t *Table) Slots() [][]*Cell {
	slots := t.slots()
	grid := make([][]*Cell, len(slots))
	for r, row := range slots {
		for _, s := range row {
			grid[r] = append(grid[r], s.cell)
		}
	}
	return grid
}

// slot is a place of the grid.
type slot struct {
	cell   *Cell
	anchor bool // the cell begins here
}

// slots is the grid of a sound table. One that is not gets one that is as good as it can be.
func (t *Table) slots() [][]slot {
	grid := make([][]slot, len(t.Rows))
	taken := 0
	for r, row := range t.Rows {
		x := 0
		for i := range row {
			c := &row[i]
			for x < len(grid[r]) && grid[r][x].cell != nil {
				x++
			}
			w, h := min(max(c.ColSpan, 1), maxSpan), min(max(c.RowSpan, 1), len(t.Rows)-r)
			if taken += w * h; taken > 2*maxSlots {
				return grid
			}
			for i := r; i < r+h; i++ {
				for len(grid[i]) < x+w {
					grid[i] = append(grid[i], slot{})
				}
				for j := x; j < x+w; j++ {
					grid[i][j] = slot{cell: c, anchor: i == r && j == x}
				}
			}
		}
	}
	return grid
}

// HasSpans tells whether a cell takes more than one slot: then Markdown and CSV cannot have all of the table.
func (t *Table) HasSpans() bool {
	for _, row := range t.Rows {
		for _, c := range row {
			if c.RowSpan > 1 || c.ColSpan > 1 {
				return true
			}
		}
	}
	return false
}

// Grid returns the texts by row and column. The text of a cell with spans is in its first slot; the others are empty.
func (t *Table) Grid() [][]string {
	slots := t.slots()
	grid := make([][]string, len(slots))
	for r, row := range slots {
		grid[r] = make([]string, len(row))
		for x, s := range row {
			if s.anchor {
				grid[r][x] = s.cell.Text
			}
		}
	}
	return grid
}

// Text is the text of the table: the caption, then a line for each row, with tabs between the cells.
func (t *Table) Text() string {
	var lines []string
	if t.Caption != "" {
		lines = append(lines, t.Caption)
	}
	for _, row := range t.Grid() {
		for x := range row {
			row[x] = strings.ReplaceAll(row[x], "\n", " ")
		}
		lines = append(lines, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	return strings.Join(lines, "\n")
}

// tidy collapses the white space of a text, but keeps its lines.
func tidy(s string) string {
	lines := strings.Split(s, "\n")
	kept := lines[:0]
	for _, line := range lines {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// check tells what is wrong with a table from elsewhere.
func (t *Table) check() error {
	if t.HeaderRows < 0 || t.HeaderRows > len(t.Rows) {
		return fmt.Errorf("table: header_rows: %d is outside 0 to %d, the number of rows", t.HeaderRows, len(t.Rows))
	}
	for r, row := range t.Rows {
		for i, c := range row {
			if c.RowSpan < 0 || c.ColSpan < 0 {
				return fmt.Errorf("table: rows[%d][%d]: a span of %d rows and %d columns", r, i, c.RowSpan, c.ColSpan)
			}
		}
	}
	return nil
}
