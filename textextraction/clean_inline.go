package textextraction

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// piece is a part of a block: text to be written as it is, or a run of "*" or "_" that may turn out to be emphasis.
type piece struct {
	text string // for a run, what of it is still text
	mark byte   // '*', '_', or 0 for text
	code bool   // text in which nothing is markup: code or math

	canOpen, canClose bool
	inWord            bool // between two characters of a word
}

// writeInline writes the text of a block, without its emphasis and the backticks of its code.
func writeInline(b *strings.Builder, block string) {
	pieces := cutInline(block)
	matchEmphasis(pieces)
	for _, p := range pieces {
		switch {
		case p.mark == '_' && len(p.text) >= 3 && !p.inWord:
			b.WriteByte(' ') // a line to be filled in
		case p.mark == 0 && !p.code:
			b.WriteString(decodeEntities(p.text))
		default:
			b.WriteString(p.text)
		}
	}
}

// cutInline cuts a block into pieces.
func cutInline(block string) []piece {
	var pieces []piece
	closes := nextTicks(block)
	math := mathScanner{block: block}
	start := 0 // of the text not yet in pieces
	text := func(end int) {
		if end > start {
			pieces = append(pieces, piece{text: block[start:end]})
		}
	}
	for i := 0; i < len(block); {
		switch c := block[i]; c {
		case '\\':
			switch {
			case i+1 < len(block) && strings.IndexByte("*_#`", block[i+1]) >= 0:
				text(i)
				start = i + 1 // the escaped character is text
				i += 2
			case i+1 < len(block) && (block[i+1] == '\\' || block[i+1] == '$'):
				i += 2 // the end of a row in LaTeX, whose second escapes nothing; a dollar that is one
			default:
				i++
			}
		case '`':
			end := runEnd(block, i)
			closing, ok := closes[i]
			if !ok && end-i < 3 {
				i = end // a backtick of the text
				continue
			}
			text(i)
			if !ok { // half of a fence
				i, start = end, end
				continue
			}
			if end-i < 3 { // three and more are a code block, though on one line
				pieces = append(pieces, piece{text: block[end:closing], code: true})
			}
			i = closing + end - i
			start = i
		case '$':
			end := math.end(i)
			if end < 0 {
				i++
				continue
			}
			text(i)
			pieces = append(pieces, piece{text: block[i:end], code: true})
			i, start = end, end
		case '*', '_':
			text(i)
			end := runEnd(block, i)
			pieces = append(pieces, newRun(block, i, end))
			i, start = end, end
		default:
			i++
		}
	}
	text(len(block))
	return pieces
}

// runEnd returns the end of the run of equal bytes that begins at i.
func runEnd(s string, i int) int {
	end := i + 1
	for end < len(s) && s[end] == s[i] {
		end++
	}
	return end
}

// nextTicks returns for the start of each run of backticks that of the next run of the same length, if there is one.
func nextTicks(block string) map[int]int {
	var next, last map[int]int // last: from a length to the run of that length that was seen last
	for i := strings.IndexByte(block, '`'); i >= 0 && i < len(block); {
		end := runEnd(block, i)
		if next == nil {
			next, last = map[int]int{}, map[int]int{}
		}
		if before, ok := last[end-i]; ok {
			next[before] = i
		}
		last[end-i] = i
		more := strings.IndexByte(block[end:], '`')
		if more < 0 {
			break
		}
		i = end + more
	}
	return next
}

// mathScanner finds math, in which "*" and "_" are not Markdown's: $$x_i$$, or $x_i$ as pandoc has it, with no space inside
// the dollars, no digit behind them and no letter before them, so that $5, $10 and US$ are sums of money.
type mathScanner struct {
	block  string
	single int // the first dollar that can close $x$ at or behind the places asked for so far; -1 if there is none
	double int // the same of $$
}

