package loop

// headTokens is how much of an answer's beginning has to come again for it to count as a restart.
const headTokens = 288

// restart watches for an answer that begins again from its head, over and over, with a period of any length: the automaton of
// Knuth, Morris and Pratt for the head.
type restart struct {
	fail    []int32 // by the number of tokens matched; nil until the head is there
	matched int
	first   int // the index at which the head came again for the first time; 0 for never
}

// next takes the last token. A page that has its text twice is honest, a receipt and its copy: the third time is a loop. One whose
// period is short enough is left to the other check.
func (r *restart) next(tokens []int32, maxPeriod int) (Loop, bool) {
	n := len(tokens)
	if n < headTokens {
		return Loop{}, false
	}
	head := tokens[:headTokens]
	if r.fail == nil {
		r.build(head)
		return Loop{}, false
	}
	if r.matched == headTokens {
		r.matched = int(r.fail[r.matched])
	}
	for r.matched > 0 && head[r.matched] != tokens[n-1] {
		r.matched = int(r.fail[r.matched])
	}
	if head[r.matched] == tokens[n-1] {
		r.matched++
	}
	at := n - headTokens
	if r.matched < headTokens || at <= maxPeriod {
		return Loop{}, false
	}
	if r.first == 0 {
		r.first = at
		return Loop{}, false
	}
	if period := at - r.first; period < r.first*9/10 || period > r.first*11/10 { // it came again, but not as the page did
		return Loop{}, false
	}
	return Loop{Start: 0, Period: at - r.first, Copies: 2, Kind: Restart, Cut: r.first}, true
}

func (r *restart) build(head []int32) {
	r.fail = make([]int32, headTokens+1)
	k := int32(0)
	for i := 1; i < headTokens; i++ {
		for k > 0 && head[k] != head[i] {
			k = r.fail[k]
		}
		if head[k] == head[i] {
			k++
		}
		r.fail[i+1] = k
	}
}
