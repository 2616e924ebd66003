package chat

import (
	"slices"
	"strings"
	"time"
)

// maxRange is the longest range, as in Jinja's sandbox.
const maxRange = 100_000

// globals are the functions that transformers gives to templates.
func globals(now func() time.Time) map[string]any {
	return map[string]any{
		"raise_exception": function(func(st *state, args arguments) any {
			args = args.of("raise_exception")
			st.fail("the template refuses the messages: %s", text(st, args.required(st, 0, "message")))
			return nil
		}),
		"strftime_now": function(func(st *state, args arguments) any {
			format := stringArg(st, args.of("strftime_now"), 0, "format")
			s, err := strftime(now(), format)
			if err != nil {
				st.fail("strftime_now: %v", err)
			}
			return s
		}),
		"namespace": function(func(st *state, args arguments) any {
			ns := &namespace{map[string]any{}}
			for name, v := range dictOf(st, args.of("namespace")).values {
				ns.values[name] = v
			}
			return ns
		}),
		"dict":  function(func(st *state, args arguments) any { return dictOf(st, args.of("dict")) }),
		"range": function(rangeOf),
	}
}

// dictOf is a mapping, if one is given, and the named arguments over it.
func dictOf(st *state, args arguments) *dict {
	d := newDict()
	if len(args.positional) > 1 {
		st.fail("%s takes one mapping", args.callee)
	}
	for _, v := range args.positional {
		from, ok := v.(*dict)
		if !ok {
			st.fail("%s takes a mapping, not %s", args.callee, typeName(v))
		}
		st.work(64 * len(from.keys))
		for _, key := range from.keys {
			d.set(key, from.values[key])
		}
	}
	for _, name := range args.order {
		d.set(name, args.named[name])
	}
	return d
}

func rangeOf(st *state, args arguments) any {
	var n []int
	for _, v := range args.positional {
		i, ok := v.(int)
		if !ok {
			st.fail("range takes integers, not %s", typeName(v))
		}
		n = append(n, i)
	}
	start, stop, step := 0, 0, 1
	switch len(n) {
	case 1:
		stop = n[0]
	case 2:
		start, stop = n[0], n[1]
	case 3:
		start, stop, step = n[0], n[1], n[2]
	default:
		st.fail("range takes 1 to 3 integers")
	}
	if step == 0 {
		st.fail("the step of range is 0")
	}
	l := &list{}
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		if len(l.items) == maxRange {
			st.fail("range is longer than %d", maxRange)
		}
		st.work(16)
		l.items = append(l.items, i)
	}
	return l
}

func stringArg(st *state, args arguments, i int, name string) string {
	s, ok := args.required(st, i, name).(string)
	if !ok {
		st.fail("%s wants a string for %s", args.callee, name)
	}
	return s
}

// tests are what can follow "is".
var tests = map[string]func(st *state, v any, args arguments) bool{
	"defined":   plainTest(func(v any) bool { _, ok := v.(undefined); return !ok }),
	"undefined": plainTest(func(v any) bool { _, ok := v.(undefined); return ok }),
	"none":      plainTest(func(v any) bool { return v == nil }),
	"string":    plainTest(func(v any) bool { _, ok := v.(string); return ok }),
	"mapping":   plainTest(func(v any) bool { _, ok := v.(*dict); return ok }),
	"boolean":   plainTest(func(v any) bool { _, ok := v.(bool); return ok }),
	"integer":   plainTest(func(v any) bool { _, ok := v.(int); return ok }),
	"float":     plainTest(func(v any) bool { _, ok := v.(float64); return ok }),
	"number":    plainTest(func(v any) bool { _, _, _, ok := number(v); return ok }),
	"true":      plainTest(func(v any) bool { return v == true }),
	"false":     plainTest(func(v any) bool { return v == false }),
	"callable": plainTest(func(v any) bool {
		switch v.(type) {
		case function, *macro:
			return true
		}
		return false
	}),
	"iterable": plainTest(func(v any) bool {
		switch v.(type) {
		case string, *list, *dict, undefined:
			return true
		}
		return false
	}),
	"sequence": plainTest(func(v any) bool {
		switch v.(type) {
		case string, *list, *dict:
			return true
		}
		return false
	}),
	"odd":  func(st *state, v any, args arguments) bool { return modulo(st, v, 2, args) == 1 },
	"even": func(st *state, v any, args arguments) bool { return modulo(st, v, 2, args) == 0 },
	"divisibleby": func(st *state, v any, args arguments) bool {
		return equal(st, computed(st, "%", v, args.required(st, 0, "num")), 0, 0)
	},
	"in": compareTest("in"), "eq": compareTest("=="), "equalto": compareTest("=="), "ne": compareTest("!="),
	"gt": compareTest(">"), "greaterthan": compareTest(">"), "ge": compareTest(">="),
	"lt": compareTest("<"), "lessthan": compareTest("<"), "le": compareTest("<="),
}

