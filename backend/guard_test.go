package backend_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/qwen"
)

// script says what pages write, by their seeds: where it has nothing to say the model's own choice counts. The tokens go through
// the model all the same, so that a cache that was not taken back as it should be shows in what the model writes later.
type script struct {
	mu    sync.Mutex
	pages map[uint32]*scripted
}

// scripted is a page that writes head, and then unit over and over until it has been barred from it so many times.
type scripted struct {
	head, unit []int32
	escape     int
	barred     int
	from       int // where unit begins
}

// add makes the script say what the page of a seed writes.
func (s *script) add(seed uint64, p *scripted) {
	p.from = len(p.head)
	for rewinds := range 10 {
		s.pages[backend.DrawnSeed(seed, rewinds)] = p
	}
}

func (s *script) choose(model func(context.Context, *qwen.Hidden, *qwen.Draw) (*qwen.Chosen, error)) func(context.Context, *qwen.Hidden, *qwen.Draw) (*qwen.Chosen, error) {
	return func(ctx context.Context, h *qwen.Hidden, d *qwen.Draw) (*qwen.Chosen, error) {
		c, err := model(ctx, h, d)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for row := range c.Tokens {
			p, at := s.pages[d.Seed[row]], int(d.Step[row])
			if p == nil {
				continue
			}
			if len(d.Barred[row]) > 0 {
				p.barred++
				p.from = at + 1 // what it may write instead, and then the same again
				continue
			}
			switch {
			case at < len(p.head):
				c.Tokens[row] = p.head[at]
			case p.barred < p.escape:
				c.Tokens[row] = p.unit[(at-p.from)%len(p.unit)]
			}
		}
		return c, nil
	}
}

// scriptedEngine is an engine whose pages write what a script says, so many tokens in a round.
func scriptedEngine(t *testing.T, o backend.LoadOptions, rounds int) (*backend.Engine, *script) {
	t.Helper()
	e, s := loadEngine(t, o), &script{pages: map[uint32]*scripted{}}
	backend.Script(e, rounds, s.choose)
	return e, s
}

// encode returns the tokens of a text.
func encode(t *testing.T, e *backend.Engine, text string) []int32 {
	t.Helper()
	ids, err := backend.Tokenizer(e).Encode(text)
	require.NoError(t, err)
	return ids
}

