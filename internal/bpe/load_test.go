package bpe_test

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/internal/bpe"
)

// edited is the tokenizer without merges with some of its values set, by path ("model.type", "added_tokens.0.id").
func edited(t testing.TB, set map[string]any) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/bytes/tokenizer.json")
	require.NoError(t, err)
	var spec any
	require.NoError(t, json.Unmarshal(data, &spec))
	for path, value := range set {
		at := spec
		keys := strings.Split(path, ".")
		for _, key := range keys[:len(keys)-1] {
			if list, ok := at.([]any); ok {
				i, err := strconv.Atoi(key)
				require.NoError(t, err)
				at = list[i]
				continue
			}
			at = at.(map[string]any)[key]
		}
		at.(map[string]any)[keys[len(keys)-1]] = value
	}
	out, err := json.Marshal(spec)
	require.NoError(t, err)
	return out
}

func object(pairs ...any) map[string]any {
	m := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = pairs[i+1]
	}
	return m
}

// TestLoadRefuses: what is not done is an error that names the key and the value.
func TestLoadRefuses(t *testing.T) {
	for _, c := range []struct {
		path  string
		value any
		want  []string
	}{
		{"version", "2.0", []string{"version", `"2.0"`}},
		{"quantizer", 1, []string{"unknown key", "quantizer"}},
		{"model", nil, []string{"model", "missing"}},
		{"model.type", "WordPiece", []string{"model", "type", `"WordPiece"`}},
		{"model.dropout", 0.1, []string{"model", "dropout", "0.1"}},
		{"model.dropout", "x", []string{"model", "dropout"}},
		{"model.continuing_subword_prefix", "##", []string{"model", "continuing_subword_prefix", "##"}},
		{"model.end_of_word_suffix", "</w>", []string{"model", "end_of_word_suffix", "</w>"}},
		{"model.byte_fallback", true, []string{"model", "byte_fallback", "true"}},
		{"model.new_option", true, []string{"model", "new_option"}},
		{"model.vocab", object(), []string{"model", "vocab", "empty"}},
		{"model.vocab", 5, []string{"model", "vocab", "object"}},
		{"model.vocab", object("a", 0), []string{"vocab", "byte 0x00"}},
		{"model.vocab.a", 1, []string{"vocab", "same id 1"}},
		{"model.vocab.a", -1, []string{"vocab", `"a"`, "-1"}},
		{"model.vocab.a", 1 << 40, []string{"vocab", `"a"`, "whole number"}},
		{"model.vocab.a", 4000000, []string{"vocab", "4000000", "256 tokens"}},
		{"model.vocab.a", 1.5, []string{"vocab", `"a"`, "1.5"}},
		{"model.vocab.a", "x", []string{"vocab", `"a"`}},
		{"model.merges", []string{"a b"}, []string{"merges", "rank 0", `"ab"`}},
		{"model.merges", []string{"ab"}, []string{"merges", "rank 0", "one space"}},
		{"model.merges", []any{[]string{"a"}}, []string{"merges", "rank 0", "pair"}},
		{"model.merges", []int{1}, []string{"merges", "string"}},
		{"model.merges", nil, []string{"merges", "list"}},
		{"normalizer.type", "NFKC", []string{"normalizer", `"NFKC"`}},
		{"normalizer", object("type", "Sequence", "normalizers", []any{object("type", "NFC"), object("type", "Lowercase")}), []string{"normalizer", `"Lowercase"`}},
		{"normalizer", 5, []string{"normalizer"}},
		{"pre_tokenizer", nil, []string{"pre_tokenizer", "ByteLevel"}},
		{"pre_tokenizer", object("type", "Whitespace"), []string{"pre_tokenizer", `"Whitespace"`}},
		{"pre_tokenizer.pretokenizers.0.type", "Digits", []string{"pre_tokenizer", `"Digits"`}},
		{"pre_tokenizer.pretokenizers.0.behavior", "Removed", []string{"pre_tokenizer", "behavior", `"Removed"`}},
		{"pre_tokenizer.pretokenizers.0.invert", true, []string{"pre_tokenizer", "invert", "true"}},
		{"pre_tokenizer.pretokenizers.0.pattern", object("String", " "), []string{"pre_tokenizer", "pattern.String", `" "`}},
		{"pre_tokenizer.pretokenizers.0.pattern", object("Regex", `a++(`), []string{"pre_tokenizer", "pattern.Regex", "a++("}},
		{"pre_tokenizer.pretokenizers.0.pattern", object(), []string{"pre_tokenizer", "pattern.Regex"}},
		{"pre_tokenizer.pretokenizers.1.add_prefix_space", true, []string{"pre_tokenizer", "add_prefix_space", "true"}},
		{"pre_tokenizer.pretokenizers.1.use_regex", true, []string{"pre_tokenizer", "use_regex", "true"}},
		{"pre_tokenizer.pretokenizers.1.extra", true, []string{"pre_tokenizer", "extra"}},
		{"post_processor", object("type", "BertProcessing"), []string{"post_processor", `"BertProcessing"`}},
		{"post_processor.single", []any{object("SpecialToken", object("id", "BOS", "type_id", 0))}, []string{"post_processor", "SpecialToken", "BOS"}},
		{"decoder", nil, []string{"decoder"}},
		{"decoder.type", "Metaspace", []string{"decoder", `"Metaspace"`}},
		{"added_tokens.0.single_word", true, []string{"added_tokens", "<|endoftext|>", "single_word"}},
		{"added_tokens.0.lstrip", true, []string{"added_tokens", "<|endoftext|>", "lstrip"}},
		{"added_tokens.0.rstrip", true, []string{"added_tokens", "<|endoftext|>", "rstrip"}},
		{"added_tokens.0.id", 300, []string{"added_tokens", "<|endoftext|>", "300", "256"}},
		{"added_tokens.0.content", "a", []string{"added_tokens", `"a"`, "256", "64"}},
		{"added_tokens.0.score", 1, []string{"added_tokens", "score"}},
	} {
		t.Run(c.path+"/"+c.want[len(c.want)-1], func(t *testing.T) {
			_, err := bpe.Load(edited(t, map[string]any{c.path: c.value}))
			require.Error(t, err)
			require.True(t, strings.HasPrefix(err.Error(), "bpe: tokenizer.json: "), err)
			for _, part := range c.want {
				require.ErrorContains(t, err, part)
			}
		})
	}
	for name, data := range map[string]string{
		"empty": "", "white space": " \n", "not JSON": "PK\x03\x04", "list": "[]", "cut": `{"model": {"type": "BPE", "voc`, "more": "{} {}", "no colon": `{"model" 1}`,
		"odd end": `{"version": "1.0" ]`, "escape": `{"\x": 1}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := bpe.Load([]byte(data))
			require.ErrorContains(t, err, "bpe: tokenizer.json: ")
		})
	}
}

// TestLoadAccepts: what has no effect on ids and text, and older spellings.
func TestLoadAccepts(t *testing.T) {
	for name, set := range map[string]map[string]any{
		"as it is":         nil,
		"truncation":       {"truncation": object("max_length", 5), "padding": object("strategy", "x")},
		"no normalizer":    {"normalizer": nil},
		"normalizers":      {"normalizer": object("type", "Sequence", "normalizers", []any{object("type", "NFC")})},
		"no processor":     {"post_processor": nil},
		"processors":       {"post_processor": object("type", "Sequence", "processors", []any{object("type", "ByteLevel")})},
		"unknown token":    {"model.unk_token": "a", "model.fuse_unk": true},
		"GPT-2's":          {"pre_tokenizer": object("type", "ByteLevel", "add_prefix_space", false)},
		"no split":         {"pre_tokenizer": object("type", "ByteLevel", "add_prefix_space", false, "use_regex", false)},
		"another pattern":  {"pre_tokenizer.pretokenizers.0.pattern": object("Regex", `\s+(?!\S)|\w+`)},
		"merges of texts":  {"model.merges": []string{"a b"}, "model.vocab.ab": 256, "added_tokens": nil},
		"merges of pairs":  {"model.merges": []any{[]string{"a", "b"}}, "model.vocab.ab": 256, "added_tokens": nil},
		"escapes":          {"model.merges": []any{[]string{"\\", "\""}}, "model.vocab.\\\"": 256, "added_tokens": nil},
		"added, in vocab":  {"added_tokens": []any{object("id", 64, "content", "a", "special", true)}},
		"added, no tokens": {"added_tokens": []any{}},
	} {
		t.Run(name, func(t *testing.T) {
			tok, err := bpe.Load(edited(t, set))
			require.NoError(t, err)
			ids, err := tok.Encode("ab don't \\\" 123  x")
			require.NoError(t, err)
			require.Equal(t, "ab don't \\\" 123  x", tok.Decode(ids, false))
			if strings.HasPrefix(name, "merges") {
				require.Equal(t, int32(256), ids[0])
			}
		})
	}
}

// TestAddedTokens holds what tokenizers 0.23.3 gave for such tokens.
func TestAddedTokens(t *testing.T) {
	token := func(id int, content string, normalized bool) any {
		return object("id", id, "content", content, "normalized", normalized, "special", false)
	}
	tok, err := bpe.Load(edited(t, map[string]any{"added_tokens": []any{
		token(256, "ab", false), token(257, "abc", false), token(258, "bcd", false), token(259, "abcde", true),
		token(260, "e\u0301x", true), token(261, "日本", true), token(262, "a b", false), token(263, "", false),
	}}))
	require.NoError(t, err)
	for text, want := range map[string][]int32{
		"abcd": {257, 67}, "xabcde": {87, 257, 67, 68}, "bcd": {258}, "ab": {256}, "日本": {261}, "a b": {262},
		"éx": {260}, "e\u0301x": {260},
	} {
		ids, err := tok.Encode(text)
		require.NoError(t, err)
		require.Equal(t, want, ids, "%q", text)
	}
	require.Equal(t, "a b日本", tok.Decode([]int32{262, 261, 263}, true))
}

// FuzzLoad: no bytes make Load panic or take much memory, and what it loads can be used.
func FuzzLoad(f *testing.F) {
	f.Add(edited(f, nil))
	f.Add(edited(f, map[string]any{"model.merges": []string{"a b"}, "model.vocab.ab": 256, "added_tokens": nil}))
	f.Add([]byte(`{"model": {"type": "BPE", "vocab": {"a": 1}, "merges": [["a", "b"]]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		tok, err := bpe.Load(data)
		if err != nil {
			return
		}
		ids, err := tok.Encode("a <|im_end|> é 12")
		require.NoError(t, err)
		_ = tok.Decode(ids, true)
	})
}
