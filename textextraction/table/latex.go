package table

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// latexTables are the environments of tables, and how many groups in braces stand before the columns'.
var latexTables = map[string]int{
	"tabular": 0, "tabular*": 1, "tabularx": 1, "tabulary": 1, "longtable": 0, "array": 0, "tabu": 0, "supertabular": 0,
}

var (
	latexBegin   = regexp.MustCompile(`\\begin\s*\{(tabular[*xy]?|longtable|array|tabu|supertabular)\}`)
	latexCaption = regexp.MustCompile(`\\caption\*?\s*(?:\[[^\]]*\])?\s*\{`)
)

// ParseLaTeX reads the first tabular (or tabularx, longtable, array …) of a piece of LaTeX: \multicolumn, \multirow, \hline,
// \cline and booktabs' rules. The head is what is above the first \midrule, or above the first line within the table if there
// is not one between all rows. Formatting is taken off the texts of the cells, and escapes are undone; math, and commands that
// are not known, stay. An end that is missing, because the answer was cut, is that of s. Its errors match [ErrNoTable] or
// [ErrTooLarge].
func ParseLaTeX(s string) (*Table, error) {
	m := latexBegin.FindStringSubmatchIndex(s)
	if m == nil {
		return nil, ErrNoTable
	}
	name := s[m[2]:m[3]]
	body := skipArguments(s[m[1]:], latexTables[name])
	body = body[:endOf(body, name)]
	r := latexReader{s: body}
	r.read()
	caption := ""
	if m := latexCaption.FindStringIndex(s); m != nil {
		text, _ := group(s[m[1]-1:])
		caption = latexText(text)
	}
	return New(r.cells(), r.head(), caption)
}

// skipArguments cuts the arguments of a table off: [t], {width} where there are such, {|l|c|}.
func skipArguments(s string, groups int) string {
	rest := strings.TrimLeft(s, " \t\r\n")
	if strings.HasPrefix(rest, "[") {
		if end := strings.IndexByte(rest, ']'); end >= 0 && end < 8 {
			rest = strings.TrimLeft(rest[end+1:], " \t")
		}
	}
	for range groups + 1 {
		if !strings.HasPrefix(rest, "{") {
			break
		}
		_, size := group(rest)
		rest = strings.TrimLeft(rest[size:], " \t")
	}
	return rest
}

// group returns what is in the braces with which s begins, and their length with it. Without an end they go on to the end of
// the line.
func group(s string) (inner string, size int) {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return s[1:i], i + 1
			}
		}
	}
	end := len(s)
	if line := strings.IndexByte(s, '\n'); line >= 0 {
		end = line
	}
	return s[1:end], end
}

// endOf is where an environment whose beginning is before s has its end.
func endOf(s, name string) int {
	begin, end := `\begin{`+name+"}", `\end{`+name+"}"
	depth := 0
	for i := 0; i < len(s); {
		at := strings.IndexByte(s[i:], '\\')
		if at < 0 {
			break
		}
		i += at
		switch {
		case strings.HasPrefix(s[i:], end):
			if depth == 0 {
				return i
			}
			depth--
			i += len(end)
		case strings.HasPrefix(s[i:], begin):
			depth++
			i += len(begin)
		default:
			i++
		}
	}
	return len(s)
}

// latexRule is what draws lines: \hline, \cline{1-2}, \toprule[1pt], \cmidrule(lr){2-3} and the like.
var latexRule = regexp.MustCompile(`^\s*\\(hline|hhline|cline|toprule|midrule|bottomrule|cmidrule|specialrule|addlinespace|endhead|endfirsthead|endfoot|endlastfoot|noalign)\b` +
	`(?:\[[^\]]*\])?(?:\([a-z]*\))?((?:\{[^}]*\})*)`)

// latexReader cuts the body of a table into rows of cells.
type latexReader struct {
	s       string
	rows    [][]string
	rules   map[int]bool // a line across the table above a row
	midrule int          // the row below the first \midrule, or 0
}

func (r *latexReader) read() {
	r.rules = map[int]bool{}
	s := r.s
	for s != "" {
		if m := latexRule.FindStringSubmatch(s); m != nil {
			r.rule(m[1])
			s = s[len(m[0]):]
			continue
		}
		var row []string
		row, s = latexRow(s)
		if len(row) == 1 && strings.TrimSpace(row[0]) == "" {
			continue // what is behind the last row
		}
		r.rows = append(r.rows, row)
	}
}

func (r *latexReader) rule(name string) {
	switch n := len(r.rows); name {
	case "midrule", "endhead", "endfirsthead":
		if r.midrule == 0 {
			r.midrule = n
		}
	case "hline", "hhline", "toprule", "bottomrule":
		r.rules[n] = true
	}
}

// head is the number of rows above the first line, as ParseLaTeX says.
func (r *latexReader) head() int {
	if r.midrule > 0 {
		return r.midrule
	}
	first, within := 0, 0
	for row := 1; row < len(r.rows); row++ {
		if r.rules[row] {
			if within++; first == 0 {
				first = row
			}
		}
	}
	if len(r.rows) > 2 && within == len(r.rows)-1 {
		return 0 // a grid
	}
	return first
}

