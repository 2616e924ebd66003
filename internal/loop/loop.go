// Package loop finds the loops that a language model falls into when it writes: a piece of text repeated until the bound on tokens.
//
// A [Detector] looks at each token as it comes. A gate, one look-up a token, counts for how long every 4-gram has been seen within
// the last MaxPeriod tokens. Only when that streak has grown does an exact check run, the Z-function of the reversed tokens, which
// finds the periods of the text's end; and only when there is one is the text itself looked at, since what may repeat honestly
// depends on what it is: rows of a table, dot leaders, forms to fill in and code do, sentences hardly.
package loop

// Rules say what is taken for a loop. The zero value of each field is its default.
type Rules struct {
	// MaxPeriod is the longest period that is looked for, in tokens. Default 1024.
	MaxPeriod int
	// EqualRows is how many equal rows of a table, or equal lines of a form, are still honest; rows in which nothing is written but
	// zeros and dashes may be twice as many. Default 80.
	EqualRows int
}

const (
	defaultMaxPeriod = 1024
	defaultEqualRows = 80
)

func (r Rules) withDefaults() Rules {
	if r.MaxPeriod == 0 {
		r.MaxPeriod = defaultMaxPeriod
	}
	if r.EqualRows == 0 {
		r.EqualRows = defaultEqualRows
	}
	return r
}

// Loop is a piece of text that repeats up to the last token.
type Loop struct {
	// Start is the index of the token at which the repetition begins, Period its length in tokens, Copies how often it is there in
	// full. A page that begins again from its head has the index at which that was first.
	Start, Period, Copies int
	// Kind says what it was taken for.
	Kind Kind
	// Cut is how many tokens come before what is too much: one copy is kept, and from there what is left of a line, a row or a block.
	Cut int
}

const (
	gram      = 4    // tokens of the gate's n-grams
	slots     = 8192 // of the gate
	firstLook = 24   // streak of the first exact check
	leastStep = 32   // by how much, at least, it must have grown before the next,
	mostStep  = 256  // and at most: a check costs by the length of the streak, so that they are the rarer the longer it is
)

// Detector looks for loops in one answer. Its state is a function of the answer's tokens alone.
type Detector struct {
	rules Rules
	text  func(tokens []int32) string

	seen    [slots]int32 // by the hash of an n-gram: the number of tokens when one of that hash was last there
	streak  int          // n-grams in a row that were there within MaxPeriod
	look    int          // streak of the next exact check
	restart restart

	reversed []int32 // scratch of the exact check
	z        []int32
}

// New returns a detector. text decodes tokens, special ones too.
func New(rules Rules, text func(tokens []int32) string) *Detector {
	return &Detector{rules: rules.withDefaults(), text: text, look: firstLook}
}

// Next looks at the answer after a token has been added to it, and says whether it ends in a loop.
func (d *Detector) Next(tokens []int32) (Loop, bool) {
	if found, ok := d.restart.next(tokens, d.rules.MaxPeriod); ok {
		return found, true
	}
	if !d.push(tokens) || d.streak < d.look {
		return Loop{}, false
	}
	d.look = nextLook(d.streak)
	return d.check(tokens)
}

// nextLook is the streak of the check after one at this streak.
func nextLook(streak int) int { return streak + min(max(leastStep, streak/4), mostStep) }

// push takes the last token into the gate. It is true if the n-gram that it ends was there before. A collision of hashes can
// make a streak longer and never breaks one: an n-gram's own slot was written within a period.
func (d *Detector) push(tokens []int32) bool {
	n := len(tokens)
	if n < gram {
		return false
	}
	hash := uint64(0)
	for _, token := range tokens[n-gram:] {
		hash = (hash ^ uint64(uint32(token))) * 0x9e3779b97f4a7c15
	}
	slot := &d.seen[hash>>(64-13)]
	again := *slot > 0 && n-int(*slot) <= d.rules.MaxPeriod
	*slot = int32(n)
	if !again {
		d.streak, d.look = 0, firstLook
		return false
	}
	d.streak++
	return true
}

// Reset makes the state that of an answer of these tokens, which is shorter than, or differs from, the one it was of. What was
// loop enough to be told before is told again only when more of it comes.
func (d *Detector) Reset(tokens []int32) {
	d.seen, d.streak, d.look = [slots]int32{}, 0, firstLook
	d.restart = restart{}
	for n := max(1, len(tokens)-d.rules.MaxPeriod-gram); n <= len(tokens); n++ {
		if d.push(tokens[:n]) && d.streak >= d.look {
			d.look = nextLook(d.streak)
		}
	}
	for n := 1; n <= len(tokens); n++ {
		d.restart.next(tokens[:n], d.rules.MaxPeriod)
	}
}

// check looks for a period of the answer's end, the shortest that is a loop.
func (d *Detector) check(tokens []int32) (Loop, bool) {
	n := len(tokens)
	window := min(n, d.streak+d.rules.MaxPeriod+8)
	d.reversed = d.reversed[:0]
	for i := range window {
		d.reversed = append(d.reversed, tokens[n-1-i])
	}
	d.z = zFunction(d.reversed, d.z)
	begins := -1   // of the run that was judged last
	twice := false // a period of two copies has been judged
	for p := 1; p <= d.rules.MaxPeriod && p < window; p++ {
		matched := int(d.z[p])
		three := matched >= 2*p
		if !three && (twice || p < firstLook || matched < p) {
			continue
		}
		start := n - matched - p
		for matched+p == window && start > 0 && tokens[start-1] == tokens[start-1+p] {
			start-- // the run is longer than the window
		}
		if start == begins || n-start < firstLook {
			continue // a multiple of the period before, or less than any kind of loop is
		}
		begins, twice = start, twice || !three
		if kind, ok := d.judge(tokens, start, p); ok {
			return Loop{Start: start, Period: p, Copies: (n - start) / p, Kind: kind, Cut: d.cut(tokens, start, p)}, true
		}
	}
	return Loop{}, false
}

// zFunction returns for each i the length of the longest common prefix of s and s[i:], in the memory of z where it fits.
func zFunction(s, z []int32) []int32 {
	n := int32(len(s))
	if cap(z) < len(s) {
		z = make([]int32, 2*len(s))
	}
	z = z[:n]
	if n == 0 {
		return z
	}
	z[0] = n
	left, right := int32(0), int32(0)
	for i := int32(1); i < n; i++ {
		k := int32(0)
		if i < right {
			k = min(right-i, z[i-left])
		}
		for i+k < n && s[k] == s[i+k] {
			k++
		}
		z[i] = k
		if i+k > right {
			left, right = i, i+k
		}
	}
	return z
}
