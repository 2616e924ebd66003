package chat

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type filter func(st *state, v any, args arguments) any

// filters are what can follow a |.
var filters = map[string]filter{
	"length": lengthFilter, "count": lengthFilter,
	"trim":  func(st *state, v any, args arguments) any { return strip(st, worked(st, v), args, true, true) },
	"upper": textFilter(strings.ToUpper), "lower": textFilter(strings.ToLower),
	"capitalize": textFilter(capitalized), "title": textFilter(titled), "string": textFilter(func(s string) string { return s }),
	"safe":    func(st *state, v any, args arguments) any { args.done(st); return v }, // nothing is escaped anyway
	"default": defaultFilter, "d": defaultFilter,
	"list": func(st *state, v any, args arguments) any {
		args.done(st)
		return &list{items: iterate(st, v)}
	},
	"items": func(st *state, v any, args arguments) any {
		args.done(st)
		if _, ok := v.(undefined); ok {
			return &list{}
		}
		d, ok := v.(*dict)
		if !ok {
			st.fail("items wants a mapping, not %s", typeName(v))
		}
		st.work(64 * len(d.keys))
		return pairs(d)
	},
	"first": func(st *state, v any, args arguments) any { return end(st, v, args, 0) },
	"last":  func(st *state, v any, args arguments) any { return end(st, v, args, -1) },
	"reverse": func(st *state, v any, args arguments) any {
		args.done(st)
		minus := -1
		if _, ok := v.(string); ok {
			return slice(st, v, [3]*int{nil, nil, &minus})
		}
		return slice(st, &list{items: iterate(st, v)}, [3]*int{nil, nil, &minus})
	},
	"join": joinFilter,
	"replace": func(st *state, v any, args arguments) any {
		return replaced(st, worked(st, v), args)
	},
	"int": intFilter, "float": floatFilter, "abs": absFilter, "tojson": jsonFilter,
	"select": selection(false, true), "reject": selection(false, false),
	"selectattr": selection(true, true), "rejectattr": selection(true, false),
	"map": mapFilter,
}

// worked is v as text, its length paid for.
func worked(st *state, v any) string {
	s := text(st, v)
	st.work(len(s))
	return s
}

func textFilter(f func(string) string) filter {
	return func(st *state, v any, args arguments) any {
		args.done(st)
		return f(worked(st, v))
	}
}

func lengthFilter(st *state, v any, args arguments) any {
	args.done(st)
	return length(st, v)
}

func defaultFilter(st *state, v any, args arguments) any {
	args.done(st, "default_value", "boolean")
	_, missing := v.(undefined)
	if missing || truth(args.optional(1, "boolean", false)) && !truth(v) {
		return args.optional(0, "default_value", "")
	}
	return v
}

func end(st *state, v any, args arguments, i int) any {
	args.done(st)
	if d, ok := v.(*dict); ok {
		v = strs(d.keys)
	}
	iterate(st, v) // refuses what has no items
	if _, ok := v.(undefined); ok {
		return v
	}
	return item(st, v, i)
}

func joinFilter(st *state, v any, args arguments) any {
	args.done(st, "d", "attribute")
	sep := text(st, args.optional(0, "d", ""))
	name := args.optional(1, "attribute", nil)
	var parts []string
	for _, v := range iterate(st, v) {
		if name != nil {
			v = path(st, v, name)
		}
		s := worked(st, v)
		st.work(len(sep) + 16)
		parts = append(parts, s)
	}
	return strings.Join(parts, sep)
}

// path is the attribute of v that map, selectattr and join look at: a name, or several with dots.
func path(st *state, v, name any) any {
	s, ok := name.(string)
	if !ok {
		return item(st, v, name)
	}
	for part := range strings.SplitSeq(s, ".") {
		if i, err := strconv.Atoi(part); err == nil {
			v = item(st, v, i)
			continue
		}
		v = item(st, v, part)
	}
	return v
}

// selection is select, reject, selectattr and rejectattr: the items of which a test holds (keep) or does not.
func selection(byAttribute, keep bool) filter {
	return func(st *state, v any, args arguments) any {
		rest := args.positional
		var attr any
		if byAttribute {
			attr = args.required(st, 0, "attribute")
			rest = rest[1:]
		}
		test := plainTest(truth)
		if len(rest) > 0 {
			name, _ := rest[0].(string)
			t, ok := tests[name]
			if !ok {
				st.fail("%s: the test %q is not supported", args.callee, text(st, rest[0]))
			}
			test, rest = t, rest[1:]
		}
		l := &list{}
		for _, item := range iterate(st, v) {
			st.work(16)
			tested := item
			if byAttribute {
				tested = path(st, item, attr)
			}
			if test(st, tested, arguments{callee: args.callee, positional: rest}) == keep {
				l.items = append(l.items, item)
			}
		}
		return l
	}
}

// mapFilter takes an attribute of each item (attribute=, default=) or sends each through a filter of no arguments.
func mapFilter(st *state, v any, args arguments) any {
	name, byAttribute := args.named["attribute"]
	def, hasDefault := args.named["default"]
	if byAttribute {
		args.done(st, "attribute", "default")
	} else {
		args.done(st, "filter")
	}
	l := &list{}
	for _, v := range iterate(st, v) {
		st.work(16)
		if byAttribute {
			v = path(st, v, name)
			if _, missing := v.(undefined); missing && hasDefault {
				v = def
			}
		} else {
			v = mapped(st, v, stringArg(st, args, 0, "filter"))
		}
		l.items = append(l.items, v)
	}
	return l
}

