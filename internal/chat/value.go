package chat

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A value of a template is one of: nil (None), bool, int, float64, string, *list, *dict, *namespace, *loop,
// *macro, function, undefined.
type (
	list struct {
		items []any
		tuple bool
	}
	// dict keeps the order of its keys, as Python does. Keys are strings.
	dict struct {
		keys   []string
		values map[string]any
	}
	// namespace is the one thing that a template can change from an inner scope.
	namespace struct{ values map[string]any }
	undefined struct{ name string }
	function  func(st *state, args arguments) any
)

func newDict(pairs ...any) *dict {
	d := &dict{values: make(map[string]any, len(pairs)/2)}
	for i := 0; i < len(pairs); i += 2 {
		d.set(pairs[i].(string), pairs[i+1])
	}
	return d
}

func (d *dict) set(key string, value any) {
	if _, ok := d.values[key]; !ok {
		d.keys = append(d.keys, key)
	}
	d.values[key] = value
}

func strs(values []string) *list {
	l := &list{items: make([]any, len(values))}
	for i, v := range values {
		l.items[i] = v
	}
	return l
}

// maxDepth bounds nesting: of the template's syntax, of macro calls, of values that are printed or compared.
const maxDepth = 200

func typeName(v any) string {
	switch v := v.(type) {
	case nil:
		return "none"
	case bool:
		return "a boolean"
	case int:
		return "an integer"
	case float64:
		return "a float"
	case string:
		return "a string"
	case *list:
		return "a list"
	case *dict:
		return "a mapping"
	case *namespace:
		return "a namespace"
	case *loop:
		return "the loop"
	case *macro, function:
		return "a function"
	case undefined:
		return fmt.Sprintf("%q, which is undefined", v.name)
	}
	return fmt.Sprintf("%T", v)
}

func truth(v any) bool {
	switch v := v.(type) {
	case nil, undefined:
		return false
	case bool:
		return v
	case int:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case *list:
		return len(v.items) > 0
	case *dict:
		return len(v.keys) > 0
	}
	return true
}

// number returns v as an int or a float64 (a boolean counts as 0 or 1), or false.
func number(v any) (i int, f float64, isFloat, ok bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, 1, false, true
		}
		return 0, 0, false, true
	case int:
		return v, float64(v), false, true
	case float64:
		return 0, v, true, true
	}
	return 0, 0, false, false
}

func equal(st *state, a, b any, depth int) bool {
	st.work(1)
	if depth > maxDepth {
		st.fail("values nested more than %d deep", maxDepth)
	}
	if i, x, isFloat, ok := number(a); ok {
		j, y, alsoFloat, ok := number(b)
		if !isFloat && !alsoFloat {
			return ok && i == j
		}
		return ok && x == y
	}
	switch a := a.(type) {
	case nil:
		return b == nil
	case string:
		b, ok := b.(string)
		st.work(len(b) / 16)
		return ok && a == b
	case *list:
		b, ok := b.(*list)
		if !ok || len(a.items) != len(b.items) || a.tuple != b.tuple {
			return false
		}
		for i := range a.items {
			if !equal(st, a.items[i], b.items[i], depth+1) {
				return false
			}
		}
		return true
	case *dict:
		b, ok := b.(*dict)
		if !ok || len(a.keys) != len(b.keys) {
			return false
		}
		for k, v := range a.values {
			w, ok := b.values[k]
			if !ok || !equal(st, v, w, depth+1) {
				return false
			}
		}
		return true
	case undefined:
		_, ok := b.(undefined)
		return ok
	case *namespace, *loop, *macro:
		return a == b
	}
	return false
}

// order returns -1, 0 or 1 for numbers and for strings; NaN orders as false everywhere.
func order(st *state, a, b any) (cmp int, ordered bool) {
	if s, ok := a.(string); ok {
		if t, ok := b.(string); ok {
			st.work(min(len(s), len(t)) / 16)
			return strings.Compare(s, t), true
		}
	}
	_, x, _, okA := number(a)
	_, y, _, okB := number(b)
	if !okA || !okB {
		st.fail("%s cannot be ordered against %s", typeName(a), typeName(b))
	}
	switch {
	case x < y:
		return -1, true
	case x > y:
		return 1, true
	}
	return 0, x == y
}