func plainTest(f func(v any) bool) func(*state, any, arguments) bool {
	return func(st *state, v any, args arguments) bool {
		args.done(st)
		return f(v)
	}
}

func compareTest(op string) func(*state, any, arguments) bool {
	return func(st *state, v any, args arguments) bool {
		return compared(st, op, v, args.required(st, 0, "other"))
	}
}

func modulo(st *state, v any, by int, args arguments) any {
	args.done(st)
	return computed(st, "%", v, by)
}

// method returns a method of a string, a list or a mapping.
func method(v any, name string) (any, bool) {
	switch v := v.(type) {
	case string:
		if f, ok := stringMethods[name]; ok {
			return function(func(st *state, args arguments) any {
				st.work(len(v))
				return f(st, v, args.of(name))
			}), true
		}
	case *dict:
		if f, ok := dictMethods[name]; ok {
			return function(func(st *state, args arguments) any {
				st.work(64 * len(v.keys))
				return f(st, v, args.of(name))
			}), true
		}
	}
	return nil, false
}

var dictMethods = map[string]func(st *state, d *dict, args arguments) any{
	"keys": func(st *state, d *dict, args arguments) any {
		args.done(st)
		return strs(d.keys)
	},
	"values": func(st *state, d *dict, args arguments) any {
		args.done(st)
		l := &list{}
		for _, key := range d.keys {
			l.items = append(l.items, d.values[key])
		}
		return l
	},
	"items": func(st *state, d *dict, args arguments) any {
		args.done(st)
		return pairs(d)
	},
	"get": func(st *state, d *dict, args arguments) any {
		args.done(st, "key", "default")
		if v, ok := d.values[stringArg(st, args, 0, "key")]; ok {
			return v
		}
		return args.optional(1, "default", nil)
	},
}

func pairs(d *dict) *list {
	l := &list{}
	for _, key := range d.keys {
		l.items = append(l.items, &list{[]any{key, d.values[key]}, true})
	}
	return l
}

