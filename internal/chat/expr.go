package chat

import (
	"slices"
	"strconv"
)

// expr is a compiled expression.
type expr func(st *state, sc *scope) any

// arg is one argument of a call; name is "" for a positional one.
type arg struct {
	name  string
	value expr
}

// The levels of Jinja's grammar, loosest first.

func (p *parser) expression() expr {
	defer p.nest()()
	e := p.or()
	for p.takeName("if") {
		cond, then := p.or(), e
		other := func(*state, *scope) any { return undefined{"the value of an if without else"} }
		if p.takeName("else") {
			other = p.expression()
		}
		e = func(st *state, sc *scope) any {
			st.work(1)
			if truth(cond(st, sc)) {
				return then(st, sc)
			}
			return other(st, sc)
		}
	}
	return e
}

func (p *parser) or() expr {
	left := p.and()
	for p.takeName("or") {
		a, b := left, p.and()
		left = func(st *state, sc *scope) any {
			if v := a(st, sc); truth(v) {
				return v
			}
			return b(st, sc)
		}
	}
	return left
}

func (p *parser) and() expr {
	left := p.not()
	for p.takeName("and") {
		a, b := left, p.not()
		left = func(st *state, sc *scope) any {
			if v := a(st, sc); !truth(v) {
				return v
			}
			return b(st, sc)
		}
	}
	return left
}

func (p *parser) not() expr {
	if p.takeName("not") {
		defer p.nest()()
		e := p.not()
		return func(st *state, sc *scope) any { return !truth(e(st, sc)) }
	}
	return p.compare()
}

// compare is a chain: a < b < c holds if both do.
func (p *parser) compare() expr {
	first := p.sum()
	type link struct {
		op    string
		right expr
	}
	var chain []link
	for {
		switch {
		case p.at(kindOperator, "==", "!=", "<", "<=", ">", ">="):
			chain = append(chain, link{p.next().text, p.sum()})
		case p.takeName("in"):
			chain = append(chain, link{"in", p.sum()})
		case p.at(kindName, "not") && p.peek().kind == kindName && p.peek().text == "in":
			p.next()
			p.next()
			chain = append(chain, link{"not in", p.sum()})
		default:
			if chain == nil {
				return first
			}
			return func(st *state, sc *scope) any {
				left := first(st, sc)
				for _, l := range chain {
					right := l.right(st, sc)
					if !compared(st, l.op, left, right) {
						return false
					}
					left = right
				}
				return true
			}
		}
	}
}

// binary reads a chain of operators of one level, from the left.
func (p *parser) binary(operand func() expr, operators ...string) expr {
	left := operand()
	for p.at(kindOperator, operators...) {
		op, a, b := p.next().text, left, operand()
		left = func(st *state, sc *scope) any { return computed(st, op, a(st, sc), b(st, sc)) }
	}
	return left
}

func (p *parser) sum() expr     { return p.binary(p.concat, "+", "-") }
func (p *parser) concat() expr  { return p.binary(p.product, "~") }
func (p *parser) product() expr { return p.binary(p.power, "*", "/", "//", "%") }
func (p *parser) power() expr {
	return p.binary(func() expr { return p.unary(true) }, "**")
}

func (p *parser) unary(filters bool) expr {
	defer p.nest()()
	var e expr
	switch {
	case p.take("-"):
		inner := p.unary(false)
		e = func(st *state, sc *scope) any { return computed(st, "-", 0, inner(st, sc)) }
	case p.take("+"):
		inner := p.unary(false)
		e = func(st *state, sc *scope) any { return computed(st, "+", 0, inner(st, sc)) }
	default:
		e = p.primary()
	}
	e = p.postfix(e)
	for filters {
		switch {
		case p.take("|"):
			e = p.filter(e)
		case p.takeName("is"):
			e = p.test(e)
		case p.at(kindOperator, "("):
			e = p.call(e)
		default:
			return e
		}
	}
	return e
}

func constant(v any) expr {
	return func(st *state, _ *scope) any {
		st.work(1)
		return v
	}
}

func (p *parser) primary() expr {
	t := p.next()
	switch {
	case t.kind == kindName:
		switch t.text {
		case "true", "True":
			return constant(true)
		case "false", "False":
			return constant(false)
		case "none", "None":
			return constant(nil)
		}
		return func(st *state, sc *scope) any { return sc.get(st, t.text) }
	case t.kind == kindString:
		s := t.text
		for p.at(kindString) {
			s += p.next().text
		}
		return constant(s)
	case t.kind == kindInt:
		i, err := strconv.Atoi(t.text)
		if err != nil || len(t.text) > 1 && t.text[0] == '0' {
			fail(t.line, "the number %s is not supported", t.text)
		}
		return constant(i)
	case t.kind == kindFloat:
		f, err := strconv.ParseFloat(t.text, 64)
		if err != nil {
			fail(t.line, "the number %s is not supported", t.text)
		}
		return constant(f)
	case t.kind == kindOperator && t.text == "(":
		e := p.tuple(")")
		p.want(")")
		return e
	case t.kind == kindOperator && t.text == "[":
		return items(p.until("]"), false)
	case t.kind == kindOperator && t.text == "{":
		return p.mapping()
	}
	fail(t.line, "unexpected %s", t)
	return nil
}

// until reads expressions with commas between them up to the closing bracket.
func (p *parser) until(end string) []expr {
	var all []expr
	for !p.take(end) {
		if len(all) > 0 {
			p.want(",")
			if p.take(end) {
				break
			}
		}
		all = append(all, p.expression())
	}
	return all
}

