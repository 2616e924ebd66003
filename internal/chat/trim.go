package chat

import (
	"errors"
	"strings"
)

// trimBlocks rewrites a template as Jinja reads it with trim_blocks and lstrip_blocks, the settings of transformers: a
// block or comment that stands alone on its line takes the line with it. gonja has settings of these names, but takes
// more white space than Jinja does. The signs of white space control that it does know, {%- and -%}, are left to it.
// The newline at the very end goes too.
func trimBlocks(source string) (string, error) {
	source = strings.TrimSuffix(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(source), "\n")
	var out strings.Builder
	for {
		i := nextTag(source)
		if i < 0 {
			out.WriteString(source)
			return out.String(), nil
		}
		before, tag := source[:i], source[i:]
		end, err := tagEnd(tag)
		if err != nil {
			return "", err
		}
		tag, source = tag[:end], tag[end:]
		if tag[1] != '{' { // not {{ }}, which keeps the space around it
			switch tag[2] {
			case '-':
			case '+':
				tag = tag[:2] + tag[3:]
			default:
				before = trimIndent(before, out.Len() == 0)
			}
			switch tag[len(tag)-3] {
			case '-':
			case '+':
				tag = tag[:len(tag)-3] + tag[len(tag)-2:]
			default:
				source = strings.TrimPrefix(source, "\n")
			}
		}
		out.WriteString(before)
		out.WriteString(rewriteTag(tag))
		if isRaw(tag) { // nothing in it is a tag
			end := strings.Index(source, "endraw")
			start := strings.LastIndex(source[:max(end, 0)], "{%")
			if end < 0 || start < 0 {
				return "", errors.New("{% raw %} has no {% endraw %}")
			}
			out.WriteString(source[:start])
			source = source[start:]
		}
	}
}

// nextTag is where the next {{, {% or {# begins, or -1.
func nextTag(s string) int {
	for i := 0; i+1 < len(s); i++ {
		if s[i] == '{' && strings.IndexByte("{%#", s[i+1]) >= 0 {
			return i
		}
	}
	return -1
}

// tagEnd is where the tag that s begins with ends. What looks like an end within a string is none.
func tagEnd(s string) (int, error) {
	closing := map[byte]string{'{': "}}", '%': "%}", '#': "#}"}[s[1]]
	var quote byte
	for i := 2; i < len(s); i++ {
		switch {
		case quote != 0 && s[i] == '\\':
			i++
		case quote != 0:
			if s[i] == quote {
				quote = 0
			}
		case s[1] != '#' && (s[i] == '\'' || s[i] == '"'):
			quote = s[i]
		case strings.HasPrefix(s[i:], closing):
			return i + 2, nil
		}
	}
	return 0, errors.New(s[:2] + " has no " + closing)
}

// trimIndent drops the spaces and tabs at the end of s if nothing else stands on that line.
func trimIndent(s string, first bool) string {
	line := strings.TrimRight(s, " \t")
	if strings.HasSuffix(line, "\n") || line == "" && first {
		return line
	}
	return s
}

func isRaw(tag string) bool {
	return strings.HasPrefix(tag, "{%") && strings.Trim(tag, "{}%-+ \t\n") == "raw"
}
