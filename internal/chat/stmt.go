package chat

import (
	"fmt"
	"slices"
	"strings"
)

// stmt is a compiled piece of a template; it reports how it ended.
type stmt func(st *state, sc *scope) flow

type flow uint8

const (
	flowNext flow = iota
	flowBreak
	flowContinue
)

type parser struct {
	tokens []token
	pos    int
	depth  int
	loops  int // for loops around the place at hand, within its macro
}

// syntaxError is the panic by which the lexer and the parser stop; Parse turns it into an error.
type syntaxError struct{ error }

func fail(line int, format string, args ...any) {
	panic(syntaxError{fmt.Errorf("line %d: %s", line, fmt.Sprintf(format, args...))})
}

func (t token) String() string {
	switch t.kind {
	case kindEOF:
		return "the end of the template"
	case kindString:
		return fmt.Sprintf("the string %.20q", t.text)
	case kindData:
		return "text"
	}
	return fmt.Sprintf("%q", t.text)
}

func (p *parser) now() token { return p.tokens[p.pos] }

func (p *parser) peek() token { return p.tokens[min(p.pos+1, len(p.tokens)-1)] }

func (p *parser) next() token {
	t := p.tokens[p.pos]
	p.pos = min(p.pos+1, len(p.tokens)-1)
	return t
}

// at reports whether the token at hand is of a kind and, if texts are given, one of them.
func (p *parser) at(k kind, texts ...string) bool {
	t := p.now()
	return t.kind == k && (len(texts) == 0 || slices.Contains(texts, t.text))
}

func (p *parser) take(operator string) bool { return p.takeKind(kindOperator, operator) }
func (p *parser) takeName(name string) bool { return p.takeKind(kindName, name) }
func (p *parser) takeKind(k kind, s string) bool {
	if p.at(k, s) {
		p.next()
		return true
	}
	return false
}

func (p *parser) want(operator string) {
	if !p.take(operator) {
		fail(p.now().line, "%q is wanted, not %s", operator, p.now())
	}
}

func (p *parser) name(what string) token {
	if !p.at(kindName) {
		fail(p.now().line, "%s is wanted, not %s", what, p.now())
	}
	return p.next()
}

func (p *parser) end() {
	if !p.at(kindEnd) {
		fail(p.now().line, "unexpected %s", p.now())
	}
	p.next()
}

// nest counts a level of nesting, to be undone by what it returns.
func (p *parser) nest() func() {
	if p.depth++; p.depth > maxDepth {
		fail(p.now().line, "nested more than %d deep", maxDepth)
	}
	return func() { p.depth-- }
}

// body reads up to a block tag that is one of ends, which it takes the name of and returns; no ends mean the end of
// the template.
func (p *parser) body(ends ...string) (stmt, string) {
	defer p.nest()()
	start := p.now().line
	var all []stmt
	for {
		t := p.next()
		switch t.kind {
		case kindEOF:
			if len(ends) > 0 {
				fail(start, "{%% %s %%} is missing", ends[len(ends)-1])
			}
			return sequence(all), ""
		case kindData:
			all = append(all, func(st *state, _ *scope) flow {
				st.write(t.text)
				return flowNext
			})
		case kindOutput:
			e := p.tuple("}}")
			p.end()
			all = append(all, func(st *state, sc *scope) flow {
				st.line = t.line
				st.write(text(st, e(st, sc)))
				return flowNext
			})
		case kindBlock:
			if p.at(kindName, ends...) && len(ends) > 0 {
				return sequence(all), p.next().text
			}
			all = append(all, p.statement(t.line))
		default:
			fail(t.line, "unexpected %s", t)
		}
	}
}

func sequence(all []stmt) stmt {
	return func(st *state, sc *scope) flow {
		for _, s := range all {
			if f := s(st, sc); f != flowNext {
				return f
			}
		}
		return flowNext
	}
}

// block reads a body and its end tag.
func (p *parser) block(end string) stmt {
	p.end()
	b, _ := p.body(end)
	p.end()
	return b
}

func (p *parser) statement(line int) stmt {
	t := p.name("a statement")
	s := p.statementOf(t)
	return func(st *state, sc *scope) flow {
		st.work(1)
		st.line = line
		return s(st, sc)
	}
}

func (p *parser) statementOf(t token) stmt {
	switch t.text {
	case "if":
		return p.ifStatement()
	case "for":
		return p.forStatement()
	case "set":
		return p.setStatement()
	case "macro":
		return p.macroStatement()
	case "with":
		return p.withStatement()
	case "generation": // transformers marks the assistant's text with it; it prints as it is
		b := p.block("endgeneration")
		return func(st *state, sc *scope) flow { return b(st, newScope(sc)) }
	case "break", "continue":
		if p.loops == 0 {
			fail(t.line, "%s outside a loop", t.text)
		}
		p.end()
		f := map[string]flow{"break": flowBreak, "continue": flowContinue}[t.text]
		return func(*state, *scope) flow { return f }
	case "include", "import", "from", "extends", "block":
		fail(t.line, "{%% %s %%} is not supported: a chat template is one file", t.text)
	}
	fail(t.line, "{%% %s %%} is not supported", t.text)
	return nil
}

func (p *parser) ifStatement() stmt {
	cond := p.tuple("%}")
	p.end()
	then, end := p.body("elif", "else", "endif")
	other := sequence(nil)
	switch end {
	case "elif":
		defer p.nest()()
		other = p.ifStatement() // takes the endif
	case "else":
		other = p.block("endif")
	default:
		p.end()
	}
	return func(st *state, sc *scope) flow {
		st.work(1)
		if truth(cond(st, sc)) {
			return then(st, sc)
		}
		return other(st, sc)
	}
}

