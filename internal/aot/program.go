package aot

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Program is what XLA has made of a StableHLO text.
type Program struct {
	// Kernels are what runs, in order: kernels, copies, calls of libraries.
	Kernels []Kernel
	// Writes are the operations that write to memory, those that write the most first.
	Writes []Write
	// Aliases are the inputs whose memory an output takes: the number of the output by that of the input.
	Aliases map[int]int
	// Calls counts the calls of libraries by their target, for example "__cudnn$fmhaSoftmax".
	Calls map[string]int
}

// Kernel is one thing that runs.
type Kernel struct {
	// Kind is XLA's kind of thunk, for example "kCustomKernel", "kCopy" or "kWhile"; Name is the kernel's.
	Kind, Name string
	// Loop is true in the body of a loop.
	Loop bool
}

// Write is an operation that writes its result to memory.
type Write struct {
	// Name is the operation's, Op what it ends with: the opcode, or that of the root of a fusion.
	Name, Op string
	// Bytes is the size of the result, without those parts of it that are changed in place.
	Bytes int64
	// Move is true where numbers are only carried from one place or type to another: copied, concatenated, transposed, padded.
	Move bool
	// Loop is true in the body of a loop.
	Loop bool
}

func (w Write) String() string { return fmt.Sprintf("%s (%s) of %d bytes", w.Name, w.Op, w.Bytes) }

// InLoop counts the kernels of one round of a loop.
func (p *Program) InLoop() int {
	n := 0
	for _, k := range p.Kernels {
		if k.Loop {
			n++
		}
	}
	return n
}

// Large are the writes of at least so many bytes, in the body of a loop or outside.
func (p *Program) Large(bytes int64, loop bool) []Write {
	var large []Write
	for _, w := range p.Writes {
		if w.Bytes >= bytes && w.Loop == loop {
			large = append(large, w)
		}
	}
	return large
}

// instruction is a line of HLO.
type instruction struct {
	name, shape, opcode string
	operands, rest      string
}

// module is HLO as text, by computation.
type module struct {
	computations map[string][]instruction // the last of each is not always the root
	roots        map[string]instruction
	entry        string
}

var (
	thunkLine   = regexp.MustCompile(`^(\s*)\d+: (k\w+)\s+\[[^\]]*\]\s*(\S*)`)
	sectionLine = regexp.MustCompile(`^\s*(\w+):\s*$`)
	aliasItem   = regexp.MustCompile(`\{(\d*)\}: \((\d+),`)
	header      = regexp.MustCompile(`^(ENTRY )?%?([\w.\-]+) \(.*\{$`)
	reference   = regexp.MustCompile(`(body|condition|calls|to_apply)=%?([\w.\-]+)`)
	target      = regexp.MustCompile(`custom_call_target="([^"]+)"`)
	arrayShape  = regexp.MustCompile(`\b([a-z]+[0-9]*[a-z0-9]*)\[([0-9,]*)\]`)
)

func parse(thunks, hlo string) (*Program, error) {
	p := &Program{Kernels: parseThunks(thunks), Aliases: map[int]int{}, Calls: map[string]int{}}
	first, _, _ := strings.Cut(hlo, "\n")
	if _, list, ok := strings.Cut(first, "input_output_alias={"); ok {
		list, _, _ = strings.Cut(list, "), entry")
		list, _, _ = strings.Cut(list, " }, ")
		for _, m := range aliasItem.FindAllStringSubmatch(list, -1) {
			output, _ := strconv.Atoi(m[1]) // "" where the output is no tuple
			input, _ := strconv.Atoi(m[2])
			p.Aliases[input] = output
		}
	}
	m := parseModule(hlo)
	if m.entry == "" || len(p.Kernels) == 0 {
		return nil, fmt.Errorf("aot: XLA's text is not as expected: entry %q, %d kernels", m.entry, len(p.Kernels))
	}
	p.scan(m, m.entry, false)
	slices.SortStableFunc(p.Writes, func(a, b Write) int { return int(min(max(b.Bytes-a.Bytes, -1), 1)) })
	return p, nil
}

func parseThunks(text string) []Kernel {
	var kernels []Kernel
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if m := sectionLine.FindStringSubmatch(line); m != nil {
			section = m[1]
			continue
		}
		if m := thunkLine.FindStringSubmatch(line); m != nil {
			kernels = append(kernels, Kernel{Kind: m[2], Name: m[3], Loop: m[1] != "" && section == "body"})
		}
	}
	return kernels
}

