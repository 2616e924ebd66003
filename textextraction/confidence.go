package textextraction

import (
	"math"
	"slices"
	"sort"
)

// Confidence says how sure a model was of a piece of what it wrote: the natural logarithms of the probabilities that it gave to
// the tokens, before temperature and whatever else the sampling does to them. 0 is certain, -0.69 is one in two, -4.6 one in a
// hundred. A model can be sure and wrong; unsure, it is worth a second look. The numbers are rounded to 4 decimals, since the
// last digits of float32 differ between batches of different sizes.
type Confidence struct {
	// Mean and Min are those of the tokens.
	Mean float64 `json:"mean_logprob"`
	Min  float64 `json:"min_logprob"`
	// Tokens counts them.
	Tokens int `json:"tokens"`
}

// Probability is the geometric mean of the tokens' probabilities, from 0 to 1: e to the power of Mean.
func (c Confidence) Probability() float64 { return math.Exp(c.Mean) }

// UncertainBelow is the probability of a token below which the word that it is part of is uncertain: the model thought that
// something else is more likely than not.
const UncertainBelow = 0.5

// TextSpan is a piece of RawOutput, with how sure the model was of it.
type TextSpan struct {
	// Start and End are byte offsets in RawOutput, Text is what is between them.
	Start int    `json:"start"`
	End   int    `json:"end"`
	Text  string `json:"text"`
	Confidence
}

// scores are the log-probabilities of an answer's tokens, and the byte offsets in it at which they begin, which rise.
type scores struct {
	offsets  []int
	logProbs []float32
}

// score keeps what the model thought of its tokens and sums it up. Without any, the confidence is not known.
func (r *ExtractResult) score(offsets []int, logProbs []float32) {
	if len(offsets) == 0 || len(offsets) != len(logProbs) {
		return
	}
	r.scores = &scores{offsets, logProbs}
	c := confidenceOf(logProbs)
	r.Confidence = &c
	r.UncertainSpans = r.uncertain()
	for i := range r.Elements {
		e := &r.Elements[i]
		if c, ok := r.ConfidenceOf(e.Start, e.End); ok {
			e.Confidence = math.Round(c.Probability()*1e4) / 1e4
		}
	}
}

func confidenceOf(logProbs []float32) Confidence {
	sum := 0.0
	for _, p := range logProbs {
		sum += float64(p)
	}
	round := func(v float64) float64 { return math.Round(v*1e4)/1e4 + 0 } // + 0: no negative zero
	return Confidence{Mean: round(sum / float64(len(logProbs))), Min: round(float64(slices.Min(logProbs))), Tokens: len(logProbs)}
}

// ConfidenceOf says how sure the model was of RawOutput[start:end], by all tokens that have a byte in it. It is false where that
// is not known: no token is there, or the result was not read by an extractor that tells, or it comes from JSON, in which the
// tokens are not kept.
func (r *ExtractResult) ConfidenceOf(start, end int) (Confidence, bool) {
	if r.scores == nil || start >= end {
		return Confidence{}, false
	}
	offsets := r.scores.offsets
	// From the token that start is in, back to the first of those that make up one character with it, to before the one at end.
	to := sort.SearchInts(offsets, end)
	from := sort.SearchInts(offsets, start+1) - 1
	for from > 0 && offsets[from-1] == offsets[from] {
		from--
	}
	if from < 0 || from >= to || start >= len(r.RawOutput) {
		return Confidence{}, false
	}
	return confidenceOf(r.scores.logProbs[from:to]), true
}

// Words returns the words of RawOutput outside of its tags and comments, divided at white space, each with how sure the model was
// of it. It is nil where that is not known, see [ExtractResult.ConfidenceOf].
func (r *ExtractResult) Words() (words []TextSpan) {
	if r.scores == nil {
		return nil
	}
	eachWord(r.RawOutput, func(start, end int) {
		if c, ok := r.ConfidenceOf(start, end); ok {
			words = append(words, TextSpan{start, end, r.RawOutput[start:end], c})
		}
	})
	return words
}

// uncertain returns the uncertain words, those next to each other as one.
func (r *ExtractResult) uncertain() (spans []TextSpan) {
	limit := math.Log(UncertainBelow)
	for _, w := range r.Words() {
		if w.Min >= limit {
			continue
		}
		if n := len(spans); n > 0 && skipSpace(r.RawOutput, spans[n-1].End) == w.Start {
			last := &spans[n-1]
			last.End, last.Text = w.End, r.RawOutput[last.Start:w.End]
			last.Confidence, _ = r.ConfidenceOf(last.Start, last.End)
			continue
		}
		spans = append(spans, w)
	}
	return spans
}

// eachWord calls word for the runs of what is neither white space nor markup.
func eachWord(s string, word func(start, end int)) {
	at, start := 0, -1
	flush := func(end int) {
		if start >= 0 {
			word(start, end)
			start = -1
		}
	}
	text := func(piece string) {
		for i, c := range piece {
			switch {
			case isSpace(c):
				flush(at + i)
			case start < 0:
				start = at + i
			}
		}
		at += len(piece)
	}
	eachMarkup(s, text, func(_ int, m markup) {
		if m.kind == notMarkup {
			text(s[at:m.end])
			return
		}
		flush(at)
		at = m.end
	})
	flush(len(s))
}
