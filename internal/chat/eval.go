package chat

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// scope is the variables of one block. Inner scopes see outer ones and do not change them.
type scope struct {
	vars  map[string]any
	outer *scope
}

func newScope(outer *scope) *scope { return &scope{map[string]any{}, outer} }

func (sc *scope) get(st *state, name string) any {
	for s := sc; s != nil; s = s.outer {
		st.work(1)
		if v, ok := s.vars[name]; ok {
			return v
		}
	}
	return undefined{name}
}

// state is one rendering.
type state struct {
	out   *strings.Builder
	line  int
	depth int // of macro calls
	left  int // work that may still be done
}

// renderError is the panic by which a rendering stops; Render turns it into an error.
type renderError struct{ error }

func (st *state) fail(format string, args ...any) {
	panic(renderError{fmt.Errorf("line %d: %s", st.line, fmt.Sprintf(format, args...))})
}

// work accounts for n units of time or memory, a unit being about what an operation or a byte costs.
func (st *state) work(n int) {
	if st.left -= n; st.left < 0 {
		st.fail("the template does too much work: a loop that does not end, or text that grows without bound")
	}
}

func (st *state) write(s string) {
	st.work(len(s))
	st.out.WriteString(s)
}

// capture returns what f writes.
func (st *state) capture(f func()) string {
	outer := st.out
	st.out = &strings.Builder{}
	f()
	s := st.out.String()
	st.out = outer
	return s
}

// loop is the variable of that name in a for loop.
type loop struct {
	all []any
	i   int
}

func (l *loop) get(name string) any {
	at := func(i int) any {
		if i < 0 || i >= len(l.all) {
			return undefined{"loop." + name}
		}
		return l.all[i]
	}
	switch name {
	case "index":
		return l.i + 1
	case "index0":
		return l.i
	case "revindex":
		return len(l.all) - l.i
	case "revindex0":
		return len(l.all) - l.i - 1
	case "first":
		return l.i == 0
	case "last":
		return l.i == len(l.all)-1
	case "length":
		return len(l.all)
	case "previtem":
		return at(l.i - 1)
	case "nextitem":
		return at(l.i + 1)
	case "cycle":
		return function(func(st *state, args arguments) any {
			if len(args.positional) == 0 {
				st.fail("loop.cycle wants values")
			}
			return args.positional[l.i%len(args.positional)]
		})
	}
	return undefined{"loop." + name}
}

// attribute is v.name: a method of v, or an item of a mapping.
func attribute(st *state, v any, name string) any {
	st.work(1)
	switch v := v.(type) {
	case *loop:
		return v.get(name)
	case *namespace:
		if value, ok := v.values[name]; ok {
			return value
		}
	case undefined:
		st.fail("%q is undefined and has no attribute %q", v.name, name)
	default:
		if m, ok := method(v, name); ok {
			return m
		}
		if d, ok := v.(*dict); ok {
			if value, ok := d.values[name]; ok {
				return value
			}
		}
	}
	return undefined{name}
}

// item is v[key].
func item(st *state, v, key any) any {
	st.work(1)
	if u, ok := v.(undefined); ok {
		st.fail("%q is undefined and has no items", u.name)
	}
	if i, ok := key.(int); ok {
		var items []any
		switch v := v.(type) {
		case *list:
			items = v.items
		case string:
			items = iterate(st, v)
		default:
			return undefined{fmt.Sprint(i)}
		}
		if i < 0 {
			i += len(items)
		}
		if i < 0 || i >= len(items) {
			return undefined{fmt.Sprintf("item %d of %d", i, len(items))}
		}
		return items[i]
	}
	name, ok := key.(string)
	if !ok {
		return undefined{typeName(key) + " as an index"}
	}
	if d, ok := v.(*dict); ok {
		if value, ok := d.values[name]; ok {
			return value
		}
	}
	return attribute(st, v, name)
}

// slice is v[from:to:step] of a list or a string, by Python's rules.
func slice(st *state, v any, at [3]*int) any {
	var in []any
	l, isList := v.(*list)
	switch v.(type) {
	case *list:
		in = l.items
	case string:
		in = iterate(st, v)
	default:
		st.fail("%s cannot be sliced", typeName(v))
	}
	step := 1
	if at[2] != nil {
		step = *at[2]
	}
	if step == 0 {
		st.fail("the step of a slice is 0")
	}
	n := len(in)
	low, high := 0, n // where the bounds may lie
	if step < 0 {
		low, high = -1, n-1
	}
	bound := func(p *int, missing int) int {
		if p == nil {
			return missing
		}
		i := *p
		if i < 0 {
			i += n
		}
		return min(max(i, low), high)
	}
	start, stop := bound(at[0], low), bound(at[1], high)
	if step < 0 {
		start, stop = bound(at[0], high), bound(at[1], low)
	}
	var out []any
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += min(max(step, -n-1), n+1) {
		st.work(16)
		out = append(out, in[i])
	}
	if isList {
		return &list{out, l.tuple}
	}
	var b strings.Builder
	for _, c := range out {
		b.WriteString(c.(string))
	}
	return b.String()
}