var stringMethods = map[string]func(st *state, s string, args arguments) any{
	"upper": func(st *state, s string, args arguments) any { args.done(st); return strings.ToUpper(s) },
	"lower": func(st *state, s string, args arguments) any { args.done(st); return strings.ToLower(s) },
	"capitalize": func(st *state, s string, args arguments) any {
		args.done(st)
		return capitalized(s)
	},
	"title":  func(st *state, s string, args arguments) any { args.done(st); return titled(s) },
	"strip":  func(st *state, s string, args arguments) any { return strip(st, s, args, true, true) },
	"lstrip": func(st *state, s string, args arguments) any { return strip(st, s, args, true, false) },
	"rstrip": func(st *state, s string, args arguments) any { return strip(st, s, args, false, true) },
	"startswith": func(st *state, s string, args arguments) any {
		return affix(st, args, func(a string) bool { return strings.HasPrefix(s, a) })
	},
	"endswith": func(st *state, s string, args arguments) any {
		return affix(st, args, func(a string) bool { return strings.HasSuffix(s, a) })
	},
	"removeprefix": func(st *state, s string, args arguments) any {
		return strings.TrimPrefix(s, stringArg(st, args, 0, "prefix"))
	},
	"removesuffix": func(st *state, s string, args arguments) any {
		return strings.TrimSuffix(s, stringArg(st, args, 0, "suffix"))
	},
	"replace": replaced,
	"split":   split,
	"splitlines": func(st *state, s string, args arguments) any {
		args.done(st)
		s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
		if s == "" {
			return strs(nil)
		}
		return strs(strings.Split(strings.TrimSuffix(s, "\n"), "\n"))
	},
	"join": func(st *state, s string, args arguments) any {
		var parts []string
		for _, v := range iterate(st, args.required(st, 0, "iterable")) {
			part, ok := v.(string)
			if !ok {
				st.fail("join wants strings, not %s", typeName(v))
			}
			st.work(len(part) + len(s))
			parts = append(parts, part)
		}
		return strings.Join(parts, s)
	},
	"count": func(st *state, s string, args arguments) any { return strings.Count(s, stringArg(st, args, 0, "sub")) },
	"find": func(st *state, s string, args arguments) any {
		i := strings.Index(s, stringArg(st, args, 0, "sub"))
		if i < 0 {
			return -1
		}
		return length(st, s[:i])
	},
}

// strip cuts white space, or the characters given, from the ends of s.
func strip(st *state, s string, args arguments, left, right bool) any {
	args.done(st, "chars")
	cut := isSpace
	switch chars := args.optional(0, "chars", nil).(type) {
	case nil:
	case string:
		if len(chars) > 256 {
			st.fail("%s takes at most 256 bytes of characters", args.callee)
		}
		cut = func(r rune) bool { return strings.ContainsRune(chars, r) }
	default:
		st.fail("%s wants a string, not %s", args.callee, typeName(chars))
	}
	if left {
		s = strings.TrimLeftFunc(s, cut)
	}
	if right {
		s = strings.TrimRightFunc(s, cut)
	}
	return s
}

func affix(st *state, args arguments, has func(string) bool) any {
	args.done(st, "affix")
	if l, ok := args.required(st, 0, "affix").(*list); ok && l.tuple {
		return slices.ContainsFunc(l.items, func(v any) bool {
			s, ok := v.(string)
			return ok && has(s)
		})
	}
	return has(stringArg(st, args, 0, "affix"))
}

func replaced(st *state, s string, args arguments) any {
	args.done(st, "old", "new", "count")
	from, to := stringArg(st, args, 0, "old"), stringArg(st, args, 1, "new")
	n, ok := args.optional(2, "count", -1).(int)
	if !ok {
		st.fail("replace wants an integer for count")
	}
	st.work(repeated(len(to), strings.Count(s, from)) + len(s))
	return strings.Replace(s, from, to, n)
}

func split(st *state, s string, args arguments) any {
	args.done(st, "sep", "maxsplit")
	n, ok := args.optional(1, "maxsplit", -1).(int)
	if !ok {
		st.fail("split wants an integer for maxsplit")
	}
	if n >= 0 {
		n++
	}
	switch sep := args.optional(0, "sep", nil).(type) {
	case nil:
		if n >= 0 {
			st.fail("split with maxsplit wants a separator here")
		}
		st.work(16 * len(s))
		return strs(strings.FieldsFunc(s, isSpace))
	case string:
		if sep == "" {
			st.fail("split by an empty string")
		}
		st.work(32 * strings.Count(s, sep))
		return strs(strings.SplitN(s, sep, n))
	default:
		st.fail("split wants a string, not %s", typeName(sep))
	}
	return nil
}
