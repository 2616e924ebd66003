package bpe_test

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/bpe"
)

// qwen3JSON rebuilds the tokenizer.json of Qwen3 from the merges: its vocabulary is the byte alphabet and then what
// each merge makes. A pattern other than "" takes the place of the file's.
func qwen3JSON(pattern string) ([]byte, error) {
	z, err := os.Open("testdata/qwen3/merges.txt.gz")
	if err != nil {
		return nil, err
	}
	defer z.Close()
	r, err := gzip.NewReader(z)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	merges := strings.Split(strings.TrimSpace(string(text)), "\n")
	vocab := make(map[string]int, len(merges)+256)
	for r := rune('!'); r < 0x144; r++ {
		if r <= '~' || r >= 0xa1 && r != 0xad {
			vocab[string(r)] = len(vocab)
		}
	}
	for _, m := range merges {
		vocab[strings.Replace(m, " ", "", 1)] = len(vocab)
	}
	rest, err := os.ReadFile("testdata/qwen3/rest.json")
	if err != nil {
		return nil, err
	}
	var spec map[string]any
	if err := json.Unmarshal(rest, &spec); err != nil {
		return nil, err
	}
	spec["model"].(map[string]any)["vocab"] = vocab
	spec["model"].(map[string]any)["merges"] = merges
	if pattern != "" {
		splits := spec["pre_tokenizer"].(map[string]any)["pretokenizers"].([]any)
		splits[0].(map[string]any)["pattern"] = map[string]any{"Regex": pattern}
	}
	return json.Marshal(spec)
}

var qwen3File = sync.OnceValues(func() ([]byte, error) { return qwen3JSON("") })

var qwen3 = sync.OnceValues(func() (*bpe.Tokenizer, error) {
	data, err := qwen3File()
	if err != nil {
		return nil, err
	}
	return bpe.Load(data)
})

func loadQwen3(t testing.TB) *bpe.Tokenizer {
	t.Helper()
	tok, err := qwen3()
	require.NoError(t, err)
	return tok
}

func loadFile(t testing.TB, path string) *bpe.Tokenizer {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	tok, err := bpe.Load(data)
	require.NoError(t, err)
	return tok
}

type rows struct {
	Encode []struct {
		Text   string
		Times  int
		IDs    []int32
		Count  int
		SHA256 string
	}
	Decode []struct {
		IDs           []int32
		Text, Skipped string
	}
}

// TestRows compares with what the Python package tokenizers gave (testdata/make_rows.py).
func TestRows(t *testing.T) {
	const qwen35 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	for name, load := range map[string]func(t *testing.T) *bpe.Tokenizer{
		"qwen3":  func(t *testing.T) *bpe.Tokenizer { return loadQwen3(t) },
		"golden": func(t *testing.T) *bpe.Tokenizer { return loadFile(t, "testdata/golden/tokenizer.json") },
		"bytes":  func(t *testing.T) *bpe.Tokenizer { return loadFile(t, "testdata/bytes/tokenizer.json") },
		"qwen35": func(t *testing.T) *bpe.Tokenizer {
			data, err := qwen3JSON(qwen35)
			require.NoError(t, err)
			tok, err := bpe.Load(data)
			require.NoError(t, err)
			return tok
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(filepath.Join("testdata", name, "rows.json"))
			require.NoError(t, err)
			var want rows
			require.NoError(t, json.Unmarshal(data, &want))
			require.Greater(t, len(want.Encode), 150)
			require.Greater(t, len(want.Decode), 90)
			tok := load(t)
			for _, row := range want.Encode {
				ids, err := tok.Encode(strings.Repeat(row.Text, max(row.Times, 1)))
				require.NoError(t, err)
				if row.SHA256 == "" {
					require.Equal(t, row.IDs, ids, "%q × %d", row.Text, row.Times)
					continue
				}
				require.Len(t, ids, row.Count, "%q × %d", row.Text, row.Times)
				require.Equal(t, row.SHA256, sum(ids), "%q × %d", row.Text, row.Times)
			}
			for _, row := range want.Decode {
				require.Equal(t, row.Text, tok.Decode(row.IDs, false), "%v", row.IDs)
				require.Equal(t, row.Skipped, tok.Decode(row.IDs, true), "%v", row.IDs)
				requireStream(t, tok, row.IDs)
			}
		})
	}
}

func sum(ids []int32) string {
	digits := strings.Trim(fmt.Sprint(ids), "[]")
	hash := sha256.Sum256([]byte(digits))
	return hex.EncodeToString(hash[:])
}

// requireStream decodes ids one by one and wants what Decode gives for all.
func requireStream(t *testing.T, tok *bpe.Tokenizer, ids []int32) {
	t.Helper()
	for _, skip := range []bool{false, true} {
		var b strings.Builder
		s := tok.Stream(skip)
		for _, id := range ids {
			b.WriteString(s.Next(id))
		}
		b.WriteString(s.Flush())
		require.Equal(t, tok.Decode(ids, skip), b.String(), "%v", ids)
	}
}

