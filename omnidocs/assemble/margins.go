package assemble

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MarginKind is what a line at the edge of a page is.
type MarginKind string

// The kinds.
const (
	Header     MarginKind = "header"
	Footer     MarginKind = "footer"
	PageNumber MarginKind = "page_number"
)

// Margin is a line at the edge of a page.
type Margin struct {
	Page int        `json:"page"`
	Kind MarginKind `json:"kind"`
	Text string     `json:"text"`
}

const (
	marginDepth   = 3   // lines from the edge
	marginRepeats = 3   // pages
	marginGap     = 2   // from one of them to the next
	marginLength  = 200 // characters: what is longer is text
)

// candidate is a line at the edge of a page.
type candidate struct {
	page    int // index
	depth   int // from the edge
	line    *line
	shape   string // with # for numbers
	numbers []int
	margin  bool
}

var (
	digits  = regexp.MustCompile(`\d+`)
	roman   = regexp.MustCompile(`^[ivxlc]+$`)
	markup  = regexp.MustCompile(`<[^>]*>|[#*_` + "`" + `~\\]`)
	letters = regexp.MustCompile(`\pL`)
)

// findMargins marks the lines that are margins, and tells them in the order of the pages.
func findMargins(pages []page) []Margin {
	var found []Margin
	for _, top := range []bool{true, false} {
		var edges [][]*candidate
		shapes := map[string][]*candidate{}
		for i := range pages {
			edge := edgeOf(&pages[i], i, top)
			edges = append(edges, edge)
			seen := map[string]bool{}
			for _, c := range edge {
				if !seen[c.shape] { // the one that is nearest to the edge
					shapes[c.shape] = append(shapes[c.shape], c)
				}
				seen[c.shape] = true
			}
		}
		for _, same := range shapes {
			for _, run := range runs(same) {
				mark(run)
			}
		}
		for i, edge := range edges {
			for _, c := range edge {
				if !c.margin {
					break // and what is farther in is text
				}
				if c.line.margin {
					continue // from the other edge already, on a page of few lines
				}
				c.line.margin = true
				found = append(found, Margin{pages[i].number, c.kind(top), c.line.text})
			}
		}
	}
	order := map[int]int{}
	for i, p := range pages {
		order[p.number] = i
	}
	slices.SortStableFunc(found, func(a, b Margin) int { return order[a.Page] - order[b.Page] })
	return found
}

// edgeOf are the lines at an edge of a page that may be margins.
func edgeOf(p *page, index int, top bool) []*candidate {
	var lines []*line
	var kinds []kind
	for b := range p.blocks {
		for l := range p.blocks[b].lines {
			lines, kinds = append(lines, &p.blocks[b].lines[l]), append(kinds, p.blocks[b].kind)
		}
	}
	if !top {
		slices.Reverse(lines)
		slices.Reverse(kinds)
	}
	var edge []*candidate
	for i, l := range lines[:min(len(lines), marginDepth)] {
		shape, numbers := shapeOf(l.text)
		if kinds[i] != paragraph && kinds[i] != heading || shape == "" || utf8.RuneCountInString(l.text) > marginLength {
			break
		}
		if len(lines) == 1 && letters.MatchString(shape) {
			break // all that there is on the page
		}
		edge = append(edge, &candidate{page: index, depth: i, line: l, shape: shape, numbers: numbers})
	}
	return edge
}

// shapeOf is a line with # for its numbers, and these.
func shapeOf(text string) (shape string, numbers []int) {
	text = strings.Join(strings.Fields(markup.ReplaceAllString(strings.ToLower(text), "")), " ")
	if roman.MatchString(text) {
		return "#", []int{romanNumber(text)}
	}
	for _, d := range digits.FindAllString(text, -1) {
		n, err := strconv.Atoi(d)
		if err != nil {
			n = -1 // longer than a number is
		}
		numbers = append(numbers, n)
	}
	return digits.ReplaceAllString(text, "#"), numbers
}

func romanNumber(s string) (n int) {
	values := map[rune]int{'i': 1, 'v': 5, 'x': 10, 'l': 50, 'c': 100}
	last := 0
	for _, r := range s {
		v := values[r]
		if v > last {
			n -= 2 * last
		}
		n += v
		last = v
	}
	return n
}

// runs divides lines of one shape where too many pages lie between them.
func runs(same []*candidate) (all [][]*candidate) {
	start := 0
	for i := 1; i <= len(same); i++ {
		if i == len(same) || same[i].page-same[i-1].page > marginGap {
			if i-start >= marginRepeats {
				all = append(all, same[start:i])
			}
			start = i
		}
	}
	return all
}

// mark marks those of a run that are margins: their numbers are those of most, or one of them counts the pages as that of most does.
func mark(run []*candidate) {
	best := run[:0:0]
	for counter := -1; counter < len(run[0].numbers); counter++ {
		groups := map[string][]*candidate{}
		for _, c := range run {
			n := slices.Clone(c.numbers)
			if counter >= 0 {
				n[counter] -= c.page
			}
			key := ""
			for _, v := range n {
				key += strconv.Itoa(v) + " "
			}
			groups[key] = append(groups[key], c)
			if len(groups[key]) > len(best) {
				best = groups[key]
			}
		}
	}
	if len(best) < marginRepeats {
		return
	}
	for _, c := range best {
		c.margin = true
	}
}

func (c *candidate) kind(top bool) MarginKind {
	words := strings.Fields(c.shape)
	rest := slices.DeleteFunc(words, func(w string) bool { return slices.Contains([]string{"page", "p.", "of", "seite", "von", "sur"}, w) })
	switch {
	case len(c.numbers) > 0 && !letters.MatchString(strings.Join(rest, "")):
		return PageNumber
	case top:
		return Header
	}
	return Footer
}
