package bpe

import (
	"slices"
	"strings"
)

// matcher finds added tokens in a text: the leftmost, and of several that start there the longest.
type matcher struct {
	first [256][]added // by first byte, longest first
	any   bool
}

type added struct {
	content string
	id      int32
}

func (m *matcher) add(content string, id int32) {
	if content == "" {
		return // the reference never matches it either
	}
	list := append(m.first[content[0]], added{content, id})
	slices.SortStableFunc(list, func(a, b added) int { return len(b.content) - len(a.content) })
	m.first[content[0]], m.any = list, true
}

// cut yields the parts of text in order: plain text, or "" and the id of an added token. It stops when yield does.
func (m *matcher) cut(text string, yield func(plain string, id int32) bool) {
	start := 0
	for i := 0; m.any && i < len(text); {
		a, ok := m.at(text[i:])
		if !ok {
			i++
			continue
		}
		if i > start && !yield(text[start:i], 0) {
			return
		}
		if !yield("", a.id) {
			return
		}
		i += len(a.content)
		start = i
	}
	if start < len(text) {
		yield(text[start:], 0)
	}
}

func (m *matcher) at(text string) (added, bool) {
	for _, a := range m.first[text[0]] {
		if strings.HasPrefix(text, a.content) {
			return a, true
		}
	}
	return added{}, false
}