// TestGoldenTokens runs the rows of golden cases: those kept here, and those under $OMNIDOCS_GOLDEN with the whole
// tokenizer beside it.
func TestGoldenTokens(t *testing.T) {
	t.Run("kept", func(t *testing.T) { requireTokens(t, loadQwen3(t), "testdata/qwen3/tokens.json") })
	t.Run("OMNIDOCS_GOLDEN", func(t *testing.T) {
		dir := os.Getenv("OMNIDOCS_GOLDEN")
		if dir == "" {
			t.Skip("OMNIDOCS_GOLDEN is not set: it names a folder with processor/qwen3_tokens.json, and ../tokenizer-qwen3/tokenizer.json beside it")
		}
		tok := loadFile(t, filepath.Join(dir, "..", "tokenizer-qwen3", "tokenizer.json"))
		requireTokens(t, tok, filepath.Join(dir, "processor", "qwen3_tokens.json"))
		kept := loadQwen3(t)
		require.Equal(t, tok.VocabSize(), kept.VocabSize())
		for id := range int32(tok.VocabSize()) {
			want, _ := tok.Token(id)
			got, _ := kept.Token(id)
			require.Equal(t, want, got, "the rebuilt tokenizer is the real one")
		}
	})
}

func requireTokens(t *testing.T, tok *bpe.Tokenizer, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var golden struct{ Encode, Decode [][2]json.RawMessage }
	require.NoError(t, json.Unmarshal(data, &golden))
	require.NotEmpty(t, golden.Encode)
	require.NotEmpty(t, golden.Decode)
	read := func(text, ids json.RawMessage) (string, []int32) {
		var s string
		var v []int32
		require.NoError(t, json.Unmarshal(text, &s))
		require.NoError(t, json.Unmarshal(ids, &v))
		return s, v
	}
	for _, row := range golden.Encode {
		text, want := read(row[0], row[1])
		ids, err := tok.Encode(text)
		require.NoError(t, err)
		require.Equal(t, want, ids, "%q", text)
	}
	for _, row := range golden.Decode {
		want, ids := read(row[1], row[0])
		require.Equal(t, want, tok.Decode(ids, false), "%v", ids)
		requireStream(t, tok, ids)
	}
	t.Logf("%d encodings and %d decodings are exact", len(golden.Encode), len(golden.Decode))
}

func TestTokens(t *testing.T) {
	tok := loadQwen3(t)
	require.Equal(t, 151669, tok.VocabSize())
	for token, want := range map[string]int32{"!": 0, "Ġthe": 279, "<|endoftext|>": 151643, "<|im_end|>": 151645, "<|image_pad|>": 151655, "<think>": 151667} {
		id, ok := tok.ID(token)
		require.True(t, ok, token)
		require.Equal(t, want, id, token)
		back, ok := tok.Token(id)
		require.True(t, ok, token)
		require.Equal(t, token, back)
	}
	_, ok := tok.ID("no such token")
	require.False(t, ok)
	for _, id := range []int32{-1, 151669, 1 << 30} {
		_, ok := tok.Token(id)
		require.False(t, ok, id)
		require.False(t, tok.IsSpecial(id), id)
	}
	require.True(t, tok.IsSpecial(151645))
	require.False(t, tok.IsSpecial(151667), "<think> is an added token, not a special one")
	require.False(t, tok.IsSpecial(0))
	require.Equal(t, "a<think>", tok.Decode([]int32{64, 151645, 151667, -5, 1 << 29}, true))
}

// TestInvalidInput: bytes that are not UTF-8 count as U+FFFD, one for each maximal invalid part.
func TestInvalidInput(t *testing.T) {
	tok := loadFile(t, "testdata/golden/tokenizer.json")
	for in, want := range map[string]string{
		"a\xff\xfeb": "a\ufffd\ufffdb", "\xe4\xbd": "\ufffd", "\xe4\xbd\xe4\xbd\xa0": "\ufffd你", "\xf0\x9f\x98": "\ufffd",
		"\xed\xa0\x80": "\ufffd\ufffd\ufffd", "\xc0\xaf": "\ufffd\ufffd", "\xf4\x90\x80\x80": "\ufffd\ufffd\ufffd\ufffd", "\xf0\x9f<|im_end|>": "\ufffd<|im_end|>",
	} {
		got, err := tok.Encode(in)
		require.NoError(t, err)
		exp, err := tok.Encode(want)
		require.NoError(t, err)
		require.Equal(t, exp, got, "%q", in)
		require.Equal(t, want, tok.Decode(got, false), "%q", in)
	}
}

// TestConcurrent: one tokenizer, many goroutines, the same ids (run with -race).
func TestConcurrent(t *testing.T) {
	tok := loadFile(t, "testdata/golden/tokenizer.json")
	want, err := tok.Encode(prose)
	require.NoError(t, err)
	var wg sync.WaitGroup
	got := make([][]int32, 8)
	for i := range got {
		wg.Go(func() {
			for range 20 {
				got[i], _ = tok.Encode(prose)
			}
		})
	}
	wg.Wait()
	for _, ids := range got {
		require.Equal(t, want, ids)
	}
}

// TestIgnoreMerges: with ignore_merges a piece that is a token is that token, whatever the merges would make of it.
func TestIgnoreMerges(t *testing.T) {
	for _, ignore := range []bool{false, true} {
		tok, err := bpe.Load(edited(t, map[string]any{"model.vocab.Ġcaf": 256, "model.ignore_merges": ignore, "added_tokens": nil}))
		require.NoError(t, err)
		ids, err := tok.Encode(" caf")
		require.NoError(t, err)
		if ignore {
			require.Equal(t, []int32{256}, ids)
		} else {
			require.Len(t, ids, 4)
		}
		require.Equal(t, " caf", tok.Decode(ids, false))
	}
}
