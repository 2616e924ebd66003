package bpe

// Decode returns the text of ids. Bytes that are not UTF-8 become U+FFFD, one for each maximal invalid part; ids
// that the tokenizer does not have are left out, as the reference leaves them out. With skipSpecial, special tokens
// ([Tokenizer.IsSpecial]) are left out too.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	return validUTF8(string(t.appendBytes(nil, ids, skipSpecial)))
}

func (t *Tokenizer) appendBytes(b []byte, ids []int32, skipSpecial bool) []byte {
	for _, id := range ids {
		if t.has(id) && !(skipSpecial && t.special[id]) {
			b = append(b, t.bytes[id]...)
		}
	}
	return b
}

// Stream decodes ids as they come. Its outputs, joined, are what [Tokenizer.Decode] gives for all ids at once: the
// bytes of a character that later ids may still complete are held back. It is one sequence's own: not for several
// goroutines.
type Stream struct {
	t           *Tokenizer
	skipSpecial bool
	held        []byte
}

// Stream returns a decoder for one sequence of ids; skipSpecial is as for [Tokenizer.Decode].
func (t *Tokenizer) Stream(skipSpecial bool) *Stream { return &Stream{t: t, skipSpecial: skipSpecial} }

// Next takes the next ids and returns the text that is complete with them, which may be "".
func (s *Stream) Next(ids ...int32) string {
	b := s.t.appendBytes(s.held, ids, s.skipSpecial)
	text := string(b)
	end := len(text)
	for at := 0; at < len(text); {
		at += validPrefix(text[at:])
		if at == len(text) {
			break
		}
		n, open := invalidPart(text[at:])
		if open {
			end = at
		}
		at += n
	}
	s.held = append(b[:0], text[end:]...)
	return validUTF8(text[:end])
}

// Flush ends the sequence: it returns what was held back, U+FFFD for an unfinished character.
func (s *Stream) Flush() string {
	text := validUTF8(string(s.held))
	s.held = s.held[:0]
	return text
}

// alphabet is the reference's spelling of bytes as visible characters (GPT-2's bytes_to_unicode): itself for a
// visible Latin-1 character, U+0100 and up, in order, for the others.
var alphabet = func() (spelled [256]rune) {
	next := rune(0x100)
	for b := range spelled {
		switch r := rune(b); {
		case r >= '!' && r <= '~', r >= 0xa1 && r <= 0xac, r >= 0xae:
			spelled[b] = r
		default:
			spelled[b] = next
			next++
		}
	}
	return spelled
}()

// letter is the inverse of alphabet: the byte that a character spells, or -1.
var letter = func() (bytes [0x144]int16) {
	for r := range bytes {
		bytes[r] = -1
	}
	for b, r := range alphabet {
		bytes[r] = int16(b)
	}
	return bytes
}()

// spell returns the bytes of s in the spelling of tokenizer.json.
func spell(s string) string {
	r := make([]rune, len(s))
	for i := range len(s) {
		r[i] = alphabet[s[i]]
	}
	return string(r)
}

// appendUnspelled appends the bytes that a token stands for: those its characters spell, or, when one of them
// spells none, the token's own (HF ByteLevel.decode_chain).
func appendUnspelled(b []byte, token string) []byte {
	from := len(b)
	for _, r := range token {
		if int(r) >= len(letter) || letter[r] < 0 {
			return append(b[:from], token...)
		}
		b = append(b, byte(letter[r]))
	}
	return b
}