// mapped sends v through one of the filters that map may name.
func mapped(st *state, v any, name string) any {
	simple := map[string]filter{
		"trim":  func(st *state, v any, args arguments) any { return strip(st, worked(st, v), args, true, true) },
		"upper": textFilter(strings.ToUpper), "lower": textFilter(strings.ToLower), "string": textFilter(func(s string) string { return s }),
		"length": lengthFilter, "int": intFilter, "float": floatFilter, "tojson": jsonFilter,
	}
	f, ok := simple[name]
	if !ok {
		st.fail("map with the filter %q is not supported", name)
	}
	return f(st, v, arguments{callee: name})
}

func intFilter(st *state, v any, args arguments) any {
	args.done(st, "default")
	if i, f, isFloat, ok := number(v); ok {
		if isFloat && math.Abs(f) < 1<<53 {
			return int(f)
		}
		if !isFloat {
			return i
		}
	}
	if s, ok := v.(string); ok {
		st.work(len(s))
		s = strings.TrimFunc(s, isSpace)
		if i, err := strconv.Atoi(s); err == nil {
			return i
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(f) < 1<<53 {
			return int(f)
		}
	}
	return args.optional(0, "default", 0)
}

func floatFilter(st *state, v any, args arguments) any {
	args.done(st, "default")
	if _, f, _, ok := number(v); ok {
		return f
	}
	if s, ok := v.(string); ok {
		st.work(len(s))
		if f, err := strconv.ParseFloat(strings.TrimFunc(s, isSpace), 64); err == nil {
			return f
		}
	}
	return args.optional(0, "default", 0.0)
}

func absFilter(st *state, v any, args arguments) any {
	args.done(st)
	i, f, isFloat, ok := number(v)
	switch {
	case !ok:
		st.fail("abs of %s", typeName(v))
	case isFloat:
		return math.Abs(f)
	}
	return max(i, -i)
}

// jsonFilter is transformers' tojson: json.dumps with ensure_ascii=False, so nothing is escaped for HTML.
func jsonFilter(st *state, v any, args arguments) any {
	args.done(st, "ensure_ascii", "indent", "separators", "sort_keys")
	if truth(args.optional(0, "ensure_ascii", false)) || args.optional(2, "separators", nil) != nil {
		st.fail("tojson with ensure_ascii or separators is not supported")
	}
	indent := -1
	switch n := args.optional(1, "indent", nil).(type) {
	case nil:
	case int:
		indent = min(max(n, 0), 16)
	default:
		st.fail("tojson with indent %s is not supported", typeName(n))
	}
	var b strings.Builder
	writeJSON(st, &b, v, indent, truth(args.optional(3, "sort_keys", false)), 0)
	return b.String()
}

func writeJSON(st *state, b *strings.Builder, v any, indent int, sorted bool, depth int) {
	st.work(1)
	if depth > maxDepth {
		st.fail("values nested more than %d deep", maxDepth)
	}
	newline := func(depth int) {
		if indent >= 0 {
			st.work(1 + indent*depth)
			b.WriteString("\n" + strings.Repeat(" ", indent*depth))
		}
	}
	comma := func(i int) {
		if i > 0 {
			b.WriteString(",")
			if indent < 0 {
				b.WriteString(" ")
			}
		}
		newline(depth + 1)
	}
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case string:
		st.work(len(v))
		writeJSONString(b, v)
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			st.fail("tojson of %s", floatText(v))
		}
		b.WriteString(floatText(v))
	case int:
		b.WriteString(strconv.Itoa(v))
	case *list:
		b.WriteString("[")
		for i, item := range v.items {
			comma(i)
			writeJSON(st, b, item, indent, sorted, depth+1)
		}
		if len(v.items) > 0 {
			newline(depth)
		}
		b.WriteString("]")
	case *dict:
		keys := v.keys
		if sorted {
			keys = slices.Sorted(slices.Values(keys))
		}
		b.WriteString("{")
		for i, key := range keys {
			comma(i)
			writeJSONString(b, key)
			b.WriteString(": ")
			writeJSON(st, b, v.values[key], indent, sorted, depth+1)
		}
		if len(keys) > 0 {
			newline(depth)
		}
		b.WriteString("}")
	default:
		st.fail("tojson of %s", typeName(v))
	}
}

// writeJSONString differs from encoding/json in leaving <, >, &, U+2028 and U+2029 as they are.
func writeJSONString(b *strings.Builder, s string) {
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20:
			escaped, _ := json.Marshal(string(r)) // \n, \t, \u0001, …
			b.Write(escaped[1 : len(escaped)-1])
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}

func capitalized(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return s
	}
	return string(unicode.ToTitle(r)) + strings.ToLower(s[n:])
}

// titled starts each word with a capital.
func titled(s string) string {
	inWord := false
	return strings.Map(func(r rune) rune {
		was := inWord
		inWord = unicode.IsLetter(r)
		if was {
			return unicode.ToLower(r)
		}
		return unicode.ToTitle(r)
	}, s)
}
