package table

import (
	"regexp"
	"strings"
)

// otslTag is a tag of OTSL, the table language of MinerU and of Docling's models.
var otslTag = regexp.MustCompile(`<(fcel|ecel|lcel|ucel|xcel|ched|rhed|srow|nl|otsl|caption)>|</(otsl|caption)>`)

// IsOTSL tells whether s begins with a cell of OTSL.
func IsOTSL(s string) bool {
	at := otslTag.FindStringIndex(s)
	return at != nil && strings.TrimSpace(s[:at[0]]) == ""
}

// ParseOTSL reads a table in OTSL: <fcel> begins a cell with a text, <ecel> an empty one, <ched> and <rhed> the head of a column
// and of a row, <srow> a head across; <lcel> goes on with the cell to the left, <ucel> with the one above, <xcel> with both;
// <nl> ends a row. What goes on with no cell is an empty one, or, with a text, a cell of its own. Text before the first tag is
// the caption. Its errors match [ErrNoTable] or [ErrTooLarge].
func ParseOTSL(s string) (*Table, error) {
	var g otslGrid
	tags := otslTag.FindAllStringSubmatchIndex(s, -1)
	if len(tags) == 0 {
		return nil, ErrNoTable
	}
	caption := []string{s[:tags[0][0]]}
	for i, m := range tags {
		end := len(s)
		if i+1 < len(tags) {
			end = tags[i+1][0]
		}
		text := s[m[1]:end]
		if m[2] < 0 || s[m[2]:m[3]] == "otsl" || s[m[2]:m[3]] == "caption" {
			caption = append(caption, text)
			continue
		}
		g.add(s[m[2]:m[3]], text)
		if g.slots > maxSlots {
			return nil, ErrTooLarge
		}
	}
	return New(g.table(), 0, strings.Join(caption, " "))
}

type otslSlot struct {
	tag, text string
	used      bool // a part of a cell that began before
}

// otslGrid is a table as it is written: a slot for a tag.
type otslGrid struct {
	rows  [][]otslSlot
	ended bool // the last row is
	slots int
}

func (g *otslGrid) add(tag, text string) {
	if tag == "nl" {
		if g.ended || len(g.rows) == 0 {
			g.rows = append(g.rows, nil)
		}
		g.ended = true
		if text = strings.TrimSpace(text); text == "" {
			return
		}
		tag = "fcel" // a text without a cell
	}
	if g.ended || len(g.rows) == 0 {
		g.rows = append(g.rows, nil)
		g.ended = false
	}
	last := len(g.rows) - 1
	g.rows[last] = append(g.rows[last], otslSlot{tag: tag, text: text})
	g.slots++
}

// goesOn tells whether the slot belongs to a cell before it by one of these tags.
func (g *otslGrid) goesOn(r, x int, tags ...string) bool {
	if r >= len(g.rows) || x >= len(g.rows[r]) {
		return false
	}
	s := g.rows[r][x]
	if s.used || strings.TrimSpace(s.text) != "" {
		return false
	}
	for _, tag := range tags {
		if s.tag == tag {
			return true
		}
	}
	return false
}

// table makes cells of the slots.
func (g *otslGrid) table() [][]Cell {
	rows := make([][]Cell, len(g.rows))
	for r, row := range g.rows {
		for x, s := range row {
			if s.used {
				continue
			}
			c := Cell{Text: s.text, RowSpan: 1, ColSpan: 1, Header: s.tag == "ched" || s.tag == "rhed" || s.tag == "srow"}
			for g.goesOn(r, x+c.ColSpan, "lcel") {
				c.ColSpan++
			}
			for g.allGoOn(r+c.RowSpan, x, c.ColSpan) {
				c.RowSpan++
			}
			for i := r; i < r+c.RowSpan; i++ {
				for j := x; j < x+c.ColSpan; j++ {
					g.rows[i][j].used = true
				}
			}
			rows[r] = append(rows[r], c)
		}
	}
	return rows
}

// allGoOn tells whether row r goes on, from x on, with a cell above it that is so wide.
func (g *otslGrid) allGoOn(r, x, width int) bool {
	if !g.goesOn(r, x, "ucel") {
		return false
	}
	for j := x + 1; j < x+width; j++ {
		if !g.goesOn(r, j, "xcel", "ucel") {
			return false
		}
	}
	return true
}