// end returns the end of the math that begins at the dollar at i, or -1. The places have to rise: then the time for all
// of them is linear.
func (m *mathScanner) end(i int) int {
	if strings.HasPrefix(m.block[i:], "$$") {
		if m.double >= 0 && m.double < i+2 {
			m.double = strings.Index(m.block[i+2:], "$$")
			if m.double >= 0 {
				m.double += i + 2
			}
		}
		if m.double < 0 {
			return -1
		}
		return m.double + 2
	}
	before, _ := utf8.DecodeLastRuneInString(m.block[:i])
	if after := i + 1; isWord(before) || after == len(m.block) || skipSpace(m.block, after) > after {
		return -1
	}
	for m.single >= 0 && (m.single < i+2 || !m.closes(m.single)) {
		from := max(m.single, i+1) + 1
		if from >= len(m.block) {
			m.single = -1
			break
		}
		if m.single = strings.IndexByte(m.block[from:], '$'); m.single >= 0 {
			m.single += from
		}
	}
	if m.single < 0 {
		return -1
	}
	return m.single + 1
}

// closes tells whether the dollar at i can close $x$.
func (m *mathScanner) closes(i int) bool {
	before, _ := utf8.DecodeLastRuneInString(m.block[:i])
	after, _ := utf8.DecodeRuneInString(m.block[i+1:])
	return m.block[i] == '$' && before != '\\' && !isSpace(before) && !unicode.IsDigit(after)
}

// newRun returns the piece for the run of stars or underscores from start to end. The rules are CommonMark's, but that
// punctuation next to a run does not matter: in Chinese, **emphasis：**goes on without a space.
func newRun(block string, start, end int) piece {
	before, _ := utf8.DecodeLastRuneInString(block[:start])
	after, _ := utf8.DecodeRuneInString(block[end:])
	p := piece{
		text:     block[start:end],
		mark:     block[start],
		canOpen:  end < len(block) && !isSpace(after),
		canClose: start > 0 && !isSpace(before),
		inWord:   start > 0 && end < len(block) && isWord(before) && isWord(after),
	}
	if p.mark == '_' && p.inWord {
		p.canOpen, p.canClose = false, false // snake_case
	}
	return p
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// The stacks of runs that may still be closed, by what may close them.
const (
	underscores = iota
	stars       // at the edge of a word
	wordStars   // two or more within a word
	wordStar    // one within a word
	stackCount
)

func (p *piece) stack() int {
	switch {
	case p.mark == '_':
		return underscores
	case !p.inWord:
		return stars
	case len(p.text) >= 2:
		return wordStars
	}
	return wordStar
}

// partners[c] are the stacks in which a closing run of class c finds its opening one. A single star within a word and
// another such, 2*3*4, are no emphasis.
var partners = [stackCount][]int{
	underscores: {underscores},
	stars:       {stars, wordStars, wordStar},
	wordStars:   {stars, wordStars},
	wordStar:    {stars},
}

// matchEmphasis takes out of the runs what opens and closes emphasis; a run that finds no partner is text. Every run is
// pushed and popped once for each of its characters at most, so the time is linear.
func matchEmphasis(pieces []piece) {
	var open [stackCount][]int // indices into pieces, rising
	for i := range pieces {
		p := &pieces[i]
		if p.mark == 0 {
			continue
		}
		for p.canClose && p.text != "" {
			at := -1
			for _, stack := range partners[p.stack()] {
				if n := len(open[stack]); n > 0 {
					at = max(at, open[stack][n-1])
				}
			}
			if at < 0 {
				break
			}
			// What was opened behind the partner and not closed is text. The partner goes too, and comes back shorter.
			for s, stack := range open {
				n := len(stack)
				for n > 0 && stack[n-1] >= at {
					n--
				}
				open[s] = stack[:n]
			}
			opener := &pieces[at]
			n := min(len(opener.text), len(p.text), 2)
			opener.text, p.text = opener.text[n:], p.text[n:]
			if opener.text != "" {
				open[opener.stack()] = append(open[opener.stack()], at)
			}
		}
		if p.canOpen && p.text != "" {
			open[p.stack()] = append(open[p.stack()], i)
		}
	}
}