// text is Python's str().
func text(st *state, v any) string {
	switch v := v.(type) {
	case string:
		return v
	case undefined:
		return ""
	}
	var b strings.Builder
	repr(st, &b, v, 0)
	return b.String()
}

// repr is Python's repr().
func repr(st *state, b *strings.Builder, v any, depth int) {
	st.work(1)
	if depth > maxDepth {
		st.fail("values nested more than %d deep", maxDepth)
	}
	switch v := v.(type) {
	case nil:
		b.WriteString("None")
	case bool:
		b.WriteString(map[bool]string{true: "True", false: "False"}[v])
	case int:
		b.WriteString(strconv.Itoa(v))
	case float64:
		b.WriteString(floatText(v))
	case string:
		st.work(len(v))
		quoteText(b, v)
	case undefined:
		b.WriteString("Undefined")
	case *list:
		open, end := "[", "]"
		if v.tuple {
			open, end = "(", ")"
			if len(v.items) == 1 {
				end = ",)"
			}
		}
		b.WriteString(open)
		for i, item := range v.items {
			if i > 0 {
				b.WriteString(", ")
			}
			repr(st, b, item, depth+1)
		}
		b.WriteString(end)
	case *dict:
		b.WriteByte('{')
		for i, key := range v.keys {
			if i > 0 {
				b.WriteString(", ")
			}
			quoteText(b, key)
			b.WriteString(": ")
			repr(st, b, v.values[key], depth+1)
		}
		b.WriteByte('}')
	default:
		st.fail("%s cannot be printed", typeName(v))
	}
}

func floatText(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case math.IsNaN(f):
		return "nan"
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

func quoteText(b *strings.Builder, s string) {
	quote := '\''
	if strings.ContainsRune(s, '\'') && !strings.ContainsRune(s, '"') {
		quote = '"'
	}
	b.WriteRune(quote)
	for _, r := range s {
		switch {
		case r == quote || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(b, `\x%02x`, r)
		case r > 0x7f && !unicode.IsPrint(r):
			switch {
			case r < 0x100:
				fmt.Fprintf(b, `\x%02x`, r)
			case r < 0x10000:
				fmt.Fprintf(b, `\u%04x`, r)
			default:
				fmt.Fprintf(b, `\U%08x`, r)
			}
		default:
			b.WriteRune(r)
		}
	}
	b.WriteRune(quote)
}

// iterate returns what a for loop over v sees.
func iterate(st *state, v any) []any {
	switch v := v.(type) {
	case *list:
		return v.items
	case *dict:
		st.work(len(v.keys))
		return strs(v.keys).items
	case string:
		st.work(16 * len(v))
		items := make([]any, 0, len(v))
		for _, r := range v {
			items = append(items, string(r))
		}
		return items
	case undefined:
		return nil
	}
	st.fail("%s cannot be iterated over", typeName(v))
	return nil
}

func length(st *state, v any) int {
	switch v := v.(type) {
	case string:
		st.work(len(v) / 16)
		return utf8.RuneCountInString(v)
	case *list:
		return len(v.items)
	case *dict:
		return len(v.keys)
	case undefined:
		return 0
	}
	st.fail("%s has no length", typeName(v))
	return 0
}

func contains(st *state, container, item any) bool {
	switch c := container.(type) {
	case string:
		s, ok := item.(string)
		if !ok {
			st.fail("%s in a string: only a string can be", typeName(item))
		}
		st.work(len(c) / 4)
		return strings.Contains(c, s)
	case *dict:
		key, ok := item.(string)
		_, has := c.values[key]
		return ok && has
	}
	for _, v := range iterate(st, container) {
		if equal(st, v, item, 0) {
			return true
		}
	}
	return false
}