// tuple reads one expression, or several with commas as a tuple. It leaves end.
func (p *parser) tuple(end string) expr {
	var all []expr
	comma := false
	for !p.at(kindOperator, end) && !p.at(kindEnd) {
		all = append(all, p.expression())
		if !p.take(",") {
			break
		}
		comma = true
	}
	if len(all) == 1 && !comma {
		return all[0]
	}
	if len(all) == 0 && end != ")" {
		fail(p.now().line, "an expression is wanted where there is %s", p.now())
	}
	return items(all, true)
}

func items(all []expr, tuple bool) expr {
	return func(st *state, sc *scope) any {
		st.work(16 * len(all))
		l := &list{items: make([]any, len(all)), tuple: tuple}
		for i, e := range all {
			l.items[i] = e(st, sc)
		}
		return l
	}
}

func (p *parser) mapping() expr {
	var keys, values []expr
	for !p.take("}") {
		if len(keys) > 0 {
			p.want(",")
			if p.take("}") {
				break
			}
		}
		keys = append(keys, p.expression())
		p.want(":")
		values = append(values, p.expression())
	}
	return func(st *state, sc *scope) any {
		st.work(64 * len(keys))
		d := newDict()
		for i := range keys {
			key, ok := keys[i](st, sc).(string)
			if !ok {
				st.fail("a mapping's key that is not a string is not supported")
			}
			d.set(key, values[i](st, sc))
		}
		return d
	}
}

// postfix reads attributes, subscripts and calls.
func (p *parser) postfix(e expr) expr {
	for {
		switch {
		case p.take("."):
			t := p.next()
			from := e
			switch t.kind {
			case kindName:
				e = func(st *state, sc *scope) any { return attribute(st, from(st, sc), t.text) }
			case kindInt:
				i, err := strconv.Atoi(t.text)
				if err != nil {
					fail(t.line, "the index %s is not supported", t.text)
				}
				e = func(st *state, sc *scope) any { return item(st, from(st, sc), i) }
			default:
				fail(t.line, "a name is wanted after the dot, not %s", t)
			}
		case p.take("["):
			e = p.subscript(e)
		case p.at(kindOperator, "("):
			e = p.call(e)
		default:
			return e
		}
	}
}

func (p *parser) subscript(from expr) expr {
	var bounds [3]expr
	colons := 0
	for !p.take("]") {
		if p.take(":") {
			if colons++; colons > 2 {
				fail(p.now().line, "a slice has at most three parts")
			}
			continue
		}
		if bounds[colons] != nil {
			fail(p.now().line, "unexpected %s in a subscript", p.now())
		}
		bounds[colons] = p.expression()
	}
	if colons == 0 {
		index := bounds[0]
		if index == nil {
			fail(p.now().line, "an empty subscript")
		}
		return func(st *state, sc *scope) any {
			v := from(st, sc)
			return item(st, v, index(st, sc))
		}
	}
	return func(st *state, sc *scope) any {
		v := from(st, sc)
		var at [3]*int
		for i, bound := range bounds {
			if bound == nil {
				continue
			}
			switch n := bound(st, sc).(type) {
			case nil:
			case int:
				at[i] = &n
			default:
				st.fail("%s as the bound of a slice", typeName(n))
			}
		}
		return slice(st, v, at)
	}
}

func (p *parser) arguments() []arg {
	p.want("(")
	var args []arg
	for !p.take(")") {
		if len(args) > 0 {
			p.want(",")
			if p.take(")") {
				break
			}
		}
		if p.at(kindOperator, "*", "**") {
			fail(p.now().line, "%s before an argument is not supported", p.now().text)
		}
		a := arg{}
		if p.at(kindName) && p.peek().kind == kindOperator && p.peek().text == "=" {
			a.name = p.next().text
			p.next()
			if slices.ContainsFunc(args, func(b arg) bool { return b.name == a.name }) {
				fail(p.now().line, "the argument %s is given twice", a.name)
			}
		} else if len(args) > 0 && args[len(args)-1].name != "" {
			fail(p.now().line, "an argument without a name after one with a name")
		}
		a.value = p.expression()
		args = append(args, a)
	}
	return args
}

func (p *parser) call(f expr) expr {
	args := p.arguments()
	return func(st *state, sc *scope) any {
		st.work(1)
		v := f(st, sc)
		called := evaluated(st, sc, args)
		switch v := v.(type) {
		case function:
			return v(st, called)
		case *macro:
			return v.call(st, called)
		}
		st.fail("%s cannot be called", typeName(v))
		return nil
	}
}

// filter reads what follows a |.
func (p *parser) filter(in expr) expr {
	t := p.name("a filter's name")
	f, ok := filters[t.text]
	if !ok {
		fail(t.line, "the filter %q is not supported", t.text)
	}
	var args []arg
	if p.at(kindOperator, "(") {
		args = p.arguments()
	}
	return func(st *state, sc *scope) any {
		st.work(1)
		v := in(st, sc)
		return f(st, v, evaluated(st, sc, args).of(t.text))
	}
}

// test reads what follows an is.
func (p *parser) test(in expr) expr {
	not := p.takeName("not")
	t := p.name("a test's name")
	f, ok := tests[t.text]
	if !ok {
		fail(t.line, "the test %q is not supported", t.text)
	}
	var args []arg
	now := p.now()
	switch {
	case p.at(kindOperator, "("):
		args = p.arguments()
	case p.at(kindName, "is"):
		fail(now.line, "tests cannot be chained with \"is\"")
	case p.at(kindName, "else", "or", "and", "if", "not", "in"):
	case now.kind == kindName || now.kind == kindString || now.kind == kindInt || now.kind == kindFloat || p.at(kindOperator, "[", "{"):
		args = []arg{{value: p.postfix(p.primary())}}
	}
	return func(st *state, sc *scope) any {
		st.work(1)
		v := in(st, sc)
		return f(st, v, evaluated(st, sc, args).of(t.text)) != not
	}
}
