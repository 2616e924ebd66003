package chat

import (
	"regexp"
	"strings"
)

var (
	// indexes are those that gonja 2.7 cannot parse, x[::-1], and those that it gets wrong: x[-1] of a list of one.
	indexes = regexp.MustCompile(`\[\s*(?::\s*:\s*-\s*1|-\s*([0-9]+))\s*\]`)
	// neighbors are the loop's fields that go by another name in gonja.
	neighbors = strings.NewReplacer("loop.previtem", "loop.PrevItem", "loop.nextitem", "loop.NextItem")
)

// rewriteTag writes in other words what gonja lacks in a tag: x[::-1] becomes reverse_of(x), x[-2] becomes from_end(x, 2). (Filters would
// do, if gonja could call a method of a filter's result.) Comments
// and strings stay as they are.
func rewriteTag(tag string) string {
	if tag[1] == '#' {
		return tag
	}
	code, strs := cutStrings(tag)
	code = neighbors.Replace(code)
	for {
		at := indexes.FindStringSubmatchIndex(code)
		if at == nil {
			return putStrings(code, strs)
		}
		start := operandStart(code, at[0])
		call := "reverse_of(" + code[start:at[0]] + ")"
		if at[2] >= 0 {
			call = "from_end(" + code[start:at[0]] + ", " + code[at[2]:at[3]] + ")"
		}
		code = code[:start] + call + code[at[1]:]
	}
}

// cutStrings takes the strings out of code and leaves a pair of quotes for each.
func cutStrings(s string) (code string, strs []string) {
	var b strings.Builder
	for {
		start := strings.IndexAny(s, `'"`)
		if start < 0 {
			return b.String() + s, strs
		}
		end := start + 1
		for end < len(s) && s[end] != s[start] {
			if s[end] == '\\' {
				end++
			}
			end++
		}
		end = min(end+1, len(s))
		b.WriteString(s[:start] + `""`)
		strs = append(strs, s[start:end])
		s = s[end:]
	}
}

// putStrings is the inverse of cutStrings. The strings are in the same order, as no operand is moved.
func putStrings(code string, strs []string) string {
	var b strings.Builder
	for _, s := range strs {
		before, after, _ := strings.Cut(code, `""`)
		b.WriteString(before + s)
		code = after
	}
	return b.String() + code
}

// operandStart is where the operand begins that ends at end: names, strings, calls and indexes in a chain, such as
// content.split("")[0].strip().
func operandStart(code string, end int) int {
	i, depth := end, 0
	for i > 0 {
		switch c := code[i-1]; {
		case c == ')' || c == ']' || c == '}':
			depth++
		case depth > 0 && (c == '(' || c == '[' || c == '{'):
			depth--
		case depth > 0:
		case c == '.' || c == '_' || c == '"' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
		default:
			return i
		}
		i--
	}
	return i
}
