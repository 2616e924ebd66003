package backend

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/omnidocs/omnidocs/internal/bpe"
	"github.com/omnidocs/omnidocs/qwen"
)

// page is the state of one request: what it has written and how it goes on.
type page struct {
	request  Request
	tokens   []int32
	logProbs []float32 // of the tokens
	limit    int       // of tokens, for now
	room     int       // for tokens in the context
	more     int       // times that the limit may be raised
	stops    []int32   // of the request, beside the model's
	finish   FinishReason
	prompt   int
	visual   int
	cached   int  // tokens of the prompt that were not run
	seen     bool // the image was not
	width    int  // of the image, as it is scaled for the model
	height   int
	timings  Timings
	decoding time.Time // when the first token was there

	fed   int    // tokens that have been put into the cache: all but the last, fewer where the page was taken back to a mark
	guard *guard // against loops; nil where it is off
	told  teller
}

func newPage(r Request) (*page, error) {
	if r.Image == nil {
		return nil, errors.New("backend: the request has no image")
	}
	if err := r.Sampling.validate(); err != nil {
		return nil, err
	}
	if err := r.Repetition.Validate(); err != nil {
		return nil, fmt.Errorf("backend: %w", err)
	}
	if r.MaxNewTokens < 0 {
		return nil, fmt.Errorf("backend: MaxNewTokens is %d, want 1 or more, or 0 for %d", r.MaxNewTokens, defaultMaxNewTokens)
	}
	if r.OutOfMemoryRetries < 0 {
		return nil, fmt.Errorf("backend: OutOfMemoryRetries is %d, want 0 or more", r.OutOfMemoryRetries)
	}
	if r.MaxContinuations < 0 {
		return nil, fmt.Errorf("backend: MaxContinuations is %d, want 0 or more", r.MaxContinuations)
	}
	return &page{request: r, limit: r.newTokens()}, nil
}

// newTokens is MaxNewTokens or what zero stands for.
func (r Request) newTokens() int {
	if r.MaxNewTokens == 0 {
		return defaultMaxNewTokens
	}
	return r.MaxNewTokens
}

func (s Sampling) validate() error {
	var errs []error
	if !(s.Temperature >= 0) || math.IsInf(s.Temperature, 0) {
		errs = append(errs, fmt.Errorf("backend: Temperature is %g, want 0 (greedy) or more", s.Temperature))
	}
	if s.TopK < 0 || s.TopK > math.MaxInt32 {
		errs = append(errs, fmt.Errorf("backend: TopK is %d, want 1 or more, or 0 for all tokens", s.TopK))
	}
	if !(s.TopP >= 0 && s.TopP <= 1) {
		errs = append(errs, fmt.Errorf("backend: TopP is %g, want more than 0 and at most 1, or 0 for 1", s.TopP))
	}
	return errors.Join(errs...)
}

// stopwatch returns a function that says how long it is since it was last called.
func stopwatch() func() time.Duration {
	last := time.Now()
	return func() time.Duration {
		now := time.Now()
		d := now.Sub(last)
		last = now
		return d
	}
}

// add takes the next token, which may be the end, and its log-probability.
// When that runs into a loop, the page takes no more of them until the loop is undone.
func (p *page) add(token int32, logProb float32, m *qwen.Model) {
	if p.guard.looped() {
		return
	}
	if slices.Contains(m.Spec.EOS, token) || slices.Contains(p.stops, token) {
		p.finish = FinishStop
		return
	}
	p.tokens, p.logProbs = append(p.tokens, token), append(p.logProbs, logProb)
	if p.request.Progress != nil {
		p.request.Progress(len(p.tokens))
	}
	p.told.add(token)
	if p.guard.look(p.tokens) || len(p.tokens) < p.limit {
		return
	}
	if p.more == 0 || p.limit == p.room {
		p.finish = FinishLength
		return
	}
	p.more--
	p.limit = min(p.limit+p.request.newTokens(), p.room)
}

// next is the token that the model takes next, to go on from there.
func (p *page) next() int32 { return p.tokens[p.fed] }

// steady is how many tokens the page may get in one call: those after which it may have to go on otherwise.
func (p *page) steady(marked bool) int {
	if p.fed < len(p.tokens)-1 { // it has its next token already
		return 1
	}
	n := p.limit - len(p.tokens)
	if marked { // a state is marked where the call ends
		n = min(n, markStep-p.fed%markStep)
	}
	return p.guard.steady(len(p.tokens), n)
}

// took says that the model has taken the next token and chosen what may follow it, taken that and so on; which counts where the page has no
// more tokens of its own. What was written behind its end, or behind a loop, does not count. It returns how many tokens did.
func (p *page) took(chosen qwen.Chosen, m *qwen.Model) int {
	for i, token := range chosen.Tokens {
		if p.finish != "" || p.guard.looped() {
			return i
		}
		if p.fed++; p.fed == len(p.tokens) {
			p.add(token, chosen.LogProbs[i], m)
		}
	}
	return len(chosen.Tokens)
}

func (p *page) output(m *qwen.Model, started time.Time) Output {
	p.timings.Decode = time.Since(p.decoding)
	p.timings.Total = time.Since(started)
	text, offsets := decode(m.Tokenizer.Stream(!p.request.KeepSpecialTokens), p.tokens)
	p.told.end(text)
	return Output{
		Text: text, Tokens: p.tokens, LogProbs: p.logProbs, Offsets: offsets, Finish: p.finish,
		Continuations: p.request.MaxContinuations - p.more, Recoveries: p.guard.recoveries(),
		PromptTokens: p.prompt, VisualTokens: p.visual, CachedTokens: p.cached, ImageWidth: p.width, ImageHeight: p.height, Timings: p.timings,
	}
}

// decode is the text of tokens, and where in it each of them begins.
func decode(stream *bpe.Stream, tokens []int32) (string, []int) {
	var text strings.Builder
	offsets := make([]int, len(tokens))
	for i, token := range tokens {
		offsets[i] = text.Len()
		text.WriteString(stream.Next(token))
	}
	text.WriteString(stream.Flush())
	return text.String(), offsets
}

// draw says how the next token of each page is chosen. Free slots are greedy, which costs nothing.
func draw(pages []*page) *qwen.Draw {
	n := len(pages)
	d := &qwen.Draw{
		Temperature: make([]float32, n), TopK: make([]int32, n), TopP: make([]float32, n),
		Seed: make([]uint32, n), Step: make([]uint32, n), Barred: make([][]int32, n),
	}
	for i, p := range pages {
		d.TopP[i] = 1
		if p == nil || p.fed < len(p.tokens)-1 { // it has its next token already
			continue
		}
		s := p.request.Sampling
		s, d.Barred[i] = p.guard.steer(s, len(p.tokens))
		d.Temperature[i], d.TopK[i] = float32(s.Temperature), int32(s.TopK)
		if s.TopP > 0 {
			d.TopP[i] = float32(s.TopP)
		}
		d.Seed[i], d.Step[i] = uint32(s.Seed^s.Seed>>32), uint32(len(p.tokens))
	}
	return d
}
