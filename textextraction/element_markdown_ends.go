package textextraction

import (
	"regexp"
	"strings"
)

// fenceEnd is the end of a code block whose opening line ends at next.
func fenceEnd(s string, next, ticks int) int {
	for at := next; at < len(s); {
		end := lineEnd(s, at)
		if n, label := fence(s[at:end]); n >= ticks && label == "" {
			return end
		}
		at = end
	}
	return len(s)
}

// tableEnd is the end of the table that begins with the line from at to next, or at if none does.
func (r *markdownElements) tableEnd(s string, at, next int) int {
	line := s[at:next]
	if m := tableFloat.FindStringSubmatch(line); m != nil {
		return r.environmentEnd(s, at, "table")
	}
	if m := tableIn(line); m != nil && strings.TrimFunc(line[:m[0]], isSpace) == "" {
		switch opening := line[m[0]:m[1]]; {
		case opening[0] == '\\':
			name := opening[strings.IndexByte(opening, '{')+1 : len(opening)-1]
			return r.environmentEnd(s, at, name)
		case strings.EqualFold(opening[:6], "<table"):
			return r.htmlTableEnd(s, at)
		}
		end := next // OTSL
		for end < len(s) && strings.TrimFunc(s[end:lineEnd(s, end)], isSpace) != "" {
			end = lineEnd(s, end)
		}
		return end
	}
	if next < len(s) && strings.Contains(line, "|") {
		rule := s[next:lineEnd(s, next)]
		if strings.Contains(rule, "|") && ruleRow.MatchString(strings.TrimFunc(rule, isSpace)) {
			end := next
			for end < len(s) && strings.Contains(s[end:lineEnd(s, end)], "|") {
				end = lineEnd(s, end)
			}
			return end
		}
	}
	return at
}

// environmentEnd is behind the end of LaTeX's environment that begins at at; without one, that of s.
func (r *markdownElements) environmentEnd(s string, at int, name string) int {
	depth := 0
	for i := at; i <= r.closes[1]; {
		n := strings.IndexByte(s[i:], '\\')
		if n < 0 {
			break
		}
		i += n + 1
		rest := s[i:]
		switch {
		case strings.HasPrefix(rest, "begin{"+name):
			depth++
		case strings.HasPrefix(rest, "end{"+name):
			if depth--; depth <= 0 {
				if brace := strings.IndexByte(rest, '}'); brace >= 0 {
					return i + brace + 1
				}
			}
		}
	}
	return len(s)
}

var tableTag = regexp.MustCompile(`(?i)<(/?)table\b[^>]*>`)

// htmlTableEnd is behind the end of the HTML table that begins at at; without one, that of s.
func (r *markdownElements) htmlTableEnd(s string, at int) int {
	if r.closes[0] < at {
		return len(s)
	}
	depth := 0
	for i := at; ; {
		m := tableTag.FindStringSubmatchIndex(s[i:])
		if m == nil {
			return len(s)
		}
		i += m[1]
		if m[2] == m[3] {
			depth++
		} else if depth--; depth <= 0 {
			return i
		}
	}
}

// formulaEnd is the end of the display math that begins at at and has nothing behind it on its last line, or at.
func (r *markdownElements) formulaEnd(s string, at int) int {
	start := skipSpace(s, at)
	end := -1
	switch {
	case strings.HasPrefix(s[start:], "$$"):
		if n := strings.Index(s[start+2:], "$$"); n >= 0 {
			end = start + 2 + n + 2
		}
	case strings.HasPrefix(s[start:], `\[`):
		if n := strings.Index(s[start+2:], `\]`); n >= 0 {
			end = start + 2 + n + 2
		}
	default:
		if m := mathStart.FindStringSubmatch(s[start:lineEnd(s, start)]); m != nil && strings.Contains(s[start:], `\end{`+m[1]) {
			end = r.environmentEnd(s, start, m[1])
		}
	}
	if end < 0 || strings.TrimFunc(s[end:lineEnd(s, end)], isSpace) != "" {
		return at
	}
	return lineEnd(s, end)
}
