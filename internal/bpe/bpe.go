// Package bpe is the byte-level byte-pair tokenizer of the Qwen family, read from a Hugging Face tokenizer.json.
//
// It gives the ids and the text that the Python package tokenizers gives: added tokens are matched in the raw text,
// the rest is normalized (NFC), cut into pieces by the file's regular expression and merged by rank. What the file
// asks for and this package does not do is an error of [Load] that names key and value, never a silent difference.
//
// Three things are not the tokenizer's business here and are ignored: truncation and padding (the caller decides
// how long a prompt may be) and the post-processor's offsets.
package bpe

import (
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

// maxText bounds the bytes of one Encode call, because offsets inside are 32 bits wide.
const maxText = 1 << 30

// Tokenizer turns text into token ids and back. It is immutable after [Load] and safe for any number of goroutines.
type Tokenizer struct {
	token   []string // id -> the token as the file spells it ("Ġthe"), "" where the id has none
	bytes   []string // id -> the bytes it stands for (" the")
	known   []bool
	special []bool
	ids     map[string]int32 // the file's spelling -> id
	byteID  [256]int32       // byte -> id of the token that is this byte alone

	merges       map[uint64]merge // left id << 32 | right id
	ignoreMerges bool

	nfc        bool
	split      splitter
	raw        matcher // added tokens looked for before normalization
	normalized matcher // and after it

	seed  maphash.Seed
	cache [cacheSize]atomic.Pointer[cached]
	pool  sync.Pool // *workspace
}

const (
	cacheSize  = 1 << 14
	cacheBytes = 48 // longer pieces are rare and not worth remembering
)

// cached is a piece and its ids. A slot of the cache holds the piece that last hashed to it, so memory is bounded
// and readers never lock.
type cached struct {
	piece string
	ids   []int32
}

// VocabSize is one more than the largest id, added tokens included.
func (t *Tokenizer) VocabSize() int { return len(t.token) }

// ID returns the id of a token in the spelling of tokenizer.json ("Ġthe", "<|im_end|>"), and whether there is one.
func (t *Tokenizer) ID(token string) (int32, bool) {
	id, ok := t.ids[token]
	return id, ok
}

// Token returns the token of an id in the spelling of tokenizer.json, and whether there is one.
func (t *Tokenizer) Token(id int32) (string, bool) {
	if !t.has(id) {
		return "", false
	}
	return t.token[id], true
}

// IsSpecial reports whether id is an added token that the file marks as special (an end of text, an image
// placeholder), the kind that [Tokenizer.Decode] can skip.
func (t *Tokenizer) IsSpecial(id int32) bool { return t.has(id) && t.special[id] }

func (t *Tokenizer) has(id int32) bool { return id >= 0 && int(id) < len(t.known) && t.known[id] }

// Encode returns the token ids of text. Special and added tokens that occur in the text become their ids; none is
// put around it. Bytes of text that are not UTF-8 count as U+FFFD, one for each maximal invalid part.
//
// The only errors are a text of more than 1 GiB, and a regular expression of the file (one that is not Qwen's)
// that takes longer than ten seconds on a piece of the text.
func (t *Tokenizer) Encode(text string) ([]int32, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("bpe: a text of %d bytes is more than the %d that one call takes: cut it", len(text), maxText)
	}
	if !utf8.ValidString(text) {
		text = validUTF8(text)
	}
	w := t.pool.Get().(*workspace) //nolint:errcheck,forcetypeassert // the pool holds nothing else
	defer t.release(w)
	ids := make([]int32, 0, len(text)/4+4)
	var err error
	t.raw.cut(text, func(plain string, id int32) bool {
		if plain == "" {
			ids = append(ids, id)
			return true
		}
		if t.nfc {
			plain = nfc(plain)
		}
		t.normalized.cut(plain, func(plain string, id int32) bool {
			if plain == "" {
				ids = append(ids, id)
				return true
			}
			ids, err = t.encodePlain(ids, plain, w)
			return err == nil
		})
		return err == nil
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}

// encodePlain appends the ids of normalized text that holds no added token.
func (t *Tokenizer) encodePlain(ids []int32, text string, w *workspace) ([]int32, error) {
	ends, err := t.split.split(text, w.ends[:0])
	if err != nil {
		return nil, err
	}
	w.ends = ends
	start := 0
	for _, end := range ends {
		ids = t.encodePiece(ids, text[start:end], w)
		start = int(end)
	}
	return ids, nil
}

func (t *Tokenizer) encodePiece(ids []int32, piece string, w *workspace) []int32 {
	if len(piece) == 1 {
		return append(ids, t.byteID[piece[0]])
	}
	if len(piece) > cacheBytes {
		return t.mergePiece(ids, piece, w)
	}
	slot := &t.cache[maphash.String(t.seed, piece)%cacheSize]
	if c := slot.Load(); c != nil && c.piece == piece {
		return append(ids, c.ids...)
	}
	from := len(ids)
	ids = t.mergePiece(ids, piece, w)
	slot.Store(&cached{piece: strings.Clone(piece), ids: append([]int32(nil), ids[from:]...)})
	return ids
}