func parseModule(text string) module {
	m := module{computations: map[string][]instruction{}, roots: map[string]instruction{}}
	current := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if h := header.FindStringSubmatch(line); h != nil {
			current = h[2]
			if h[1] != "" {
				m.entry = current
			}
			continue
		}
		body, isRoot := strings.CutPrefix(strings.TrimSpace(line), "ROOT ")
		name, rest, ok := strings.Cut(body, " = ")
		if !ok || !strings.HasPrefix(name, "%") {
			continue
		}
		i := instruction{name: strings.TrimPrefix(name, "%")}
		i.shape, rest = cutShape(rest)
		i.opcode, rest, _ = strings.Cut(rest, "(")
		i.operands, i.rest, _ = strings.Cut(rest, ")")
		m.computations[current] = append(m.computations[current], i)
		if isRoot {
			m.roots[current] = i
		}
	}
	return m
}

// cutShape cuts the shape off the front of the right side of an instruction.
func cutShape(text string) (shape, rest string) {
	if !strings.HasPrefix(text, "(") {
		shape, rest, _ = strings.Cut(text, " ")
		return shape, rest
	}
	depth := 0
	for i, c := range text {
		switch c {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return text[:i+1], strings.TrimSpace(text[i+1:])
			}
		}
	}
	return text, ""
}

// free are the operations that write nothing.
var free = []string{
	"parameter", "get-tuple-element", "tuple", "bitcast", "constant", "while", "after-all", "call", "conditional", "iota", "partition-id", "replica-id",
}

// moves are the operations that carry numbers from one place or type to another.
var moves = []string{"copy", "copy-start", "concatenate", "transpose", "pad", "slice", "reshape", "convert", "broadcast", "reverse"}

// scan goes through the instructions of a computation that runs, and of what it runs.
func (p *Program) scan(m module, computation string, loop bool) {
	for _, i := range m.computations[computation] {
		refs := map[string]string{}
		for _, r := range reference.FindAllStringSubmatch(i.rest, -1) {
			refs[r[1]] = r[2]
		}
		switch {
		case i.opcode == "while":
			p.scan(m, refs["body"], true)
			continue
		case i.opcode == "call":
			p.scan(m, refs["to_apply"], loop)
			continue
		case slices.Contains(free, i.opcode):
			continue
		}
		w := Write{Name: i.name, Op: i.opcode, Bytes: bytes(i.shape), Loop: loop, Move: slices.Contains(moves, i.opcode)}
		switch i.opcode {
		case "fusion":
			root := m.roots[refs["calls"]]
			w.Op, w.Bytes, w.Move = root.opcode, m.written(refs["calls"], root), m.onlyMoves(refs["calls"])
		case "custom-call":
			if t := target.FindStringSubmatch(i.rest); t != nil {
				p.Calls[t[1]]++
				w.Op = t[1]
			}
		case "dynamic-update-slice", "scatter":
			w.Bytes = 0
		}
		p.Writes = append(p.Writes, w)
	}
}

// written is how much a fusion writes: its result, without what it changes in place.
func (m module) written(computation string, root instruction) int64 {
	switch root.opcode {
	case "dynamic-update-slice", "scatter":
		return 0
	case "tuple", "bitcast":
		var n int64
		for operand := range strings.SplitSeq(root.operands, ", ") {
			name := operand[strings.LastIndex(operand, "%")+1:]
			for _, i := range m.computations[computation] {
				if i.name == name {
					n += m.written(computation, i)
				}
			}
		}
		return n
	}
	return bytes(root.shape)
}

// onlyMoves says whether a fusion computes nothing.
func (m module) onlyMoves(computation string) bool {
	moved := false
	for _, i := range m.computations[computation] {
		switch {
		case slices.Contains(moves, i.opcode):
			moved = true
		case i.opcode != "parameter" && i.opcode != "bitcast" && i.opcode != "constant" && i.opcode != "tuple":
			return false
		}
	}
	return moved
}

// bytes is the size of a shape, which may be a tuple.
func bytes(shape string) int64 {
	var total int64
	for _, a := range arrayShape.FindAllStringSubmatch(shape, -1) {
		n := bits(a[1])
		for d := range strings.SplitSeq(a[2], ",") {
			if v, err := strconv.ParseInt(d, 10, 64); err == nil {
				n *= v
			}
		}
		total += (n + 7) / 8
	}
	return total
}

// bits is the size of an element of an HLO type: the number in its name.
func bits(dtype string) int64 {
	if dtype == "pred" {
		return 8
	}
	digits := strings.TrimLeft(dtype, "abcdefghijklmnopqrstuvwxyz")
	if end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		digits = digits[:end] // f8e4m3fn
	}
	n, _ := strconv.ParseInt(digits, 10, 64) // token[] has none and takes no room
	return n
}