func compared(st *state, op string, a, b any) bool {
	switch op {
	case "==":
		return equal(st, a, b, 0)
	case "!=":
		return !equal(st, a, b, 0)
	case "in":
		return contains(st, b, a)
	case "not in":
		return !contains(st, b, a)
	}
	c, ordered := order(st, a, b)
	switch op {
	case "<":
		return c < 0
	case "<=":
		return c < 0 || c == 0 && ordered
	case ">":
		return c > 0
	}
	return c > 0 || c == 0 && ordered
}

// computed is a op b.
func computed(st *state, op string, a, b any) any {
	st.work(1)
	if op == "~" {
		s := text(st, a) + text(st, b)
		st.work(len(s))
		return s
	}
	i, x, floatA, okA := number(a)
	j, y, floatB, okB := number(b)
	switch {
	case okA && okB && (floatA || floatB || op == "/" || op == "**" && j < 0):
		return computedFloat(st, op, x, y)
	case okA && okB:
		return computedInt(st, op, i, j)
	}
	switch v := a.(type) {
	case string:
		if w, ok := b.(string); ok && op == "+" {
			st.work(len(v) + len(w))
			return v + w
		}
		if okB && !floatB && op == "*" {
			st.work(repeated(len(v), j))
			return strings.Repeat(v, max(j, 0))
		}
	case *list:
		if w, ok := b.(*list); ok && op == "+" && v.tuple == w.tuple {
			st.work(16 * (len(v.items) + len(w.items)))
			return &list{slices.Concat(v.items, w.items), v.tuple}
		}
		if okB && !floatB && op == "*" {
			st.work(repeated(16*len(v.items), j))
			return &list{slices.Repeat(v.items, max(j, 0)), v.tuple}
		}
	}
	st.fail("%s %s %s is not possible", typeName(a), op, typeName(b))
	return nil
}

// repeated is n·times, without overflow.
func repeated(n, times int) int {
	if times > 0 && n > math.MaxInt32/times {
		return math.MaxInt32
	}
	return n * max(times, 0)
}

func computedInt(st *state, op string, i, j int) any {
	var exact float64 // what the result is about, to find overflow
	result := 0
	switch op {
	case "+":
		exact, result = float64(i)+float64(j), i+j
	case "-":
		exact, result = float64(i)-float64(j), i-j
	case "*":
		exact, result = float64(i)*float64(j), i*j
	case "//", "%":
		if j == 0 {
			st.fail("division by zero")
		}
		quotient := i / j
		if i%j != 0 && (i < 0) != (j < 0) {
			quotient--
		}
		result = quotient
		if op == "%" {
			result = i - quotient*j
		}
		exact = float64(result)
	case "**":
		exact = math.Pow(float64(i), float64(j))
		result = 1
		for range min(j, 64) {
			result *= i
		}
		if j > 64 { // only -1, 0 and 1 stay small
			result = int(exact)
		}
	}
	if math.Abs(exact) > 1<<53 {
		st.fail("%d %s %d is too large a number", i, op, j)
	}
	return result
}

func computedFloat(st *state, op string, x, y float64) any {
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	case "**":
		return math.Pow(x, y)
	}
	if y == 0 {
		st.fail("division by zero")
	}
	switch op {
	case "/":
		return x / y
	case "//":
		return math.Floor(x / y)
	}
	m := math.Mod(x, y)
	if m != 0 && (m < 0) != (y < 0) {
		m += y
	}
	return m
}

// arguments are the values that a call is given.
type arguments struct {
	callee     string
	positional []any
	named      map[string]any
	order      []string // of named
}

func evaluated(st *state, sc *scope, args []arg) arguments {
	a := arguments{}
	for _, one := range args {
		v := one.value(st, sc)
		if one.name == "" {
			a.positional = append(a.positional, v)
			continue
		}
		if a.named == nil {
			a.named = map[string]any{}
		}
		a.named[one.name] = v
		a.order = append(a.order, one.name)
	}
	return a
}

// of says whose arguments they are, for errors.
func (a arguments) of(callee string) arguments {
	a.callee = callee
	return a
}

// optional returns the argument at position i or of that name, or what stands for a missing one.
func (a arguments) optional(i int, name string, missing any) any {
	if i < len(a.positional) {
		return a.positional[i]
	}
	if v, ok := a.named[name]; ok {
		return v
	}
	return missing
}

func (a arguments) required(st *state, i int, name string) any {
	v := a.optional(i, name, absent{})
	if _, missing := v.(absent); missing {
		st.fail("%s wants the argument %s", a.callee, name)
	}
	return v
}

// done refuses arguments other than params.
func (a arguments) done(st *state, params ...string) {
	if len(a.positional) > len(params) {
		st.fail("%s takes %d arguments and is given %d", a.callee, len(params), len(a.positional))
	}
	for _, name := range a.order {
		if i := slices.Index(params, name); i < 0 || i < len(a.positional) {
			st.fail("%s takes no argument %s, or takes it twice", a.callee, name)
		}
	}
}
