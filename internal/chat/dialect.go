package chat

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/exec"
)

// tests are gonja's, with true and false that hold for booleans only.
var tests = exec.NewTestSet(map[string]exec.TestFunction{}).Update(builtins.Tests).Update(exec.NewTestSet(map[string]exec.TestFunction{
	"true": func(_ *exec.Context, in *exec.Value, _ *exec.VarArgs) (bool, error) {
		return in.IsBool() && in.Bool(), nil
	},
	"false": func(_ *exec.Context, in *exec.Value, _ *exec.VarArgs) (bool, error) {
		return in.IsBool() && !in.Bool(), nil
	},
}))

// filters are gonja's, with one of Jinja that it lacks and two that do something else there: its reverse sorts, and its trim
// leaves newlines.
var filters = exec.NewFilterSet(map[string]exec.FilterFunction{}).Update(builtins.Filters).Update(
	exec.NewFilterSet(map[string]exec.FilterFunction{"reverse": reverse, "items": items, "trim": trim}))

// rewritten are the functions that rewriteTag calls.
var rewritten = map[string]any{
	"reverse_of": func(e *exec.Evaluator, args *exec.VarArgs) *exec.Value { return reverse(e, args.First(), nil) },
	"from_end": func(_ *exec.Evaluator, args *exec.VarArgs) *exec.Value {
		in := args.First()
		if in.IsError() {
			return in
		}
		list := elements(in)
		if n := args.Args[1].Integer(); n > 0 && n <= len(list) {
			return exec.AsValue(list[len(list)-n])
		}
		return exec.AsValue(nil) // undefined
	},
}

func reverse(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
	if in.IsError() {
		return in
	}
	list := elements(in)
	slices.Reverse(list)
	if in.IsString() {
		var b strings.Builder
		for _, r := range list {
			fmt.Fprint(&b, r)
		}
		return exec.AsValue(b.String())
	}
	return exec.AsValue(list)
}

// items lists the pairs of a mapping.
func items(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
	if in.IsError() {
		return in
	}
	pairs := []any{}
	for _, key := range in.Keys() {
		value, _ := in.GetItem(key.Interface())
		pairs = append(pairs, []any{key.Interface(), value.Interface()})
	}
	return exec.AsValue(pairs)
}

// trim takes white space, or the given characters, off both ends.
func trim(_ *exec.Evaluator, in *exec.Value, args *exec.VarArgs) *exec.Value {
	if in.IsError() {
		return in
	}
	p := args.Expect(0, []*exec.KwArg{{Name: "chars", Default: nil}})
	if p.IsError() {
		return exec.AsValue(fmt.Errorf("trim: %w", p))
	}
	if chars := p.GetKeywordArgument("chars", nil); chars.IsString() {
		return exec.AsValue(strings.Trim(in.String(), chars.String()))
	}
	return exec.AsValue(strings.TrimFunc(in.String(), isSpace))
}

// isSpace is Python's str.isspace, which has four separators more than Unicode.
func isSpace(r rune) bool { return unicode.IsSpace(r) || 0x1c <= r && r <= 0x1f }

// elements are those of a list, or the characters of a string.
func elements(in *exec.Value) []any {
	list := []any{}
	if in.IsString() {
		for _, r := range in.String() {
			list = append(list, string(r))
		}
		return list
	}
	in.Iterate(func(_, _ int, key, _ *exec.Value) bool {
		list = append(list, key.Interface())
		return true
	}, func() {})
	return list
}

// methods are gonja's, with those of strings that go wrong there without an argument.
var methods = func() exec.Methods {
	set := map[string]exec.Method[string]{
		"strip":   strip(strings.Trim, strings.TrimFunc),
		"lstrip":  strip(strings.TrimLeft, strings.TrimLeftFunc),
		"rstrip":  strip(strings.TrimRight, strings.TrimRightFunc),
		"split":   split,
		"replace": replace,
	}
	for _, name := range []string{
		"capitalize", "casefold", "count", "endswith", "find", "index", "isalnum", "isalpha", "isdigit", "islower", "isspace", "isupper",
		"join", "lower", "partition", "removeprefix", "removesuffix", "rfind", "rindex", "rpartition", "rsplit", "splitlines",
		"startswith", "swapcase", "title", "upper", "zfill",
	} {
		if method, ok := builtins.Methods.Str.Get(name); ok {
			set[name] = method
		}
	}
	all := builtins.Methods
	all.Str = exec.NewMethodSet(set)
	return all
}()

// strip is one of Python's str.strip, lstrip and rstrip, made of Go's two forms of it.
func strip(cut func(s, chars string) string, cutFunc func(s string, is func(rune) bool) string) exec.Method[string] {
	return func(self string, _ *exec.Value, args *exec.VarArgs) (any, error) {
		switch {
		case len(args.Args) == 0 || args.Args[0].IsNil():
			return cutFunc(self, isSpace), nil
		case len(args.Args) == 1 && args.Args[0].IsString():
			return cut(self, args.Args[0].String()), nil
		}
		return nil, exec.ErrInvalidCall(errors.New("want a string of characters, or nothing"))
	}
}

// replace is Python's str.replace.
func replace(self string, _ *exec.Value, args *exec.VarArgs) (any, error) {
	count := args.GetKeywordArgument("count", -1)
	if len(args.Args) == 3 {
		count = args.Args[2]
	}
	if len(args.Args) < 2 || len(args.Args) > 3 || !args.Args[0].IsString() || !args.Args[1].IsString() || !count.IsInteger() {
		return nil, exec.ErrInvalidCall(errors.New("want two strings, and a number or nothing"))
	}
	return strings.Replace(self, args.Args[0].String(), args.Args[1].String(), count.Integer()), nil
}

// split is Python's str.split.
func split(self string, _ *exec.Value, args *exec.VarArgs) (any, error) {
	sep, limit := args.GetKeywordArgument("sep", nil), args.GetKeywordArgument("maxsplit", -1)
	for i, into := range []**exec.Value{&sep, &limit} {
		if len(args.Args) > i {
			*into = args.Args[i]
		}
	}
	var parts []string
	switch {
	case len(args.Args) > 2 || !limit.IsInteger():
		return nil, exec.ErrInvalidCall(errors.New("want a separator and a number"))
	case sep.IsString() && sep.String() != "" && limit.Integer() >= 0:
		parts = strings.SplitN(self, sep.String(), limit.Integer()+1)
	case sep.IsString() && sep.String() != "":
		parts = strings.Split(self, sep.String())
	case sep.IsNil() && limit.Integer() < 0:
		parts = strings.FieldsFunc(self, isSpace)
	default:
		return nil, exec.ErrInvalidCall(errors.New("want a separator that is not empty"))
	}
	list := make([]any, len(parts))
	for i, part := range parts {
		list[i] = part
	}
	return list, nil
}
