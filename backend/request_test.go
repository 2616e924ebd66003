package backend_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/backend"
	"github.com/omnidocs/omnidocs/internal/bpe"
)

func goldenTokenizer(t *testing.T) *bpe.Tokenizer {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(goldenModel, "tokenizer.json"))
	require.NoError(t, err)
	tokenizer, err := bpe.Load(data)
	require.NoError(t, err)
	return tokenizer
}

// A token that is named as a stop ends its page, and no other page.
func TestStops(t *testing.T) {
	tokenizer := goldenTokenizer(t)
	e := loadEngine(t, backend.LoadOptions{MaxBatch: 2})
	free := backend.Request{Image: testPages(t)[0], Prompt: "qwenvl markdown", MaxNewTokens: 12}
	want := generate(t, e, []backend.Request{free})[0]
	require.Equal(t, backend.FinishLength, want.Finish)
	at := len(want.Tokens) - 1
	for slices.Contains(want.Tokens[:at], want.Tokens[at]) {
		at--
	}
	require.Positive(t, at, "the model repeats one token: it shows nothing")
	name, ok := tokenizer.Token(want.Tokens[at])
	require.True(t, ok)

	stopped, lost := free, free
	stopped.Stops = []string{"<|im_end|>", name}
	got := generate(t, e, []backend.Request{stopped, free})
	require.Equal(t, backend.FinishStop, got[0].Finish)
	require.Equal(t, want.Tokens[:at], got[0].Tokens, "without the token that ended it")
	require.Equal(t, want.Tokens, got[1].Tokens)
	require.Equal(t, backend.FinishLength, got[1].Finish)

	lost.Stops = []string{"<|no such token|>"}
	require.NoError(t, e.Generate(context.Background(), []backend.Request{lost}, func(_ int, _ backend.Output, err error) {
		require.ErrorContains(t, err, `the stop token "<|no such token|>" is not in the model's tokenizer`)
	}))
}

func TestTextFirst(t *testing.T) {
	e := loadEngine(t, backend.LoadOptions{})
	r := backend.Request{Image: testPages(t)[0], Prompt: "qwenvl markdown", MaxNewTokens: 12}
	after := generate(t, e, []backend.Request{r})[0]
	r.TextFirst = true
	before := generate(t, e, []backend.Request{r})[0]
	require.Equal(t, after.PromptTokens, before.PromptTokens)
	require.Equal(t, after.VisualTokens, before.VisualTokens)
	require.NotEqual(t, after.Tokens, before.Tokens, "the model sees another order")
}

// The checkpoint's own bounds count where the request wants them, and names none.
func TestCheckpointBounds(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(goldenModel)))
	config := filepath.Join(dir, "preprocessor_config.json")
	data, err := os.ReadFile(config)
	require.NoError(t, err)
	wide := strings.Replace(string(data), "40960", "16777216", 1)
	require.NotEqual(t, string(data), wide)
	require.NoError(t, os.WriteFile(config, []byte(wide), 0o600))
	e := loadEngine(t, backend.LoadOptions{Model: dir})
	r := backend.Request{Image: testPages(t)[3], Prompt: "x", MaxNewTokens: 1}
	tokens := func() int { return generate(t, e, []backend.Request{r})[0].VisualTokens }

	require.GreaterOrEqual(t, tokens(), 512, "the budget for documents")
	r.CheckpointBounds = true
	require.Equal(t, 5*7, tokens(), "170x210 pixels, rounded to 32")
	r.MaxPixels = 64 * 64
	require.LessOrEqual(t, tokens(), 4)
}

func TestKeepSpecialTokens(t *testing.T) {
	tokenizer := goldenTokenizer(t)
	e := loadEngine(t, backend.LoadOptions{})
	r := backend.Request{Image: testPages(t)[0], Prompt: "x", MaxNewTokens: 100, Sampling: backend.Sampling{Temperature: 2}}
	for r.Sampling.Seed = range 50 { // until a special token is drawn
		without := generate(t, e, []backend.Request{r})[0]
		at := slices.IndexFunc(without.Tokens, tokenizer.IsSpecial)
		if at < 0 {
			continue
		}
		special, _ := tokenizer.Token(without.Tokens[at])
		r.KeepSpecialTokens = true
		with := generate(t, e, []backend.Request{r})[0]
		require.Equal(t, without.Tokens, with.Tokens)
		require.Contains(t, with.Text, special)
		require.NotContains(t, without.Text, special)
		return
	}
	require.Fail(t, "no special token was drawn")
}
