package backend

import (
	"slices"

	"github.com/omnidocs/omnidocs/internal/loop"
	"github.com/omnidocs/omnidocs/qwen"
)

// HeatTokens is how many tokens are drawn hotter behind the place of a loop that came back.
const HeatTokens = 64

const (
	heatStep = 0.3 // of the temperature, for each time that a loop came back
	heatSeed = 0x9e3779b97f4a7c15
	heatTopP = 0.95 // so that a hot draw does not pick what makes no sense at all

	// sameLoop is how far behind the place where one was undone a loop may begin, in tokens, to be that one again.
	sameLoop = 64
)

// guard watches a page for loops and says how it goes on from one. The methods of a nil guard see none.
type guard struct {
	detector *loop.Detector
	found    *loop.Loop // what is to be undone
	rewinds  int        // so far
	most     int        // of them
	spare    int        // tokens that may still be thrown away
	place    undone     // of the last loop
	marks    []*qwen.Mark
}

// undone is where a loop was undone.
type undone struct {
	cut    int     // tokens that were kept
	times  int     // that it was there
	barred []int32 // what went on with it
}

func newGuard(r Repetition, limit int, text func([]int32) string) *guard {
	g := &guard{detector: loop.New(loop.Rules{MaxPeriod: r.MaxPeriod, EqualRows: r.EqualRows}, text), most: r.MaxRewinds, spare: limit}
	switch {
	case g.most == 0:
		g.most = defaultMaxRewinds
	case g.most < 0:
		g.most = 0
	}
	return g
}

// look looks at the tokens after one was added. It is true if there is a loop to be undone.
func (g *guard) look(tokens []int32) bool {
	if g == nil {
		return false
	}
	if found, ok := g.detector.Next(tokens); ok {
		g.found = &found
	}
	return g.looped()
}

func (g *guard) looped() bool { return g != nil && g.found != nil }

func (g *guard) recoveries() int {
	if g == nil {
		return 0
	}
	return g.rewinds
}

// undo says how many of the tokens to keep of an answer that ends in a loop, and whether it may go on from there. A loop that comes
// back where one was undone is undone at the same place.
func (g *guard) undo(tokens []int32) (cut int, again bool) {
	found := g.found
	g.found = nil
	if g.place.times == 0 || found.Start > g.place.cut+sameLoop || found.Cut < g.place.cut {
		g.place = undone{cut: found.Cut}
	}
	cut = g.place.cut
	if g.rewinds == g.most || len(tokens)-cut > g.spare {
		return cut, false
	}
	g.rewinds++
	g.spare -= len(tokens) - cut
	g.place.times++
	g.place.barred = append(g.place.barred, tokens[cut])
	g.place.barred = g.place.barred[max(0, len(g.place.barred)-qwen.MaxBarred):]
	g.detector.Reset(tokens[:cut])
	return cut, true
}

// steady is for how many of n tokens, behind so many, steer says the same; what is barred counts for the first alone.
func (g *guard) steady(tokens, n int) int {
	if g == nil || g.place.times <= 1 || tokens >= g.place.cut+HeatTokens {
		return n
	}
	return min(n, g.place.cut+HeatTokens-tokens)
}

// steer returns the sampling of the token behind so many, and the tokens that it must not be.
func (g *guard) steer(s Sampling, tokens int) (_ Sampling, barred []int32) {
	if g == nil || g.place.times == 0 {
		return s, nil
	}
	if tokens == g.place.cut {
		barred = g.place.barred
	}
	if g.place.times > 1 && tokens < g.place.cut+HeatTokens {
		s.Temperature = max(s.Temperature, heatStep*float64(g.place.times-1))
		if s.TopK == 1 {
			s.TopK = 0
		}
		if s.TopP == 0 || s.TopP > heatTopP {
			s.TopP = heatTopP
		}
		s.Seed ^= uint64(g.rewinds) * heatSeed
	}
	return s, barred
}

const (
	// markStep is how many tokens are between two marks of a model with recurrent states, and what a rewind may have to write again.
	markStep = 256
	// mostMarks is how many a page has at most. The farther back, the farther apart they are.
	mostMarks = 4
)

// wantsMark says whether a mark is due when the cache holds so many tokens of the answer.
func (g *guard) wantsMark(fed int) bool { return g != nil && g.most > 0 && fed%markStep == 0 }

// keepMark adds a mark to the others, and closes the one that is missed least if there are too many: the first stays, and of the rest
// the one whose neighbors are closest to each other, for how far back they are.
func (g *guard) keepMark(k *qwen.Mark) {
	g.marks = append(g.marks, k)
	if len(g.marks) <= mostMarks {
		return
	}
	now, least, drop := k.Length()+markStep, 0.0, 0
	for i := 1; i < len(g.marks)-1; i++ {
		gap := float64(g.marks[i+1].Length()-g.marks[i-1].Length()) / float64(now-g.marks[i-1].Length())
		if drop == 0 || gap < least {
			least, drop = gap, i
		}
	}
	_ = g.marks[drop].Close() // its buffers are gone either way
	g.marks = slices.Delete(g.marks, drop, drop+1)
}

// markFor returns the last mark at or before a length of the cache, nil if there is none, and closes those behind it, on which
// nothing can stand any more.
func (g *guard) markFor(length int) *qwen.Mark {
	n := len(g.marks)
	for n > 0 && g.marks[n-1].Length() > length {
		n--
		_ = g.marks[n].Close() // its buffers are gone either way
	}
	g.marks = g.marks[:n]
	if n == 0 {
		return nil
	}
	return g.marks[n-1]
}

// close frees the marks.
func (g *guard) close() {
	if g != nil {
		g.markFor(-1)
	}
}
