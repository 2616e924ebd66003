package bpe

import (
	"strings"
	"unicode/utf8"
)

// validUTF8 replaces each maximal invalid part of s by one U+FFFD, as Python's errors="replace" and Rust's
// from_utf8_lossy do. (Go's own conversions put one for each byte.)
func validUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	for len(s) > 0 {
		n := validPrefix(s)
		b.WriteString(s[:n])
		s = s[n:]
		if len(s) > 0 {
			n, _ = invalidPart(s)
			b.WriteRune(utf8.RuneError)
			s = s[n:]
		}
	}
	return b.String()
}

// validPrefix returns how many bytes at the start of s are whole characters.
func validPrefix(s string) int {
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(s)
}

// invalidPart returns the length of the maximal invalid part at the start of s, which is not the start of a
// character, and whether more bytes could make it one.
func invalidPart(s string) (n int, open bool) {
	need, lo, hi := 0, byte(0x80), byte(0xbf) // bytes after the first, and the range of the second
	switch b := s[0]; {
	case b >= 0xc2 && b <= 0xdf:
		need = 1
	case b >= 0xe0 && b <= 0xef:
		need = 2
		switch b {
		case 0xe0:
			lo = 0xa0
		case 0xed:
			hi = 0x9f
		}
	case b >= 0xf0 && b <= 0xf4:
		need = 3
		switch b {
		case 0xf0:
			lo = 0x90
		case 0xf4:
			hi = 0x8f
		}
	}
	n = 1
	for ; n <= need; n++ {
		if n == len(s) {
			return n, true
		}
		if s[n] < lo || s[n] > hi {
			break
		}
		lo, hi = 0x80, 0xbf
	}
	return n, false
}
