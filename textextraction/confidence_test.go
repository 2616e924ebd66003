package textextraction

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// scored is a result whose tokens are the given pieces.
func scored(format Format, pieces []string, logProbs []float32) *ExtractResult {
	var offsets []int
	at := 0
	for _, p := range pieces {
		offsets = append(offsets, at)
		at += len(p)
	}
	r := NewExtractResult(strings.Join(pieces, ""), format)
	r.score(offsets, logProbs)
	return r
}

func TestConfidence(t *testing.T) {
	pieces := []string{"<p", " data-bbox=\"1 2 3 4\">", "To", "tal", " 4", "7", ",", "5</p>", "\n", "ok", " fine"}
	r := scored(HTML, pieces, []float32{-0.1, -3, -0.2, -0.1, -0.3, -1, -0.1, -2, -0.1, -0.1, -0.5})
	require.Equal(t, &Confidence{Mean: -0.6818, Min: -3, Tokens: 11}, r.Confidence)
	require.InDelta(t, math.Exp(-0.6818), r.Confidence.Probability(), 1e-9)

	var texts []string
	for _, w := range r.Words() {
		texts = append(texts, w.Text)
		require.Equal(t, w.Text, r.RawOutput[w.Start:w.End])
	}
	require.Equal(t, []string{"Total", "47,5", "ok", "fine"}, texts)
	require.Equal(t, Confidence{Mean: -0.15, Min: -0.2, Tokens: 2}, r.Words()[0].Confidence)
	require.Len(t, r.UncertainSpans, 1, "the box is uncertain, but no word")
	require.Equal(t, "47,5", r.UncertainSpans[0].Text)
	require.Equal(t, Confidence{Mean: -0.85, Min: -2, Tokens: 4}, r.UncertainSpans[0].Confidence)

	require.Len(t, r.Elements, 2)
	require.InDelta(t, math.Exp(-0.85), r.Elements[0].Confidence, 1e-4, "with the tokens of its tags")
	require.InDelta(t, math.Exp(-0.7/3), r.Elements[1].Confidence, 1e-4)

	at := strings.Index(r.RawOutput, "tal")
	c, ok := r.ConfidenceOf(at+1, at+2)
	require.True(t, ok)
	require.Equal(t, Confidence{Mean: -0.1, Min: -0.1, Tokens: 1}, c)
	for _, span := range [][2]int{{3, 3}, {5, 2}, {len(r.RawOutput), len(r.RawOutput) + 3}} {
		_, ok := r.ConfidenceOf(span[0], span[1])
		require.False(t, ok, span)
	}

	data, err := json.Marshal(r)
	require.NoError(t, err)
	var back ExtractResult
	require.NoError(t, json.Unmarshal(data, &back))
	require.Equal(t, r.Confidence, back.Confidence)
	require.Equal(t, r.UncertainSpans, back.UncertainSpans)
	require.Nil(t, back.Words(), "the tokens are not in JSON")
}

// Uncertain words next to each other are one span; markup and sure words part them.
func TestUncertainSpans(t *testing.T) {
	r := scored(Markdown, []string{"one", " two", " ", " three", " four", "\n<!-- Table (1, 2, 3, 4) -->", "five", " six"},
		[]float32{-1, -1, 0, -0.9, -0.69, -5, -0.8, 0})
	var texts []string
	for _, s := range r.UncertainSpans {
		texts = append(texts, s.Text)
	}
	require.Equal(t, []string{"one two  three", "five"}, texts)
}

// A character that several tokens make up is as sure as all of them.
func TestConfidenceOfPartsOfCharacters(t *testing.T) {
	r := NewExtractResult("a€b", Markdown)
	r.score([]int{0, 1, 1, 4}, []float32{0, -2, -4, 0})
	c, ok := r.ConfidenceOf(1, 4)
	require.True(t, ok)
	require.Equal(t, Confidence{Mean: -3, Min: -4, Tokens: 2}, c)
	c, _ = r.ConfidenceOf(2, 3)
	require.Equal(t, 2, c.Tokens)
	c, _ = r.ConfidenceOf(4, 5)
	require.Equal(t, Confidence{Tokens: 1}, c)
	r.score([]int{0}, []float32{0, 1})
	require.Len(t, r.scores.offsets, 4, "what does not belong together is not taken")
}

func FuzzConfidence(f *testing.F) {
	f.Add("<p>a b</p> c", 3)
	f.Fuzz(func(t *testing.T, raw string, step int) {
		r := NewExtractResult(raw, HTML)
		var offsets []int
		var logProbs []float32
		for at := 0; at < len(r.RawOutput); at += max(1, step) {
			offsets, logProbs = append(offsets, at), append(logProbs, -1)
		}
		r.score(offsets, logProbs)
		last := 0
		for _, w := range r.Words() {
			require.True(t, last <= w.Start && w.Start < w.End && w.End <= len(r.RawOutput))
			require.Equal(t, w.Text, r.RawOutput[w.Start:w.End])
			require.InDelta(t, -1, w.Mean, 1e-9)
			last = w.End
		}
	})
}
