package crosscheck

import (
	"fmt"
	"strings"
	"unicode"
)

// Kind is what is wrong with a passage.
type Kind string

// The kinds.
const (
	// Missing is a passage of the layer that the content does not have.
	Missing Kind = "missing"
	// Novel is a passage of the content that the layer does not have.
	Novel Kind = "novel"
)

// Defaults of [Options], and the bounds of [Report.Suspicious].
const (
	DefaultN          = 3
	DefaultMinPassage = 5
	MinCoverage       = 0.85
	MaxNovelty        = 0.15
)

// Options are the choices of [Compare]. The zero value consists entirely of default values.
type Options struct {
	// N is how many words are compared together. Zero means 3.
	N int
	// MinPassage is how many words in a row make a passage. Zero means 5.
	MinPassage int
}

// Report is what a comparison found.
type Report struct {
	// Usable is set when the layer is one that can be compared with. Reason says why not; everything else is empty then.
	Usable bool   `json:"usable"`
	Reason string `json:"reason,omitzero"`
	// Words and LayerWords count the words of the content and of the layer.
	Words      int `json:"words"`
	LayerWords int `json:"layer_words"`
	// Coverage is the part of the layer's n-grams that are in the content, Novelty the part of the content's n-grams that are not in the layer; both from 0 to 1.
	Coverage float64 `json:"coverage"`
	Novelty  float64 `json:"novelty"`
	// MissingNumbers are the numbers of the layer that are not in the content, InventedNumbers those of the content that are not in the layer, each as often as it is.
	MissingNumbers  []string `json:"missing_numbers,omitempty"`
	InventedNumbers []string `json:"invented_numbers,omitempty"`
	// Passages are what is missing and what is novel, first the one and then the other, in their order.
	Passages []Passage `json:"passages,omitempty"`
}

// Passage is a part of a text that the other does not have.
type Passage struct {
	Kind Kind `json:"kind"`
	// Text is the passage, from Start to End: offsets in bytes into the content if it is novel, into the layer if it is missing.
	Text  string `json:"text"`
	Start int    `json:"start"`
	End   int    `json:"end"`
	// Words counts its words.
	Words int `json:"words"`
}

// Suspicious says whether the page ought to be looked at: less than 85 % of the layer is covered, more than 15 % of the content is novel, there is a novel passage, or a number was
// invented. That something is missing does not suffice: running headers and the words in pictures often are, and on purpose.
func (r Report) Suspicious() bool {
	if !r.Usable {
		return false
	}
	for _, p := range r.Passages {
		if p.Kind == Novel {
			return true
		}
	}
	return r.Coverage < MinCoverage || r.Novelty > MaxNovelty || len(r.InventedNumbers) > 0
}

// Compare holds the Markdown or HTML of a page against its text layer.
func Compare(content, layer string, opts Options) Report {
	if opts.N <= 0 {
		opts.N = DefaultN
	}
	if opts.MinPassage <= 0 {
		opts.MinPassage = DefaultMinPassage
	}
	theirs := words(layer, false)
	if reason := unusable(layer, theirs); reason != "" {
		return Report{Reason: reason}
	}
	ours := words(content, true)
	r := Report{Usable: true, Words: len(ours), LayerWords: len(theirs)}
	n := max(1, min(opts.N, len(ours), len(theirs)))
	covered, share := cover(theirs, ours, n)
	r.Coverage = share
	r.Passages = passages(Missing, layer, theirs, covered, opts.MinPassage)
	covered, share = cover(ours, theirs, n)
	r.Novelty = 1 - share
	if len(ours) == 0 {
		r.Novelty = 0
	}
	r.Passages = append(r.Passages, passages(Novel, content, ours, covered, opts.MinPassage)...)
	r.MissingNumbers, r.InventedNumbers = without(numbers(theirs), numbers(ours)), without(numbers(ours), numbers(theirs))
	return r
}

// Usable says whether a text layer is one that can be compared with, or used in the place of what was not read.
func Usable(layer string) bool { return unusable(layer, words(layer, false)) == "" }

// cover says which words of a are in an n-gram that b has too, and which part of a's n-grams these are. Every n-gram of b answers for one of a.
func cover(a, b []word, n int) (covered []bool, share float64) {
	has := map[string]int{}
	for i := 0; i+n <= len(b); i++ {
		has[gram(b[i:i+n])]++
	}
	covered = make([]bool, len(a))
	found := 0
	for i := 0; i+n <= len(a); i++ {
		g := gram(a[i : i+n])
		if has[g] == 0 {
			continue
		}
		has[g]--
		found++
		for k := range n {
			covered[i+k] = true
		}
	}
	if grams := len(a) - n + 1; grams > 0 {
		share = float64(found) / float64(grams)
	}
	return covered, share
}

func gram(ws []word) string {
	texts := make([]string, len(ws))
	for i, w := range ws {
		texts[i] = w.text
	}
	return strings.Join(texts, " ")
}

// passages are the longest runs of words that are not covered.
func passages(kind Kind, text string, ws []word, covered []bool, shortest int) (all []Passage) {
	for i := 0; i < len(ws); i++ {
		start := i
		for i < len(ws) && !covered[i] {
			i++
		}
		if i-start >= shortest {
			from, to := ws[start].start, ws[i-1].end
			all = append(all, Passage{kind, text[from:to], from, to, i - start})
		}
	}
	return all
}

func numbers(ws []word) (all []string) {
	for _, w := range ws {
		if strings.ContainsFunc(w.text, unicode.IsDigit) {
			all = append(all, w.text)
		}
	}
	return all
}

// without are those of a that b does not have, or not as often.
func without(a, b []string) (left []string) {
	has := map[string]int{}
	for _, s := range b {
		has[s]++
	}
	for _, s := range a {
		if has[s] > 0 {
			has[s]--
		} else {
			left = append(left, s)
		}
	}
	return left
}

const fewestWords = 8

// unusable says why a layer is none to compare with; "" if it is one.
func unusable(layer string, ws []word) string {
	if strings.TrimSpace(layer) == "" {
		return "there is no text layer"
	}
	var bad, all int
	for _, r := range layer {
		if unicode.IsSpace(r) || r == hyphenMark || r == noncharacter {
			continue
		}
		all++
		if r == unicode.ReplacementChar || unicode.Is(unicode.Co, r) || unicode.IsControl(r) {
			bad++
		}
	}
	if 10*bad > all {
		return fmt.Sprintf("%d of its %d characters are none that text is made of: its fonts do not say what their glyphs mean", bad, all)
	}
	if len(ws) < fewestWords {
		return fmt.Sprintf("it has %d words; fewer than %d say nothing", len(ws), fewestWords)
	}
	length := 0
	for _, w := range ws {
		length += len([]rune(w.text))
	}
	if length > 25*len(ws) {
		return "its words are not divided"
	}
	return ""
}