// letters are so many tokens that are letters, none of which comes twice in a row of three.
func letters(t *testing.T, e *backend.Engine, n int) []int32 {
	t.Helper()
	ids, state := encode(t, e, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklm"), uint32(n)
	var out []int32
	for len(out) < n {
		state = state*1664525 + 1013904223
		if id := ids[int(state>>16)%len(ids)]; !slices.Contains(out[max(0, len(out)-3):], id) {
			out = append(out, id)
		}
	}
	return out
}

// Pages that run into loops, of models with states that can be cut and with such that cannot: they are brought out of them, and go
// on as a page that never was in one.
func TestLoopsAreUndone(t *testing.T) {
	type variant struct {
		golden string
		rounds int
	}
	for _, v := range []variant{{"qwen3_vl_two_images", 1}, {"qwen3_vl_two_images", 12}, {"qwen3_5_long", 1}, {"qwen3_5_long", 12}} {
		t.Run(fmt.Sprint(v), func(t *testing.T) {
			e, s := scriptedEngine(t, backend.LoadOptions{Model: filepath.Join("..", "qwen", "testdata", "golden", v.golden)}, v.rounds)
			request := backend.Request{Image: testPages(t)[2], Prompt: "qwenvl markdown"}
			for i, row := range []struct {
				period, escape int
				finish         backend.FinishReason
				recoveries     int
			}{
				{period: 1, escape: 1, recoveries: 1},
				{period: 3, escape: 1, recoveries: 1},
				{period: 40, escape: 1, recoveries: 1},
				{period: 3, escape: 3, recoveries: 3},
				{period: 3, escape: 9, recoveries: 4, finish: backend.FinishRepetition},
				{period: 40, escape: 9, recoveries: 4, finish: backend.FinishRepetition},
			} {
				before := e.Stats().Tokens.Prompt
				told, back := "", 0
				unit := letters(t, e, row.period)
				head := letters(t, e, 300)
				r := request
				r.Sampling.Seed = uint64(10 + i)
				r.MaxNewTokens = 1700
				if row.finish == "" {
					r.MaxNewTokens = 300 + 8*row.period + 150
				}
				s.add(r.Sampling.Seed, &scripted{head: head, unit: unit, escape: row.escape})
				r.Text = func(offset int, text string) {
					if offset < len(told) {
						back++
					}
					told = told[:offset] + text
				}
				out := generate(t, e, []backend.Request{r})[0]
				r.Text = nil
				require.Equal(t, out.Text, told)
				require.GreaterOrEqual(t, back, row.recoveries, "what is undone is taken back")
				cut := 300 + row.period
				require.Equal(t, slices.Concat(head, unit), out.Tokens[:cut], "the prefix is unharmed")
				require.Equal(t, row.recoveries, out.Recoveries)
				require.EqualValues(t, out.PromptTokens, e.Stats().Tokens.Prompt-before, "the prompt is read once")
				require.Len(t, out.LogProbs, len(out.Tokens))
				if row.finish != "" {
					require.Equal(t, row.finish, out.Finish)
					require.Len(t, out.Tokens, cut)
					continue
				}
				require.Equal(t, backend.FinishLength, out.Finish)
				require.NotEqual(t, unit[0], out.Tokens[cut], "it is barred")
				if row.escape > 1 { // what follows is drawn
					continue
				}
				r.Sampling.Seed = uint64(100 + i)
				s.add(r.Sampling.Seed, &scripted{head: out.Tokens[:cut+1]})
				require.Equal(t, generate(t, e, []backend.Request{r})[0].Tokens, out.Tokens, "as if there had been no loop")
			}
		})
	}
}

// A loop of 700 tokens, for which the marks of a recurrent model have to go far back.
func TestLongLoop(t *testing.T) {
	if strings.HasPrefix(os.Getenv("OMNIDOCS_DEVICE"), "xla") {
		t.Skip("a cache that grows so far is a minute of compilations, and TestLoopsAreUndone has the rest")
	}
	for _, golden := range []string{"qwen3_vl_two_images", "qwen3_5_long"} {
		t.Run(golden, func(t *testing.T) {
			model := t.TempDir()
			require.NoError(t, os.CopyFS(model, os.DirFS(filepath.Join("..", "qwen", "testdata", "golden", golden))))
			config, err := os.ReadFile(filepath.Join(model, "config.json"))
			require.NoError(t, err)
			config = bytes.ReplaceAll(config, []byte(`"max_position_embeddings": 2048`), []byte(`"max_position_embeddings": 8192`))
			require.NoError(t, os.WriteFile(filepath.Join(model, "config.json"), config, 0o600))
			e, s := scriptedEngine(t, backend.LoadOptions{Model: model}, 1)
			unit, head := letters(t, e, 700), letters(t, e, 390)
			s.add(3, &scripted{head: head, unit: unit, escape: 1})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			last := 0
			out, err := e.Read(ctx, backend.Request{
				Image: testPages(t)[2], Prompt: "x", MaxNewTokens: 5000, Sampling: backend.Sampling{Seed: 3},
				Progress: func(tokens int) {
					if tokens < last { // it has been taken back, and that is enough
						cancel()
					}
					last = tokens
				},
			})
			require.ErrorIs(t, err, context.Canceled)
			require.Equal(t, 1, out.Recoveries)
			require.Equal(t, slices.Concat(head, unit), out.Tokens[:1090])
			require.Len(t, out.Tokens, 1091)
			require.NotEqual(t, unit[0], out.Tokens[1090])
			require.EqualValues(t, out.PromptTokens, e.Stats().Tokens.Prompt)
		})
	}
}

// What repeats honestly is left alone, and so is everything when the guard is off.
func TestHonestRepetition(t *testing.T) {
	e, s := scriptedEngine(t, backend.LoadOptions{}, 7)
	for i, text := range []string{
		"| a | b |\n|---|---|\n" + strings.Repeat("| yes | no |\n", 60) + "end",
		"Introduction " + strings.Repeat(".", 200) + " 1\n",
	} {
		head := encode(t, e, text)
		r := backend.Request{Image: testPages(t)[2], Prompt: "x", MaxNewTokens: len(head), Sampling: backend.Sampling{Seed: uint64(i + 1)}}
		s.add(r.Sampling.Seed, &scripted{head: head})
		out := generate(t, e, []backend.Request{r})[0]
		require.Equal(t, text, out.Text)
		require.Zero(t, out.Recoveries)
	}
	r := backend.Request{Image: testPages(t)[2], Prompt: "x", MaxNewTokens: 200, Sampling: backend.Sampling{Seed: 9}}
	s.add(9, &scripted{unit: letters(t, e, 1), escape: 1})
	r.Repetition.Off = true
	out := generate(t, e, []backend.Request{r})[0]
	require.Equal(t, backend.FinishLength, out.Finish)
	require.Len(t, out.Tokens, 200)
	r.Repetition = backend.Repetition{MaxRewinds: -1}
	out = generate(t, e, []backend.Request{r})[0]
	require.Equal(t, backend.FinishRepetition, out.Finish)
	require.Len(t, out.Tokens, 1)
	require.Zero(t, out.Recoveries)
	for _, bad := range []backend.Repetition{{MaxRewinds: -2}, {MaxRewinds: 9}, {MaxPeriod: 1025}, {MaxPeriod: -1}, {EqualRows: -1}} {
		r.Repetition = bad
		_, err := e.Read(t.Context(), r)
		require.ErrorContains(t, err, "Repetition.")
	}
}

// A page that loops does not disturb those beside it, which write what they write alone.
func TestLoopBesideOthers(t *testing.T) {
	goldens := []string{"qwen3_vl_two_images", "qwen3_5_long"}
	if strings.HasPrefix(os.Getenv("OMNIDOCS_DEVICE"), "xla") {
		goldens = goldens[1:] // a minute of compilations less
	}
	for _, golden := range goldens {
		t.Run(golden, func(t *testing.T) {
			model := filepath.Join("..", "qwen", "testdata", "golden", golden)
			var requests []backend.Request
			for i, img := range testPages(t) {
				s := []backend.Sampling{{}, {Temperature: 0.9, TopK: 40, TopP: 0.95, Seed: 7}}[i%2]
				requests = append(requests, backend.Request{Image: img, Prompt: "qwenvl markdown", MaxNewTokens: 120, Sampling: s, Repetition: backend.Repetition{Off: true}})
			}
			one := loadEngine(t, backend.LoadOptions{Model: model})
			var alone []backend.Output
			for _, r := range requests {
				alone = append(alone, generate(t, one, []backend.Request{r})...)
			}
			e, s := scriptedEngine(t, backend.LoadOptions{Model: model, MaxBatch: 4}, 5)
			looping := backend.Request{Image: testPages(t)[0], Prompt: "x", MaxNewTokens: 400, Sampling: backend.Sampling{Seed: 77}}
			s.add(77, &scripted{head: letters(t, e, 20), unit: letters(t, e, 3), escape: 3})
			together := generate(t, e, slices.Insert(slices.Clone(requests), 1, looping))
			require.Equal(t, 3, together[1].Recoveries)
			for i, out := range slices.Delete(together, 1, 2) {
				require.Equal(t, alone[i].Tokens, out.Tokens, "page %d", i)
			}
		})
	}
}

// The whole path, with models that loop by themselves.
func TestModelThatLoops(t *testing.T) {
	e := loadEngine(t, backend.LoadOptions{Model: filepath.Join("..", "qwen", "testdata", "golden", "qwen3_vl_tied"), MaxBatch: 2})
	r := backend.Request{Image: testPages(t)[1], Prompt: "qwenvl markdown", MaxNewTokens: 600}
	off, none := r, r
	off.Repetition.Off = true
	none.Repetition.MaxRewinds = -1
	out := generate(t, e, []backend.Request{off, r, none, r})
	looped, guarded, cut := out[0], out[1], out[2]
	require.Equal(t, backend.FinishLength, looped.Finish)
	require.Equal(t, backend.FinishRepetition, cut.Finish)
	require.Equal(t, looped.Tokens[:len(cut.Tokens)], cut.Tokens)
	require.Less(t, len(cut.Tokens), 400)
	require.Positive(t, guarded.Recoveries)
	require.Equal(t, cut.Tokens, guarded.Tokens[:len(cut.Tokens)])
	if guarded.Finish == backend.FinishRepetition {
		require.Equal(t, 4, guarded.Recoveries)
	} else {
		require.NotEqual(t, looped.Tokens, guarded.Tokens)
	}
	require.Equal(t, guarded.Tokens, out[3].Tokens, "the same on every run")
	require.InDeltaSlice(t, guarded.LogProbs, out[3].LogProbs, 1e-4)
	require.Equal(t, cut.Text, looped.Text[:len(cut.Text)])
}
