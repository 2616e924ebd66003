package bpe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
)

// maxID bounds the ids of a file, so that a made-up one cannot ask for all memory. The families use 0.25 million.
const maxID = 1 << 22

// file is the part of tokenizer.json that is read; a key that is not here is refused.
type file struct {
	Version       string          `json:"version"`
	Truncation    json.RawMessage `json:"truncation"`
	Padding       json.RawMessage `json:"padding"`
	AddedTokens   []addedToken    `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         json.RawMessage `json:"model"`
}

type addedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

type model struct {
	Type                    string          `json:"type"`
	Dropout                 float64         `json:"dropout"`
	UnkToken                string          `json:"unk_token"` // never used: every byte has a token
	ContinuingSubwordPrefix string          `json:"continuing_subword_prefix"`
	EndOfWordSuffix         string          `json:"end_of_word_suffix"`
	FuseUnk                 bool            `json:"fuse_unk"`
	ByteFallback            bool            `json:"byte_fallback"`
	IgnoreMerges            bool            `json:"ignore_merges"`
	Vocab                   json.RawMessage `json:"vocab"`
	Merges                  json.RawMessage `json:"merges"`
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
	var f file
	if err := strict(data, &f); err != nil {
		return nil, err
	}
	t := &Tokenizer{seed: maphash.MakeSeed()}
	t.pool.New = func() any { return &workspace{} }
	if err := errors.Join(
		t.readNormalizer(f.Normalizer), t.readPreTokenizer(f.PreTokenizer),
		checkPostProcessor(f.PostProcessor), checkDecoder(f.Decoder),
	); err != nil {
		return nil, err
	}
	if err := t.readModel(f.Model); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if err := t.readAdded(f.AddedTokens); err != nil {
		return nil, fmt.Errorf("added_tokens: %w", err)
	}
	return t, nil
}

func (t *Tokenizer) readModel(data json.RawMessage) error {
	var m model
	if isNull(data) {
		return errors.New("missing")
	}
	if err := strict(data, &m); err != nil {
		return err
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
	v, err := readVocab(m.Vocab)
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
	if t.merges, err = readMerges(m.Merges, t.ids); err != nil {
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

func (t *Tokenizer) readAdded(tokens []addedToken) error {
	for _, a := range tokens {
		switch {
		case a.SingleWord:
			return fmt.Errorf("%q: single_word true is not supported", a.Content)
		case a.LStrip:
			return fmt.Errorf("%q: lstrip true is not supported", a.Content)
		case a.RStrip:
			return fmt.Errorf("%q: rstrip true is not supported", a.Content)
		case a.ID < 0 || a.ID >= maxID:
			return fmt.Errorf("%q: id %d is not between 0 and %d", a.Content, a.ID, maxID-1)
		}
		if id, ok := t.ids[a.Content]; ok && id != a.ID {
			return fmt.Errorf("%q: id %d, but it has id %d already", a.Content, a.ID, id)
		}
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
		if errors.Is(err, io.EOF) {
			return errors.New("the file is empty")
		}
		return err
	}
	if rest := bytes.TrimSpace(data[d.InputOffset():]); len(rest) > 0 {
		return fmt.Errorf("unexpected %.20q after the JSON value", rest)
	}
	return nil
}

func isNull(data json.RawMessage) bool { return len(data) == 0 || string(data) == "null" }

// quoted reads the JSON string at the start of b and returns what follows it. b is valid JSON.
func quoted(b, buf []byte) (text, rest []byte, err error) {
	if len(b) == 0 || b[0] != '"' {
		return nil, nil, fmt.Errorf("a string is wanted where there is %.20q", b)
	}
	end := bytes.IndexByte(b[1:], '"') + 1
	if end > 0 && bytes.IndexByte(b[:end], '\\') < 0 {
		return append(buf[:0], b[1:end]...), b[end+1:], nil
	}
	for end = 1; end < len(b) && b[end] != '"'; end++ {
		if b[end] == '\\' {
			end++
		}
	}
	if end >= len(b) {
		return nil, nil, errors.New("a string without an end")
	}
	var s string
	if err := json.Unmarshal(b[:end+1], &s); err != nil {
		return nil, nil, err
	}
	return append(buf[:0], s...), b[end+1:], nil
}

// after returns b without white space at its start, and without the character c (and white space) if it is there.
func after(b []byte, c byte) (rest []byte, found bool) {
	b = bytes.TrimLeft(b, " \t\r\n")
	if len(b) == 0 || b[0] != c {
		return b, false
	}
	return bytes.TrimLeft(b[1:], " \t\r\n"), true
}