// target is where set and for put a value: a name, several, or an attribute of a namespace.
type target struct {
	names     []string
	attribute string
	unpack    bool
}

func (p *parser) target() target {
	defer p.nest()()
	paren := p.take("(")
	t := target{names: []string{p.name("a name").text}}
	if p.take(".") {
		t.attribute = p.name("an attribute").text
		return t
	}
	for p.take(",") {
		t.unpack = true
		if !p.at(kindName) || p.at(kindName, "in") {
			break
		}
		t.names = append(t.names, p.next().text)
	}
	if paren {
		p.want(")")
	}
	return t
}

func (t target) assign(st *state, sc *scope, v any) {
	switch {
	case t.attribute != "":
		ns, ok := sc.get(st, t.names[0]).(*namespace)
		if !ok {
			st.fail("%s.%s cannot be set: only attributes of a namespace can", t.names[0], t.attribute)
		}
		ns.values[t.attribute] = v
	case !t.unpack:
		sc.vars[t.names[0]] = v
	default:
		values := iterate(st, v)
		if len(values) != len(t.names) {
			st.fail("%d values for the %d names %s", len(values), len(t.names), strings.Join(t.names, ", "))
		}
		for i, name := range t.names {
			sc.vars[name] = values[i]
		}
	}
}

func (p *parser) setStatement() stmt {
	to := p.target()
	if p.take("=") {
		value := p.tuple("%}")
		p.end()
		return func(st *state, sc *scope) flow {
			to.assign(st, sc, value(st, sc))
			return flowNext
		}
	}
	if p.at(kindOperator, "|") {
		fail(p.now().line, "filters on a {%% set %%} block are not supported")
	}
	b := p.block("endset")
	return func(st *state, sc *scope) flow {
		to.assign(st, sc, st.capture(func() { b(st, newScope(sc)) }))
		return flowNext
	}
}

func (p *parser) withStatement() stmt {
	type assignment struct {
		to    target
		value expr
	}
	var all []assignment
	for !p.at(kindEnd) {
		if len(all) > 0 {
			p.want(",")
		}
		to := p.target()
		p.want("=")
		all = append(all, assignment{to, p.expression()})
	}
	b := p.block("endwith")
	return func(st *state, sc *scope) flow {
		inner := newScope(sc)
		for _, a := range all {
			a.to.assign(st, inner, a.value(st, sc))
		}
		return b(st, inner)
	}
}

func (p *parser) forStatement() stmt {
	to := p.target()
	if !p.takeName("in") {
		fail(p.now().line, "\"in\" is wanted, not %s", p.now())
	}
	over := p.or()
	if p.at(kindOperator, ",") {
		fail(p.now().line, "a for loop over a tuple without brackets is not supported")
	}
	var cond expr
	if p.takeName("if") {
		cond = p.expression()
	}
	if p.at(kindName, "recursive") {
		fail(p.now().line, "a recursive for loop is not supported")
	}
	p.end()
	p.loops++
	b, end := p.body("else", "endfor")
	p.loops--
	other := sequence(nil)
	if end == "else" {
		other = p.block("endfor")
	} else {
		p.end()
	}
	return func(st *state, sc *scope) flow {
		all := iterate(st, over(st, sc))
		if cond != nil {
			all = slices.DeleteFunc(slices.Clone(all), func(v any) bool {
				st.work(16)
				inner := newScope(sc)
				to.assign(st, inner, v)
				return !truth(cond(st, inner))
			})
		}
		if len(all) == 0 {
			return other(st, newScope(sc))
		}
		for i, v := range all {
			st.work(16)
			inner := newScope(sc)
			to.assign(st, inner, v)
			inner.vars["loop"] = &loop{all, i}
			if b(st, inner) == flowBreak {
				break
			}
		}
		return flowNext
	}
}

// macro is a function that a template defines. It sees the variables of the place where it is defined.
type macro struct {
	name     string
	params   []string
	defaults []expr // nil where there is none
	body     stmt
	outer    *scope
}

func (p *parser) macroStatement() stmt {
	m := macro{name: p.name("a macro's name").text}
	p.want("(")
	for !p.take(")") {
		if len(m.params) > 0 {
			p.want(",")
			if p.take(")") {
				break
			}
		}
		m.params = append(m.params, p.name("a parameter").text)
		var def expr
		if p.take("=") {
			def = p.expression()
		}
		m.defaults = append(m.defaults, def)
	}
	loops := p.loops
	p.loops = 0
	m.body = p.block("endmacro")
	p.loops = loops
	return func(_ *state, sc *scope) flow {
		defined := m
		defined.outer = sc
		sc.vars[m.name] = &defined
		return flowNext
	}
}

func (m *macro) call(st *state, args arguments) any {
	if st.depth++; st.depth > maxDepth {
		st.fail("macros call each other more than %d deep", maxDepth)
	}
	defer func() { st.depth-- }()
	a := args.of(m.name)
	sc := newScope(m.outer)
	for i, name := range m.params {
		def := m.defaults[i]
		v := a.optional(i, name, absent{})
		if _, missing := v.(absent); missing {
			v = undefined{name}
			if def != nil {
				v = def(st, sc)
			}
		}
		sc.vars[name] = v
	}
	a.done(st, m.params...)
	line := st.line
	out := st.capture(func() { m.body(st, sc) })
	st.line = line
	return out
}

type absent struct{}