// latexRow cuts the first row off s.
func latexRow(s string) (cells []string, rest string) {
	start, braces, inner := 0, 0, 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '{':
			braces++
		case '}':
			braces = max(braces-1, 0)
		case '&':
			if braces == 0 && inner == 0 && !entityAt(s[i:]) {
				cells = append(cells, s[start:i])
				start = i + 1
			}
		case '\\':
			word := command(s[i:])
			switch {
			case word == `\begin`:
				inner++
			case word == `\end`:
				inner = max(inner-1, 0)
			case (word == `\\` || word == `\tabularnewline`) && braces == 0 && inner == 0:
				cells = append(cells, s[start:i])
				return cells, skipRowEnd(s[i+len(word):])
			}
			i += len(word) - 1
		}
	}
	return append(cells, s[start:]), ""
}

// entityAt tells whether an entity of HTML begins at the "&" of s: some models mix them in.
func entityAt(s string) bool {
	for _, e := range []string{"&amp;", "&lt;", "&gt;", "&quot;", "&nbsp;", "&#39;"} {
		if strings.HasPrefix(s, e) {
			return true
		}
	}
	return false
}

var rowEnd = regexp.MustCompile(`^\*?(?:[ \t]*\[-?[0-9.]+ ?(?:pt|em|ex|mm|cm|in|\\baselineskip)\])?`)

// skipRowEnd cuts off what may follow \\: a star, a distance.
func skipRowEnd(s string) string { return s[len(rowEnd.FindString(s)):] }

// command is the command that s begins with: a backslash and letters, or one other character.
func command(s string) string {
	end := 1
	for end < len(s) && (s[end] >= 'a' && s[end] <= 'z' || s[end] >= 'A' && s[end] <= 'Z') {
		end++
	}
	if end == 1 && len(s) > 1 {
		end = 2
	}
	return s[:end]
}

var (
	multiColumn = regexp.MustCompile(`^\s*\\multicolumn\s*\{\s*(\d+)\s*\}\s*\{`)
	multiRow    = regexp.MustCompile(`^\s*\\multirow(?:cell)?\s*(?:\[[^\]]*\])?\s*\{\s*=?(-?\d+)\s*\}\s*(?:\[[^\]]*\])?\s*(?:\{[^}]*\}|\*)?\s*(?:\[[^\]]*\])?\s*\{`)
	cellColor   = regexp.MustCompile(`^\s*\\(?:cellcolor|rowcolor|columncolor)\s*(?:\[[^\]]*\])?\s*\{[^}]*\}`)
)

// latexCell reads a cell: its spans, out of one another in either order, and its text.
func latexCell(s string) Cell {
	c := Cell{RowSpan: 1, ColSpan: 1}
	for {
		if color := cellColor.FindString(s); color != "" {
			s = s[len(color):]
			continue
		}
		if m := multiColumn.FindStringSubmatchIndex(s); m != nil && c.ColSpan == 1 {
			c.ColSpan = number(s[m[2]:m[3]])
			_, columns := group(s[m[1]-1:])
			s = strings.TrimLeft(s[m[1]-1+columns:], " \t\r\n")
			if strings.HasPrefix(s, "{") {
				inner, size := group(s)
				s = inner + s[size:]
			}
			continue
		}
		if m := multiRow.FindStringSubmatchIndex(s); m != nil && c.RowSpan == 1 {
			c.RowSpan = number(s[m[2]:m[3]])
			inner, size := group(s[m[1]-1:])
			s = inner + s[m[1]-1+size:]
			continue
		}
		c.Text = tidy(latexText(s))
		return c
	}
}

func number(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 { // a \multirow with a negative number reaches up: it stands where it is written
		return 1
	}
	return min(n, maxSpan)
}

// cells places the cells of the rows. Below a \multirow, LaTeX has empty cells, which are a part of it; a text that is there all
// the same ends it.
func (r *latexReader) cells() [][]Cell {
	type reach struct{ row, cell, x, w, left int } // a cell that is to go on below
	var open []reach
	rows := make([][]Cell, len(r.rows))
	for i, texts := range r.rows {
		var cells []Cell
		var at []int // the column of each
		x := 0
		for _, text := range texts {
			c := latexCell(text)
			cells, at = append(cells, c), append(at, x)
			x += c.ColSpan
		}
		gone := make([]bool, len(cells))
		var still []reach
		for _, o := range open {
			covered := 0
			var parts []int
			for k := range cells {
				if at[k] >= o.x && at[k]+cells[k].ColSpan <= o.x+o.w && cells[k].Text == "" && cells[k].RowSpan == 1 && !gone[k] {
					covered += cells[k].ColSpan
					parts = append(parts, k)
				}
			}
			if covered < o.w && o.x < x || o.left == 0 { // a row that is too short has nothing against it
				rows[o.row][o.cell].RowSpan -= o.left
				continue
			}
			for _, k := range parts {
				gone[k] = true
			}
			if o.left--; o.left > 0 {
				still = append(still, o)
			}
		}
		open = still
		rows[i] = []Cell{}
		for k, c := range cells {
			if gone[k] {
				continue
			}
			rows[i] = append(rows[i], c)
			if c.RowSpan > 1 {
				open = append(open, reach{i, len(rows[i]) - 1, at[k], c.ColSpan, c.RowSpan - 1})
			}
		}
	}
	for _, o := range slices.Backward(open) {
		rows[o.row][o.cell].RowSpan -= o.left
	}
	return rows
}
