package bpe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
)

// maxID bounds the ids of a file, so that a made-up one cannot ask for all memory. The families use 0.25 million.
const maxID = 1 << 22

// The keys of tokenizer.json and of its model; another one is refused.
var (
	fileKeys  = []string{"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder", "model"}
	modelKeys = []string{
		"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges",
		"vocab", "merges",
	}
)

type addedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

// model is the small part of the model.
type model struct {
	Type                    string
	Dropout                 float64
	ContinuingSubwordPrefix string
	EndOfWordSuffix         string
	ByteFallback            bool
	IgnoreMerges            bool
}

// Load reads the contents of a tokenizer.json. It refuses, naming key and value, whatever in it would change ids or
// text and is not done here.
func Load(data []byte) (*Tokenizer, error) {
	t, err := load(data)
	if err != nil {
		return nil, fmt.Errorf("bpe: tokenizer.json: %w", err)
	}
	return t, nil
}

func load(data []byte) (*Tokenizer, error) {
	f, err := object(data, fileKeys)
	if err != nil {
		return nil, err
	}
	if v := f["version"]; !isNull(v) && string(v) != `"1.0"` {
		return nil, fmt.Errorf("version %s is not supported, only \"1.0\"", v)
	}
	t := &Tokenizer{seed: maphash.MakeSeed()}
	t.pool.New = func() any { return &workspace{} }
	if err := errors.Join(
		t.readNormalizer(f["normalizer"]), t.readPreTokenizer(f["pre_tokenizer"]),
		checkPostProcessor(f["post_processor"]), checkDecoder(f["decoder"]),
	); err != nil {
		return nil, err
	}
	if err := t.readModel(f["model"]); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if err := t.readAdded(f["added_tokens"]); err != nil {
		return nil, fmt.Errorf("added_tokens: %w", err)
	}
	return t, nil
}

func (t *Tokenizer) readModel(data json.RawMessage) error {
	if isNull(data) {
		return errors.New("missing")
	}
	parts, err := object(data, modelKeys)
	if err != nil {
		return err
	}
	var m model
	for _, small := range []struct {
		key  string
		into any
	}{
		{"type", &m.Type}, {"dropout", &m.Dropout}, {"continuing_subword_prefix", &m.ContinuingSubwordPrefix},
		{"end_of_word_suffix", &m.EndOfWordSuffix}, {"byte_fallback", &m.ByteFallback}, {"ignore_merges", &m.IgnoreMerges},
	} { // unk_token and fuse_unk have no effect, because every byte has a token
		if isNull(parts[small.key]) {
			continue
		}
		if err := json.Unmarshal(parts[small.key], small.into); err != nil {
			return fmt.Errorf("%s: %w", small.key, err)
		}
	}
	switch {
	case m.Type != "BPE":
		return fmt.Errorf("type %q is not supported, only \"BPE\"", m.Type)
	case m.Dropout != 0:
		return fmt.Errorf("dropout %v is not supported, only null", m.Dropout)
	case m.ContinuingSubwordPrefix != "":
		return fmt.Errorf("continuing_subword_prefix %q is not supported, only \"\"", m.ContinuingSubwordPrefix)
	case m.EndOfWordSuffix != "":
		return fmt.Errorf("end_of_word_suffix %q is not supported, only \"\"", m.EndOfWordSuffix)
	case m.ByteFallback:
		return errors.New("byte_fallback true is not supported, only false")
	}
	t.ignoreMerges = m.IgnoreMerges
	v, err := readVocab(parts["vocab"])
	if err != nil {
		return fmt.Errorf("vocab: %w", err)
	}
	t.ids = v.ids
	t.grow(v.max)
	for token, id := range v.ids {
		if t.known[id] {
			return fmt.Errorf("vocab: %q and %q have the same id %d", token, t.token[id], id)
		}
		t.token[id], t.known[id] = token, true
	}
	t.spellOut(0)
	for b, r := range alphabet {
		id, ok := t.ids[string(r)]
		if !ok {
			return fmt.Errorf("vocab: no token %q for the byte 0x%02x: only byte-level vocabularies are supported", string(r), b)
		}
		t.byteID[b] = id
	}
	if t.merges, err = readMerges(parts["merges"], t.ids); err != nil {
		return fmt.Errorf("merges: %w", err)
	}
	return nil
}

// grow makes room for ids up to last.
func (t *Tokenizer) grow(last int32) {
	if more := int(last) + 1 - len(t.token); more > 0 {
		t.token = append(t.token, make([]string, more)...)
		t.bytes = append(t.bytes, make([]string, more)...)
		t.known = append(t.known, make([]bool, more)...)
		t.special = append(t.special, make([]bool, more)...)
	}
}

// spellOut fills bytes for the ids from first on, all in one piece of memory.
func (t *Tokenizer) spellOut(first int) {
	all := make([]byte, 0, 16*(len(t.token)-first))
	ends := make([]int, 0, len(t.token)-first)
	for _, token := range t.token[first:] {
		all = appendUnspelled(all, token)
		ends = append(ends, len(all))
	}
	text, start := string(all), 0
	for i, end := range ends {
		t.bytes[first+i] = text[start:end]
		start = end
	}
}

func (t *Tokenizer) readAdded(data json.RawMessage) error {
	var tokens []addedToken
	if !isNull(data) {
		if err := strict(data, &tokens); err != nil {
			return err
		}
	}
	next := int32(len(t.ids)) // the id that the reference gives, whatever the file says
	for _, a := range tokens {
		switch {
		case a.SingleWord:
			return fmt.Errorf("%q: single_word true is not supported", a.Content)
		case a.LStrip:
			return fmt.Errorf("%q: lstrip true is not supported", a.Content)
		case a.RStrip:
			return fmt.Errorf("%q: rstrip true is not supported", a.Content)
		}
		id, ok := t.ids[a.Content]
		if !ok {
			id = next
		}
		if a.ID != id {
			return fmt.Errorf("%q: id %d where %d is wanted: added tokens follow the vocabulary without a gap, or are in it", a.Content, a.ID, id)
		}
		next = max(next, a.ID+1)
		t.grow(a.ID)
		if t.known[a.ID] && t.token[a.ID] != a.Content {
			return fmt.Errorf("%q: id %d is that of %q already", a.Content, a.ID, t.token[a.ID])
		}
		t.token[a.ID], t.known[a.ID], t.ids[a.Content] = a.Content, true, a.ID
		t.bytes[a.ID] = string(appendUnspelled(nil, a.Content))
		t.special[a.ID] = t.special[a.ID] || a.Special
		content := a.Content
		if !a.Normalized {
			t.raw.add(content, a.ID)
			continue
		}
		if t.nfc {
			content = nfc(content)
		}
		t.normalized.add(content, a.ID)
	}
	return nil
}

// strict decodes JSON into v and refuses keys that v does not have.
func strict(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if rest := bytes.TrimSpace(data[d.InputOffset():]); len(rest) > 0 {
		return fmt.Errorf("unexpected %.20q after the JSON value", rest)
	}
	return nil
}

func isNull(data json.RawMessage) bool { return len(data) == 0 || string(data) == "null" }
